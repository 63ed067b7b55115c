/** Which meta request a reply answers, where the request asked for its key (`k`) or gave an opaque (`O`): both come back as they were.
 *  Source: protocol.txt, "Meta Commands". */
import { indexOfByte, sameRange } from './bytes.ts'
import { LF, SPACE } from './frame.ts'

const K = 107
const O = 79
const Q = 113
const B = 98

/** One request, read again from the bytes that it was sent as, when its reply is there. */
export class MetaAsked {
  /** May stay without an answer. */
  isQuiet = false
  /** Where the next request begins. */
  next = 0
  #bytes: Buffer = Buffer.alloc(0)
  #keyFrom = 0
  #keyTo = 0
  #opaqueFrom = 0
  #opaqueTo = 0
  #hasKey = false
  #hasOpaque = false
  #isBase64 = false

  /** Its answer shows its key or its opaque. */
  get isEchoed(): boolean {
    return this.#hasKey || this.#hasOpaque
  }

  /** @param at start of its line, which is whole and strict */
  read(bytes: Buffer, at: number, end: number): void {
    const lf = indexOfByte(bytes, LF, at, end)
    const to = lf - 1
    this.#bytes = bytes
    this.isQuiet = this.#hasKey = this.#hasOpaque = this.#isBase64 = false
    let token = 0
    let blockBytes = 0
    const isStore = bytes[at + 1] === 115
    for (let p = at; p < to;) {
      if (bytes[p] === SPACE) {
        p++
        continue
      }
      const from = p
      while (p < to && bytes[p] !== SPACE) p++
      if (token === 1) {
        this.#keyFrom = from
        this.#keyTo = p
      } else if (token === 2 && isStore) {
        for (let d = from; d < p; d++) blockBytes = blockBytes * 10 + bytes[d] - 48
      } else if (token > 1) this.#flag(from, p)
      token++
    }
    this.next = isStore ? lf + 1 + blockBytes + 2 : lf + 1
  }

  #flag(from: number, to: number): void {
    const letter = this.#bytes[from]
    if (letter === O) {
      this.#hasOpaque = true
      this.#opaqueFrom = from + 1
      this.#opaqueTo = to
    } else if (letter === K) this.#hasKey = true
    else if (letter === Q) this.isQuiet = true
    else if (letter === B) this.#isBase64 = true
  }

  /** Whether the line may be the answer to it. A miss need not show the flags, and what was not asked for cannot be compared.
   *  @param from start of a line that begins with HD, VA, EN, NF, NS or EX   @param to its CR */
  fits(reply: Buffer, from: number, to: number): boolean {
    let showsKey = false
    let showsOpaque = false
    for (let p = from + 2; p < to;) {
      if (reply[p] === SPACE) {
        p++
        continue
      }
      const start = p
      while (p < to && reply[p] !== SPACE) p++
      if (reply[start] === K) {
        if (!this.#hasKey || !this.#isItsKey(reply, start + 1, p, to)) return false
        showsKey = true
        // What is left of a raw key that has blanks in it is no flag.
        if (this.#isBase64) break
      } else if (reply[start] === O) {
        if (!this.#hasOpaque || !sameRange(reply, start + 1, p, this.#bytes, this.#opaqueFrom, this.#opaqueTo)) return false
        showsOpaque = true
      }
    }
    const isHit = reply[from] === 72 || reply[from] === 86
    return !isHit || (showsKey === this.#hasKey && (showsOpaque === this.#hasOpaque || this.#isBase64))
  }

  #isItsKey(reply: Buffer, from: number, to: number, end: number): boolean {
    if (sameRange(reply, from, to, this.#bytes, this.#keyFrom, this.#keyTo)) return true
    // memcached shows the key as the item was stored, whatever the request has: one stored under a base64 key in base64, others raw.
    if (this.#isBase64) {
      const raw = Buffer.from(this.#bytes.toString('latin1', this.#keyFrom, this.#keyTo), 'base64')
      return from + raw.length <= end && sameRange(reply, from, from + raw.length, raw, 0, raw.length)
    }
    const shown = Buffer.from(reply.toString('latin1', from, to), 'base64')
    return sameRange(shown, 0, shown.length, this.#bytes, this.#keyFrom, this.#keyTo)
  }
}

/** The line is an answer, and not an error: its code has two letters. */
export const isMetaCode = (reply: Buffer, from: number, to: number): boolean => to - from === 2 || (to - from > 2 && reply[from + 2] === SPACE)

/** It shows a key or an opaque. */
export function showsEcho(reply: Buffer, from: number, to: number): boolean {
  for (let p = from + 2; p < to; p++) if (reply[p] === SPACE && (reply[p + 1] === K || reply[p + 1] === O)) return true
  return false
}
