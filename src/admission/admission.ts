import { clientKey } from '../lib/address.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { RefusalReason } from '../telemetry/reasons.ts'
import { AddressRules } from './address-rules.ts'
import { ConnectRate, OpenPerClient } from './client-limits.ts'
import { FirstRoom } from './first-room.ts'
import { Handshakes } from './handshakes.ts'
import { Place } from './place.ts'

// Who may come in, asked before a byte of a connection is read, in this order; the first no is the verdict.
//
//   accept > deny > allow > process limit > service limit > limit per client > new-connection rate
//              > first room (a TLS client's first bytes) > turn of its handshake
//
// Where a limit is reached, somebody who was admitted and has said nothing since yields the place; then somebody who has
// begun a handshake and does not go on.
// One Admission per service, shared by its listeners.

const words: Record<RefusalReason, string> = {
  'denied': 'the source address is on the deny list',
  'not-allowed': 'the source address is not on the allow list',
  'backend-down': 'no backend can be reached, and clients are to turn to another host meanwhile (backend.when_down)',
  'process-full': 'all connections that the open-files limit permits are in use',
  'service-full': 'all connections of the service are in use (limits.connections)',
  'client-full': 'the client has all its connections in use (limits.connections_per_client)',
  'too-fast': 'the client connects too often (limits.new_connections_per_second)',
  'no-rule': 'no rule of access is for it: if it is to come in, write one that matches its source or listener',
  'rule-full': 'the client has all the connections that its rule lets it have (limits.connections of the rule)',
}

/** Without a number of the operator's own: a web host with 200 workers that each keep one connection, and a fiftieth of
 *  the default of `connections`, so that one host cannot fill it. */
const CONNECTIONS_PER_CLIENT = 200
/** A stranger has a whole /64 at will. Within `allow` the operator says who is who, and each address is a host. */
const PREFIX_OF_STRANGERS = 64
const PREFIX_WITHIN_ALLOW = 128

/** Client connections of the whole process; shared by all services. */
export interface ClientCap { limit: number, open: number }

export interface AdmissionOptions {
  service: string
  addresses: AddressRules
  limits: {
    connections: number
    connections_per_client: number | 'auto'
    ipv6_prefix: number | 'auto'
    new_connections_per_second: number
    handshakes: number
  }
  counters: Counters
  log: EventLog
  cap?: ClientCap
  /** No backend can be reached, and clients are to be refused for as long. */
  isAway?: () => boolean
  now?: () => number          // milliseconds
  handshakeQueue?: number
  handshakeSlotMs?: number
}

export interface Caller {
  /** As `normalAddress` gives it. */
  address: string
  /** Name of the listener, for the log. */
  listener: string
  /** From this very host: by loopback, by a unix socket, or by an address that is its own. */
  isLocal: boolean
}

export class Admission {
  readonly service: string
  readonly counters: Counters
  readonly firstRoom: FirstRoom
  /** Where they are whose handshakes have begun and are not finished. */
  readonly halfway: FirstRoom
  readonly handshakes: Handshakes
  #addresses: AddressRules
  #limits: AdmissionOptions['limits']
  #perClient = new OpenPerClient()
  #rate: ConnectRate
  #cap: ClientCap
  #open = 0
  #log: EventLog
  #isAway: () => boolean

  constructor(options: AdmissionOptions) {
    const now = options.now ?? Date.now
    this.service = options.service
    this.counters = options.counters
    this.#addresses = options.addresses
    this.#limits = options.limits
    this.#rate = new ConnectRate(options.limits.new_connections_per_second, now)
    this.#cap = options.cap ?? { limit: Infinity, open: 0 }
    this.firstRoom = new FirstRoom(now)
    this.halfway = new FirstRoom(now)
    this.handshakes = new Handshakes({ slots: options.limits.handshakes, queue: options.handshakeQueue, slotMs: options.handshakeSlotMs })
    this.#log = options.log
    this.#isAway = options.isAway ?? (() => false)
  }

  /** Puts other rules in force, and cannot fail: connected clients stay, and still count towards the limits. */
  use({ addresses, limits }: Pick<AdmissionOptions, 'addresses' | 'limits'>): void {
    this.#addresses = addresses
    this.#rate.perSecond = limits.new_connections_per_second
    this.handshakes.slots = limits.handshakes
    this.#limits = limits
  }

  /** Connections that hold a place now. */
  get open(): number {
    return this.#open
  }

  /** Clients that hold a place now. */
  get clients(): number {
    return this.#perClient.clients
  }

  /** Asks the questions. Admitted, the caller must `release()` the place when the client's socket has closed; refused,
   *  it is counted and logged here, and the caller destroys the socket. */
  admit(caller: Caller): Place | RefusalReason {
    const rule = this.#addresses.against(caller.address)
    const client = clientKey(caller.address, this.#prefixOf(rule === undefined))
    const refusal = rule ?? (this.#isAway() ? 'backend-down' : undefined) ?? this.#limitAgainst(caller, client)
    if (refusal !== undefined) {
      this.refused(refusal, caller, client)
      return refusal
    }
    this.#open += 1
    this.#cap.open += 1
    this.#perClient.add(client)
    this.counters.accepted += 1
    return new Place(client, () => this.#left(client))
  }

  /** Do the lists let this address in, as they stand now? */
  lets(address: string): boolean {
    return this.#addresses.against(address) === undefined
  }

  #prefixOf(isAllowed: boolean): number {
    const { ipv6_prefix: prefix } = this.#limits
    if (prefix !== 'auto') return prefix
    return isAllowed ? PREFIX_WITHIN_ALLOW : PREFIX_OF_STRANGERS
  }

  #limitAgainst({ address, isLocal }: Caller, client: string): RefusalReason | undefined {
    if (this.#cap.open >= this.#cap.limit && !this.#makeRoom()) return 'process-full'
    if (this.#open >= this.#limits.connections && !this.#makeRoom()) return 'service-full'
    // Whoever shares a unix socket has no address to be told apart by.
    if (address === 'unix') return undefined
    if (this.#perClient.of(client) >= this.#mostPerClient(isLocal) && !this.#makeRoom(client)) return 'client-full'
    return this.#rate.take(client) ? undefined : 'too-fast'
  }

  #makeRoom(client?: string): boolean {
    return this.firstRoom.makeRoom(client) || this.halfway.makeRoom(client)
  }

  /** The applications of this host are many clients behind one address. */
  #mostPerClient(isLocal: boolean): number {
    const { connections_per_client: most } = this.#limits
    if (most !== 'auto') return most
    return isLocal ? Infinity : CONNECTIONS_PER_CLIENT
  }

  /** Counts and logs a refusal.   @param client as limits count it */
  refused(reason: RefusalReason, { address, listener }: Pick<Caller, 'address' | 'listener'>, client: string): void {
    this.counters.refused[reason] += 1
    this.#log.tell('refused', { service: this.service, listener, address, countedAs: client, reason }, `refused a connection: ${words[reason]}`)
  }

  #left(client: string): void {
    this.#open -= 1
    this.#cap.open -= 1
    this.#perClient.remove(client)
  }
}
