/** Whether the requests of a service can be answered, and what its clients are told while they cannot.
 *
 *      a pool has decided ─▶ (end of the turn) ─▶ all backends are down ─▶ `when_down`: answered with errors, reset, or refused */
import type { BackendConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { BackendPools } from './backend-pools.ts'

/** What is asked of the service. */
export interface ReadinessHome {
  readonly name: string
  readonly clock: Clock
  readonly log: EventLog
  readonly pools: BackendPools
  readonly sessions: ReadonlySet<{ reset(why: 'backend-down'): void }>
  readonly isDraining: boolean
}

export class Readiness {
  whenDown: BackendConfig['when_down']
  /** No backend can be reached, and clients are to turn to another host: they are reset. */
  isAway = false
  readonly #home: ReadinessHome
  readonly #onAway: () => void
  #isLooking = false
  #wasReady: boolean | undefined

  /** @param onAway `isAway` or `shutsListeners` is another now */
  constructor(home: ReadinessHome, whenDown: BackendConfig['when_down'], onAway: () => void) {
    this.#home = home
    this.whenDown = whenDown
    this.#onAway = onAway
  }

  get shutsListeners(): boolean {
    return this.isAway && this.whenDown === 'refuse'
  }

  /** At the end of the turn: whoever tells of a change is in the midst of it. */
  lookSoon(): void {
    if (this.#isLooking || this.whenDown === 'answer') return
    this.#isLooking = true
    this.#home.clock.after(0, () => {
      this.#isLooking = false
      this.look()
    })
  }

  look(): void {
    const { name: service, log, pools, sessions, isDraining } = this.#home
    const isAway = pools.isDown && this.whenDown !== 'answer' && !isDraining
    if (isAway !== this.isAway) {
      this.isAway = isAway
      if (isAway) {
        log.tell('backend-away', { service, clients: sessions.size, whenDown: this.whenDown }, `no backend can be reached: clients are ${AWAY_WORDS[this.whenDown]}`)
        for (const session of [...sessions]) session.reset('backend-down')
      } else log.tell('backend-back', { service }, 'clients are served again')
    }
    this.#onAway()
  }

  /** Why no request can be answered now, one sentence for each reason; empty: one connection to the backend stands, and over
   *  TLS it is verified; or memcached has said that it wants a login first. Without lanes there is nothing to go by. */
  reasons(): string[] {
    const { name, pools, isDraining } = this.#home
    if (isDraining) return [`service ${name} is draining`]
    if (!pools.hasLanes || pools.isReachable) return []
    const meanwhile = this.isAway ? `, and clients are ${AWAY_WORDS[this.whenDown]}` : ''
    return [`service ${name} has no connection to its backend (${pools.reasons.join('; ')})${meanwhile}`]
  }

  /** What is to be known of a service that is ready. */
  remarks(): string[] {
    const { name, pools } = this.#home
    const wanting = Object.entries(pools.states().backendStates).filter(([, state]) => state === 'wants-login').map(([backend]) => backend)
    return wanting.length === 0 ? [] : [`memcached of service ${name} wants a login (${wanting.join(', ')}), and each client logs in by itself`]
  }

  /** One line at each change. */
  tell(): void {
    const { name: service, log, pools, isDraining } = this.#home
    if (!pools.hasLanes || isDraining) return
    const reasons = this.reasons()
    const isReady = reasons.length === 0
    if (isReady === this.#wasReady) return
    const isFirst = this.#wasReady === undefined
    this.#wasReady = isReady
    if (isReady) log.tell('ready', { service, backends: pools.states().backendStates }, `ready: ${this.remarks()[0] ?? 'the backend answers'}`)
    else if (!isFirst || pools.isTextDown) log.tell('not-ready', { service, reasons }, `not ready: ${reasons.join('; ')}`)
    else this.#wasReady = undefined
  }
}

const AWAY_WORDS = { answer: 'answered', close: 'reset meanwhile', refuse: 'refused meanwhile' }
