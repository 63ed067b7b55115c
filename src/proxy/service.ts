/** One service: its clients, its lanes, and what they share. */
import assert from 'node:assert'
import type { Socket } from 'node:net'
import type { BackendConfig, ServiceConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { CommandPolicy } from '../policy/command-policy.ts'
import { release } from '../proto/bytes.ts'
import { groups } from '../proto/commands.ts'
import type { Dialect } from '../proto/frame.ts'
import type { Peer } from '../policy/peer.ts'
import { isDeepStrictEqual } from 'node:util'
import { Traffic } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import type { BackendClose, ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import type { BackendTls } from '../tls/backend.ts'
import { BackendConnection, type BackendContext, type BackendOwner, type Loss } from './backend-connection.ts'
import { BinaryDialect } from './binary-dialect.ts'
import { ClientSession, type Home } from './client-session.ts'
import { dial, type Dial } from './dial.ts'
import type { Dialect as ConnectionDialect, Wire } from './dialect.ts'
import { reset } from '../lib/reset.ts'
import { AUTO_LANES, Pool, type BackendNow } from './pool.ts'
import { PlaceQueue, type WaitsForPlace } from './place-queue.ts'
import { ReplyMemory, SlabPool } from './slab.ts'
import { addressText, lossText } from './target-lanes.ts'
import { Target, type Route } from './target.ts'
import { TextDialect } from './text-dialect.ts'
import type { Turn } from './turn.ts'
import { Departures } from '../telemetry/departures.ts'
import { Repeats } from '../telemetry/repeats.ts'

/** What a shared lane reads at once: large values arrive in few reads. A private connection is one client's. */
const SLAB_BYTES = { shared: 256 * 1024, private: 32 * 1024 }

export interface ServiceNow {
  connections: number
  inFlight: number
  replyBacklogBytes: number
  requestHeldBytes: number
  /** Memory that replies are read into, or lie in until their clients have taken them. */
  replyMemoryBytes: number
  privateConnections: number
  /** Clients that wait for one. */
  privateWaiting: number
  /** By the text of its endpoint: does memcached answer there, and what does that mean? */
  backends: Record<string, boolean>
  backendStates: Record<string, BackendNow | 'binary-only'>
}

export interface LaneSnapshot { backend: string; dialect: string; state: string; version: string; clients: number; inFlight: number }

/** All that depends on `backend` of the configuration, made before any of it is used. */
interface Backend {
  targets: readonly Target[]
  tls: BackendTls | undefined
  context: BackendContext
  resolveIntervalMs: number
  text: Pool
  binary: Pool
  hasLanes: boolean
}

export class Service implements Home {
  readonly name: string
  limits: ServiceConfig['limits']
  sharing: 'shared' | 'private'
  isCoalescing: boolean
  policy: CommandPolicy
  readonly traffic = new Traffic()
  readonly clock: Clock
  readonly turn: Turn
  readonly log: Logger
  readonly departures: Departures
  readonly #dial: Dial
  readonly #onAway: () => void
  /** Bytes of unfinished requests that are held. */
  heldBytes = 0

  #targets!: readonly Target[]
  #backendTls: BackendTls | undefined
  #resolveIntervalMs = 0
  #hasLanes = true
  #whenDown: BackendConfig['when_down']
  /** No backend can be reached, and clients are to turn to another host: they are reset. */
  isAway = false
  #isLooking = false
  #wasReady: boolean | undefined
  #context!: BackendContext
  /** What it was made from, to tell whether a reload changes it. */
  #backend: ServiceConfig['backend']
  readonly #memory: ReplyMemory
  readonly #slabBytes: typeof SLAB_BYTES
  readonly #privateSlabs: SlabPool
  #text!: Pool
  #binary!: Pool
  /** Of backends that the configuration no longer names: closed when nothing is in flight there. */
  readonly #retired = new Set<Pool>()
  readonly #sessions = new Set<ClientSession>()
  readonly #repeats = new Repeats()
  /** Connections to the backend that belong to one client each. */
  readonly #privates = new Set<BackendConnection>()
  readonly #places = new PlaceQueue()
  #isDraining = false
  #onEmpty: (() => void) | undefined
  #checkedAt = 0
  readonly #unwatch: () => void

  /** @param shared `slabBytes`: other sizes of what connections read into, for simulations; `onAway`: `isAway` or `shutsListeners` is another now */
  constructor(name: string, config: ServiceConfig, shared: { clock: Clock; turn: Turn; log: Logger; dial?: Dial; slabBytes?: typeof SLAB_BYTES; onAway?: () => void }, tls?: BackendTls) {
    this.name = name
    this.limits = config.limits
    this.sharing = config.backend.sharing
    this.isCoalescing = config.reply_coalescing
    this.policy = new CommandPolicy(config.commands)
    this.clock = shared.clock
    this.turn = shared.turn
    this.log = shared.log
    this.departures = new Departures(name, config.log.connections, shared.log)
    this.#dial = shared.dial ?? dial
    this.#onAway = shared.onAway ?? (() => {})
    this.#whenDown = config.backend.when_down
    this.#memory = new ReplyMemory(config.limits.reply_memory, () => this.#closeMostBehind())
    this.#slabBytes = shared.slabBytes ?? SLAB_BYTES
    this.#privateSlabs = new SlabPool(this.#slabBytes.private, this.#memory)
    this.#backend = config.backend
    this.#useBackend(this.#makeBackend(config.backend, tls))
    this.#unwatch = this.clock.watch((now) => this.#checkDeadlines(now))
  }

  /** Makes what other settings need. What it returns puts them in force, and cannot fail; sessions stay. With another backend,
   *  clients go over to it as soon as nothing of theirs is in flight on the old.
   *  @param tls what was made of `backend.tls`; the same object as before: nothing of it is different */
  prepare(config: ServiceConfig, tls: BackendTls | undefined): () => void {
    assertTogether(config.backend, tls)
    const policy = new CommandPolicy(config.commands)
    const isSame = isDeepStrictEqual({ ...this.#backend, when_down: '' }, { ...config.backend, when_down: '' })
    const backend = isSame ? undefined : this.#makeBackend(config.backend, tls)
    return () => {
      this.limits = config.limits
      this.isCoalescing = config.reply_coalescing
      this.departures.mode = config.log.connections
      this.policy = policy
      if (!policy.isOpen) for (const session of [...this.#sessions]) session.commandsNarrowed()
      this.#memory.mostBytes = config.limits.reply_memory
      this.sharing = config.backend.sharing
      this.#givePlaces()
      this.#whenDown = config.backend.when_down
      if (backend === undefined) {
        this.#backend = config.backend
        this.#needLanes(config.backend)
        if (tls !== this.#backendTls) this.#replaceBackendTls(tls)
        this.#lookForBackend()
        return
      }
      const old = [this.#text, this.#binary]
      this.#backend = config.backend
      this.#useBackend(backend)
      for (const pool of old) {
        this.#retired.add(pool)
        pool.retire()
      }
      this.#lookForBackend()
    }
  }

  #makeBackend(backend: ServiceConfig['backend'], tls: BackendTls | undefined): Backend {
    assertTogether(backend, tls)
    const targets = backend.connect.map((endpoint) => {
      if (endpoint.kind === 'systemd') throw new Error('a backend is no systemd socket')
      return new Target(endpoint, tls, backend.connect_timeout)
    })
    const context: BackendContext = {
      settings: { connectTimeoutMs: backend.connect_timeout, replyTimeoutMs: backend.reply_timeout, probeIntervalMs: backend.probe_interval, joinsGets: backend.join_gets },
      turn: this.turn, clock: this.clock, dial: this.#dial,
      latency: { backend: this.traffic.backendSeconds, own: this.traffic.ownSeconds },
    }
    const slabs = new SlabPool(this.#slabBytes.shared, this.#memory)
    const isShared = backend.sharing === 'shared'
    const pool = {
      service: this.name, targets, policy: backend.policy, onLoss: (why: BackendClose) => this.lost(why), onDecided: () => this.#lookSoon(), returnAfterMs: backend.return_after, longestRetryMs: backend.longest_retry,
      maxAgeMs: backend.max_age, size: !isShared || backend.connections === 'auto' ? AUTO_LANES : backend.connections, log: this.log, clock: this.clock,
    }
    return {
      targets, tls, context, resolveIntervalMs: backend.resolve_interval,
      // Silence, or an end, is what memcached -B binary has for a question in text; only the other question tells.
      text: new Pool({ ...pool, dialect: 'text', onUnanswered: () => this.pool('binary'), connect: (route, owner) => new BackendConnection(context, route, owner, slabs, false, dialects.text) }),
      binary: new Pool({ ...pool, dialect: 'binary', onUnanswered: () => {}, connect: (route, owner) => new BackendConnection(context, route, owner, slabs, false, dialects.binary) }),
      // Where clients have connections of their own, a lane that no client uses says which target is healthy.
      hasLanes: isShared || tls !== undefined || targets.length > 1 || backend.when_down !== 'answer',
    }
  }

  #useBackend({ targets, tls, context, resolveIntervalMs, text, binary, hasLanes }: Backend): void {
    this.#targets = targets
    this.#backendTls = tls
    this.#context = context
    this.#resolveIntervalMs = resolveIntervalMs
    this.#text = text
    this.#binary = binary
    this.#hasLanes = hasLanes
    this.#lookUp()
    if (hasLanes) text.open()
  }

  #needLanes({ when_down: whenDown }: BackendConfig): void {
    if (this.#hasLanes || whenDown === 'answer') return
    this.#hasLanes = true
    this.#text.open()
  }

  // Backends that are all away.

  get shutsListeners(): boolean {
    return this.isAway && this.#whenDown === 'refuse'
  }

  /** At the end of the turn: whoever tells of a change is in the midst of it. */
  #lookSoon(): void {
    if (this.#isLooking || this.#whenDown === 'answer') return
    this.#isLooking = true
    this.clock.after(0, () => {
      this.#isLooking = false
      this.#lookForBackend()
    })
  }

  #lookForBackend(): void {
    const isDown = this.#text.isDown && !this.#binary.isReachable && !this.#binary.isTrying
    const isAway = isDown && this.#whenDown !== 'answer' && !this.#isDraining
    if (isAway !== this.isAway) {
      this.isAway = isAway
      const clients = this.#sessions.size
      if (isAway) {
        this.log.warn({ event: 'backend-away', service: this.name, clients, whenDown: this.#whenDown }, `no backend can be reached: clients are ${AWAY_WORDS[this.#whenDown]}`)
        for (const session of [...this.#sessions]) session.reset('backend-down')
      } else this.log.info({ event: 'backend-back', service: this.name }, 'clients are served again')
    }
    this.#onAway()
  }

  /** What connections to the backend are made with from now on; undefined: they are plain. */
  get backendTls(): BackendTls | undefined {
    return this.#backendTls
  }

  get sessions(): ReadonlySet<ClientSession> {
    return this.#sessions
  }

  get clients(): number {
    return this.#sessions.size
  }

  /** A client that has been admitted; its socket has not been read.   @param tcp of TLS, the socket beneath it */
  serve(socket: Socket, peer: Peer, tcp: Socket = socket): void {
    if (this.#isDraining) socket.destroy()
    else if (this.isAway) this.#turnAway(tcp)
    else new ClientSession(this, socket, peer, tcp)
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
    for (const pool of [this.#text, this.#binary, ...this.#retired]) pool.forget(session)
    this.traffic.closed[why]++
    add(this.traffic, session)
    if (this.#sessions.size === 0) this.#onEmpty?.()
  }

  /** Lanes for binary clients are opened when the first of them comes. */
  pool(dialect: Dialect): Pool {
    const pool = dialect === 'binary' ? this.#binary : this.#text
    if (!this.#isDraining) pool.open()
    return pool
  }

  downWords(dialect: Dialect): string {
    const isSilent = dialect === 'text' && this.#binary.isReachable
    return `SERVER_ERROR memseal: ${isSilent ? 'memcached speaks the binary protocol alone' : 'backend unavailable'}`
  }

  get hasMn(): boolean {
    return this.#text.lanes.every(({ release: version }) => version === 0 || version >= MN_SINCE)
  }

  get wantsLogin(): boolean {
    return this.#text.wantsLogin
  }

  get hasPrivatePlace(): boolean {
    return this.#hasPlace()
  }

  /** @returns undefined when there are as many as there may be */
  openPrivate(dialect: Dialect, owner: BackendOwner, why: PrivateReason): BackendConnection | undefined {
    if (!this.#hasPlace()) return undefined
    this.traffic.privates[why]++
    const pool = dialect === 'binary' && this.#binary.isReachable ? this.#binary : this.#text
    const route = this.#hasLanes ? pool.target.routeNow : this.#targets[0].routeByName
    const connection = new BackendConnection(this.#context, route, owner, this.#privateSlabs, true, dialects[dialect])
    this.#privates.add(connection)
    return connection
  }

  get replyTimeoutMs(): number {
    return this.#context.settings.replyTimeoutMs
  }

  #hasPlace(): boolean {
    return this.#privates.size < (this.sharing === 'private' ? this.limits.connections : this.limits.private_connections)
  }

  waitForPlace(who: WaitsForPlace): void {
    this.#places.wait(who, this.clock.now + this.replyTimeoutMs)
    const suppressed = this.#repeats.tell('private-limit')
    if (suppressed === undefined) return
    this.log.warn({ event: 'private-connections-full', service: this.name, connections: this.#privates.size, suppressed },
      'as many clients have a connection to memcached of their own as may (limits.private_connections): others wait for one')
  }

  privateRefused(): void {
    this.traffic.privatesRefused++
  }

  leavePlaceQueue(who: WaitsForPlace): void {
    this.#places.leave(who)
  }

  #givePlaces(): void {
    if (!this.#isDraining) this.#places.give(() => this.#hasPlace())
  }

  /** A connection to the backend ended, or could not be opened. */
  lost(why: BackendClose): void {
    this.traffic.backendClosed[why]++
  }

  privateClosed(connection: BackendConnection): void {
    this.#privates.delete(connection)
    this.#givePlaces()
  }

  /** A client's own connection ended, and the client noticed. All of them end when memcached does, so one line for each reason
   *  and minute. */
  privateLost(peer: Peer, route: Route, reason: string, words: string, loss: Loss | undefined): void {
    const suppressed = this.#repeats.tell(`private ${reason}`)
    if (suppressed === undefined) return
    this.log.warn({
      event: 'private-backend-lost', client: peer.id, service: this.name, address: peer.address, backend: addressText(route), ...loss,
      reason, words, suppressed,
    }, `a client's own connection to the backend: ${lossText(words, loss)}`)
  }

  /** A command was refused: one line per client, command and minute.   @param also the second command that the request needs,
   *  if that is the one that is not allowed */
  refused(peer: Peer, command: string, also: string | undefined): void {
    const suppressed = this.#repeats.tell(also === undefined ? command : `${command} ${also}`, peer.countedAs)
    if (suppressed === undefined) return
    const why = also === undefined ? 'not among the commands of this service' : `as it was sent it needs ${also} as well, which is not among the commands of this service`
    this.log.warn({
      event: 'command-refused', client: peer.id, service: this.name, address: peer.address, subject: peer.tls?.subject, command, also, suppressed,
    }, `refused ${command}: ${why}`)
  }

  /** Requests that are not whole hold more memory, or less. Above the limit those go that were begun longest ago: a
   *  client that works is done with its request before that. */
  holds(growth: number): void {
    this.heldBytes += growth
    while (this.heldBytes > this.limits.request_memory) {
      let oldest: ClientSession | undefined
      for (const session of this.#sessions) {
        if (session.intake.holdsSince < (oldest?.intake.holdsSince ?? Infinity)) oldest = session
      }
      if (oldest === undefined) return
      oldest.destroy('request-memory')
    }
  }

  #checkDeadlines(now: number): void {
    this.#text.checkDeadlines(now)
    this.#binary.checkDeadlines(now)
    for (const connection of this.#privates) connection.checkDeadline(now)
    this.#places.expire(now)
    for (const pool of this.#retired) {
      pool.checkDeadlines(now)
      if (pool.lanes.length === 0) this.#retired.delete(pool)
    }
    if (this.#hasLanes && !this.#isDraining) this.#tellReadiness()
    if (now - this.#checkedAt < 500) return
    this.#checkedAt = now
    this.#lookUp()
    this.departures.look(now)
    for (const session of this.#sessions) session.checkDeadlines(now, this.#isDraining)
  }

  /** Other files, or what they hold, from the next connection on; those that stand are replaced, each when its successor is
   *  ready. */
  #replaceBackendTls(tls: BackendTls | undefined): void {
    this.#backendTls = tls
    for (const target of this.#targets) target.useTls(tls)
    this.#text.replaceAll()
    this.#binary.replaceAll()
  }

  /** One line at each change. */
  #tellReadiness(): void {
    const reasons = this.readiness()
    const isReady = reasons.length === 0
    if (isReady === this.#wasReady) return
    const isFirst = this.#wasReady === undefined
    this.#wasReady = isReady
    if (isReady) this.log.info({ event: 'ready', service: this.name, backends: this.#backendsNow().backendStates }, 'ready: the backend answers')
    else if (!isFirst || this.#text.isDown) this.log.warn({ event: 'not-ready', service: this.name, reasons }, `not ready: ${reasons.join('; ')}`)
    else this.#wasReady = undefined
  }

  #lookUp(): void {
    for (const target of this.#targets) target.lookUpIfOlder(this.#resolveIntervalMs, this.clock.now)
  }

  /** Why no request can be answered now, one sentence for each reason; empty: one connection to the backend stands, and over
   *  TLS it is verified; or memcached has said that it wants a login first. Without lanes (`sharing: private` to one plain target) there is nothing to go by. */
  readiness(): string[] {
    if (this.#isDraining) return [`service ${this.name} is draining`]
    if (!this.#hasLanes || this.#text.isReachable || this.#binary.isReachable) return []
    const meanwhile = this.isAway ? `, and clients are ${AWAY_WORDS[this.#whenDown]}` : ''
    return [`service ${this.name} has no connection to its backend (${this.#text.reasons.join('; ')})${meanwhile}`]
  }

  /** Replies take more memory than they may: whoever has left most of them unread goes. */
  #closeMostBehind(): void {
    let most: ClientSession | undefined
    for (const session of this.#sessions) {
      if (most === undefined || session.outbox.backlog > most.outbox.backlog) most = session
    }
    if (most !== undefined && most.outbox.backlog > 0) most.destroy('reply-memory')
  }

  /** Closes idle clients now and busy ones when they have what they are owed. @returns when none is left */
  drain(): Promise<void> {
    this.#isDraining = true
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
      replyMemoryBytes: this.#memory.liveBytes, privateConnections: this.#privates.size, privateWaiting: this.#places.size, ...this.#backendsNow(),
    }
    const total: Traffic = { ...traffic, requests: traffic.requests.slice() }
    for (const session of this.#sessions) {
      now.inFlight += session.inFlight
      now.replyBacklogBytes += session.outbox.backlog
      add(total, session)
    }
    return { now, traffic: total }
  }

  #backendsNow(): Pick<ServiceNow, 'backends' | 'backendStates'> {
    const binary = this.#binary.states
    const states = Object.entries(this.#text.states).map(([backend, text]) => {
      const isSilent = text === 'down' && binary[backend] !== 'down'
      return [backend, !isSilent ? text : binary[backend] === 'up' ? 'binary-only' : binary[backend]] as const
    })
    return { backends: Object.fromEntries(states.map(([backend, state]) => [backend, state !== 'down'])), backendStates: Object.fromEntries(states) }
  }

  lanes(): LaneSnapshot[] {
    const of = (pool: Pool): LaneSnapshot[] => pool.lanes.map((lane) => ({
      backend: lane.route.host || 'unix', dialect: lane.dialect.name, state: shownState(lane), version: lane.version,
      clients: lane.clients, inFlight: lane.expected.count,
    }))
    return [this.#text, this.#binary, ...this.#retired].flatMap(of)
  }

  /** Closes everything that is left. */
  close(why: ClientClose): void {
    this.#isDraining = true
    for (const session of [...this.#sessions]) session.destroy(why)
    for (const pool of this.#retired) pool.close()
    this.#text.close()
    this.#binary.close()
    this.#unwatch()
    this.departures.flush()
  }
}

const dialects: Record<Dialect, (wire: Wire) => ConnectionDialect> = {
  text: (wire) => new TextDialect(wire),
  binary: (wire) => new BinaryDialect(wire),
}

const MN_SINCE = release('1.6.0')

const AWAY_WORDS = { answer: 'answered', close: 'reset meanwhile', refuse: 'refused meanwhile' }

const shownState = ({ state }: BackendConnection): string => (state === 'offered' || state === 'standby' ? 'ready' : state)

/** Whatever else goes wrong, nothing that was to be sealed leaves plain. */
function assertTogether(backend: ServiceConfig['backend'], tls: BackendTls | undefined): void {
  assert((backend.tls === undefined) === (tls === undefined), 'backend.tls and what was made of it go together')
}

/** What a client has done so far. */
function add(total: Traffic, session: ClientSession): void {
  for (let group = 0; group < groups.length; group++) total.requests[group] += session.record.byGroup[group]
  total.hits += session.record.hits
  total.misses += session.record.misses
  total.bytesIn += session.record.bytesIn
  total.bytesOut += session.outbox.bytesOut
}
