import { isLoopback } from '../lib/address.ts'
import { putBounded } from '../lib/bounded.ts'
import { shortAddress } from '../lib/ip.ts'
import { isOwnAddress } from '../lib/names.ts'
import { Ranges } from '../lib/ranges.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { HandshakeFailureReason, RefusalReason } from '../telemetry/reasons.ts'

// Who is shut out for a while: by its own failures, or by order. One table for all services of the process.
//
//   refused, failed handshake, refused command ── noted by client ── `after` within `within` ── banned for `for`
//   memseal ban add ────────────────────────────────────────────────────────────────────────── banned until it ends, or is removed
//
// A ban is asked for at each accept, before all other questions.

type Milliseconds = number

/** The section `ban`; names of groups are replaced. */
export interface BanSettings { after: number, within: Milliseconds, for: Milliseconds, never: readonly string[] }

/** What a client did. */
export type Failure = RefusalReason | HandshakeFailureReason | 'command-refused' | 'tls-flood'

/** Who does this is not meant to come, or is not what the port is for. Limits that are full, clients that leave or wait too long, and
 *  certificates that have merely ended say nothing of the kind, and lists of ours that have are our own fault. */
const counted: ReadonlySet<Failure> = new Set<Failure>([
  'denied', 'not-allowed', 'no-rule', 'command-refused', 'tls-flood',
  'no-certificate', 'unknown-ca', 'revoked', 'denied-certificate', 'wrong-pin', 'name-not-accepted', 'cn-only', 'wrong-purpose', 'weak-certificate', 'bad-certificate',
  'bad-signature', 'tls-version', 'no-shared-cipher', 'plain-text', 'http', 'proxy-header',
])

/** Some 250 bytes each. When there are more, the ban that is oldest goes. */
const MOST_BANS = 10_000
/** Each takes a look-up table that is built anew. */
const MOST_ORDERED = 1_000
/** Clients whose failures are remembered, the last `after` of each: 8 MB of times at the most. Who has failed longest ago is forgotten first. */
const MOST_NOTED = 10_000
const MOST_TIMES = 1_000_000
/** Without a section `ban`, and without a time of its own. */
const ORDERED_FOR: Milliseconds = 600_000

interface Ban { who: string, why: string, cause: 'failures' | 'order', since: Milliseconds, until: Milliseconds }

export interface BanNow { who: string, why: string, cause: 'failures' | 'order', ageSeconds: number, secondsLeft: number }

export class Bans {
  /** Bans that were put on, by what did it. */
  readonly counts = { failures: 0, order: 0 }
  /** Ends what those have open who are banned now. Of one client its key is given, of a range which addresses are in it. */
  onBan: (client: string | undefined, isIn: (address: string) => boolean) => void = () => {}
  readonly #log: EventLog
  readonly #now: () => Milliseconds
  #settings: BanSettings | undefined
  #never = Ranges.of([])
  /** By client as limits count it; the oldest first. */
  readonly #failed = new Map<string, Ban>()
  /** By order: ranges. */
  #ordered: Ban[] = []
  #orderedRanges = Ranges.of([])
  /** When each client failed last, as many times as matter; who failed last stands last. */
  readonly #noted = new Map<string, Milliseconds[]>()

  constructor(log: EventLog, now: () => Milliseconds = () => performance.now()) {
    this.#log = log
    this.#now = now
  }

