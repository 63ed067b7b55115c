/** What one client has done: for its line in the log, for `memseal connections`, and for the counters of its service. */
import { groupOfRow, groups, isReadRow } from '../proto/commands.ts'
import type { Peer } from '../policy/peer.ts'
import type { Dialect } from '../proto/frame.ts'
import type { Clock } from '../lib/clock.ts'
import type { Departure, Departures } from '../telemetry/departures.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import type { Outbox } from './outbox.ts'

export interface RecordFields extends Pick<Peer, 'service' | 'listener' | 'address' | 'port' | 'via' | 'tls'> {
  seconds: number
  requests: number
  by: Record<string, number>
  hits: number
  refused: number
  bytesIn: number
}

/** What `memseal connections` shows of a client. */
export interface ClientSnapshot extends RecordFields {
  id: string
  /** Of `access`, that decides for it. */
  rule: string | undefined
  dialect: Dialect
  idleSeconds: number
  bytesOut: number
  inFlight: number
  backlogBytes: number
  /** Why it has a backend connection of its own; undefined: it shares. */
  isPrivate: PrivateReason | undefined
}

export class ClientRecord {
  readonly peer: Peer
  /** In the clock's milliseconds, like `activeAt`. */
  readonly since: number
  activeAt: number
  requests = 0
  /** Requests by group, in the order of `groups`. */
  readonly byGroup: number[] = groups.map(() => 0)
  refused = 0
  hits = 0
  misses = 0
  bytesIn = 0
  whyPrivate: PrivateReason = 'configured'
  /** Keys asked for by reads; once nothing is in flight, those without a hit are misses. */
  #reads = 0

  constructor(peer: Peer, now: number) {
    this.peer = peer
    this.since = this.activeAt = now
  }

  /** @returns true for the first of its group */
  asked(row: number, keys: number): boolean {
    this.requests++
    if (isReadRow[row] === 1) this.#reads += keys
    return this.byGroup[groupOfRow[row]]++ === 0
  }

  /** Nothing is in flight. A run of meta requests in which other answers pass for hits must not make the misses go back. */
  allAnswered(): void {
    if (this.#reads - this.hits > this.misses) this.misses = this.#reads - this.hits
  }

  /** What log and `memseal connections` say alike. */
  fields(now: number): RecordFields {
    const { service, listener, address, port, via, tls } = this.peer
    return {
      service, listener, address, port, via, tls, seconds: Math.round(now - this.since) / 1000, requests: this.requests,
      by: this.#requestsByGroup(), hits: this.hits, refused: this.refused, bytesIn: this.bytesIn,
    }
  }

  snapshot(now: number, dialect: Dialect, { bytesOut, inFlight, backlog }: Outbox, isPrivate: boolean, rule: string): ClientSnapshot {
    return {
      id: this.peer.id, rule: rule === '' ? undefined : rule, dialect, ...this.fields(now), idleSeconds: Math.round(now - this.activeAt) / 1000,
      bytesOut, inFlight, backlogBytes: backlog, isPrivate: isPrivate ? this.whyPrivate : undefined,
    }
  }

  /** One line per connection, as far as the configuration wants it. Who connects and says nothing is only counted, by the listener. */
  tellEnd({ log, departures, clock }: { log: EventLog; departures: Departures; clock: Clock }, dialect: Dialect, outbox: Outbox, isPrivate: boolean, why: ClientClose, rule: string): void {
    if (!log.tells('closed')) return
    const departure = this.#departure(clock.now, dialect, outbox, isPrivate, why, rule)
    if (this.bytesIn > 0) departures.left(departure, clock.now)
    const { reason, seconds, requests, by, refused, bytesIn, bytesOut } = departure
    log.recordOf(this.peer, 'closed', { rule: departure.rule, reason, seconds, requests, by, refused, bytesIn, bytesOut }, 'a client has left')
  }

  #departure(now: number, dialect: Dialect, { bytesOut }: Outbox, isPrivate: boolean, reason: ClientClose, rule: string): Departure {
    return { client: this.peer.id, rule: rule === '' ? undefined : rule, dialect, ...this.fields(now), bytesOut, isPrivate, reason }
  }

  #requestsByGroup(): Record<string, number> {
    return Object.fromEntries(groups.flatMap((group, index) => (this.byGroup[index] > 0 ? [[group, this.byGroup[index]]] : [])))
  }
}
