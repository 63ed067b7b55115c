/** The lanes to one target: `size` of them are offered. When one of these is busy with a long reply, the others who ask there go on at a
 *  spare one, which is opened at the first need and kept: the two change places.
 *
 *      slot: connecting ─▶ ready ─▶ (lost) ─▶ waiting, with backoff and jitter ─▶ connecting …
 *                           │
 *                           └─ old ─▶ successor connecting … ready ─▶ retiring: clients go to the successor, each when
 *                                                                     nothing of it is in flight ─▶ empty, closed */
import { Backoff } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { BackendConnection, BackendOwner } from './backend-connection.ts'
import { LoginTrouble } from './login-trouble.ts'
import { lossText, type Loss } from './loss.ts'
import type { Route, Target } from './target.ts'

const FIRST_RETRY_MS = 50
/** A lane that held for this long is replaced at once when it goes, and so is the first that did not; the next ones in a row
 *  wait as after a failure, or a backend that drops whoever comes would be asked without a pause. */
const STEADY_MS = 1000
/** How often one that wants a login is asked whether it still does. */
const LOGIN_RETRY_MS = 5000
/** A failed connection asks DNS again, but a storm of failures does not. */
const LOOKUP_AT_MOST_EVERY_MS = 1000
/** Two long replies may come at once and nobody waits for their ends. */
export const MOST_SPARES = 2

export interface TargetLanesOptions {
  service: string
  dialect: 'text' | 'binary'
  target: Target
  size: number
  longestRetryMs: number
  /** 0: never. */
  maxAgeMs: number
  log: EventLog
  clock: Clock
  connect: (route: Route, owner: BackendOwner) => BackendConnection
  onChange: () => void
  onLoss: (why: BackendClose) => void
  /** Whoever is there took a connection, and said nothing when it was asked in this dialect. */
  onUnanswered: () => void
  /** So many requests were asked again, since a long reply of another client was in their way. */
  onMoved: (requests: number) => void
  heirOf: (lane: BackendConnection) => BackendConnection | undefined
}

export class TargetLanes implements BackendOwner {
  /** No lane is ready and the last try failed. */
  isDown = false
  /** memcached is there, and serves those alone who log in: each client on a connection of its own. */
  wantsLogin = false
  /** memcached refused the login of memseal when it was last shown. Lanes that logged in before, perhaps with another, go on. */
  isLoginRefused = false
  /** When the target was lost in the middle of its work, or could not be reached; -Infinity: never yet. */
  failedAt = -Infinity
  /** Since when a lane has been ready without interruption. */
  readySince = Infinity
  /** What the last failure was, for people. */
  words = 'it was not tried yet'

  readonly #options: TargetLanesOptions
  readonly #lanes: BackendConnection[] = []
  readonly #backoff: Backoff
  readonly #retries = new Set<() => void>()
  /** Reasons that the log has been told since a lane was last ready. */
  readonly #told = new Set<string>()
  readonly loginNotWanted = (): void => this.#loginTrouble.notWanted()
  #spares = 0
  readonly #loginTrouble: LoginTrouble
  /** Lanes in a row that went as soon as they were ready. */
  #shortLived = 0
  #lookups = 0
  #isOpen = false
  #isOffered = false

  constructor(options: TargetLanesOptions) {
    this.#options = options
    this.#backoff = new Backoff(FIRST_RETRY_MS, options.longestRetryMs)
    this.#loginTrouble = new LoginTrouble(options.log, { service: options.service, dialect: options.dialect, backend: options.target.text })
  }

  get target(): Target {
    return this.#options.target
  }

  get lanes(): readonly BackendConnection[] {
    return this.#lanes
  }

  get isReady(): boolean {
    return this.#lanes.some((lane) => lane.isReady)
  }

  /** memcached answers, be it that it wants a login. */
  get isReachable(): boolean {
    return this.wantsLogin || this.isReady
  }

  open(): void {
    this.#isOpen = true
    this.#fill()
  }

