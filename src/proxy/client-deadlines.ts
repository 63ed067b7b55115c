/** How long a client may take over a request, say nothing, or stay. */
import type { ServiceConfig } from '../config/schema.ts'
import type { ClientRecord } from './client-record.ts'
import type { Intake } from './intake.ts'
import type { Outbox } from './outbox.ts'

export interface TimedClient { readonly intake: Intake; readonly outbox: Outbox; readonly record: ClientRecord }

/** Nobody can say whether a client whose bytes pass unread is in the midst of something: without a byte for so long it is not. */
const RAW_DRAIN_IDLE_MS = 1000

export class ClientDeadlines {
  readonly #client: TimedClient
  readonly #oldestAt: number

  /** @param maxAgeMs 0: it may stay. A tenth more or less, so that clients that came together do not all go together. */
  constructor(client: TimedClient, now: number, maxAgeMs: number) {
    this.#client = client
    this.#oldestAt = maxAgeMs === 0 ? Infinity : now + maxAgeMs * (0.9 + Math.random() * 0.2)
  }

  /** @returns why it has to go: at `request-timeout` at once, else when it has what it is owed */
  missed(now: number, limits: ServiceConfig['limits'], state: string, isDraining: boolean): 'request-timeout' | 'drain' | 'max-age' | 'idle' | undefined {
    const { intake, outbox, record } = this.#client
    const isRaw = state === 'raw'
    if (intake.begunAt > 0 && !intake.isPaused && state !== 'finishing' && now - intake.begunAt > limits.request_timeout) return 'request-timeout'
    if (outbox.inFlight > 0 || !outbox.isEmpty || intake.isHoldingBack) return undefined
    const idleMs = now - record.activeAt
    if (isRaw && isDraining && idleMs > RAW_DRAIN_IDLE_MS) return 'drain'
    if (!isRaw && intake.begunAt === 0 && now > this.#oldestAt) return 'max-age'
    return limits.idle_timeout > 0 && idleMs > limits.idle_timeout ? 'idle' : undefined
  }
}
