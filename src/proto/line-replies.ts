/** Replies that are one line, or a list of lines: dumps and statistics. */
import { indexOfByte, sameBytes, startsWith, word } from './bytes.ts'
import { CR, LF, SPACE } from './frame.ts'
import { Got, ProtocolError, Shape, type ReplyInHand } from './reply.ts'

/** Lines of dumps and statistics; what is not whole yet has to fit into the memory that is read into. */
const LONGEST_LISTED = 8192

const words = {
  stored: word('STORED'), notStored: word('NOT_STORED'), exists: word('EXISTS'), notFound: word('NOT_FOUND'), deleted: word('DELETED'),
  touched: word('TOUCHED'), ok: word('OK'), mn: word('MN'), end: word('END'), en: word('EN'),
}
const VERSION = word('VERSION ')

export class LineReplies {
  readonly #reply: ReplyInHand
  #lines = 0
  /** memcached has said OK to `watch`. */
  #isWatching = false

  constructor(reply: ReplyInHand) {
    this.#reply = reply
  }

  line(bytes: Buffer, end: number, shape: number, hasBlock: boolean): Got {
    const to = this.#reply.lineEnd(bytes, end)
    if (to < 0) return Got.more
    const from = this.#reply.at
    // Whoever does not tell his version is asked nothing.
    if (!this.#fits(bytes, from, to, shape)) this.#reply.errorLine(bytes, from, to, hasBlock || shape === Shape.version)
    this.#reply.at = to + 2
    return Got.whole
  }

  #fits(bytes: Buffer, from: number, to: number, shape: number): boolean {
    switch (shape) {
      case Shape.stored:
        return sameBytes(bytes, from, to, words.stored) || sameBytes(bytes, from, to, words.notStored) ||
          sameBytes(bytes, from, to, words.exists) || sameBytes(bytes, from, to, words.notFound)
      case Shape.number:
        return isNumber(bytes, from, to) || sameBytes(bytes, from, to, words.notFound)
      case Shape.deleted: return sameBytes(bytes, from, to, words.deleted) || sameBytes(bytes, from, to, words.notFound)
      case Shape.touched: return sameBytes(bytes, from, to, words.touched) || sameBytes(bytes, from, to, words.notFound)
      case Shape.ok: return sameBytes(bytes, from, to, words.ok)
      case Shape.version: return startsWith(bytes, from, to, VERSION)
      case Shape.mn: return sameBytes(bytes, from, to, words.mn)
      case Shape.me: return (bytes[from] === 77 && bytes[from + 1] === 69 && bytes[from + 2] === SPACE) || isCode(bytes, from, to, 69, 78)
      case Shape.line: case Shape.none: return true
      default: return false
    }
  }

  /** A watcher's log has no end, but a refusal is one line. */
  endless(bytes: Buffer, end: number): Got {
    if (!this.#isWatching) {
      const from = this.#reply.at
      const to = this.#reply.lineEnd(bytes, end)
      if (to < 0) return Got.more
      this.#reply.at = to + 2
      if (!sameBytes(bytes, from, to, words.ok)) return Got.whole
      this.#isWatching = true
    }
    this.#reply.at = end
    return Got.more
  }

  /** Dumps and statistics, on connections of one client only: their lines are not held to a grammar. */
  list(bytes: Buffer, end: number, isDump: boolean): Got {
    for (;;) {
      const lf = indexOfByte(bytes, LF, this.#reply.at, end)
      if ((lf < 0 ? end : lf) - this.#reply.at > LONGEST_LISTED) throw new ProtocolError('bad-reply', 'a line of more than 8192 bytes in a list')
      if (lf < 0) return Got.more
      const from = this.#reply.at
      const to = lf > from && bytes[lf - 1] === CR ? lf - 1 : lf
      this.#reply.at = lf + 1
      const isFirst = this.#lines++ === 0
      const isLast = sameBytes(bytes, from, to, words.end) || (isDump && sameBytes(bytes, from, to, words.en)) ||
        (isFirst && !opensList(bytes, from, to, isDump))
      if (!isLast) continue
      this.#lines = 0
      return Got.whole
    }
  }
}

const openings = ['STAT ', 'PREFIX ', 'ITEM '].map(word)
const dumpOpenings = ['key=', 'mg ', 'OK'].map(word)

const opensList = (bytes: Buffer, from: number, to: number, isDump: boolean): boolean =>
  (isDump ? dumpOpenings : openings).some((opening) => startsWith(bytes, from, to, opening))

const isCode = (bytes: Buffer, from: number, to: number, a: number, b: number): boolean =>
  bytes[from] === a && bytes[from + 1] === b && (to - from === 2 || bytes[from + 2] === SPACE)

function isNumber(bytes: Buffer, from: number, to: number): boolean {
  if (to === from || to - from > 20) return false
  for (let i = from; i < to; i++) if (bytes[i] < 48 || bytes[i] > 57) return false
  return true
}
