import type { Run } from 'autocannon'
import { setTimeout as sleep } from 'node:timers/promises'
import { halfAt, LatencyTally } from '../latency.ts'
import type { LoadWindow, Task } from '../messages.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

const LONGER_THAN_ANY_WINDOW_S = 3600
const SAMPLE_MS = 200
/** Part of each half in which its scrapes begin: what comes late is still in its half. */
const SPREAD_MS = 400
/** Of the scrapes, how many may come in the wrong half of their second. */
const MOST_ASTRAY = 0.1

/** autocannon asks for a page of the admin listener in the first half of each second, and in the second half just as often
 *  for a page of another server: so what scraping costs whoever scrapes is the same in both, and what is left between them
 *  is what it costs the contestant. Every answer must be a 200.
 *
 *  autocannon sends all requests of a second at its beginning. Scrapers do not: each of them keeps its own time. So there
 *  is one run of autocannon for each request of a second, with one connection, and they begin evenly spaced. */
export class Scraping implements Load {
  #task: Extract<Task, { kind: 'scraping' }>
  #failed: Failed
  #tally = new LatencyTally()
  #scrapes = 0
  #astray = 0
  #runs: Run[] = []
  #runSince = 0

  constructor(task: Extract<Task, { kind: 'scraping' }>, failed: Failed) {
    this.#task = task
    this.#failed = failed
  }

  async prepare(): Promise<void> {
    // Only here: the load processes that measure have no use for it.
    const { default: autocannon } = await import('autocannon')
    const { url, elsewhere, requestsPerSecond } = this.#task
    for (const [half, asked] of [url, elsewhere].entries()) {
      for (let i = 0; i < requestsPerSecond; i++) {
        await untilMillisecond(500 * half + SPREAD_MS / requestsPerSecond * (i + 0.5))
        const run = autocannon({
          url: asked, connections: 1, overallRate: 1, duration: LONGER_THAN_ANY_WINDOW_S, sampleInt: SAMPLE_MS,
        })
        run.on('response', (_, status: number, __, tookMs: number) => this.#answered(asked, half, status, tookMs))
        run.on('reqError', (error: Error) => this.#failed(`${asked}: ${error.message}`))
        this.#runs.push(run)
      }
    }
  }

  run(): void {
    this.#tally.reset()
    this.#runSince = performance.now()
  }

  async pause(): Promise<LoadWindow> {
    const latency = this.#tally.read()
    if (this.#astray > this.#scrapes * MOST_ASTRAY) this.#failed(`${this.#astray} of ${this.#scrapes} scrapes came in the wrong half of their second`)
    return { ...emptyWindow((performance.now() - this.#runSince) / 1000), requests: latency.count, requestsToTheEnd: latency.count, latency }
  }

  finish(): void {
    for (const run of this.#runs) run.stop()
  }

  #answered(asked: string, half: number, status: number, tookMs: number): void {
    const now = performance.now()
    if (status !== 200) this.#failed(`${asked} answered ${status}`)
    if (half === 1) return
    this.#tally.answered(now - tookMs, now)
    this.#scrapes++
    if (halfAt(now - tookMs) !== half) this.#astray++
  }
}

/** @param millisecond of the wall clock's second, 0 to 1000 */
function untilMillisecond(millisecond: number): Promise<void> {
  const at = (performance.timeOrigin + performance.now()) % 1000
  return sleep(millisecond > at ? millisecond - at : millisecond - at + 1000)
}
