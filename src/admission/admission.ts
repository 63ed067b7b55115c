import { clientKey } from '../lib/address.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { RefusalReason } from '../telemetry/reasons.ts'
import { AddressRules } from './address-rules.ts'
import { Bans, type Failure } from './bans.ts'
import { ConnectRate, OpenPerClient } from './client-limits.ts'
import { FirstRoom } from './first-room.ts'
import { Handshakes } from './handshakes.ts'
import { Place } from './place.ts'

// Who may come in, asked before a byte of a connection is read, in this order; the first no is the verdict. (What a load balancer says
// of its connections in a PROXY header is read first: they are asked about for whom it is.)
//
//   accept > PROXY header > banned > deny > allow > process limit > service limit > limit of the group > limit per client > new-connection rate
//              > first room (a TLS client's first bytes) > turn of its handshake
//
// Where a limit is reached, somebody who was admitted and has said nothing since yields the place; then somebody who has
// begun a handshake and does not go on.
// One Admission per service, shared by its listeners.

const words: Record<Exclude<RefusalReason, 'banned'>, string> = {
  'proxy-header': 'a connection from a load balancer (proxy_protocol.from)',
  'denied': 'the source address is on the deny list',
  'not-allowed': 'the source address is not on the allow list',
  'audit-unavailable': 'the audit cannot be written, and nobody is to come in unrecorded (audit.required)',
  'backend-down': 'no backend can be reached, and clients are to turn to another host meanwhile (backend.when_down)',
  'process-full': 'all connections that the open-files limit permits are in use',
  'service-full': 'all connections of the service are in use',
  'group-full': 'all connections of the group that the client belongs to are in use',
  'client-full': 'the client has all its connections in use',
  'too-fast': 'the client connects too often',
  'no-rule': 'no rule of access is for it: if it is to come in, write one that matches its source or listener',
  'rule-full': 'the client has all the connections that its rule lets it have (limits.connections of the rule)',
}

/** The key of the limit that is reached. */
const limitKeys: Partial<Record<RefusalReason, Exclude<keyof GroupLimits, 'handshakes'>>> = {
  'service-full': 'connections', 'group-full': 'connections', 'client-full': 'connections_per_client', 'too-fast': 'new_connections_per_second',
}

/** Without a number of the operator's own: a web host with 200 workers that each keep one connection, and a fiftieth of
 *  the default of `connections`, so that one host cannot fill it. */
const CONNECTIONS_PER_CLIENT = 200
/** A stranger has a whole /64 at will. Within `allow` the operator says who is who, and each address is a host. */
const PREFIX_OF_STRANGERS = 64
const PREFIX_WITHIN_ALLOW = 128

/** Client connections of the whole process; shared by all services. */
export interface ClientCap { limit: number, open: number }

export interface GroupLimits {
  connections?: number
  connections_per_client?: number
  new_connections_per_second?: number
  handshakes?: number
}

export interface AdmissionOptions {
  service: string
  addresses: AddressRules
  limits: {
    connections: number
    connections_per_client: number | 'auto'
    ipv6_prefix: number | 'auto'
    new_connections_per_second: number
    handshakes: number
    /** Of named groups; what is undefined is as for all others. */
    groups?: Readonly<Record<string, GroupLimits>>
  }
  counters: Counters
  log: EventLog
  cap?: ClientCap
  bans?: Bans
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
  /** The load balancer that the connection came by, as `normalAddress` gives it. */
  via?: string
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
  #perGroup = new OpenPerClient()
  #rate: ConnectRate
  #cap: ClientCap
  #open = 0
  #log: EventLog
  #isAway: () => boolean
  #bans: Bans

  constructor(options: AdmissionOptions) {
    const now = options.now ?? Date.now
    this.service = options.service
    this.counters = options.counters
    this.#addresses = options.addresses
    this.#limits = options.limits
    this.#rate = new ConnectRate(now)
    this.#cap = options.cap ?? { limit: Infinity, open: 0 }
    this.firstRoom = new FirstRoom(now)
    this.halfway = new FirstRoom(now)
    this.handshakes = new Handshakes({ slots: options.limits.handshakes, queue: options.handshakeQueue, slotMs: options.handshakeSlotMs })
    this.handshakes.shares = sharesOf(options.limits)
    this.#log = options.log
    this.#isAway = options.isAway ?? (() => false)
    this.#bans = options.bans ?? new Bans(options.log)
  }

