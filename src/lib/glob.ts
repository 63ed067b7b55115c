/** Patterns in which a `*` stands for any bytes, or none; `\*` is a star itself and `\\` a backslash. No regular expression: what
 *  is matched comes from strangers, and the time that it takes must not be theirs to choose. */

export class Glob {
  /** Before the first star, between two of them, behind the last. Without a star `first` is all there is. */
  readonly first: Buffer
  readonly #between: readonly Buffer[]
  readonly #last: Buffer
  readonly isExact: boolean
  readonly #leastBytes: number
  readonly #texts: readonly string[]

  constructor(pattern: string) {
    const pieces = this.#texts = piecesOf(pattern)
    this.first = Buffer.from(pieces[0])
    this.isExact = pieces.length === 1
    this.#between = pieces.slice(1, -1).filter((piece) => piece !== '').map((piece) => Buffer.from(piece))
    this.#last = Buffer.from(this.isExact ? '' : pieces[pieces.length - 1])
    this.#leastBytes = this.first.length + this.#last.length + this.#between.reduce((sum, piece) => sum + piece.length, 0)
  }

  /** Does it take all of `bytes` from `from` up to `to`? */
  matches(bytes: Uint8Array, from: number, to: number): boolean {
    const { first } = this
    const length = to - from
    if (this.isExact ? length !== first.length : length < this.#leastBytes) return false
    if (!isAt(first, bytes, from)) return false
    if (this.isExact) return true
    const end = to - this.#last.length
    if (!isAt(this.#last, bytes, end)) return false
    // The earliest place of each piece leaves the most room for those behind it.
    let at = from + first.length
    for (let piece = 0; piece < this.#between.length; piece++) {
      const found = indexOf(this.#between[piece], bytes, at, end)
      if (found < 0) return false
      at = found + this.#between[piece].length
    }
    return true
  }

  matchesText(text: string): boolean {
    const [first] = this.#texts
    const last = this.#texts[this.#texts.length - 1]
    if (this.isExact) return text === first
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let at = first.length
    for (let piece = 1; piece < this.#texts.length - 1; piece++) {
      const found = text.indexOf(this.#texts[piece], at)
      if (found < 0 || found + this.#texts[piece].length > end) return false
      at = found + this.#texts[piece].length
    }
    return at <= end
  }
}

function isAt(piece: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < piece.length; i++) if (bytes[at + i] !== piece[i]) return false
  return true
}

function indexOf(piece: Uint8Array, bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at <= to - piece.length; at++) if (isAt(piece, bytes, at)) return at
  return -1
}

/** What stands between the stars, its backslashes resolved. */
function piecesOf(pattern: string): string[] {
  const pieces = ['']
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] === '*') pieces.push('')
    else pieces[pieces.length - 1] += pattern[at] === '\\' && isEscape(pattern, at) ? pattern[++at] : pattern[at]
  }
  return pieces
}

function isEscape(pattern: string, at: number): boolean {
  return pattern[at + 1] === '*' || pattern[at + 1] === '\\'
}

/** Is there a star in it that stands for others? */
export function hasStar(pattern: string): boolean {
  return piecesOf(pattern).length > 1
}
