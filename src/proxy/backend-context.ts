/** What the connections of one service to memcached share. */
import type { Clock } from '../lib/clock.ts'
import type { Histogram } from '../lib/histogram.ts'
import type { Login } from '../proto/login.ts'
import type { Dial } from './dial.ts'
import type { Expected } from './expected.ts'
import type { Turn } from './turn.ts'

export interface BackendSettings {
  connectTimeoutMs: number
  replyTimeoutMs: number
  /** A lane that was idle for this long is asked for a sign of life; 0: never. */
  probeIntervalMs: number
  /** Gets that are there together leave as one. */
  joinsGets: boolean
  /** A reply of more than this, of which more is to come, holds up the others so long that they leave the lane. */
  longReplyBytes: number
}

export interface BackendContext {
  settings: BackendSettings
  turn: Turn
  clock: Clock
  dial: Dial
  /** What connections log in with from now on. */
  login: Login | undefined
  /** Seconds, of a sample. */
  latency: { backend: Histogram; own: Histogram }
}

/** Of one turn in 16: how long memcached takes over the last request, and how long we had it ourselves. */
export function timeLast(expected: Expected, { turn, latency }: BackendContext): void {
  const heldMs = performance.now() - turn.startedAt
  expected.time((backendMs) => {
    const answeredAt = performance.now()
    latency.backend.observe(backendMs / 1000)
    turn.whenWritten((writtenAt) => latency.own.observe((heldMs + writtenAt - answeredAt) / 1000))
  })
}