  /** Puts another section in force for what comes; without one all bans for failures are lifted, and orders stay, which need none. Whoever is in
   *  `never` now is let in. */
  use(settings: BanSettings | undefined): void {
    const isRemoved = settings === undefined && this.#settings !== undefined
    this.#settings = settings
    this.#never = Ranges.of(settings?.never ?? [])
    if (settings === undefined) this.#noted.clear()
    this.#dropEnded()
    const lifted = [...this.#failed.keys()].filter(client => isRemoved || this.#never.has(addressOf(client)))
    for (const client of lifted) this.#failed.delete(client)
    if (lifted.length > 0) this.#log.tell('ban-lifted', { cause: 'configuration', lifted: lifted.length }, `no longer banned, by the configuration: ${some(lifted)}`)
  }

  /** @param address as `normalAddress` gives it   @param client as limits count it */
  isBanned(address: string, client: string): boolean {
    return (this.#failed.size > 0 && this.#holds(client)) || this.isBannedByOrder(address)
  }

  isBannedByOrder(address: string): boolean {
    return this.#ordered.length > 0 && this.#orderOn(address) !== undefined
  }

  #holds(client: string): boolean {
    const ban = this.#failed.get(client)
    if (ban === undefined) return false
    if (ban.until > this.#now()) return true
    this.#failed.delete(client)
    return false
  }

  /** @returns the order that shuts it out, the last of several */
  #orderOn(address: string): Ban | undefined {
    const label = this.#orderedRanges.labelOf(address)
    if (label < 0) return undefined
    if (this.#ordered[label].until > this.#now()) return this.#ordered[label]
    // A wider one may be below it.
    this.#dropEnded()
    return this.#orderOn(address)
  }

  /** A client has failed.   @param client as limits count it */
  note(failure: Failure, address: string, client: string): void {
    const settings = this.#settings
    if (settings === undefined || !counted.has(failure) || address === 'unix') return
    const now = this.#now()
    const times = this.#noted.get(client) ?? []
    this.#noted.delete(client)
    times.push(now)
    while (times.length > settings.after || now - times[0] > settings.within) times.shift()
    if (times.length < settings.after || this.#isExempt(address)) {
      putBounded(this.#noted, client, times, Math.min(MOST_NOTED, Math.floor(MOST_TIMES / settings.after)))
      return
    }
    this.#ban(client, address, failure, settings, now)
  }

  /** Whoever shuts out this host shuts out itself. */
  #isExempt(address: string): boolean {
    return isLoopback(address) || this.#never.has(address) || isOwnAddress(address)
  }

  #ban(client: string, address: string, failure: Failure, settings: BanSettings, now: Milliseconds): void {
    this.#failed.delete(client)
    const why = `${settings.after} failures within ${Math.round(settings.within / 1000)} s, the last of them ${failure}`
    putBounded(this.#failed, client, { who: client, why, cause: 'failures', since: now, until: now + settings.for }, MOST_BANS)
    this.counts.failures += 1
    this.#log.tell('banned', { address, countedAs: client, cause: 'failures', reason: failure, failures: settings.after, forMs: settings.for },
      `banned ${client} for ${seconds(settings.for)}: ${why}`)
    this.onBan(client, each => each === address)
  }

  /** By order, of whoever it names: `never` and this host are no exceptions.
   *  @param given `10.0.0.0/8`, as the configuration takes it; once more of the same: the new time holds   @param forMs left out: `ban.for`
   *  @returns undefined: there are as many as there may be */
  add(given: string, forMs = this.#settings?.for ?? ORDERED_FOR): BanNow | undefined {
    const range = canonical(given)
    const now = this.#now()
    const others = this.#ordered.filter(({ who, until }) => who !== range && until > now)
    if (others.length >= MOST_ORDERED) return undefined
    const ban: Ban = { who: range, why: 'by order', cause: 'order', since: now, until: now + forMs }
    this.#order([...others, ban])
    this.counts.order += 1
    const whose = Ranges.of([range])
    this.#log.tell('banned', { address: range, countedAs: range, cause: 'order', reason: 'order', forMs }, `banned ${range} for ${seconds(forMs)} by order`)
    this.onBan(undefined, address => whose.has(address))
    return this.#shown(ban, now)
  }

  /** @param given as for `add`   @returns what was lifted; or, when nothing was, the order of a wider range that shuts it out */
  remove(given: string): { lifted: string[], heldBy: string | undefined } {
    const range = canonical(given)
    const address = addressOf(range)
    const whose = Ranges.of([range])
    const lifted: string[] = []
    for (const client of [...this.#failed.keys()]) {
      // A network is one client; an address of it stands for it.
      const isIt = whose.has(addressOf(client)) || (client.includes('/') && Ranges.of([client]).has(address))
      if (isIt && this.#failed.delete(client)) lifted.push(client)
    }
    for (const client of [...this.#noted.keys()]) if (whose.has(addressOf(client))) this.#noted.delete(client)
    if (this.#ordered.some(({ who }) => who === range)) {
      this.#order(this.#ordered.filter(({ who }) => who !== range))
      lifted.push(range)
    }
    const heldBy = this.#orderOn(address)?.who
    if (lifted.length > 0) {
      this.#log.tell('ban-lifted', { address: range, countedAs: range, cause: 'order', lifted: lifted.length }, `no longer banned, by order: ${some(lifted)}`)
    }
    return { lifted, heldBy }
  }

  /** All that hold now, those that end last first. */
  list(): BanNow[] {
    const now = this.#now()
    this.#dropEnded()
    return [...this.#ordered, ...this.#failed.values()].sort((a, b) => b.until - a.until).map(ban => this.#shown(ban, now))
  }

  get size(): number {
    this.#dropEnded()
    return this.#failed.size + this.#ordered.length
  }

  #shown({ who, why, cause, since, until }: Ban, now: Milliseconds): BanNow {
    return { who, why, cause, ageSeconds: Math.round((now - since) / 1000), secondsLeft: Math.round((until - now) / 1000) }
  }

  #dropEnded(): void {
    const now = this.#now()
    for (const [client, { until }] of this.#failed) if (until <= now) this.#failed.delete(client)
    if (this.#ordered.some(({ until }) => until <= now)) this.#order(this.#ordered.filter(({ until }) => until > now))
  }

  #order(bans: Ban[]): void {
    this.#ordered = bans
    this.#orderedRanges = Ranges.labelled(bans.map(({ who }) => [who]))
  }
}

/** One form for each range, as clients have it: an address alone without its prefix. */
function canonical(range: string): string {
  const [address, prefix] = range.split('/') as [string, string?]
  const isOne = prefix === undefined || Number(prefix) === (address.includes(':') ? 128 : 32)
  return isOne ? shortAddress(address) : `${shortAddress(address)}/${Number(prefix)}`
}

/** Of a client, or of a range, the first address. */
function addressOf(client: string): string {
  const slash = client.indexOf('/')
  return slash < 0 ? client : client.slice(0, slash)
}

function seconds(ms: Milliseconds): string {
  return `${Math.round(ms / 1000)} s`
}

function some(clients: readonly string[]): string {
  const more = clients.length - 10
  return `${clients.slice(0, 10).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
