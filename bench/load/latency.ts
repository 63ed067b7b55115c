import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { Tally } from './conversation.ts'

/** Latencies of one window as a ladder of percentiles, so that those of several processes can be joined. Microseconds. */
export interface Latency {
  count: number
  meanUs: number
  maxUs: number
  /** value at each step of LADDER */
  steps: number[]
}

/** Percentiles: each half up to 99, each hundredth from there to 100. */
export const LADDER = [
  ...Array.from({ length: 198 }, (_, i) => (i + 1) / 2),
  ...Array.from({ length: 100 }, (_, i) => Number((99 + (i + 1) / 100).toFixed(2))),
]

/** Counts replies and their latencies since the last `reset`. */
export class LatencyTally implements Tally {
  count = 0
  #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: 120_000_000_000, figures: 3 })

  answered(startedAt: number, now: number): void {
    this.count++
    const nanoseconds = Math.round((now - startedAt) * 1e6)
    this.#histogram.record(nanoseconds > 0 ? nanoseconds : 1)
  }

  reset(): void {
    this.count = 0
    this.#histogram.reset()
  }

  read(): Latency {
    const h = this.#histogram
    if (this.count === 0) return { count: 0, meanUs: 0, maxUs: 0, steps: [] }
    return {
      count: this.count, meanUs: h.mean / 1000, maxUs: h.max / 1000,
      steps: LADDER.map(step => h.percentile(step) / 1000),
    }
  }
}

/** Which half of the wall clock's second it is: 0 or 1.   @param now of `performance.now()` */
export function halfAt(now: number): 0 | 1 {
  return (performance.timeOrigin + now) % 1000 < 500 ? 0 : 1
}

/** Also tells the two halves of each second apart, for what is done in one of them and not in the other. */
export class HalvesTally extends LatencyTally {
  #halves = [new LatencyTally(), new LatencyTally()] as const

  override answered(startedAt: number, now: number): void {
    super.answered(startedAt, now)
    this.#halves[halfAt(now)].answered(startedAt, now)
  }

  override reset(): void {
    super.reset()
    for (const half of this.#halves) half.reset()
  }

  readHalves(): [Latency, Latency] {
    return [this.#halves[0].read(), this.#halves[1].read()]
  }
}

/** Latencies of several processes as if one had measured them. */
export function joinLatencies(parts: Latency[]): Latency {
  const filled = parts.filter(part => part.count > 0)
  if (filled.length < 2) return filled[0] ?? { count: 0, meanUs: 0, maxUs: 0, steps: [] }
  const count = filled.reduce((sum, part) => sum + part.count, 0)
  return {
    count,
    meanUs: filled.reduce((sum, part) => sum + part.meanUs * part.count, 0) / count,
    maxUs: Math.max(...filled.map(part => part.maxUs)),
    steps: joinSteps(filled, count),
  }
}

/** @param percent one of LADDER   @returns microseconds, undefined when nothing was measured */
export function percentile(latency: Latency, percent: number): number | undefined {
  return latency.steps[LADDER.indexOf(percent)]
}

// Every step of every part stands for its share of that part's replies; sorted by value they make the joined ladder.
function joinSteps(parts: Latency[], count: number): number[] {
  const points = parts.flatMap(part => part.steps.map((value, i) => ({
    value, weight: (LADDER[i] - (LADDER[i - 1] ?? 0)) / 100 * part.count / count * 100,
  }))).sort((a, b) => a.value - b.value)
  let at = 0
  let reached = points[0].weight
  return LADDER.map(step => {
    while (reached < step - 1e-6 && at < points.length - 1) reached += points[++at].weight
    return points[at].value
  })
}
