import type { Target } from './dial.ts'
import type { Latency } from './latency.ts'
import type { Traffic } from './script.ts'

/** What a load process is asked to do. Each kind is one class in `loads/`. */
export type Task = { kind: 'scraping', url: string, elsewhere: string, requestsPerSecond: number } | { target: Target } & (
  | { kind: 'fill', traffic: Traffic }
  | { kind: 'steady', traffic: Traffic, clients: number, depth: number, share: Share, tellsHalves: boolean }
  | { kind: 'paced', traffic: Traffic, clients: number, depth: number, share: Share, requestsPerSecond: number }
  | { kind: 'reconnecting', traffic: Traffic, atOnce: number, resume: boolean }
  | { kind: 'holding', connections: number }
  | { kind: 'storm', connections: number }
)

/** Which part of the clients this process plays, so that no two walk the script from the same place. */
export interface Share {
  index: number
  of: number
}

/** Bench to load process. `mark` starts the measured window, `finish` ends it; the load runs before and between. */
export type Order = { order: 'prepare', task: Task } | { order: 'mark' } | { order: 'finish' }

/** Load process to bench: one answer to each order. `storm` answers `mark` when its last connection stands. */
export type Answer =
  | { answer: 'ready' }
  | { answer: 'marked' }
  | { answer: 'finished', window: LoadWindow }
  | { answer: 'failed', reason: string }

/** What a load process counted between mark and finish. */
export interface LoadWindow {
  seconds: number
  requests: number
  valueBytes: number
  connections: number
  resumed: number
  latency: Latency
  /** of the first and the second half of each second, where they are told apart */
  halves?: [Latency, Latency]
}
