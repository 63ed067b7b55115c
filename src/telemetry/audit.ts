import { createHmac, randomBytes } from 'node:crypto'
import { printable, printableText } from '../lib/printable.ts'
import { AuditFile } from './audit-file.ts'
import type { AuditSettings } from './audit-settings.ts'
import { events, isAudited, nameIn, type Event, type EventName } from './events.ts'
import type { LogFileError } from './log-file.ts'
import { ToldApart } from './told-apart.ts'

// Who did what, one JSON object a line, beside the log:
//
//   record(event, who, fields) ── repeated within a minute? ── counted, and told at the minute's end with their number
//                                   └ a line at once ── AuditFile
//
// No values, and of keys no more than `audit.keys` lets through.

/** A client, as far as it is told of. */
export interface Audited {
  readonly id: string
  readonly service: string
  readonly listener: string
  readonly address: string
  readonly countedAs: string
  readonly port: number
  /** The load balancer that it came by. */
  readonly via?: string
  readonly tls?: { readonly subject: string, readonly names: readonly string[], readonly serial: string, readonly fingerprint: string }
}

type Milliseconds = number
interface Repeat { from: Milliseconds, repeats: number, isMixed: boolean, name: EventName, fields: Record<string, unknown> }

const MINUTE: Milliseconds = 60_000
const LOOK_MS: Milliseconds = 5_000
/** Past so many sources and events at once the oldest are told before their minute is over. */
const MOST_REPEATS = 10_000
/** Certificates that the CA has signed, of one address and minute. */
const MOST_CERTIFICATES = 100
/** Names in refused logins, of one address and minute. */
const MOST_USERS = 10
/** A certificate may carry thousands of names, and each of its client's lines has them. */
const MOST_NAMES = 16
const MOST_CHARACTERS = 1_024
const MOST_PREFIX = 64
const MOST_KEY = 250
const COLON = 58
/** What differs from one connection of a client to its next. */
const OF_A_CONNECTION = new Set(['client', 'port', 'seconds', 'requests', 'by', 'hits', 'refused', 'bytesIn', 'bytesOut', 'keyPrefix', 'keyHash', 'key'])
/** What names one certificate of a failed handshake. */
const OF_A_CERTIFICATE = new Set(['subject', 'fingerprint', 'spki', 'match', 'detail'])

export class Audit {
  readonly settings: AuditSettings
  readonly file: AuditFile
  /** Lines that were handed to the file. */
  lines = 0
  readonly #names: ReadonlySet<string>
  readonly #now: () => Milliseconds
  /** By event, source and what it is folded by; in the order of their beginning. */
  readonly #repeats = new Map<string, Repeat>()
  /** Nobody can try keys against it, and it ends with the process. */
  readonly #secret = randomBytes(32)
  readonly #certificates: ToldApart
  readonly #users: ToldApart
  readonly #timer: NodeJS.Timeout
  #toldLost = 0
  readonly #onExit = (): void => this.#endAll()

