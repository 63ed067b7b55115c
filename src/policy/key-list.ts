/** Patterns of keys, as `keys` and `deny_keys` of a rule write them: looked through by their first byte, so that a request costs
 *  a comparison or two however many there are. */
import { Glob } from '../lib/glob.ts'

const NONE: readonly Glob[] = []

export class KeyList {
  readonly patterns: readonly string[]
  /** By the byte that a key of theirs begins with; and those that begin with a star. */
  readonly #byFirst: (readonly Glob[])[]
  readonly #any: readonly Glob[]

  constructor(patterns: readonly string[]) {
    this.patterns = patterns
    const globs = patterns.map((pattern) => new Glob(pattern))
    this.#any = globs.filter(({ first }) => first.length === 0)
    this.#byFirst = Array.from({ length: 256 }, (_, byte) => {
      const fitting = globs.filter(({ first }) => first.length > 0 && first[0] === byte)
      return fitting.length === 0 ? NONE : fitting
    })
  }

  has(bytes: Uint8Array, from: number, to: number): boolean {
    if (from < to) {
      const globs = this.#byFirst[bytes[from]]
      for (let at = 0; at < globs.length; at++) if (globs[at].matches(bytes, from, to)) return true
    }
    for (let at = 0; at < this.#any.length; at++) if (this.#any[at].matches(bytes, from, to)) return true
    return false
  }
}
