import { monitorEventLoopDelay } from 'node:perf_hooks'

// How late the event loop comes to what is due: what every request waits for when something keeps the thread busy. One
// sample every 20 ms costs nothing that could be measured.

const RESOLUTION_MS = 20
const WINDOW_MS = 60_000

export interface DelaySeconds { p50: number, p99: number, max: number }

export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #timer: NodeJS.Timeout
  #last: DelaySeconds = { p50: 0, p99: 0, max: 0 }

  constructor() {
    this.#histogram.enable()
    this.#timer = setInterval(() => {
      this.#last = this.#now()
      this.#histogram.reset()
    }, WINDOW_MS)
    this.#timer.unref()
  }

  /** Of this minute and the one before, whichever was worse: so that no scrape falls into an empty window. */
  get seconds(): DelaySeconds {
    const now = this.#now()
    return { p50: Math.max(now.p50, this.#last.p50), p99: Math.max(now.p99, this.#last.p99), max: Math.max(now.max, this.#last.max) }
  }

  #now(): DelaySeconds {
    // The histogram holds the whole intervals, in ns.
    const late = (ns: number): number => Number.isFinite(ns) ? Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000) : 0
    if (this.#histogram.count === 0) return { p50: 0, p99: 0, max: 0 }
    return { p50: late(this.#histogram.percentile(50)), p99: late(this.#histogram.percentile(99)), max: late(this.#histogram.max) }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#histogram.disable()
  }
}
