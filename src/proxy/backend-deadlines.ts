/** When a connection to memcached has to be given up, or is to be asked for a sign of life; looked at at every tick. */
import type { BackendSettings } from './backend-context.ts'
import type { Dialect } from './dialect.ts'
import type { Expected } from './expected.ts'
import type { Ending } from './loss.ts'

interface Timed {
  readonly isConnecting: boolean
  readonly isReady: boolean
  readonly isPrivate: boolean
  readonly isPaused: boolean
  readonly expected: Expected
  readonly dialect: Dialect
  /** Bytes that memcached has taken, and those that it has not. */
  readonly staging: { readonly taken: number; readonly unsent: number }
}

export class BackendDeadlines {
  /** When memcached was last heard, and when we began to listen again. */
  heardAt = 0
  resumedAt = 0
  readonly #settings: BackendSettings
  readonly #connectBy: number
  #isUploading = false
  /** Bytes that memcached has taken, and when that was last seen to grow, or nothing was left to take. */
  #taken = 0
  #takenAt = 0

  constructor(settings: BackendSettings, now: number) {
    this.#settings = settings
    this.#connectBy = now + settings.connectTimeoutMs
  }

  /** A client's value is on its way in pieces. Until its end memcached answers nothing, earlier requests included. */
  uploading(isUnderWay: boolean, now: number): void {
    this.#isUploading = isUnderWay
    this.resumedAt = this.#takenAt = now
  }

  /** @returns how it ends; `probe`: nothing was heard of it for long */
  missed(connection: Timed, now: number): Ending | 'probe' | undefined {
    const { connectTimeoutMs, replyTimeoutMs, probeIntervalMs } = this.#settings
    const { expected } = connection
    if (connection.isConnecting && now > this.#connectBy) return ['connect-timeout', `no answer within ${connectTimeoutMs} ms`]
    if (this.#isUploading) {
      return this.#isStuck(connection, now) ? ['upload-stuck', `memcached takes nothing of a value for ${replyTimeoutMs} ms`] : undefined
    }
    if (expected.count > 0 && !connection.isPaused && !connection.dialect.replies.isEndless) {
      // A reply that flows is not late, and neither are those behind it: what counts is silence.
      const since = Math.max(expected.sentAt[expected.head], this.resumedAt, this.heardAt)
      return now - since > replyTimeoutMs ? ['reply-timeout', `no reply within ${replyTimeoutMs} ms`] : undefined
    }
    const isIdleLane = connection.isReady && !connection.isPrivate && expected.count === 0
    return isIdleLane && probeIntervalMs > 0 && now - this.heardAt >= probeIntervalMs ? 'probe' : undefined
  }

  /** memcached answers nothing before the end of a value; that it takes more of it is its sign of life. */
  #isStuck({ staging: { taken, unsent } }: Timed, now: number): boolean {
    if (taken !== this.#taken || unsent === 0) {
      this.#taken = taken
      this.#takenAt = now
    }
    return now - this.#takenAt > this.#settings.replyTimeoutMs
  }
}