  close(): void {
    this.#isOpen = false
    this.#endRetries()
    for (const lane of [...this.#lanes]) lane.fail('drained', 'memseal is shutting down')
  }

  /** No more lanes; those that stand close when nothing is in flight on them. */
  retire(): void {
    this.#isOpen = false
    this.#endRetries()
    for (const lane of [...this.#lanes]) lane.retire()
  }

  replaceAll(): void {
    for (const lane of this.#lanes) if (isInUse(lane)) lane.replaceAt = this.#options.clock.now
  }

  /** The login is another: what was refused is tried again at once. */
  loginChanged(): void {
    this.replaceAll()
    if (this.isReady) this.isLoginRefused = false
    this.#loginTrouble.isOver()
    for (const lane of this.#lanes.filter(({ state }) => state === 'connecting')) lane.fail('replaced', 'it was to show the login of before')
    this.#endRetries()
    this.#fill()
  }

  /** Whether clients are to use these lanes now. */
  offer(isOffered: boolean): void {
    if (this.#isOffered === isOffered) return
    this.#isOffered = isOffered
    this.#arrange()
  }

  /** @returns the ready lane with the fewest clients, of those that are offered if there are such */
  choose(): BackendConnection | undefined {
    let best: BackendConnection | undefined
    for (const lane of this.#lanes) {
      if (!isInUse(lane)) continue
      const isBetter = best === undefined || (lane.state === best.state ? lane.clients < best.clients : lane.state === 'offered')
      if (isBetter) best = lane
    }
    return best
  }

  laneBusy(lane: BackendConnection): void {
    if (!this.#isOpen || !this.#isOffered) return
    this.#arrange()
    const isAlone = lane.clients <= 1 && !lane.longReply.isHeld
    if (!lane.longReply.isBusy || lane.state !== 'offered' || isAlone || this.#retries.size > 0 || this.isOpening || this.#spares === MOST_SPARES) return
    this.#spares++
    this.#fill()
  }

  get isOpening(): boolean {
    return this.#lookups > 0 || this.#lanes.some(({ state }) => state === 'connecting')
  }

  /** Those are offered that are not busy; of these, those that were before. Who asked on one that is offered no longer goes on. */
  #arrange(): void {
    const lanes = this.#lanes.filter(isInUse)
    const offered = new Set(this.#isOffered ? lanes.toSorted((one, other) => rankOf(one) - rankOf(other)).slice(0, this.#options.size) : [])
    const left = lanes.filter((lane) => lane.state === 'offered' && lane.longReply.isBusy && !offered.has(lane))
    for (const lane of lanes) lane.offer(offered.has(lane))
    const heir = this.#isOffered ? this.choose() : undefined
    if (heir === undefined) return
    for (const lane of left) this.#options.onMoved(lane.leaveTo(heir))
  }

  checkDeadlines(now: number): void {
    for (let i = this.#lanes.length - 1; i >= 0; i--) {
      const lane = this.#lanes[i]
      if (lane === undefined) continue
      lane.checkDeadline(now)
      if (lane.state === 'retiring' && lane.isIdle) lane.fail('replaced', 'it was replaced')
    }
    this.#fill()
  }

  /** Opens what is missing: `size` lanes, spare ones if there was need of them, and a successor for each that is old. */
  #fill(): void {
    if (!this.#isOpen) return
    const now = this.#options.clock.now
    let missing = this.#options.size + this.#spares - this.#retries.size - this.#lookups
    for (const lane of this.#lanes) if (lane.state !== 'retiring' && now < lane.replaceAt) missing--
    for (; missing > 0; missing--) this.#connect()
  }

  #connect(): void {
    const { target, connect } = this.#options
    const route = target.route
    if (route !== undefined) {
      this.#lanes.push(connect(route, this))
      return
    }
    this.#lookups++
    void target.lookUp().then(() => {
      this.#lookups--
      if (!this.#isOpen) return
      if (target.route !== undefined) this.#connect()
      else this.#lost('lookup-failed', target.lookupFault, { advice: 'ask DNS (getent hosts), and compare the name in backend.connect' })
    })
  }

  backendReady(lane: BackendConnection): void {
    const { log, service, dialect, target, clock, maxAgeMs } = this.#options
    const old = this.#lanes.find((each) => each !== lane && isInUse(each) && clock.now >= each.replaceAt)
    this.#told.clear()
    target.succeeded()
    if (!this.#lanes.some((each) => each !== lane && each.isReady)) this.readySince = clock.now
    // A tenth more or less, so that the lanes of many hosts do not stay in step.
    lane.replaceAt = maxAgeMs === 0 ? Infinity : clock.now + maxAgeMs * (0.9 + Math.random() * 0.2)
    this.isDown = this.wantsLogin = this.isLoginRefused = false
    this.#loginTrouble.isOver()
    const about = { service, dialect, backend: target.text, address: addressText(lane.route), version: lane.version }
    if (old === undefined) log.tell('backend-ready', about, 'the backend answers')
    else {
      log.tell('backend-replaced', about, 'a connection was replaced by a new one')
      old.retire()
    }
    this.#arrange()
    this.#options.onChange()
  }

  backendClosed(lane: BackendConnection, why: BackendClose, words: string, loss: Loss | undefined): void {
    const { target, clock } = this.#options
    this.#lanes.splice(this.#lanes.indexOf(lane), 1)
    this.#arrange()
    if (why === 'replaced' || why === 'drained') return
    // Of a backend that the configuration no longer names nothing is opened again; clients that still waited there are told of.
    if (!this.#isOpen && lane.wasIdle) return
    if (why === 'login-wanted') return this.#loginWanted(words)
    this.#options.onLoss(why)
    if (why === 'login-refused' && this.#isOpen) return this.#loginRefused(lane, words, loss)
    if (!this.#isOpen) return this.#warn(loss?.reason ?? why, words, loss)
    target.lookUpIfOlder(LOOKUP_AT_MOST_EVERY_MS, clock.now)
    const wasReady = lane.version !== ''
    if (!wasReady && target.failed(lane.route) && why !== 'connect-timeout') {
      // The name has another address, which was not tried yet: that is no failure of the target.
      this.#fill()
      return
    }
    if (lane.isUnanswered) this.#options.onUnanswered()
    const isShortLived = clock.now - lane.readyAt < STEADY_MS
    if (wasReady) this.#shortLived = isShortLived ? this.#shortLived + 1 : 0
    if (wasReady && !isShortLived) this.#backoff.reset()
    const isAtOnce = wasReady && this.#shortLived <= 1
    if (isAtOnce && lane.wasIdle) this.#ended(words)
    else this.#lost(loss?.reason ?? why, words, loss, wasReady, isAtOnce)
  }

  /** Between two requests, as a host does that restarts, or that lets no connection grow old. Another is opened at once, and
   *  clients wait for that one try. */
  #ended(words: string): void {
    const { log, service, dialect, target } = this.#options
    log.tell('backend-ended', { service, dialect, backend: target.text, words }, 'an idle connection has ended; another is opened')
    this.words = words
    if (!this.isReady) this.readySince = Infinity
    this.#fill()
    this.#options.onChange()
  }

  /** That is an answer. It is asked again all the same: one day it may be another memcached. */
  #loginWanted(words: string): void {
    const { log, service, dialect, target, clock, onLoss } = this.#options
    if (!this.wantsLogin) {
      onLoss('login-wanted')
      log.tell('backend-wants-login', { service, dialect, backend: target.text, words },
        'the backend answers, and wants a login: each client gets a connection of its own, and has to log in there')
    }
    target.succeeded()
    this.words = words
    if (!this.isReachable) this.readySince = clock.now
    this.wantsLogin = true
    this.isDown = this.isLoginRefused = false
    if (this.#isOpen) this.#retryIn(LOGIN_RETRY_MS)
    this.#options.onChange()
  }

  /** Whoever is there is alive, and serves nobody until the login is right. A lane that logged in with an older one goes on. */
  #loginRefused({ login }: BackendConnection, answer: string, loss: Loss | undefined): void {
    const { target, clock, onChange } = this.#options
    const { words, retryMs } = this.#loginTrouble.refused(login, answer, loss)
    this.words = words
    this.wantsLogin = false
    this.isLoginRefused = true
    target.succeeded()
    if (!this.isReady) {
      this.readySince = Infinity
      this.isDown = true
      this.failedAt = clock.now
    }
    this.#retryIn(retryMs)
    onChange()
  }

  heirOf(lane: BackendConnection): BackendConnection | undefined {
    return this.#isOpen ? this.choose() ?? this.#options.heirOf(lane) : undefined
  }

  /** @param wasReady a lane was lost, and not just a try   @param isAtOnce another is opened now, and clients wait for that try */
  #lost(reason: string, words: string, loss: Loss | undefined, wasReady = false, isAtOnce = false): void {
    const { clock } = this.#options
    const retryMs = Math.round(this.#backoff.nextMs())
    // One line when it goes, one for each new reason, and one when it is back; the tries between are silent.
    if (wasReady || !this.#told.has(reason)) {
      this.#told.add(reason)
      this.#warn(reason, words, loss, retryMs)
    }
    this.words = words
    this.wantsLogin = this.isLoginRefused = false
    if (!this.isReady) {
      this.readySince = Infinity
      if (!isAtOnce) this.isDown = true
    }
    // A lane that cannot be replaced goes on being used.
    if (wasReady || !this.isReady) this.failedAt = clock.now
    this.#retryIn(isAtOnce ? 0 : retryMs)
    this.#options.onChange()
  }

  #retryIn(ms: number): void {
    const endRetry = this.#options.clock.after(ms, () => {
      this.#retries.delete(endRetry)
      this.#fill()
    })
    this.#retries.add(endRetry)
  }

  #endRetries(): void {
    for (const endRetry of this.#retries) endRetry()
    this.#retries.clear()
  }

  #warn(reason: string, words: string, loss: Loss | undefined, retryMs?: number): void {
    const { log, service, dialect, target } = this.#options
    log.tell('backend-lost', { service, dialect, backend: target.text, ...loss, reason, words, retryMs }, lossText(words, loss))
  }
}

/** It is ready and has no successor. */
const isInUse = (lane: BackendConnection): boolean => lane.state === 'offered' || lane.state === 'standby'

/** Which lanes are offered first. */
const rankOf = (lane: BackendConnection): number => (lane.longReply.isBusy ? 2 : 0) + (lane.state === 'offered' ? 0 : 1)

export function addressText({ address }: Route): string {
  return 'path' in address ? `unix:${address.path}` : `${address.host}:${address.port}`
}
