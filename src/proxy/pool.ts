/** The shared lanes of one service in one dialect.
 *
 *      slot: connecting ─▶ ready ─▶ (lost) ─▶ waiting, with backoff and jitter ─▶ connecting …
 *
 *  A client stays on the lane it was given while that lane lives, so that its replies come in its order. */
import type { Logger } from '../telemetry/log.ts'
import { Backoff } from '../lib/backoff.ts'
import type { BackendClose, BackendConnection, BackendOwner } from './backend-connection.ts'
import type { ClientSession } from './client-session.ts'

const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 500

export interface PoolOptions<Lane extends BackendConnection> {
  service: string
  dialect: 'text' | 'binary'
  /** Where the lanes lead, for people. */
  target: string
  size: number
  log: Logger
  connect: (owner: BackendOwner) => Lane
}

export class Pool<Lane extends BackendConnection> implements BackendOwner {
  readonly #options: PoolOptions<Lane>
  readonly #lanes: Lane[] = []
  readonly #backoff = new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS)
  readonly #retries = new Set<NodeJS.Timeout>()
  #waiting = new Set<ClientSession>()
  #isOpen = false
  /** No lane is ready and the last try failed. */
  #isDown = false

  constructor(options: PoolOptions<Lane>) {
    this.#options = options
  }

  get isReady(): boolean {
    return this.#lanes.some((lane) => lane.state === 'ready')
  }

  /** Requests cannot be answered now: no lane, and the last try to get one failed. */
  get isDown(): boolean {
    return this.#isDown
  }

  get lanes(): readonly Lane[] {
    return this.#lanes
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    for (let i = 0; i < this.#options.size; i++) this.#connect()
  }

  close(): void {
    this.#isOpen = false
    for (const retry of this.#retries) clearTimeout(retry)
    this.#retries.clear()
    for (const lane of [...this.#lanes]) lane.fail('drained', 'memseal is shutting down')
  }

  /** @returns the ready lane with the fewest clients, or undefined: then `isDown` says whether to wait */
  choose(): Lane | undefined {
    let best: Lane | undefined
    for (const lane of this.#lanes) {
      if (lane.state === 'ready' && (best === undefined || lane.sessions < best.sessions)) best = lane
    }
    return best
  }

  /** The client is told when a lane is ready, or that none can be had. */
  wait(session: ClientSession): void {
    this.#waiting.add(session)
  }

  forget(session: ClientSession): void {
    this.#waiting.delete(session)
  }

  checkDeadlines(now: number): void {
    for (let i = this.#lanes.length - 1; i >= 0; i--) this.#lanes[i]?.checkDeadline(now)
  }

  backendReady(lane: BackendConnection): void {
    const { log, service, dialect, target } = this.#options
    this.#backoff.reset()
    log.info({ event: 'backend-ready', service, dialect, backend: target, version: lane.version }, 'the backend answers')
    this.#isDown = false
    this.#wake()
  }

  backendClosed(lane: BackendConnection, why: BackendClose, words: string): void {
    const { log, service, dialect, target } = this.#options
    this.#lanes.splice(this.#lanes.indexOf(lane as Lane), 1)
    if (!this.#isOpen) return
    const wasReady = lane.version !== ''
    const retryMs = Math.round(this.#backoff.nextMs())
    // One line when it goes and one when it is back; the tries between are silent.
    if (wasReady || !this.#isDown) {
      log.warn({ event: 'backend-lost', service, dialect, backend: target, reason: why, words, retryMs }, 'the backend does not answer: ' + words)
    }
    if (!this.isReady && !wasReady) this.#isDown = true
    // A lane that was lost is replaced at once; clients wait for that one try.
    const retry = setTimeout(() => {
      this.#retries.delete(retry)
      this.#connect()
    }, wasReady ? 0 : retryMs)
    this.#retries.add(retry)
    if (this.#isDown) this.#wake()
  }

  #connect(): void {
    this.#lanes.push(this.#options.connect(this))
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const session of waiting) session.laneDecided()
  }
}
