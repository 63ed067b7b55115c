import { networkOf } from '../lib/address.ts'
import { putBounded } from '../lib/bounded.ts'
import type { Audited } from './audit.ts'
import type { EventLog, Watcher } from './event-log.ts'
import type { EventName } from './events.ts'
import type { HandshakeFailureReason, RefusalReason } from './reasons.ts'

// What an intrusion detection system would want to know of, told from what the events say:
//
//   refused, handshake-failed ─┬─ many addresses of one network ──▶ scan-suspected
//                              └─ no TLS at all ──────────────────▶ plain-on-tls
//   a client came ─────────────── from a network that its certificate never came from ──▶ new-network
//   its first of a group ──────── of commands that it never used ───────────────────────▶ new-command
//
// Each table is bounded: past its size what was seen first is forgotten.

export const suspicionKinds = ['scan', 'plain-on-tls', 'new-network', 'new-command'] as const
export type SuspicionKind = typeof suspicionKinds[number]
export type SuspicionCounts = Record<SuspicionKind, number>

type Milliseconds = number
export interface AlertSettings {
  /** 0: never. */
  scan: number
  new_network: boolean
  new_command: boolean
  new_command_after: Milliseconds
}

const MINUTE: Milliseconds = 60_000
const MOST_SCANS = 1_000
const MOST_IDENTITIES = 10_000
/** A certificate that many hosts share comes from anywhere; the networks that it came from last are known. */
const MOST_NETWORKS = 16

/** Only what a stranger brings about: not who is too fast, or too many. */
const strange: ReadonlySet<unknown> = new Set<RefusalReason | HandshakeFailureReason>([
  'denied', 'not-allowed', 'no-rule', 'no-certificate', 'unknown-ca', 'revoked', 'wrong-pin', 'name-not-accepted', 'wrong-purpose', 'weak-certificate',
  'bad-certificate', 'bad-signature', 'tls-version', 'no-shared-cipher', 'plain-text', 'http',
])

interface Scan { from: Milliseconds, addresses: Set<string>, isTold: boolean }
interface Habit { since: Milliseconds, groups: Set<string> }

export class Suspicions implements Watcher {
  settings: AlertSettings
  readonly #log: EventLog
  readonly #now: () => Milliseconds
  readonly #counts = new Map<string, SuspicionCounts>()
  readonly #scans = new Map<string, Scan>()
  readonly #networks = new Map<string, string[]>()
  readonly #habits = new Map<string, Habit>()

  constructor(settings: AlertSettings, log: EventLog, now: () => Milliseconds = Date.now) {
    this.settings = settings
    this.#log = log
    this.#now = now
  }

  /** How often each was told of a service, folded or not. */
  countsOf(service: string): SuspicionCounts {
    let counts = this.#counts.get(service)
    if (counts === undefined) this.#counts.set(service, counts = { 'scan': 0, 'plain-on-tls': 0, 'new-network': 0, 'new-command': 0 })
    return counts
  }

  see(name: EventName, fields: Readonly<Record<string, unknown>>): void {
    if (name !== 'refused' && name !== 'handshake-failed') return
    const { service, reason, address } = fields
    if (typeof service !== 'string' || typeof address !== 'string' || !strange.has(reason)) return
    if (reason === 'plain-text' || reason === 'http') this.#plain(service, reason, fields)
    this.#strange(service, address)
  }

  #plain(service: string, reason: 'plain-text' | 'http', { listener, address, countedAs }: Readonly<Record<string, unknown>>): void {
    this.countsOf(service)['plain-on-tls'] += 1
    const what = reason === 'http' ? 'a request of the web' : 'plain memcached, or something else that is not TLS'
    this.#log.tell('plain-on-tls', { service, listener, address, countedAs, reason }, `${what} came to a port of TLS`)
  }

  #strange(service: string, address: string): void {
    const { scan: most } = this.settings
    if (most === 0 || address === 'unix') return
    const network = networkOf(address)
    const key = `${service} ${network}`
    const now = this.#now()
    let scan = this.#scans.get(key)
    if (scan === undefined || now < scan.from || now - scan.from >= MINUTE) {
      this.#scans.delete(key)
      putBounded(this.#scans, key, scan = { from: now, addresses: new Set(), isTold: false }, MOST_SCANS)
    }
    if (scan.isTold) return
    scan.addresses.add(address)
    if (scan.addresses.size < most) return
    scan.isTold = true
    this.countsOf(service).scan += 1
    this.#log.tell('scan-suspected', { service, network, addresses: most }, `${most} addresses of ${network} were refused within a minute`)
  }

  /** A client is in. */
  came(client: Audited): void {
    const { service, address, tls } = client
    if (!this.settings.new_network || tls === undefined || tls.fingerprint === '' || address === 'unix') return
    const network = networkOf(address)
    const key = `${service} ${tls.fingerprint}`
    const networks = this.#networks.get(key)
    if (networks === undefined) return putBounded(this.#networks, key, [network], MOST_IDENTITIES)
    if (networks.includes(network)) return
    const before = networks.at(-1)
    networks.push(network)
    if (networks.length > MOST_NETWORKS) networks.shift()
    this.countsOf(service)['new-network'] += 1
    this.#log.tellOf(client, 'new-network', { network, before, fingerprint: tls.fingerprint },
      `the certificate of ${tls.subject} came from ${network}, where it never came from before`)
  }

  /** A client has used a command of a group for the first time on its connection. */
  began(client: Audited, group: string): void {
    const { new_command: isOn, new_command_after: learning } = this.settings
    if (!isOn || group === 'basic') return
    const { service, countedAs, tls } = client
    const key = `${service} ${tls?.fingerprint || countedAs}`
    const now = this.#now()
    const habit = this.#habits.get(key)
    if (habit === undefined) return putBounded(this.#habits, key, { since: now, groups: new Set([group]) }, MOST_IDENTITIES)
    if (habit.groups.has(group)) return
    habit.groups.add(group)
    if (now - habit.since < learning) return
    this.countsOf(service)['new-command'] += 1
    this.#log.tellOf(client, 'new-command', { group }, `${tls?.subject || client.address} uses commands of the group ${group}, which it never did before`)
  }
}
