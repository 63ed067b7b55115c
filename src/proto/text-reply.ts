/** Replies of the text protocol, classic and meta, pulled out of what memcached has sent.
 *
 *  The framer is told what the request at the head of the queue may be answered with, and takes nothing else: a line of
 *  another kind, a VALUE whose key was not asked for, a block without its CRLF throw `ProtocolError`, since from there on
 *  nobody can say whose bytes follow. A value's bytes are consumed as they come; headers only when they are whole.
 *
 *      values   get a b c                  VALUE a … VALUE c … END
 *      gets     get a, get b, get c        VALUE a … END  END  VALUE c … END             of one client, one entry
 *      joined   get a b c, a of client 1   VALUE a …                                     the END is the last one's
 *
 *  Meta replies: meta-replies.ts; what is one line or a list of them: line-replies.ts.
 *  Source: protocol.txt, and PROTOCOL 2.1, 2.4 for what is measured of it. */
import { indexOfByte, sameBytes, sameRange, startsWith, word } from './bytes.ts'
import { CR, LF, MAX_BODY, MAX_LINE, SPACE } from './frame.ts'
import { LineReplies } from './line-replies.ts'
import { MetaReplies } from './meta-replies.ts'
import { Got, ProtocolError, Shape, type Expectations, type ReplyInHand } from './reply.ts'

/** No header of a VALUE is longer: name, key, flags, length, cas, blanks and line end, as far as their readers go. */
const LONGEST_VALUE_HEADER = 6 + 250 + 1 + 21 + 1 + 11 + 1 + 21 + 2
const VALUE = word('VALUE ')
const END = word('END')
const SERVER_ERROR = word('SERVER_ERROR ')
const CLIENT_ERROR = word('CLIENT_ERROR ')
const ERROR = word('ERROR')
/** Before this line earlier replies may be missing (PROTOCOL 2.3), so no reply behind it can be trusted. From 1.6.40 on memcached
 *  does not end its words: what lies behind them in its memory comes along, line ends too, or is too much for a line. */
const LOST_REPLIES = word('SERVER_ERROR out of memory writing get response')
const TOO_MUCH_LOST = word('SERVER_ERROR output line too long')

export class TextReplyFramer implements ReplyInHand {
  /** Just behind what has been consumed. Set by `next()`. */
  at = 0
  /** End of the last whole answer, after `Got.part`; of the error line, after `Got.refused`. */
  partTo = 0
  /** Items that the reply just finished brought; misses are the caller's arithmetic. */
  hits = 0
  /** Of the data block in hand, so much is still to come, its line end counted. */
  bodyLeft = 0
  /** Of an entry that is several requests, so many are answered. */
  answers = 0
  /** The values of one get may come in another order than their keys were asked in, as proxies gather them. */
  anyOrder = false
  /** The values just finished are an error line in their place. */
  isError = false
  /** One client alone is on the connection: it may see any error line that memcached sends. */
  readonly isPrivate: boolean
  readonly #meta = new MetaReplies(this)
  readonly #lines = new LineReplies(this)
  #cursor = -1
  /** Which of the keys asked for is at the cursor. */
  #index = 0
  /** Keys of the get in hand that have been answered, by their index: those that bear its number. */
  #answered = new Uint32Array(0)
  #number = 0
  /** Of several gets, where the next one begins; and of the one in hand, where it begins, its key, and whether its value has come. */
  #askedAt = 0
  #oneStart = 0
  #oneFrom = 0
  #oneTo = 0
  #isHit = false
  /** A value has come for one of the gets that went on one line, so no error may come for the rest. */
  #hasJoinedValue = false

  constructor(isPrivate: boolean) {
    this.isPrivate = isPrivate
  }

  /** @param at start of what has not been consumed   @param end end of what has been received
   *  @param i which of the expectations is the oldest
   *  @throws ProtocolError when it is something else */
  next(bytes: Buffer, at: number, end: number, expected: Expectations, i: number): Got {
    this.at = at
    if (at === end) return Got.more
    const shape = expected.shape[i]
    switch (shape) {
      case Shape.values: case Shape.part: return this.#values(bytes, end, expected, i, false)
      case Shape.valuesCas: case Shape.partCas: return this.#values(bytes, end, expected, i, true)
      case Shape.gets: return this.#gets(bytes, end, expected, i)
      case Shape.joined: return this.#joined(bytes, end, expected.asked[i], expected.keyFrom[i], expected.keyTo[i])
      case Shape.metaRun: return this.#meta.run(bytes, end, expected, i)
      case Shape.metaBatch: return this.#meta.batch(bytes, end, expected, i)
      case Shape.lines: return this.#lines.list(bytes, end, false)
      case Shape.dump: return this.#lines.list(bytes, end, true)
      case Shape.endless: return this.#lines.endless(bytes, end)
      default: return this.#lines.line(bytes, end, shape, expected.hasBlock[i] === 1)
    }
  }

