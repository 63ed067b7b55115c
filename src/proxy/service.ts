/** One service: its clients, its lanes, and what they share.
 *
 *      serve(socket) ─▶ client sessions ─▶ backend pools, private connections ─▶ memcached
 *                            └─ ledger: memory that they hold         readiness: can memcached be reached? */
import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { BackendConfig, ServiceConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { reset } from '../lib/reset.ts'
import type { Peer } from '../policy/peer.ts'
import type { Dialect } from '../proto/frame.ts'
import type { Login } from '../proto/login.ts'
import { Traffic } from '../telemetry/counters.ts'
import { Departures } from '../telemetry/departures.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { BackendClose, ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import type { BackendTls } from '../tls/backend.ts'
import { Access } from './access.ts'
import type { BackendConnection, BackendOwner } from './backend-connection.ts'
import { assertTogether, BackendPools } from './backend-pools.ts'
import { ClientEvents, type ClientFailure } from './client-events.ts'
import { ClientSession, type Home } from './client-session.ts'
import { dial, type Dial } from './dial.ts'
import { Ledger } from './ledger.ts'
import { lossText, type Loss } from './loss.ts'
import type { WaitsForPlace } from './place-queue.ts'
import type { Pool } from './pool.ts'
import { PrivateConnections } from './private-connections.ts'
import { Readiness, type ReadinessHome } from './readiness.ts'
import { addTraffic, type LaneSnapshot, type ServiceNow } from './service-now.ts'
import { addressText } from './target-lanes.ts'
import type { Route } from './target.ts'
import type { Turn } from './turn.ts'

/** What a shared lane reads at once: large values arrive in few reads. A private connection is one client's. A reply is long that is
 *  more than what a client is likely to have outstanding on a lane (share.ts). */
const SIZES = { shared: 256 * 1024, private: 32 * 1024, longReply: 128 * 1024 }

export class Service implements Home, ReadinessHome {
  readonly name: string
  limits: ServiceConfig['limits']
  sharing: 'shared' | 'private'
  isCoalescing: boolean
  readonly access: Access
  readonly traffic = new Traffic()
  readonly clock: Clock
  readonly turn: Turn
  readonly log: EventLog
  readonly departures: Departures
  readonly events: ClientEvents
  readonly #dial: Dial
  readonly #sizes: typeof SIZES
  readonly #sessions = new Set<ClientSession>()
  readonly #ledger: Ledger
  readonly #privates: PrivateConnections
  readonly #readiness: Readiness
  /** What it was made from, to tell whether a reload changes it. */
  #backend: BackendConfig
  #pools: BackendPools
  /** Of backends that the configuration no longer names: closed when nothing is in flight there. */
  readonly #retired = new Set<BackendPools>()
  isDraining = false
  #onEmpty: (() => void) | undefined
  #checkedAt = 0
  readonly #unwatch: () => void

  /** @param shared `sizes`: others, for simulations; `onAway`: `isAway` or `shutsListeners` is another now; `onFailure`: a client did what it may be banned for */
  constructor(name: string, config: ServiceConfig, shared: { clock: Clock; turn: Turn; log: EventLog; dial?: Dial; sizes?: typeof SIZES; onAway?: () => void; onFailure?: (peer: Peer, failure: ClientFailure) => void }, tls?: BackendTls, login?: Login) {
    this.name = name
    this.limits = config.limits
    this.sharing = config.backend.sharing
    this.isCoalescing = config.reply_coalescing
    this.clock = shared.clock
    this.turn = shared.turn
    this.log = shared.log
    this.departures = new Departures(name, config.log.connections, shared.log)
    this.events = new ClientEvents(shared.log, () => this.access.authority, shared.onFailure ?? (() => {}))
    this.access = new Access(config, { clock: shared.clock, events: this.events })
    this.#dial = shared.dial ?? dial
    this.#sizes = shared.sizes ?? SIZES
    this.#ledger = new Ledger(config.limits, this.#sessions)
    this.#privates = new PrivateConnections(mostPrivates(config), this.#sizes.private, this.#ledger.replies)
    this.#readiness = new Readiness(this, config.backend.when_down, shared.onAway ?? (() => {}))
    this.#backend = config.backend
    this.#pools = this.#makePools(config.backend, tls, login)
    this.#pools.open()
    this.#unwatch = this.clock.watch((now) => this.#checkDeadlines(now))
  }

  /** Makes what other settings need. What it returns puts them in force, and cannot fail; sessions stay. With another backend,
   *  clients go over to it as soon as nothing of theirs is in flight on the old.
   *  @param tls what was made of `backend.tls`, and `login` of `backend.auth`; the same object as before: nothing of it is different */
  prepare(config: ServiceConfig, tls: BackendTls | undefined, login?: Login): () => void {
    assertTogether(config.backend, tls, login)
    const useAccess = this.access.prepare(config)
    const isSame = isDeepStrictEqual({ ...this.#backend, when_down: '' }, { ...config.backend, when_down: '' })
    const pools = isSame ? undefined : this.#makePools(config.backend, tls, login)
    return () => {
      this.limits = config.limits
      this.isCoalescing = config.reply_coalescing
      this.departures.mode = config.log.connections
      useAccess(this.#sessions)
      this.#ledger.useLimits(config.limits)
      this.sharing = config.backend.sharing
      this.#privates.most = mostPrivates(config)
      this.#readiness.whenDown = config.backend.when_down
      this.#backend = config.backend
      if (pools === undefined) {
        if (config.backend.when_down !== 'answer') this.#pools.needLanes()
        this.#pools.useTls(tls)
        this.#pools.useLogin(login)
      } else {
        const old = this.#pools
        this.#pools = pools
        pools.open()
        this.#retired.add(old)
        old.retire()
      }
      this.#readiness.look()
    }
  }

  #makePools(backend: BackendConfig, tls: BackendTls | undefined, login: Login | undefined): BackendPools {
    return new BackendPools(backend, tls, login, {
      service: this.name, clock: this.clock, turn: this.turn, log: this.log, dial: this.#dial, traffic: this.traffic,
      memory: this.#ledger.replies, slabBytes: this.#sizes.shared, longReplyBytes: this.#sizes.longReply, mayOpen: () => !this.isDraining,
      onLoss: (why) => this.lost(why), onDecided: () => this.#readiness.lookSoon(),
    })
  }

  get pools(): BackendPools {
    return this.#pools
  }

  get isAway(): boolean {
    return this.#readiness.isAway
  }

  get shutsListeners(): boolean {
    return this.#readiness.shutsListeners
  }

  readiness(): string[] {
    return this.#readiness.reasons()
  }

  remarks(): string[] {
    return this.#readiness.remarks()
  }

  /** What connections to the backend are made with from now on; undefined: they are plain. */
  get backendTls(): BackendTls | undefined {
    return this.#pools.tls
  }

  /** What memseal logs in to the backend with from now on. */
  get login(): Login | undefined {
    return this.#pools.login
  }

  get sessions(): ReadonlySet<ClientSession> {
    return this.#sessions
  }

  get clients(): number {
    return this.#sessions.size
  }

  /** @returns why nobody like this may be a client; undefined: `serve` takes it */
  refusalOf(peer: Peer): 'no-rule' | 'rule-full' | undefined {
    return this.access.refusalOf(peer)
  }

  /** A client that has been admitted; its socket has not been read.   @param tcp of TLS, the socket beneath it */
  serve(socket: Socket, peer: Peer, tcp: Socket = socket): void {
    if (this.isDraining) socket.destroy()
    else if (this.isAway) this.#turnAway(tcp)
    else {
      const admitted = this.access.admit(peer)
      if (admitted === undefined) return void socket.destroy()
      const { permit, use } = admitted
      new ClientSession(this, socket, peer, permit, use, tcp)
      this.events.connected(peer, permit)
    }
  }

  /** Of clients that nobody follows an audit has to know. */
  auditBegins(): void {
    for (const session of this.#sessions) if (session.isUnread) this.events.unread(session.peer, session.permit)
  }

  /** Its handshake was under way when the last backend went. */
  #turnAway(tcp: Socket): void {
    this.traffic.closed['backend-down']++
    reset(tcp)
  }

  add(session: ClientSession): void {
    this.#sessions.add(session)
  }

  remove(session: ClientSession, why: ClientClose): void {
    this.#sessions.delete(session)
    for (const pools of [this.#pools, ...this.#retired]) pools.forget(session)
    this.traffic.closed[why]++
    if (why === 'http' || why === 'proxy-header' || why === 'tls-flood') this.events.failed(session.peer, why)
    addTraffic(this.traffic, session)
    if (this.#sessions.size === 0) this.#onEmpty?.()
  }

  // What its clients ask for.

  pool(dialect: Dialect): Pool {
    return this.#pools.pool(dialect)
  }

  downWords(dialect: Dialect): string {
    return this.#pools.downWords(dialect)
  }

  get hasMn(): boolean {
    return this.#pools.hasMn
  }

  get wantsLogin(): boolean {
    return this.#pools.wantsLogin
  }

  get hasLanes(): boolean {
    return this.#pools.hasLanes
  }

  get replyTimeoutMs(): number {
    return this.#pools.config.reply_timeout
  }

  holds(growth: number): void {
    this.#ledger.holds(growth)
  }

  /** Bytes of unfinished requests that are held. */
  get heldBytes(): number {
    return this.#ledger.heldBytes
  }

  get hasPrivatePlace(): boolean {
    return this.#privates.hasPlace
  }

  openPrivate(dialect: Dialect, owner: BackendOwner, why: PrivateReason): BackendConnection | undefined {
    const connection = this.#privates.open((slabs) => this.#pools.connectPrivate(dialect, owner, slabs))
    if (connection !== undefined) this.traffic.privates[why]++
    return connection
  }

  waitForPlace(who: WaitsForPlace): void {
    this.#privates.wait(who, this.clock.now + this.replyTimeoutMs)
    this.log.tell('private-connections-full', { service: this.name, connections: this.#privates.size },
      'as many clients have a connection to memcached of their own as may (limits.private_connections): others wait for one')
  }

  privateRefused(): void {
    this.traffic.privatesRefused++
  }

  leavePlaceQueue(who: WaitsForPlace): void {
    this.#privates.leave(who)
  }

  /** A connection to the backend ended, or could not be opened. */
  lost(why: BackendClose): void {
    this.traffic.backendClosed[why]++
    this.#pools.lost(why)
  }

  get isLoginBarred(): boolean {
    return this.#pools.isLoginBarred
  }

  privateClosed(connection: BackendConnection): void {
    this.#privates.closed(connection)
  }

  /** A client's own connection ended, and the client noticed. All of them end when memcached does, so one line for each reason
   *  and minute. */
  privateLost(peer: Peer, route: Route, reason: string, words: string, loss: Loss | undefined): void {
    this.log.tellOf(peer, 'private-backend-lost', { backend: addressText(route), ...loss, reason, words }, `a client's own connection to the backend: ${lossText(words, loss)}`)
  }

  clientLogin(peer: Peer, user: string, outcome: 'accepted' | 'refused'): void {
    this.log.tellOf(peer, 'login', { user, outcome }, `a login to memcached was ${outcome}`)
  }

  #checkDeadlines(now: number): void {
    this.access.tick(now)
    this.#pools.checkDeadlines(now)
    this.#privates.checkDeadlines(now)
    for (const pools of this.#retired) {
      pools.checkDeadlines(now)
      if (pools.isEmpty) this.#retired.delete(pools)
    }
    this.#readiness.tell()
    if (now - this.#checkedAt < 500) return
    this.#checkedAt = now
    this.#pools.lookUp()
    this.departures.look(now)
    for (const session of this.#sessions) session.checkDeadlines(now, this.isDraining)
  }

  /** Closes idle clients now and busy ones when they have what they are owed. @returns when none is left */
  drain(): Promise<void> {
    this.isDraining = true
    this.#privates.close()
    for (const session of [...this.#sessions]) session.drain()
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#sessions.size === 0) resolve()
    })
  }

  /** @returns when the last of the clients that are here has left by itself */
  whenEmpty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#sessions.size === 0) resolve()
    })
  }

  /** What it carries now, and what it has carried. */
  measure(): { now: ServiceNow; traffic: Traffic } {
    const { traffic } = this
    const now: ServiceNow = {
      connections: this.#sessions.size, inFlight: 0, replyBacklogBytes: 0, requestHeldBytes: this.heldBytes,
      replyMemoryBytes: this.#ledger.replies.liveBytes, privateConnections: this.#privates.size, privateWaiting: this.#privates.waiting, ...this.#pools.states(),
    }
    const total: Traffic = { ...traffic, requests: traffic.requests.slice() }
    for (const session of this.#sessions) {
      now.inFlight += session.inFlight
      now.replyBacklogBytes += session.outbox.backlog
      addTraffic(total, session)
    }
    return { now, traffic: total }
  }

  lanes(): LaneSnapshot[] {
    return [this.#pools, ...this.#retired].flatMap((pools) => pools.lanes())
  }

  /** Closes everything that is left. */
  close(why: ClientClose): void {
    this.isDraining = true
    this.#privates.close()
    for (const session of [...this.#sessions]) session.destroy(why)
    for (const pools of [...this.#retired, this.#pools]) pools.close()
    this.#unwatch()
    this.departures.flush()
  }
}

function mostPrivates({ backend, limits }: ServiceConfig): number {
  return backend.sharing === 'private' ? limits.connections : limits.private_connections
}
