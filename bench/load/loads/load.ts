import type { LoadWindow, Task } from '../messages.ts'
import { Filling } from './filling.ts'
import { Holding } from './holding.ts'
import { Paced } from './paced.ts'
import { Reconnecting } from './reconnecting.ts'
import { Scraping } from './scraping.ts'
import { Steady } from './steady.ts'
import { Storm } from './storm.ts'

/** A load from its first connection to its last: `prepare` connects, then it asks from each `run` to the `pause` behind
 *  it, and `finish` closes. `pause` resolves when nothing is in flight: between two windows a contestant is at rest, so
 *  all CPU time that it used belongs to the requests of the window. A fault (a wrong byte, a closed connection) goes to
 *  the `failed` callback given at construction. */
export interface Load {
  prepare(): Promise<void>
  run(): void
  pause(): Promise<LoadWindow>
  finish(): void
}

export type Failed = (reason: string) => void

export function makeLoad(task: Task, failed: Failed): Load {
  switch (task.kind) {
    case 'fill': return new Filling(task.target, task.traffic, failed)
    case 'steady': return new Steady(task, failed)
    case 'paced': return new Paced(task, failed)
    case 'reconnecting': return new Reconnecting(task, failed)
    case 'holding': return new Holding(task.target, task.connections, failed)
    case 'scraping': return new Scraping(task, failed)
    case 'storm': return new Storm(task.target, task.connections, failed)
    default: return task satisfies never
  }
}

/** A window in which nothing was counted; the loads fill in what they have. */
export function emptyWindow(seconds: number): LoadWindow {
  return {
    seconds, requests: 0, requestsToTheEnd: 0, valueBytes: 0, connections: 0, resumed: 0,
    latency: { count: 0, meanUs: 0, maxUs: 0, steps: [] },
  }
}