  #values(bytes: Buffer, end: number, expected: Expectations, i: number, hasCas: boolean): Got {
    const asked = expected.asked[i]
    const from = expected.keyFrom[i]
    const to = expected.keyTo[i]
    if (this.#cursor < 0) this.#beginGet(from)
    for (;;) {
      if (this.bodyLeft > 0 && !this.body(bytes, end)) return Got.more
      const at = this.at
      if (at === end) return Got.more
      if (bytes[at] === 86) {
        if (!isHeaderWhole(bytes, at, end)) return Got.more
        this.#valueHeader(bytes, at, asked, from, to, hasCas)
        continue
      }
      const lineEnd = this.lineEnd(bytes, end)
      if (lineEnd < 0) return Got.more
      this.isError = !sameBytes(bytes, at, lineEnd, END)
      const goesOn = this.isError && this.#errorAmongValues(bytes, at, lineEnd, end, expected, i)
      this.at = lineEnd + 2
      if (goesOn) continue
      this.#cursor = -1
      this.#hasJoinedValue = false
      return Got.whole
    }
  }

  /** As many answers as there are gets, each to the next key. Those that are here whole are taken in one go. */
  #gets(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    const asked = expected.asked[i]
    const count = expected.mustAnswer[i]
    if (this.answers === 0 && this.#cursor < 0) this.#askedAt = expected.start[i]
    let hits = 0
    let got: Got = Got.more
    while (this.at < end) {
      if (this.#cursor < 0) this.#readGet(asked)
      if (!this.#one(bytes, end, asked)) break
      this.#cursor = -1
      if (this.#isHit) hits++
      this.partTo = this.at
      got = ++this.answers === count ? Got.whole : Got.part
      if (got === Got.whole) break
    }
    if (got === Got.whole) this.answers = 0
    this.hits = hits
    return got
  }

  /** The next get of those that lie side by side. */
  #readGet(asked: Buffer): void {
    this.#oneStart = this.#askedAt
    let at = this.#askedAt + 4
    while (asked[at] === SPACE) at++
    this.#oneFrom = this.#cursor = at
    while (asked[at] > SPACE) at++
    this.#oneTo = at
    while (asked[at] !== LF) at++
    this.#askedAt = at + 1
    this.#isHit = false
  }

  /** @returns true when the get in hand is answered */
  #one(bytes: Buffer, end: number, asked: Buffer): boolean {
    if (!this.#isHit && bytes[this.at] === 86) {
      if (!isHeaderWhole(bytes, this.at, end)) return false
      mustBeValue(bytes, this.at)
      const key = this.at + VALUE.length
      const keyEnd = key + this.#oneTo - this.#oneFrom
      if (bytes[keyEnd] !== SPACE || !sameRange(bytes, key, keyEnd, asked, this.#oneFrom, this.#oneTo)) throw wrongKey()
      this.#behindKey(bytes, keyEnd, false)
      this.#isHit = true
    }
    if (this.bodyLeft > 0 && !this.body(bytes, end)) return false
    const { at } = this
    if (end - at >= 5 && bytes[at] === 69 && bytes[at + 1] === 78 && bytes[at + 2] === 68 && bytes[at + 3] === CR && bytes[at + 4] === LF) {
      this.at = at + 5
      return true
    }
    const lineEnd = at === end ? -1 : this.lineEnd(bytes, end)
    if (lineEnd < 0) return false
    if (this.#isHit) throw new ProtocolError('bad-reply', 'another line than END behind the value of a get')
    this.errorLine(bytes, at, lineEnd, false)
    this.at = lineEnd + 2
    return true
  }

  /** Of several gets, where the one ends that is in hand. */
  get inHandTo(): number {
    return this.#askedAt
  }

  /** Of several gets, where the first one begins that is not answered. The stream is at its end: those before it are forgotten.
   *  @param start of the first of all */
  takeUnanswered(start: number): number {
    const at = this.#cursor >= 0 ? this.#oneStart : this.answers > 0 ? this.#askedAt : start
    this.answers = 0
    return at
  }

  /** memcached gives an error line in place of all values. Proxies give one in place of the value of one key: mcrouter leaves out
   *  the END then, memcached's own proxy does not, and from the line itself nobody can tell.
   *  @returns true when the list goes on behind it: then what is here behind it, with nothing else in flight, can be nothing else */
  #errorAmongValues(bytes: Buffer, from: number, to: number, end: number, { asked, keyFrom, keyTo, count }: Expectations, i: number): boolean {
    const blank = asked[i].indexOf(SPACE, keyFrom[i])
    if (this.#hasJoinedValue || blank < 0 || blank >= keyTo[i]) {
      this.#errorForValues(bytes, from, to, false)
      return false
    }
    const isMoreHere = end > to + 2
    if (count === 1 && (isMoreHere || this.isPrivate)) this.errorLine(bytes, from, to, false)
    else this.#errorForValues(bytes, from, to, true)
    return count === 1 && isMoreHere
  }

  #beginGet(from: number): void {
    this.#cursor = from
    this.#index = 0
    this.#number = (this.#number + 1) >>> 0
    if (this.#number === 0) this.#answered.fill(this.#number++)
    this.hits = 0
  }

  /** One key of a line whose END belongs to the last of them. */
  #joined(bytes: Buffer, end: number, asked: Buffer, from: number, to: number): Got {
    if (this.bodyLeft > 0) return this.body(bytes, end) ? Got.whole : Got.more
    this.hits = 0
    const at = this.at
    if (bytes[at] !== 86) return this.#noValue(bytes, end)
    if (!isHeaderWhole(bytes, at, end)) return Got.more
    const key = at + VALUE.length
    const keyEnd = key + to - from
    if (!sameRange(bytes, key, keyEnd, asked, from, to) || bytes[keyEnd] !== SPACE) return Got.absent
    this.#beginGet(from)
    this.#valueHeader(bytes, at, asked, from, to, false)
    this.#cursor = -1
    this.#hasJoinedValue = true
    return this.body(bytes, end) ? Got.whole : Got.more
  }

  #noValue(bytes: Buffer, end: number): Got {
    const lineEnd = this.lineEnd(bytes, end)
    if (lineEnd < 0) return Got.more
    if (sameBytes(bytes, this.at, lineEnd, END)) return Got.absent
    this.#errorForValues(bytes, this.at, lineEnd, true)
    this.partTo = lineEnd + 2
    return Got.refused
  }

  /** An error comes in place of all values, never behind one of them. */
  #errorForValues(bytes: Buffer, from: number, to: number, areSeveral: boolean): void {
    if (this.hits > 0 || this.#hasJoinedValue) throw new ProtocolError('bad-reply', 'another line than VALUE or END inside the reply to a get')
    this.errorLine(bytes, from, to, areSeveral)
  }

  /** VALUE <key> <flags> <bytes>[ <cas>] CRLF, all of it known to be here. */
  #valueHeader(bytes: Buffer, at: number, asked: Buffer, from: number, to: number, hasCas: boolean): void {
    mustBeValue(bytes, at)
    const key = at + VALUE.length
    let length = this.#keyFrom(bytes, key, asked, this.#cursor, to)
    if (length < 0 && this.anyOrder) {
      this.#index = 0
      length = this.#keyFrom(bytes, key, asked, from, this.#cursor)
    }
    if (length < 0) throw wrongKey()
    this.#behindKey(bytes, key + length, hasCas)
  }

