import type { Logger } from 'pino'
import type { Counters } from '../telemetry/counters.ts'
import { isLoopback } from './address.ts'
import { CidrList } from './cidr.ts'
import { ConnectRate, OpenPerClient } from './client-limits.ts'
import { Handshakes } from './handshakes.ts'
import { Repeats } from './repeats.ts'

// Who may come in, asked before a byte of a connection is read, in this order; the first no is the verdict.
//
//   accept > deny > allow > process limit > service limit > limit per client > new-connection rate > handshake queue
//
// One Admission per service, shared by its listeners.

export const refusals = [
  'denied', 'not-allowed', 'process-full', 'service-full', 'client-full', 'too-fast', 'handshake-queue-full',
] as const
export type RefusalReason = typeof refusals[number]

const words: Record<RefusalReason, string> = {
  'denied': 'the source address is on the deny list',
  'not-allowed': 'the source address is not on the allow list',
  'process-full': 'all connections that the open-files limit permits are in use',
  'service-full': 'all connections of the service are in use (limits.connections)',
  'client-full': 'the client has all its connections in use (limits.connections_per_client)',
  'too-fast': 'the client connects too often (limits.new_connections_per_second)',
  'handshake-queue-full': 'too many clients wait for a TLS handshake',
}

/** Client connections of the whole process; shared by all services. */
export interface ClientCap { limit: number, open: number }

export interface AdmissionOptions {
  service: string
  allow?: readonly string[]
  deny?: readonly string[]
  limits: {
    connections: number
    connections_per_client: number
    new_connections_per_second: number
    handshakes: number
  }
  counters: Counters
  log: Logger
  cap?: ClientCap
  now?: () => number          // milliseconds
  handshakeQueue?: number
}

export class Admission {
  readonly service: string
  readonly counters: Counters
  readonly handshakes: Handshakes
  #allow: CidrList
  #deny: CidrList
  #limits: AdmissionOptions['limits']
  #perClient = new OpenPerClient()
  #rate: ConnectRate
  #cap: ClientCap
  #open = 0
  #log: Logger
  #repeats: Repeats

  constructor(options: AdmissionOptions) {
    const now = options.now ?? Date.now
    this.service = options.service
    this.counters = options.counters
    this.#allow = new CidrList(options.allow ?? [])
    this.#deny = new CidrList(options.deny ?? [])
    this.#limits = options.limits
    this.#rate = new ConnectRate(options.limits.new_connections_per_second, now)
    this.#cap = options.cap ?? { limit: Infinity, open: 0 }
    this.handshakes = new Handshakes({ slots: options.limits.handshakes, queue: options.handshakeQueue })
    this.#log = options.log
    this.#repeats = new Repeats(now)
  }

  /** Other rules from now on; whoever is in stays in, and counts. */
  update({ allow, deny, limits }: Pick<AdmissionOptions, 'allow' | 'deny' | 'limits'>): void {
    this.#allow = new CidrList(allow ?? [])
    this.#deny = new CidrList(deny ?? [])
    this.#rate.perSecond = limits.new_connections_per_second
    this.handshakes.slots = limits.handshakes
    this.#limits = limits
  }

  /** Connections that hold a place now. */
  get open(): number {
    return this.#open
  }

  /** Client addresses (IPv6: /64) that hold a place now. */
  get clients(): number {
    return this.#perClient.clients
  }

  /** Asks the questions. Admitted, the caller must `release()` the place when the client's socket has closed; refused,
   *  it is counted and logged here, and the caller destroys the socket.
   *  @param address as `normalAddress` gives it */
  admit(address: string, listener: string, isTls: boolean): Place | RefusalReason {
    const refusal = this.#refusalOf(address, isTls)
    if (refusal !== undefined) {
      this.#refused(refusal, address, listener)
      return refusal
    }
    this.#open += 1
    this.#cap.open += 1
    // Whoever shares a unix socket has no address to be told apart by.
    if (address !== 'unix') this.#perClient.add(address)
    this.counters.accepted += 1
    return new Place(() => this.#left(address))
  }

  #refusalOf(address: string, isTls: boolean): RefusalReason | undefined {
    const limits = this.#limits
    if (this.#deny.has(address)) return 'denied'
    if (!this.#isAllowed(address)) return 'not-allowed'
    if (this.#cap.open >= this.#cap.limit) return 'process-full'
    if (this.#open >= limits.connections) return 'service-full'
    if (address !== 'unix') {
      if (this.#perClient.of(address) >= limits.connections_per_client) return 'client-full'
      if (!this.#rate.take(address)) return 'too-fast'
    }
    if (isTls && this.handshakes.isFull) return 'handshake-queue-full'
    return undefined
  }

  /** Without an allow list only this host comes in: the configuration demands a list on every other listener. Who may
   *  open a unix socket is said by its file permissions. */
  #isAllowed(address: string): boolean {
    if (address === 'unix') return true
    return this.#allow.size === 0 ? isLoopback(address) : this.#allow.has(address)
  }

  #refused(reason: RefusalReason, address: string, listener: string): void {
    this.counters.refused[reason] += 1
    const suppressed = this.#repeats.tell(`${reason} ${address}`)
    if (suppressed === undefined) return
    this.#log.warn({ event: 'refused', service: this.service, listener, address, reason, suppressed },
      `refused a connection: ${words[reason]}`)
  }

  #left(address: string): void {
    this.#open -= 1
    this.#cap.open -= 1
    if (address !== 'unix') this.#perClient.remove(address)
  }
}

/** A place under the limits, given back exactly once. */
export class Place {
  #giveBack: (() => void) | undefined

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack
  }

  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}
