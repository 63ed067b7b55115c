import type { Run } from 'autocannon'
import { setTimeout as sleep } from 'node:timers/promises'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow, Task } from '../messages.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

const LONGER_THAN_ANY_WINDOW_S = 3600
const SAMPLE_MS = 200

/** autocannon asks for a page of the admin listener at a steady rate; every answer must be a 200.
 *
 *  autocannon sends all requests of a second at its beginning. Scrapers do not: each of them keeps its own time. So there
 *  is one run of autocannon for each request of a second, with one connection, and they begin evenly spaced. */
export class Scraping implements Load {
  #task: Extract<Task, { kind: 'scraping' }>
  #failed: Failed
  #tally = new LatencyTally()
  #runs: Run[] = []
  #markedAt = 0

  constructor(task: Extract<Task, { kind: 'scraping' }>, failed: Failed) {
    this.#task = task
    this.#failed = failed
  }

  async prepare(): Promise<void> {
    // Only here: the load processes that measure have no use for it.
    const { default: autocannon } = await import('autocannon')
    const { url, requestsPerSecond } = this.#task
    for (let i = 0; i < requestsPerSecond; i++) {
      const run = autocannon({
        url, connections: 1, overallRate: 1, duration: LONGER_THAN_ANY_WINDOW_S, sampleInt: SAMPLE_MS,
      })
      run.on('response', (_, status: number, __, tookMs: number) => this.#answered(status, tookMs))
      run.on('reqError', (error: Error) => this.#failed(`${url}: ${error.message}`))
      this.#runs.push(run)
      await sleep(1000 / requestsPerSecond)
    }
  }

  mark(): void {
    this.#tally.reset()
    this.#markedAt = performance.now()
  }

  async finish(): Promise<LoadWindow> {
    const seconds = (performance.now() - this.#markedAt) / 1000
    const latency = this.#tally.read()
    for (const run of this.#runs) run.stop()
    await Promise.all(this.#runs)
    return { ...emptyWindow(seconds), requests: latency.count, latency }
  }

  #answered(status: number, tookMs: number): void {
    const now = performance.now()
    this.#tally.answered(now - tookMs, now)
    if (status !== 200) this.#failed(`${this.#task.url} answered ${status}`)
  }
}
