/** Counts of values by bucket, as Prometheus wants them: a bucket holds what is at most its bound. */
export class Histogram {
  readonly bounds: readonly number[]
  /** One more than bounds: the last is for all above. */
  readonly counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.bounds.length && value > this.bounds[at]) at++
    this.counts[at]++
    this.sum += value
  }

  get count(): number {
    return this.counts.reduce((total, count) => total + count, 0)
  }
}
