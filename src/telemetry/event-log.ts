import type { Logger } from 'pino'
import type { Audit, Audited } from './audit.ts'
import { events, nameIn, type Event, type EventName, type FieldsOf, type Level } from './events.ts'
import { Repeats } from './repeats.ts'
import { ToldApart } from './told-apart.ts'

// The one way of an event:
//
//   tell(name, fields, words) ─┬─ folded? (once a minute, with a number) ── a line of the log
//                              ├─ in the audit too? ─────────────────────── Audit
//                              └─ suspicious? ───────────────────────────── Suspicions, which tell of events themselves

/** Who makes more of events than a line. */
export interface Watcher {
  see(name: EventName, fields: Readonly<Record<string, unknown>>): void
  /** A client is in. */
  came(client: Audited): void
  /** A client has used a command of a group for the first time on its connection. */
  began(client: Audited, group: string): void
}

/** Whose an event is; all other fields say what it is. */
const WHOSE = new Set(['address', 'countedAs', 'network'])

/** Of one address and minute. */
const MOST_NAMES = 10

export class EventLog {
  /** Where events go besides; undefined: nowhere. */
  audit: Audit | undefined = undefined
  watcher: Watcher | undefined = undefined
  readonly #pino: Logger
  readonly #now: () => number
  readonly #repeats = new Map<EventName, Repeats>()
  readonly #names: ToldApart

  /** @param now milliseconds, by which events are folded */
  constructor(pino: Logger, now: () => number = Date.now) {
    this.#pino = pino
    this.#now = now
    this.#names = new ToldApart(MOST_NAMES, now)
  }

  /** Events below it are not logged. */
  set level(level: string) {
    this.#pino.level = level
  }

  /** Does anybody learn of such an event now? */
  tells(name: EventName): boolean {
    const { level } = events[name]
    return level === 'by the case' || level === 'always' || this.#pino.isLevelEnabled(level) || this.audit?.takes(name) === true
  }

  /** @param fields `countedAs`, the key that limits count a client by, is logged where it is another than its address
   *  @param words one sentence   @param level where the table leaves it to the case */
  tell<N extends EventName>(name: N, fields: FieldsOf<N>, words: string, level?: Level): void {
    const event: Event = events[name]
    if (event.audit === true) this.audit?.record(name, fields, words)
    this.#log(name, event, fields, words, level)
    this.watcher?.see(name, fields)
  }

  /** An event of a client.   @param fields beside whose it is   @param forAudit what only the audit is to say */
  tellOf<N extends EventName>(client: Audited, name: N, fields: Record<string, unknown>, words: string, forAudit?: Record<string, unknown>): void {
    const event: Event = events[name]
    if (event.audit === true) this.audit?.record(name, { ...fields, ...forAudit }, words, client)
    const { id, service, listener, address, via, countedAs, tls } = client
    this.#log(name, event, { client: id, service, listener, address, via, countedAs, subject: tls?.subject, ...fields }, words)
  }

  /** An event of a client that the log has in a form of its own. */
  recordOf(client: Audited, name: EventName, fields: Record<string, unknown>, words: string): void {
    this.audit?.record(name, fields, words, client)
  }

  #log(name: EventName, event: Event, fields: Record<string, unknown>, words: string, given?: Level): void {
    const level = this.#levelOf(event, given)
    if (!this.#pino.isLevelEnabled(level)) return
    const suppressed = event.once === undefined || event.audit === 'apart' ? undefined : this.#fold(name, event, event.once, fields)
    if (suppressed === 'folded') return
    const { countedAs, ...rest } = fields
    const counted = countedAs === undefined || countedAs === rest.address ? {} : { countedAs }
    this.#pino[level]({ event: name, ...rest, ...counted, suppressed }, words)
  }

  #fold(name: EventName, event: Event, once: readonly string[], fields: Record<string, unknown>): number | 'folded' {
    let repeats = this.#repeats.get(name)
    if (repeats === undefined) this.#repeats.set(name, repeats = new Repeats(this.#now))
    let [what, whose] = ['', '']
    for (const field of once) {
      if (WHOSE.has(field)) whose = String(fields[field])
      else what += `${String(fields[field])} `
    }
    const who = nameIn(event, fields)
    if (who !== undefined && this.#names.has(`${name} ${whose}`, who)) whose += ` ${who}`
    return repeats.tell(what, whose) ?? 'folded'
  }

  #levelOf({ level }: Event, given: Level = 'info'): Level {
    if (level === 'by the case') return given
    if (level !== 'always') return level
    return this.#pino.isLevelEnabled('info') ? 'info' : this.#pino.level as Level
  }
}
