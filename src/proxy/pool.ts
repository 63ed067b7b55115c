/** The shared lanes of one service in one dialect, to all its targets.
 *
 *      failover:  target 1: lanes, offered     target 2: one lane, warm     target 3: one lane, warm
 *      rotate:    target 1: lanes, offered     target 2: lanes, offered     target 3: (down)
 *
 *  A client stays on the lane it was given while that lane lives and is offered, so that its replies come in its order.
 *  A target that failed is used again when it has been healthy for `return_after`, or when there is no other. */
import type { BackendConfig } from '../config/schema.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { BackendConnection } from './backend-connection.ts'
import type { Target } from './target.ts'
import { MOST_SPARES, TargetLanes, type TargetLanesOptions } from './target-lanes.ts'

/** A client for which no lane is ready yet. */
export interface WaitsForLane {
  /** One is ready, or none can be had. */
  laneDecided(): void
}

/** `up-login-refused`: connections that have logged in serve on, and no new one can be had. */
export type BackendNow = 'up' | 'up-login-refused' | 'wants-login' | 'login-refused' | 'down'

export interface PoolOptions extends Omit<TargetLanesOptions, 'target' | 'onChange' | 'heirOf'> {
  targets: readonly Target[]
  policy: 'failover' | 'rotate'
  returnAfterMs: number
  log: EventLog
  /** Who can be reached may be others than before. */
  onDecided: () => void
}

/** Connections that the pools of a service may have at once: text and binary, spare ones for long replies, each with a successor on its way. */
export function mostLanes({ connect, connections, policy }: Pick<BackendConfig, 'connect' | 'connections' | 'policy'>): number {
  const size = connections === 'auto' ? AUTO_LANES : connections
  const lanes = policy === 'failover' ? size + connect.length - 1 : size * connect.length
  return (lanes + MOST_SPARES * connect.length) * 2 * 2
}

/** Measured at 1, 16 and 100 requests in flight: one lane beats several, since requests of more clients leave together. */
export const AUTO_LANES = 1

