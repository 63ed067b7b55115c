import { putBounded } from '../lib/bounded.ts'

type Milliseconds = number
interface Told { from: Milliseconds, names: Set<string> }

const MINUTE: Milliseconds = 60_000
const MOST_SOURCES = 10_000

/** Names that whoever fails may choose (of a login, of a certificate), bounded: the first so many of each source and minute are told
 *  apart, and the rest is folded into one. */
export class ToldApart {
  readonly #most: number
  readonly #now: () => Milliseconds
  /** By source; the minute that began first stands first. */
  readonly #told = new Map<string, Told>()

  /** @param most names of one source and minute   @param now milliseconds */
  constructor(most: number, now: () => Milliseconds) {
    this.#most = most
    this.#now = now
  }

  /** @param source what the names are of: the event, and the key that limits count by   @returns whether this name is one of the first */
  has(source: string, name: string): boolean {
    const now = this.#now()
    let told = this.#told.get(source)
    if (told === undefined || now < told.from || now - told.from >= MINUTE) {
      this.#told.delete(source)
      putBounded(this.#told, source, told = { from: now, names: new Set() }, MOST_SOURCES)
    }
    if (told.names.has(name)) return true
    if (told.names.size >= this.#most) return false
    told.names.add(name)
    return true
  }
}
