/** All that is made of `backend` in the configuration: its targets, and a pool of shared lanes to them in each dialect.
 *
 *      text ───▶ lanes to each target          (opened at the start, where the service has lanes)
 *      binary ─▶ lanes to each target          (opened when the first binary client comes, or text found no answer) */
import assert from 'node:assert'
import type { BackendConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { release } from '../proto/bytes.ts'
import type { Dialect } from '../proto/frame.ts'
import type { Login } from '../proto/login.ts'
import type { Traffic } from '../telemetry/counters.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { BackendTls } from '../tls/backend.ts'
import { BackendConnection, type BackendOwner } from './backend-connection.ts'
import type { BackendContext } from './backend-context.ts'
import { BinaryDialect } from './binary-dialect.ts'
import type { Dial } from './dial.ts'
import type { Dialect as ConnectionDialect, Wire } from './dialect.ts'
import { LoginBar } from './login-trouble.ts'
import { AUTO_LANES, Pool, type WaitsForLane } from './pool.ts'
import type { LaneSnapshot, ServiceNow } from './service-now.ts'
import { SlabPool, type ReplyMemory } from './slab.ts'
import { Target, type Route } from './target.ts'
import { TextDialect } from './text-dialect.ts'
import type { Turn } from './turn.ts'

export interface BackendPoolsOptions {
  service: string
  clock: Clock
  turn: Turn
  log: EventLog
  dial: Dial
  traffic: Traffic
  memory: ReplyMemory
  /** What a lane reads at once. */
  slabBytes: number
  longReplyBytes: number
  /** A draining service opens no more lanes. */
  mayOpen: () => boolean
  onLoss: (why: BackendClose) => void
  /** Who can be reached may be others than before. */
  onDecided: () => void
}

export class BackendPools {
  readonly config: BackendConfig
  /** What connections are made with from now on; undefined: they are plain. */
  tls: BackendTls | undefined
  /** Without them (`sharing: private` to one plain target) nothing says whether memcached answers. */
  hasLanes: boolean
  readonly #options: BackendPoolsOptions
  readonly #targets: readonly Target[]
  readonly #context: BackendContext
  readonly #text: Pool
  readonly #binary: Pool
  readonly #loginBar = new LoginBar()

  /** Nothing is opened yet.   @param tls what was made of `backend.tls`   @param login of `backend.auth` */
  constructor(config: BackendConfig, tls: BackendTls | undefined, login: Login | undefined, options: BackendPoolsOptions) {
    assertTogether(config, tls, login)
    const { service, clock, turn, log, dial, traffic } = options
    this.config = config
    this.tls = tls
    this.#options = options
    this.#targets = config.connect.map((endpoint) => {
      if (endpoint.kind === 'systemd') throw new Error('a backend is no systemd socket')
      return new Target(endpoint, tls, config.connect_timeout)
    })
    this.#context = {
      settings: {
        connectTimeoutMs: config.connect_timeout, replyTimeoutMs: config.reply_timeout, probeIntervalMs: config.probe_interval,
        joinsGets: config.join_gets, longReplyBytes: options.longReplyBytes,
      },
      turn, clock, dial, login, latency: { backend: traffic.backendSeconds, own: traffic.ownSeconds },
    }
    const slabs = new SlabPool(options.slabBytes, options.memory)
    const isShared = config.sharing === 'shared'
    const connect = (dialect: Dialect) => (route: Route, owner: BackendOwner): BackendConnection =>
      new BackendConnection(this.#context, route, owner, slabs, false, dialects[dialect])
    const pool = {
      service, log, clock, targets: this.#targets, policy: config.policy, onLoss: options.onLoss, onDecided: options.onDecided,
      returnAfterMs: config.return_after, longestRetryMs: config.longest_retry, maxAgeMs: config.max_age, onMoved: (requests: number) => (traffic.moved += requests),
      size: !isShared || config.connections === 'auto' ? AUTO_LANES : config.connections,
    }
    // Silence, or an end, is what memcached -B binary has for a question in text; only the other question tells.
    this.#text = new Pool({ ...pool, dialect: 'text', connect: connect('text'), onUnanswered: () => this.pool('binary') })
    this.#binary = new Pool({ ...pool, dialect: 'binary', connect: connect('binary'), onUnanswered: () => {} })
    // Where clients have connections of their own, a lane that no client uses says which target is healthy.
    this.hasLanes = isShared || tls !== undefined || login !== undefined || this.#targets.length > 1 || config.when_down !== 'answer'
  }

  open(): void {
    this.lookUp()
    if (this.hasLanes) this.#text.open()
  }

  /** Lanes are needed to see that all backends are away. */
  needLanes(): void {
    if (this.hasLanes) return
    this.hasLanes = true
    this.#text.open()
  }

  /** Lanes for binary clients are opened when the first of them comes. */
  pool(dialect: Dialect): Pool {
    const pool = dialect === 'binary' ? this.#binary : this.#text
    if (this.#options.mayOpen()) pool.open()
    return pool
  }

  /** A connection of one client's own. */
  connectPrivate(dialect: Dialect, owner: BackendOwner, slabs: SlabPool): BackendConnection {
    const pool = dialect === 'binary' && this.#binary.isReachable ? this.#binary : this.#text
    const route = this.hasLanes ? pool.target.routeNow : this.#targets[0].routeByName
    return new BackendConnection(this.#context, route, owner, slabs, true, dialects[dialect])
  }

  /** Other files, or what they hold, from the next connection on; those that stand are replaced, each when its successor is
   *  ready. */
  useTls(tls: BackendTls | undefined): void {
    if (tls === this.tls) return
    this.tls = tls
    for (const target of this.#targets) target.useTls(tls)
    this.#text.replaceAll()
    this.#binary.replaceAll()
  }

  get login(): Login | undefined {
    return this.#context.login
  }

  /** Connections that stand go on; lanes are replaced, each when its successor is ready. */
  useLogin(login: Login | undefined): void {
    if (login === this.#context.login) return
    this.#context.login = login
    this.#loginBar.lift()
    this.#text.loginChanged()
    this.#binary.loginChanged()
  }

  /** A connection was lost, or could not be opened. */
  lost(why: BackendClose): void {
    if (why === 'login-refused') this.#loginBar.refused(this.#options.clock.now)
  }

  /** memcached has refused the login a moment ago: it is not to be shown at each request of a client. */
  get isLoginBarred(): boolean {
    return this.#loginBar.isUp(this.#options.clock.now)
  }

  lookUp(): void {
    for (const target of this.#targets) target.lookUpIfOlder(this.config.resolve_interval, this.#options.clock.now)
  }

  checkDeadlines(now: number): void {
    this.#text.checkDeadlines(now)
    this.#binary.checkDeadlines(now)
  }

  /** The client waits for a lane no longer. */
  forget(client: WaitsForLane): void {
    this.#text.forget(client)
    this.#binary.forget(client)
  }

  /** Others take their place: clients go there, each when nothing of it is in flight here. */
  retire(): void {
    this.#text.retire()
    this.#binary.retire()
  }

  close(): void {
    this.#text.close()
    this.#binary.close()
  }

  // What is known of memcached.

  get isEmpty(): boolean {
    return this.#text.lanes.length === 0 && this.#binary.lanes.length === 0
  }

  get isReachable(): boolean {
    return this.#text.isReachable || this.#binary.isReachable
  }

  /** No request can be answered, and the last tries have failed. */
  get isDown(): boolean {
    return this.#text.isDown && !this.#binary.isReachable && !this.#binary.isTrying
  }

  get isTextDown(): boolean {
    return this.#text.isDown
  }

  get wantsLogin(): boolean {
    return this.#text.wantsLogin
  }

  get hasMn(): boolean {
    return this.#text.lanes.every(({ release: version }) => version === 0 || version >= MN_SINCE)
  }

  /** Why there is no lane, for people; one sentence for each target. */
  get reasons(): string[] {
    return this.#binary.isLoginRefused ? this.#binary.reasons : this.#text.reasons
  }

  downWords(dialect: Dialect): string {
    const isSilent = dialect === 'text' && this.#binary.isReachable
    const isRefused = this.#text.isLoginRefused || this.#binary.isLoginRefused
    return isSilent ? BINARY_ONLY_WORDS : isRefused ? LOGIN_REFUSED_WORDS : UNAVAILABLE_WORDS
  }

  states(): Pick<ServiceNow, 'backends' | 'backendStates'> {
    const binary = this.#binary.states
    const states = Object.entries(this.#text.states).map(([backend, text]) => {
      const isSilent = text === 'down' && binary[backend] !== 'down'
      return [backend, !isSilent ? text : binary[backend] === 'up' ? 'binary-only' : binary[backend]] as const
    })
    return { backends: Object.fromEntries(states.map(([backend, state]) => [backend, state !== 'down' && state !== 'login-refused'])), backendStates: Object.fromEntries(states) }
  }

  lanes(): LaneSnapshot[] {
    return [this.#text, this.#binary].flatMap(({ lanes }) => lanes).map((lane) => ({
      backend: lane.route.host || 'unix', dialect: lane.dialect.name, state: shownState(lane), version: lane.version,
      clients: lane.clients, inFlight: lane.expected.count,
    }))
  }
}

const dialects: Record<Dialect, (wire: Wire) => ConnectionDialect> = {
  text: (wire) => new TextDialect(wire),
  binary: (wire) => new BinaryDialect(wire),
}

const MN_SINCE = release('1.6.0')

const shownState = ({ state }: BackendConnection): string => (state === 'offered' || state === 'standby' ? 'ready' : state)

const BINARY_ONLY_WORDS = 'SERVER_ERROR memseal: memcached speaks the binary protocol alone'
/** What the clients get that nobody can serve. */
export const UNAVAILABLE_WORDS = 'SERVER_ERROR memseal: backend unavailable'
export const LOGIN_REFUSED_WORDS = 'SERVER_ERROR memseal: memcached refuses the login of memseal'

/** Whatever else goes wrong, nothing that was to be sealed leaves plain. */
export function assertTogether(backend: BackendConfig, tls: BackendTls | undefined, login: Login | undefined): void {
  assert((backend.tls === undefined) === (tls === undefined), 'backend.tls and what was made of it go together')
  assert((backend.auth === undefined) === (login === undefined), 'backend.auth and what was read for it go together')
}