  /** @param onFault the file's fault is another now   @param now milliseconds since 1970 */
  constructor(settings: AuditSettings, onFault: (fault: LogFileError | undefined) => void, now: () => Milliseconds = Date.now) {
    this.settings = settings
    this.#names = new Set(settings.events)
    this.#now = now
    this.#certificates = new ToldApart(MOST_CERTIFICATES, now)
    this.#users = new ToldApart(MOST_USERS, now)
    this.file = new AuditFile(settings.file, fault => {
      if (fault === undefined) this.look()
      onFault(fault)
    })
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
    // Before what waits is written for the last time.
    process.prependListener('exit', this.#onExit)
  }

  takes(name: EventName): boolean {
    return isAudited(name) && (this.#names.has('all') || this.#names.has(name))
  }

  /** Nothing that is to be recorded can be. */
  get isBlind(): boolean {
    return this.settings.required && this.file.fault !== undefined
  }

  /** What it may say of a key.   @param pattern of the configuration, that it fits */
  key(key: Buffer | undefined, pattern?: string): { keyPattern?: string, keyPrefix?: string, keyHash?: string, key?: string } {
    const { keys } = this.settings
    if (key === undefined || keys === 'none') return {}
    if (keys === 'full') return { key: printable(key, 0, key.length, MOST_KEY) }
    if (keys === 'hash') return { keyHash: createHmac('sha256', this.#secret).update(key).digest('hex').slice(0, 16) }
    if (pattern !== undefined) return { keyPattern: pattern }
    const colon = key.indexOf(COLON)
    return colon < 0 || colon >= MOST_PREFIX ? {} : { keyPrefix: printable(key, 0, colon + 1, MOST_PREFIX) }
  }

  /** @param fields what happened   @param words the same for people   @param client who did it, where `fields` do not say so */
  record(name: EventName, fields: Readonly<Record<string, unknown>>, words: string, client?: Audited): void {
    if (!this.takes(name)) return
    const { countedAs = client?.countedAs, words: _, ...rest } = fields
    const all: Record<string, unknown> = { ...client === undefined ? {} : whoIs(client), ...rest, words }
    if (countedAs !== undefined && countedAs !== all.address) all.countedAs = countedAs
    const { once }: Event = events[name]
    if (once === undefined) return this.#write(this.#now(), name, all)
    this.#fold(name, once, all, String(countedAs ?? all.address), client?.tls?.fingerprint)
  }

  /** What a stranger chooses (a certificate that did not verify, a key) makes no line of its own, and names in refused logins few: whoever
   *  sends another each time would fill the disk.   @param fingerprint of a certificate that was verified */
  #fold(name: EventName, once: readonly string[], fields: Record<string, unknown>, source: string, fingerprint: string | undefined): void {
    const now = this.#now()
    this.look(now)
    let key = `${name} ${source} ${fingerprint} ${String(fields.keyPattern)}`
    for (const field of once) if (field !== 'countedAs') key += ` ${String(fields[field])}`
    const { named }: Event = events[name]
    const who = nameIn(events[name], fields)
    const first = named === 'user' ? this.#users : this.#certificates
    // Whoever was let in has not chosen a name at will.
    if (who !== undefined && (fields.outcome === 'accepted' || first.has(`${name} ${source}`, who))) key += ` ${who}`
    const known = this.#repeats.get(key)
    if (known !== undefined) {
      known.repeats += 1
      if (named !== undefined && known.fields[named] !== fields[named]) known.isMixed = true
      return
    }
    for (const oldest of this.#repeats.keys()) {
      if (this.#repeats.size < MOST_REPEATS) break
      this.#end(oldest, now)
    }
    this.#repeats.set(key, { from: now, repeats: 0, isMixed: false, name, fields })
    this.#write(now, name, fields)
  }

  /** Tells of the minutes that are over. */
  look(now = this.#now()): void {
    if (this.file.fault === undefined) this.#tellLost()
    for (const [key, { from }] of this.#repeats) {
      if (now >= from && now - from < MINUTE) return
      this.#end(key, now)
    }
  }

  #end(key: string, now: Milliseconds): void {
    const { from, repeats, isMixed, name, fields } = this.#repeats.get(key)!
    this.#repeats.delete(key)
    if (repeats === 0) return
    const common = Object.fromEntries(Object.entries(fields).filter(([field]) => !OF_A_CONNECTION.has(field)))
    this.#write(now, name, { ...isMixed ? nameless(common) : common, repeats, since: new Date(from).toISOString() })
  }

  #write(now: Milliseconds, event: EventName, fields: Record<string, unknown>): void {
    this.lines += 1
    this.file.write(`${printableText(JSON.stringify({ time: new Date(now).toISOString(), event, ...fields }, shortened))}\n`)
  }

  /** The trail itself says where it has a gap. */
  #tellLost(): void {
    const lines = this.file.lost - this.#toldLost
    if (lines === 0) return
    this.#toldLost = this.file.lost
    // That line may be the next to be lost, hence the total.
    this.#write(this.#now(), 'audit-lost', { lines, total: this.file.lost, words: 'so many lines could not be written and are lost' })
  }

  #endAll(): void {
    const now = this.#now()
    for (const key of [...this.#repeats.keys()]) this.#end(key, now)
  }

  /** Tells of all repeats, when there will be no more. */
  close(): void {
    clearInterval(this.#timer)
    process.removeListener('exit', this.#onExit)
    this.#endAll()
    this.file.close()
  }
}

function whoIs({ service, listener, id, address, port, via, tls }: Audited): Record<string, unknown> {
  const who = { service, listener, client: id, address, port, via }
  if (tls === undefined || tls.fingerprint === '') return who
  const names = tls.names.length === 0 ? {} : { names: tls.names.slice(0, MOST_NAMES) }
  return { ...who, subject: tls.subject, ...names, serial: tls.serial, fingerprint: tls.fingerprint }
}

/** Of several certificates or users: their number is not to stand beside the name of the first. */
function nameless(fields: Record<string, unknown>): Record<string, unknown> {
  const words = String(fields.words).replace(` (${String(fields.detail)})`, '')
  if (fields.user !== undefined) return { ...fields, user: 'others', words: 'refused logins of other users' }
  return { ...Object.fromEntries(Object.entries(fields).filter(([field]) => !OF_A_CERTIFICATE.has(field))), words }
}

function shortened(_: string, value: unknown): unknown {
  return typeof value === 'string' && value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}…` : value
}