  #behindKey(bytes: Buffer, keyEnd: number, hasCas: boolean): void {
    let p = this.#digits(bytes, keyEnd + 1, 20)
    if (bytes[p++] !== SPACE) throw new ProtocolError('bad-reply', 'a VALUE line without a length')
    let bodyBytes = 0
    const first = p
    for (let d = bytes[p] - 48; d >= 0 && d <= 9 && p - first < 11; d = bytes[++p] - 48) bodyBytes = bodyBytes * 10 + d
    if (p === first || bodyBytes > MAX_BODY) throw new ProtocolError('bad-reply', 'a VALUE line with a bad length')
    if (hasCas) {
      if (bytes[p] !== SPACE) throw new ProtocolError('bad-reply', 'a VALUE line without its cas')
      p = this.#digits(bytes, p + 1, 20)
    }
    if (bytes[p] !== CR || bytes[p + 1] !== LF) throw new ProtocolError('bad-reply', 'a VALUE line that goes on')
    this.hits++
    this.at = p + 2
    this.bodyLeft = bodyBytes + 2
  }

  /** Finds the key of a value among those that were asked for, the next one first: that is what ties a value to its request. The
   *  search goes on behind it the next time.   @param to end of a key   @returns its length, or -1 */
  #keyFrom(bytes: Buffer, key: number, asked: Buffer, from: number, to: number): number {
    let index = this.#index
    for (let at = from; ; index++) {
      while (at < to && asked[at] === SPACE) at++
      if (at >= to) return -1
      let length = 0
      while (at + length < to && asked[at + length] === bytes[key + length] && asked[at + length] !== SPACE) length++
      const isWholeKey = at + length === to || asked[at + length] === SPACE
      if (isWholeKey && bytes[key + length] === SPACE && (!this.anyOrder || this.#isUnanswered(index))) {
        this.#cursor = at + length
        this.#index = index + 1
        return length
      }
      while (at < to && asked[at] !== SPACE) at++
    }
  }

  /** A key is answered as often as it was asked for, not more often. */
  #isUnanswered(index: number): boolean {
    if (index >= this.#answered.length) {
      const wider = new Uint32Array(Math.max(256, 2 * index))
      wider.set(this.#answered)
      this.#answered = wider
    }
    if (this.#answered[index] === this.#number) return false
    this.#answered[index] = this.#number
    return true
  }

  #digits(bytes: Buffer, from: number, most: number): number {
    let p = from
    // Old releases print flags of 2^31 and more as negative numbers.
    if (bytes[p] === 45) p++
    const first = p
    while (bytes[p] >= 48 && bytes[p] <= 57 && p - first < most) p++
    if (p === first) throw new ProtocolError('bad-reply', 'no number where one was expected')
    return p
  }

  // What all readers of replies have in common.

  /** Consumes a data block as far as it is here. @returns true when it and its CRLF are done */
  body(bytes: Buffer, end: number): boolean {
    const value = Math.min(this.bodyLeft - 2, end - this.at)
    if (value > 0) {
      this.at += value
      this.bodyLeft -= value
    }
    if (this.bodyLeft > 2 || end - this.at < 2) return false
    if (bytes[this.at] !== CR || bytes[this.at + 1] !== LF) throw new ProtocolError('bad-block', 'a value without its line end')
    this.at += 2
    this.bodyLeft = 0
    return true
  }

  /** @returns where the line's CR is, or -1 when the line is not whole yet */
  lineEnd(bytes: Buffer, end: number): number {
    const lf = indexOfByte(bytes, LF, this.at, end)
    if (lf < 0) {
      if (end - this.at > MAX_LINE) throw new ProtocolError('bad-reply', 'a reply line of more than 2048 bytes')
      return -1
    }
    if (lf - this.at > MAX_LINE) throw new ProtocolError('bad-reply', 'a reply line of more than 2048 bytes')
    if (lf === this.at || bytes[lf - 1] !== CR) {
      if (!this.isPrivate && startsWith(bytes, this.at, lf, LOST_REPLIES)) throw lostReplies()
      throw new ProtocolError('bad-reply', 'a reply line that ends without CR')
    }
    return lf - 1
  }

  /** To a request of one line an error line is a whole answer, and proxies give some that memcached would not (`CLIENT_ERROR no such
   *  pool`). With a data block it is not, on a shared connection: who refuses the line may read the block as commands, and answer
   *  those. memcached takes the block when it says SERVER_ERROR. */
  errorLine(bytes: Buffer, from: number, to: number, mayBeMore: boolean): void {
    if (startsWith(bytes, from, to, SERVER_ERROR)) {
      if (this.isPrivate || !(startsWith(bytes, from, to, LOST_REPLIES) || startsWith(bytes, from, to, TOO_MUCH_LOST))) return
      throw lostReplies()
    }
    if ((this.isPrivate || !mayBeMore) && (startsWith(bytes, from, to, CLIENT_ERROR) || isErrorWord(bytes, from, to))) return
    throw new ProtocolError('bad-reply', 'a reply that does not fit its request')
  }
}

const wrongKey = (): ProtocolError => new ProtocolError('wrong-key', 'a VALUE for a key that was not asked for')
const lostReplies = (): ProtocolError => new ProtocolError('lost-replies', 'the backend had no memory for replies and dropped some')

function mustBeValue(bytes: Buffer, at: number): void {
  for (let i = 1; i < VALUE.length; i++) if (bytes[at + i] !== VALUE[i]) throw new ProtocolError('bad-reply', 'no VALUE line where one was expected')
}

/** The line of a VALUE that begins at `at` is here. */
const isHeaderWhole = (bytes: Buffer, at: number, end: number): boolean =>
  end - at >= LONGEST_VALUE_HEADER || indexOfByte(bytes, LF, at, end) >= 0

/** `ERROR`, by itself or with words behind it. */
const isErrorWord = (bytes: Buffer, from: number, to: number): boolean =>
  startsWith(bytes, from, to, ERROR) && (to - from === ERROR.length || bytes[from + ERROR.length] === SPACE)