export class Pool {
  readonly #options: PoolOptions
  readonly #groups: TargetLanes[]
  #active: TargetLanes | undefined
  #waiting = new Set<WaitsForLane>()
  #isOpen = false
  #isRetired = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#groups = options.targets.map((target, at) => new TargetLanes({
      ...options, target,
      // The others are there to be seen healthy, and to be at hand: one lane does for both.
      size: options.policy === 'failover' && at > 0 ? 1 : options.size,
      onChange: () => this.#decide(),
      heirOf: () => this.#heir(),
    }))
  }

  get isReady(): boolean {
    return this.#groups.some((group) => group.isReady)
  }

  /** memcached answers, be it that it wants a login. */
  get isReachable(): boolean {
    return this.#groups.some((group) => group.isReachable)
  }

  /** There is no lane, and will be none: memcached serves those alone who log in. */
  get wantsLogin(): boolean {
    const { policy } = this.#options
    return policy === 'failover' ? this.#active?.wantsLogin === true && !this.#active.isReady
      : !this.isReady && this.#groups.some((group) => group.wantsLogin)
  }

  /** There is no lane since memcached refuses the login of memseal. */
  get isLoginRefused(): boolean {
    return this.isDown && this.#groups.some((group) => group.isLoginRefused)
  }

  /** It is not known yet whether anybody can be reached. */
  get isTrying(): boolean {
    return this.#isOpen && !this.isReachable && !this.isDown
  }

  /** Requests cannot be answered now: no lane, and the last tries to get one failed. */
  get isDown(): boolean {
    return this.#groups.every((group) => group.isDown)
  }

  get lanes(): readonly BackendConnection[] {
    return this.#groups.flatMap((group) => group.lanes)
  }

  /** Where a connection of a client's own goes. */
  get target(): Target {
    if (this.#options.policy === 'failover' && this.#active !== undefined) return this.#active.target
    const usable = this.#groups.filter((group) => group.isReachable)
    const among = usable.length > 0 ? usable : this.#groups
    return among[this.#options.policy === 'rotate' ? Math.floor(Math.random() * among.length) : 0].target
  }

  /** Why there is no lane, for people; one sentence for each target. */
  get reasons(): string[] {
    return this.#groups.map((group) => `${group.target.text}: ${group.words}`)
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    for (const group of this.#groups) group.open()
    this.#decide()
  }

  close(): void {
    this.#isOpen = false
    for (const group of this.#groups) group.close()
  }

  /** Another pool takes its place: clients go there, each when nothing of it is in flight here. */
  retire(): void {
    this.#isRetired = true
    for (const group of this.#groups) group.retire()
    this.#wake()
  }

  /** By target: does memcached answer there? */
  get states(): Record<string, BackendNow> {
    return Object.fromEntries(this.#groups.map((group) => [group.target.text, nowOf(group)]))
  }

  /** Every lane gets a successor now: certificates or addresses are others. */
  replaceAll(): void {
    for (const group of this.#groups) group.replaceAll()
  }

  /** The login is another: every lane gets a successor that has shown it. */
  loginChanged(): void {
    for (const group of this.#groups) group.loginChanged()
  }

  /** @returns the ready lane with the fewest clients, or undefined: then `isDown` says whether to wait */
  choose(): BackendConnection | undefined {
    if (this.#options.policy === 'failover') return this.#active?.choose()
    let best: BackendConnection | undefined
    for (const group of this.#offered()) {
      const lane = group.choose()
      if (lane !== undefined && (best === undefined || lane.clients < best.clients)) best = lane
    }
    return best
  }

  /** The client is told when a lane is ready, or that none can be had. */
  wait(client: WaitsForLane): void {
    this.#waiting.add(client)
  }

  forget(client: WaitsForLane): void {
    this.#waiting.delete(client)
  }

  checkDeadlines(now: number): void {
    if (!this.#isOpen) return
    for (const group of this.#groups) group.checkDeadlines(now)
    if (!this.#isRetired) this.#decide()
  }

  #heir(): BackendConnection | undefined {
    for (const group of this.#offered()) {
      const lane = group.choose()
      if (lane !== undefined) return lane
    }
    return undefined
  }

  /** Those that never failed or have been healthy for long enough; if there is none, those that are ready. */
  #offered(): TargetLanes[] {
    const ready = this.#groups.filter((group) => group.isReady)
    const trusted = ready.filter((group) => this.#isTrusted(group))
    return trusted.length > 0 ? trusted : ready
  }

  #isTrusted(group: TargetLanes): boolean {
    const healthyMs = this.#options.clock.now - Math.max(group.failedAt, group.readySince)
    if (group.failedAt > -Infinity && healthyMs >= this.#options.returnAfterMs) group.failedAt = -Infinity
    return group.failedAt === -Infinity
  }

  /** Something changed, or time has passed: who is to be used? */
  #decide(): void {
    if (!this.#isOpen || this.#isRetired) return
    if (this.#options.policy === 'failover') this.#decideActive()
    else {
      const offered = this.#offered()
      for (const group of this.#groups) group.offer(offered.includes(group))
    }
    this.#options.onDecided()
    if (this.#waiting.size > 0 && (this.choose() !== undefined || this.isDown || this.wantsLogin)) this.#wake()
  }

  #decideActive(): void {
    const before = this.#active
    const next = this.#next()
    if (next === before) return
    this.#active = next
    for (const group of this.#groups) group.offer(group === next)
    if (before === undefined || next === undefined) return
    const { log, service, dialect } = this.#options
    const why = before.isReady ? 'it has been healthy for long enough' : `${before.target.text}: ${before.words}`
    log.tell('failover', { service, dialect, from: before.target.text, to: next.target.text, words: why },
      `requests now go to ${next.target.text}: ${why}`)
  }

  #next(): TargetLanes | undefined {
    for (const group of this.#groups) {
      if (!group.isDown && this.#isTrusted(group)) return group      // ready, or in its first try: clients wait for that
    }
    // All have failed lately. Whoever is in use stays, so that clients do not go to and fro.
    return this.#active?.isReachable ? this.#active : this.#groups.find((group) => group.isReachable) ?? this.#active ?? this.#groups[0]
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const client of waiting) client.laneDecided()
  }
}

function nowOf({ isReady, isReachable, isLoginRefused }: TargetLanes): BackendNow {
  if (isReady) return isLoginRefused ? 'up-login-refused' : 'up'
  return isReachable ? 'wants-login' : isLoginRefused ? 'login-refused' : 'down'
}
