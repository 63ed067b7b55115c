type Milliseconds = number

const MINUTE: Milliseconds = 60_000
const MOST_ENTRIES = 10_000

/** Keeps a flood of equal events out of the log: each key is told once a minute, with the number left out before. */
export class Repeats {
  #told = new Map<string, { at: Milliseconds, suppressed: number }>()
  #now: () => Milliseconds
  #most: number

  constructor(now: () => Milliseconds = Date.now, most = MOST_ENTRIES) {
    this.#now = now
    this.#most = most
  }

  /** @returns how many were left out since the last that was told, or undefined: leave this one out too */
  tell(key: string): number | undefined {
    const now = this.#now()
    const told = this.#told.get(key)
    if (told !== undefined && now - told.at < MINUTE) {
      told.suppressed += 1
      return undefined
    }
    // Set anew, so that the map stays in order of time and the oldest is the first.
    this.#told.delete(key)
    if (this.#told.size >= this.#most) this.#told.delete(this.#told.keys().next().value!)
    this.#told.set(key, { at: now, suppressed: 0 })
    return told?.suppressed ?? 0
  }

  get size(): number {
    return this.#told.size
  }
}
