import { putBounded } from '../lib/bounded.ts'

type Milliseconds = number
interface Told { at: Milliseconds, suppressed: number }
interface Minute { from: Milliseconds, lines: number, suppressed: number }

const MINUTE: Milliseconds = 60_000
const MOST_ENTRIES = 10_000
/** A line a second for each reason, whoever comes: some 20 MB a day at 250 bytes each. */
const LINES_A_MINUTE = 60

/** Keeps a flood of like events out of the log: each reason is told once a minute for each client, and at most 60 times a
 *  minute in all, since a flood may come from as many addresses as it likes. What is left out is counted. */
export class Repeats {
  #told = new Map<string, Told>()
  #minutes = new Map<string, Minute>()
  #now: () => Milliseconds
  #most: number
  #linesAMinute: number

  constructor(now: () => Milliseconds = Date.now, most = MOST_ENTRIES, linesAMinute = LINES_A_MINUTE) {
    this.#now = now
    this.#most = most
    this.#linesAMinute = linesAMinute
  }

  /** @param reason one of a closed list   @param client by the key that limits count by; '' when there is none
   *  @returns how many were left out since the last line (of this client, and of others past the limit of the reason), or
   *  undefined: leave this one out too */
  tell(reason: string, client = ''): number | undefined {
    const now = this.#now()
    const key = `${reason} ${client}`
    const told = this.#told.get(key)
    if (told !== undefined && now - told.at < MINUTE) {
      told.suppressed += 1
      return undefined
    }
    const minute = this.#minuteOf(reason, now)
    if (minute.lines >= this.#linesAMinute) {
      minute.suppressed += 1
      return undefined
    }
    minute.lines += 1
    // Set anew, so that the map stays in order of time and the oldest is the first.
    this.#told.delete(key)
    putBounded(this.#told, key, { at: now, suppressed: 0 }, this.#most)
    const suppressed = (told?.suppressed ?? 0) + minute.suppressed
    minute.suppressed = 0
    return suppressed
  }

  #minuteOf(reason: string, now: Milliseconds): Minute {
    const minute = this.#minutes.get(reason)
    if (minute !== undefined && now - minute.from < MINUTE) return minute
    const next = { from: now, lines: 0, suppressed: minute?.suppressed ?? 0 }
    // A reason may hold a name that somebody chose.
    this.#minutes.delete(reason)
    putBounded(this.#minutes, reason, next, this.#most)
    return next
  }

  get size(): number {
    return Math.max(this.#told.size, this.#minutes.size)
  }
}
