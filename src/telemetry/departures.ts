import type { EventLog } from './event-log.ts'
import type { ClientClose } from './reasons.ts'

// A line for each connection that has ended. Clients that connect for every request would fill a disk with them (6,500 lines
// a second were seen), so past a few lines a minute those of one client are counted, and told together at its end:
//
//   closed ... closed (10 of them; 3 of each unusual reason) ─ counted ─ counted ─ ... ─ closed-folded, with the sums

export type ConnectionLines = 'all' | 'sampled' | 'off'

/** What the line of one connection says, as far as it is counted here. */
export interface Departure {
  client: string
  rule?: string
  dialect: string | undefined
  isPrivate: boolean
  address: string
  tls?: { subject: string }
  reason: ClientClose
  requests: number
  by: Record<string, number>
  hits: number
  refused: number
  seconds: number
  bytesIn: number
  bytesOut: number
}

type Milliseconds = number
/** `lines` by what they are counted as: a reason, or `ordinary` for those that are. */
interface Minute { from: Milliseconds, lines: Map<string, number>, folded: Folded | undefined }
type Sum = 'connections' | 'requests' | 'hits' | 'refused' | 'seconds' | 'bytesIn' | 'bytesOut'
type Folded = Record<Sum, number> & { address: string, subject: string | undefined, by: Record<string, number>, reasons: Record<string, number> }

const MINUTE: Milliseconds = 60_000
const LINES_A_MINUTE = 10
/** Most of the other ends a client can bring about as often as it likes (by what is no request, say). The first of each are news. */
const LINES_OF_OTHER_REASONS = 3
const MOST_CLIENTS = 10_000

/** Ends that are a client's own habit. They have their lines together, and every other reason has its own. */
const ordinary: ReadonlySet<ClientClose> = new Set(['client-closed', 'client-reset', 'quit'])

export class Departures {
  mode: ConnectionLines
  readonly #service: string
  readonly #log: EventLog
  /** By address and certificate; the minute that began first is the first. */
  readonly #minutes = new Map<string, Minute>()

  constructor(service: string, mode: ConnectionLines, log: EventLog) {
    this.#service = service
    this.mode = mode
    this.#log = log
  }

  /** @param now in the clock's milliseconds */
  left(departure: Departure, now: Milliseconds): void {
    if (this.mode === 'off') return
    const minute = this.mode === 'all' ? undefined : this.#minuteOf(departure, now)
    if (minute === undefined || hasLine(minute, departure.reason)) {
      this.#log.tell('closed', { ...departure }, 'a client has left')
      return
    }
    const { address, tls, by, reason } = departure
    const folded = minute.folded ??= {
      address, subject: tls?.subject, connections: 0, requests: 0, by: {}, hits: 0, refused: 0, seconds: 0, bytesIn: 0, bytesOut: 0, reasons: {},
    }
    folded.connections += 1
    for (const sum of ['requests', 'hits', 'refused', 'seconds', 'bytesIn', 'bytesOut'] as const) folded[sum] += departure[sum]
    for (const [group, count] of Object.entries(by)) folded.by[group] = (folded.by[group] ?? 0) + count
    folded.reasons[reason] = (folded.reasons[reason] ?? 0) + 1
  }

  /** Tells of the minutes that are over by now. */
  look(now: Milliseconds): void {
    for (const [client, minute] of this.#minutes) {
      if (now - minute.from < MINUTE) return
      this.#end(client, minute)
    }
  }

  /** Tells of all, when there will be no more. */
  flush(): void {
    this.look(Infinity)
  }

  #minuteOf({ address, tls }: Departure, now: Milliseconds): Minute {
    const client = `${address} ${tls?.subject ?? ''}`
    const found = this.#minutes.get(client)
    if (found !== undefined && now - found.from < MINUTE) return found
    if (found !== undefined) this.#end(client, found)
    for (const [oldest, minute] of this.#minutes) {
      if (this.#minutes.size < MOST_CLIENTS) break
      this.#end(oldest, minute)
    }
    const minute: Minute = { from: now, lines: new Map(), folded: undefined }
    this.#minutes.set(client, minute)
    return minute
  }

  #end(client: string, { folded }: Minute): void {
    this.#minutes.delete(client)
    if (folded === undefined || this.mode === 'off') return
    const seconds = Math.round(folded.seconds * 1000) / 1000
    this.#log.tell('closed-folded', { service: this.#service, ...folded, seconds },
      `more connections of a client have ended within a minute: ${folded.connections.toLocaleString('en-US')}`)
  }
}

/** Whether one more is told in a line of its own; then it is counted. */
function hasLine({ lines }: Minute, reason: ClientClose): boolean {
  const [kind, most] = ordinary.has(reason) ? ['ordinary', LINES_A_MINUTE] as const : [reason, LINES_OF_OTHER_REASONS] as const
  const told = lines.get(kind) ?? 0
  if (told >= most) return false
  lines.set(kind, told + 1)
  return true
}
