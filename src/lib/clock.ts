/** Coarse time for deadlines: one tick for all of them instead of a timer per request. */
export const TICK_MS = 100

/** Where time comes from: the system's, or a simulation's. Times are milliseconds of a clock that never goes back; what is
 *  started returns how to end it. */
export interface Time {
  now(): number
  every(ms: number, task: () => void): () => void
  after(ms: number, task: () => void): () => void
  /** Calls `task` once what has arrived has been read. Left out: at once. */
  atEndOfPoll?(task: () => void): void
}

const systemTime: Time = {
  now: () => performance.now(),
  every(ms, task) {
    const timer = setInterval(task, ms).unref()
    return () => clearInterval(timer)
  },
  after(ms, task) {
    const timer = setTimeout(task, ms)
    return () => clearTimeout(timer)
  },
  atEndOfPoll: setImmediate,
}

export class Clock {
  /** Milliseconds of a clock that never goes back, at most one tick old. */
  now: number
  readonly #watchers = new Set<(now: number) => void>()
  readonly #time: Time
  readonly #endTicks: () => void

  constructor(time: Time = systemTime) {
    this.#time = time
    this.now = time.now()
    this.#endTicks = time.every(TICK_MS, () => {
      this.now = time.now()
      // Node calls timers before it reads. After a loop that stood still for longer than a deadline (a machine that was busy or
      // asleep) the answer may be there, unread.
      if (time.atEndOfPoll === undefined) this.#tick()
      else time.atEndOfPoll(this.#tick)
    })
  }

  readonly #tick = (): void => {
    for (const watcher of this.#watchers) watcher(this.now)
  }

  /** The time to the millisecond: a deadline that begins now must not lose what the loop has stood still since the last tick. */
  read(): number {
    return (this.now = this.#time.now())
  }

  /** Calls `watcher` at every tick. @returns how to end it */
  watch(watcher: (now: number) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** Calls `task` once, to the millisecond: for what is rare. @returns how to end it */
  after(ms: number, task: () => void): () => void {
    return this.#time.after(ms, task)
  }

  stop(): void {
    this.#endTicks()
    this.#watchers.clear()
  }
}
