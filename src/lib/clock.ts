/** Coarse time for deadlines: one tick for all of them instead of a timer per request. */
export const TICK_MS = 100

export class Clock {
  /** Milliseconds of a clock that never goes back, at most one tick old. */
  now = performance.now()
  readonly #watchers = new Set<(now: number) => void>()
  readonly #timer: NodeJS.Timeout

  constructor() {
    this.#timer = setInterval(() => {
      this.now = performance.now()
      for (const watcher of this.#watchers) watcher(this.now)
    }, TICK_MS)
    this.#timer.unref()
  }

  /** Calls `watcher` at every tick. @returns how to end it */
  watch(watcher: (now: number) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
