/** Waiting times between tries: doubled each time up to a bound, with jitter so that many do not come at once. */
export class Backoff {
  #tries = 0
  readonly #firstMs: number
  readonly #longestMs: number

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs
    this.#longestMs = longestMs
  }

  nextMs(): number {
    const base = Math.min(this.#firstMs * 2 ** this.#tries++, this.#longestMs)
    return base * (0.75 + Math.random() * 0.25)
  }

  reset(): void {
    this.#tries = 0
  }
}
