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

/** Bench to load process. A load process holds many loads, all of them connected; `load` names one. Between `run` and
 *  `pause` it asks, and `paused` is answered when nothing of it is in flight any more. */
export type Order = { load: string } & (
  | { order: 'prepare', task: Task }
  | { order: 'run' }
  | { order: 'pause' }
  | { order: 'finish' }
)

/** Load process to bench: one answer to each order, and `failed` whenever a load fails. */
export type Answer = { load: string } & (
  | { answer: 'ready' }
  | { answer: 'running' }
  | { answer: 'paused', window: LoadWindow }
  | { answer: 'finished' }
  | { answer: 'failed', reason: string }
)

/** What a load counted between `run` and `pause`. */
export interface LoadWindow {
  seconds: number
  requests: number
  /** also those that were in flight at `pause` and answered after it */
  requestsToTheEnd: number
  valueBytes: number
  connections: number
  resumed: number
  latency: Latency
  /** of the first and the second half of each second, where they are told apart */
  halves?: [Latency, Latency]
}