  /** Puts other rules in force, and cannot fail: connected clients stay, and still count towards the limits. */
  use({ addresses, limits }: Pick<AdmissionOptions, 'addresses' | 'limits'>): void {
    this.#addresses = addresses
    this.handshakes.slots = limits.handshakes
    this.handshakes.shares = sharesOf(limits)
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
    const group = this.#addresses.groupOf(caller.address)
    const refusal = (this.#bans.isBanned(caller.address, client) ? 'banned' : rule) ?? this.#absence() ?? this.#fullness() ?? this.#limitAgainst(caller, client, group)
    if (refusal !== undefined) {
      this.refused(refusal, caller, client, undefined, group)
      return refusal
    }
    this.#takeRoom(1)
    this.#perClient.add(client)
    if (group !== undefined) this.#perGroup.add(group)
    this.counters.accepted += 1
    return new Place(client, group, () => {
      this.#takeRoom(-1)
      this.#perClient.remove(client)
      if (group !== undefined) this.#perGroup.remove(group)
    })
  }

  /** A connection of a load balancer, until its PROXY header says for whom it is: it takes up room, and does not count as a client.
   *  `release()` its place before the client is asked about. */
  admitBalancer(caller: Caller): Place | RefusalReason {
    const { address } = caller
    const refusal = (this.#bans.isBannedByOrder(address) ? 'banned' : this.#addresses.isDenied(address) ? 'denied' : undefined) ?? this.#absence() ?? this.#fullness()
    if (refusal !== undefined) {
      this.refused(refusal, caller, caller.address)
      return refusal
    }
    this.#takeRoom(1)
    return new Place('', undefined, () => this.#takeRoom(-1))
  }

  /** The PROXY header of a balancer's connection is wrong, or did not come.   @param how the end of a sentence */
  refuseHeader(caller: Caller, how: string): void {
    this.refused('proxy-header', caller, caller.address, `${words['proxy-header']} ${how}`)
  }

  /** Where no PROXY header is due, a client has begun with one.   @param client as limits count it */
  refuseClaim(caller: Pick<Caller, 'address' | 'listener' | 'via'>, client: string): void {
    this.refused('proxy-header', caller, client, caller.via === undefined
      ? 'it sent a PROXY header, and its address is not one of which they are believed: if it is your load balancer, add its address to proxy_protocol.from; else it claims to be somebody else'
      : 'it sent a PROXY header behind that of the load balancer, and only the first is believed: let one load balancer alone send them, once on each connection, before TLS')
  }

  isBalancer(address: string): boolean {
    return this.#addresses.isBalancer(address)
  }

  #takeRoom(connections: 1 | -1): void {
    this.#open += connections
    this.#cap.open += connections
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

  #absence(): RefusalReason | undefined {
    if (this.#log.audit?.isBlind === true) return 'audit-unavailable'
    return this.#isAway() ? 'backend-down' : undefined
  }

  #fullness(): RefusalReason | undefined {
    if (this.#cap.open >= this.#cap.limit && !this.#makeRoom()) return 'process-full'
    return this.#open >= this.#limits.connections && !this.#makeRoom() ? 'service-full' : undefined
  }

  #limitAgainst({ address, isLocal }: Caller, client: string, group: string | undefined): RefusalReason | undefined {
    // Whoever shares a unix socket has no address to be told apart by.
    if (address === 'unix') return undefined
    const own = group === undefined ? undefined : this.#limits.groups?.[group]
    if (group !== undefined && this.#perGroup.of(group) >= (own?.connections ?? Infinity) && !this.#makeRoom({ group })) return 'group-full'
    if (this.#perClient.of(client) >= (own?.connections_per_client ?? this.#mostPerClient(isLocal)) && !this.#makeRoom({ client })) return 'client-full'
    return this.#rate.take(client, own?.new_connections_per_second ?? this.#limits.new_connections_per_second) ? undefined : 'too-fast'
  }

  /** Of a limit, the key that is to be raised is named as it is written: that of its group, if the group has one. */
  #wordsOf(reason: keyof typeof words, group: string | undefined): string {
    const key = limitKeys[reason]
    if (key === undefined) return words[reason]
    const isOfGroup = reason !== 'service-full' && group !== undefined && this.#limits.groups?.[group]?.[key] !== undefined
    return `${words[reason]} (limits.${isOfGroup ? `groups.${group}.` : ''}${key})`
  }

  #makeRoom(whose?: { client?: string, group?: string }): boolean {
    return this.firstRoom.makeRoom(whose) || this.halfway.makeRoom(whose)
  }

  /** The applications of this host are many clients behind one address. */
  #mostPerClient(isLocal: boolean): number {
    const { connections_per_client: most } = this.#limits
    if (most !== 'auto') return most
    return isLocal ? Infinity : CONNECTIONS_PER_CLIENT
  }

  /** Counts and logs a refusal.   @param client as limits count it   @param why in words, where those of the reason do not do
   *  @param group with limits of its own that the client belongs to */
  refused(reason: RefusalReason, { address, listener, via }: Pick<Caller, 'address' | 'listener' | 'via'>, client: string, why?: string, group?: string): void {
    this.counters.refused[reason] += 1
    if (reason === 'banned') return   // that was told when the ban began
    this.#log.tell('refused', { service: this.service, listener, address, via, countedAs: client, group, reason }, `refused a connection: ${why ?? this.#wordsOf(reason, group)}`)
    this.failed(reason, address, client)
  }

  /** Somebody was refused, or failed. Balancers fail for all who come by them, and are not banned for it.   @param client as limits count it */
  failed(failure: Failure, address: string, client: string): void {
    if (!this.isBalancer(address)) this.#bans.note(failure, address, client)
  }

  /** Has this client a connection open? */
  isIn(client: string): boolean {
    return this.#perClient.of(client) > 0
  }
}

function sharesOf({ groups = {}, handshakes: all }: AdmissionOptions['limits']): Map<string, number> {
  return new Map(Object.entries(groups).flatMap(([name, { handshakes }]) => handshakes === undefined ? [] : [[name, Math.min(handshakes, all)] as const]))
}
