import type { LoadWindow, Task } from '../messages.ts'
import { Filling } from './filling.ts'
import { Holding } from './holding.ts'
import { Paced } from './paced.ts'
import { Reconnecting } from './reconnecting.ts'
import { Scraping } from './scraping.ts'
import { Steady } from './steady.ts'
import { Storm } from './storm.ts'

/** A load from its first connection to its last: `prepare` returns once it runs, `mark` and `finish` bound the window
 *  that counts. A `mark` that takes time is done with what it measures. A fault (a wrong byte, a closed connection) goes
 *  to the `failed` callback given at construction. */
export interface Load {
  prepare(): Promise<void>
  mark(): void | Promise<void>
  finish(): Promise<LoadWindow>
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
    case 'storm': return new Storm(task.target, task.connections)
    default: return task satisfies never
  }
}

/** A window in which nothing was counted; the loads fill in what they have. */
export function emptyWindow(seconds: number): LoadWindow {
  return {
    seconds, requests: 0, valueBytes: 0, connections: 0, resumed: 0,
    latency: { count: 0, meanUs: 0, maxUs: 0, steps: [] },
  }
}
