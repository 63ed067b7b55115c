/** Replies of the text protocol, classic and meta, pulled out of what memcached has sent.
 *
 *  The framer is told what the request at the head of the queue may be answered with, and takes nothing else: a line of
 *  another kind, a VALUE whose key was not asked for, a block without its CRLF throw `ProtocolError`, since from there on
 *  nobody can say whose bytes follow. A value's bytes are consumed as they come; headers only when they are whole.
 *  Source: protocol.txt, and PROTOCOL 2.1, 2.4 for what is measured of it. */
import { indexOfByte, sameBytes, sameRange } from './bytes.ts'
import { CR, LF, MAX_LINE, SPACE } from './frame.ts'
import { isMetaCode, MetaAsked, showsEcho } from './meta-echo.ts'
import { Got, ProtocolError, Shape, type Expectations } from './reply.ts'

/** No header of a VALUE is longer: name, key, flags, length, cas, blanks and line end, as far as their readers go. */
const LONGEST_VALUE_HEADER = 6 + 250 + 1 + 21 + 1 + 11 + 1 + 21 + 2
const MAX_BODY = 1 << 30
/** Lines of dumps and statistics; what is not whole yet has to fit into the memory that is read into. */
const LONGEST_LISTED = 8192

const word = (text: string): Uint8Array => Buffer.from(text)
const words = {
  stored: word('STORED'), notStored: word('NOT_STORED'), exists: word('EXISTS'), notFound: word('NOT_FOUND'), deleted: word('DELETED'),
  touched: word('TOUCHED'), ok: word('OK'), mn: word('MN'), end: word('END'), en: word('EN'),
}
const VALUE = word('VALUE ')
const VERSION = word('VERSION ')
const SERVER_ERROR = word('SERVER_ERROR ')
const CLIENT_ERROR = word('CLIENT_ERROR ')
const ERROR = word('ERROR')
/** Before this line earlier replies may be missing (PROTOCOL 2.3), so no reply behind it can be trusted. From 1.6.40 on memcached
 *  does not end its words: what lies behind them in its memory comes along, line ends too, or is too much for a line. */
const LOST_REPLIES = word('SERVER_ERROR out of memory writing get response')
const TOO_MUCH_LOST = word('SERVER_ERROR output line too long')
const NON_NUMERIC = word('CLIENT_ERROR cannot increment or decrement non-numeric value')

export class TextReplyFramer {
  /** Just behind what has been consumed. Set by `next()`. */
  at = 0
  /** End of the last whole answer, after `Got.part`; of the error line, after `Got.refused`. */
  partTo = 0
  /** Items that the reply just finished brought; misses are the caller's arithmetic. */
  hits = 0
  /** The values of one get may come in another order than their keys were asked in, as proxies gather them. */
  anyOrder = false
  /** The values just finished are an error line in their place. */
  isError = false

  #bodyLeft = 0
  #cursor = -1
  /** Which of the keys asked for is at the cursor. */
  #index = 0
  /** Keys of the get in hand that have been answered, by their index: those that bear its number. */
  #answered = new Uint32Array(0)
  #number = 0
  #answers = 0
  /** Of the requests in hand, where the next one that may be answered begins; -1: nobody can tell. */
  #askedAt = 0
  readonly #asked = new MetaAsked()
  /** Of the get in hand, one of several: where it begins, its key, and whether its value has come. */
  #oneStart = 0
  #oneFrom = 0
  #oneTo = 0
  #isHit = false
  #lines = 0
  /** A value has come for one of the gets that went on one line, so no error may come for the rest. */
  #hasJoinedValue = false
  /** One client alone is on the connection: it may see any error line that memcached sends. */
  readonly #isPrivate: boolean

  constructor(isPrivate: boolean) {
    this.#isPrivate = isPrivate
  }

  /** Bytes that are still to come of the value in hand. */
  get bytesLeft(): number {
    return this.#bodyLeft
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
      case Shape.metaRun: return this.#run(bytes, end, expected, i)
      case Shape.metaBatch: return this.#batch(bytes, end, expected, i)
      case Shape.lines: return this.#manyLines(bytes, end, false)
      case Shape.dump: return this.#manyLines(bytes, end, true)
      case Shape.endless: this.at = end; return Got.more
      default: return this.#line(bytes, end, shape, expected.hasBlock[i] === 1)
    }
  }

  #values(bytes: Buffer, end: number, expected: Expectations, i: number, hasCas: boolean): Got {
    const asked = expected.asked[i]
    const from = expected.keyFrom[i]
    const to = expected.keyTo[i]
    if (this.#cursor < 0) this.#beginGet(from)
    for (;;) {
      if (this.#bodyLeft > 0 && !this.#body(bytes, end)) return Got.more
      const at = this.at
      if (at === end) return Got.more
      if (bytes[at] === 86) {
        if (!isHeaderWhole(bytes, at, end)) return Got.more
        this.#valueHeader(bytes, at, asked, from, to, hasCas)
        continue
      }
      const lineEnd = this.#lineEnd(bytes, end)
      if (lineEnd < 0) return Got.more
      this.isError = !sameBytes(bytes, at, lineEnd, words.end)
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
    if (this.#answers === 0 && this.#cursor < 0) this.#askedAt = expected.start[i]
    let hits = 0
    let got: Got = Got.more
    while (this.at < end) {
      if (this.#cursor < 0) this.#readGet(asked)
      if (!this.#one(bytes, end, asked)) break
      this.#cursor = -1
      if (this.#isHit) hits++
      this.partTo = this.at
      got = ++this.#answers === count ? Got.whole : Got.part
      if (got === Got.whole) break
    }
    if (got === Got.whole) this.#answers = 0
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
    if (this.#bodyLeft > 0 && !this.#body(bytes, end)) return false
    const { at } = this
    if (end - at >= 5 && bytes[at] === 69 && bytes[at + 1] === 78 && bytes[at + 2] === 68 && bytes[at + 3] === CR && bytes[at + 4] === LF) {
      this.at = at + 5
      return true
    }
    const lineEnd = at === end ? -1 : this.#lineEnd(bytes, end)
    if (lineEnd < 0) return false
    if (this.#isHit) throw new ProtocolError('bad-reply', 'another line than END behind the value of a get')
    this.#errorLine(bytes, at, lineEnd, false)
    this.at = lineEnd + 2
    return true
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
    if (count === 1 && (isMoreHere || this.#isPrivate)) this.#errorLine(bytes, from, to, false)
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
    if (this.#bodyLeft > 0) return this.#body(bytes, end) ? Got.whole : Got.more
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
    return this.#body(bytes, end) ? Got.whole : Got.more
  }

  #noValue(bytes: Buffer, end: number): Got {
    const lineEnd = this.#lineEnd(bytes, end)
    if (lineEnd < 0) return Got.more
    if (sameBytes(bytes, this.at, lineEnd, words.end)) return Got.absent
    this.#errorForValues(bytes, this.at, lineEnd, true)
    this.partTo = lineEnd + 2
    return Got.refused
  }

  /** An error comes in place of all values, never behind one of them. */
  #errorForValues(bytes: Buffer, from: number, to: number, areSeveral: boolean): void {
    if (this.hits > 0 || this.#hasJoinedValue) throw new ProtocolError('bad-reply', 'another line than VALUE or END inside the reply to a get')
    this.#errorLine(bytes, from, to, areSeveral)
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
    this.#bodyLeft = bodyBytes + 2
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

  /** Consumes a data block as far as it is here. @returns true when it and its CRLF are done */
  #body(bytes: Buffer, end: number): boolean {
    const value = Math.min(this.#bodyLeft - 2, end - this.at)
    if (value > 0) {
      this.at += value
      this.#bodyLeft -= value
    }
    if (this.#bodyLeft > 2 || end - this.at < 2) return false
    if (bytes[this.at] !== CR || bytes[this.at + 1] !== LF) throw new ProtocolError('bad-block', 'a value without its line end')
    this.at += 2
    this.#bodyLeft = 0
    return true
  }

  /** @returns where the line's CR is, or -1 when the line is not whole yet */
  #lineEnd(bytes: Buffer, end: number): number {
    const lf = indexOfByte(bytes, LF, this.at, end)
    if (lf < 0) {
      if (end - this.at > MAX_LINE) throw new ProtocolError('bad-reply', 'a reply line of more than 2048 bytes')
      return -1
    }
    if (lf - this.at > MAX_LINE) throw new ProtocolError('bad-reply', 'a reply line of more than 2048 bytes')
    if (lf === this.at || bytes[lf - 1] !== CR) {
      if (!this.#isPrivate && startsWith(bytes, this.at, lf, LOST_REPLIES)) throw lostReplies()
      throw new ProtocolError('bad-reply', 'a reply line that ends without CR')
    }
    return lf - 1
  }

  #line(bytes: Buffer, end: number, shape: number, hasBlock: boolean): Got {
    const to = this.#lineEnd(bytes, end)
    if (to < 0) return Got.more
    const from = this.at
    // Whoever does not tell his version is asked nothing.
    if (!this.#fits(bytes, from, to, shape)) this.#errorLine(bytes, from, to, hasBlock || shape === Shape.version)
    this.at = to + 2
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

  /** To a request of one line an error line is a whole answer, and proxies give some that memcached would not (`CLIENT_ERROR no such
   *  pool`). With a data block it is not, on a shared connection: who refuses the line may read the block as commands, and answer
   *  those. memcached takes the block when it says SERVER_ERROR. */
  #errorLine(bytes: Buffer, from: number, to: number, mayBeMore: boolean): void {
    if (startsWith(bytes, from, to, SERVER_ERROR)) {
      if (this.#isPrivate || !(startsWith(bytes, from, to, LOST_REPLIES) || startsWith(bytes, from, to, TOO_MUCH_LOST))) return
      throw lostReplies()
    }
    if ((this.#isPrivate || !mayBeMore) && (startsWith(bytes, from, to, CLIENT_ERROR) || isErrorWord(bytes, from, to))) return
    throw new ProtocolError('bad-reply', 'a reply that does not fit its request')
  }

  /** Answers so far to the entry in hand, of those that are several requests. */
  get answers(): number {
    return this.#answers
  }

  /** Of several gets, where the one ends that is in hand. */
  get inHandTo(): number {
    return this.#askedAt
  }

  /** Of several gets, where the first one begins that is not answered. The stream is at its end: those before it are forgotten.
   *  @param start of the first of all */
  takeUnanswered(start: number): number {
    const at = this.#cursor >= 0 ? this.#oneStart : this.#answers > 0 ? this.#askedAt : start
    this.#answers = 0
    return at
  }

  /** As many answers as there are requests. Those that are here whole are taken in one go. */
  #batch(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    const count = expected.mustAnswer[i]
    let hits = 0
    let got: Got = Got.more
    while (this.at < end) {
      // A value whose header came with bytes before these is a hit that `hits` no longer tells of.
      const isGoingOn = this.#bodyLeft > 0
      if (this.#meta(bytes, end, expected, i) !== Got.whole) break
      hits += isGoingOn ? 1 : this.hits
      this.partTo = this.at
      got = ++this.#answers === count ? Got.whole : Got.part
      if (got === Got.whole) break
    }
    if (got === Got.whole) this.#answers = 0
    this.hits = hits
    return got
  }

  #meta(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    if (this.#bodyLeft > 0) return this.#body(bytes, end) ? Got.whole : Got.more
    this.hits = 0
    const to = this.#lineEnd(bytes, end)
    if (to < 0) return Got.more
    this.#compareNext(bytes, this.at, to, expected, i)
    if (!this.#metaHeader(bytes, this.at, to, expected.hasBlock[i] === 1)) return Got.whole
    return this.#body(bytes, end) ? Got.whole : Got.more
  }

  /** @returns true when a block follows */
  #metaHeader(bytes: Buffer, from: number, to: number, hasRequestBlock: boolean): boolean {
    this.at = to + 2
    const a = bytes[from]
    const b = bytes[from + 1]
    const isCode = to - from === 2 || (to - from > 2 && bytes[from + 2] === SPACE)
    if (isCode && a === 86 && b === 65) {
      let bodyBytes = 0
      let p = from + 3
      for (let d = bytes[p] - 48; p < to && d >= 0 && d <= 9 && p - from < 14; d = bytes[++p] - 48) bodyBytes = bodyBytes * 10 + d
      if (p === from + 3 || (p < to && bytes[p] !== SPACE) || bodyBytes > MAX_BODY) throw new ProtocolError('bad-reply', 'a VA line with a bad length')
      this.hits = 1
      this.#bodyLeft = bodyBytes + 2
      return true
    }
    if (isCode && a === 72 && b === 68) {
      this.hits = 1
      return false
    }
    const isMiss = isCode && ((a === 69 && (b === 78 || b === 88)) || (a === 78 && (b === 70 || b === 83)))
    if (!isMiss && !sameBytes(bytes, from, to, NON_NUMERIC)) this.#errorLine(bytes, from, to, hasRequestBlock)
    return false
  }

  /** Answers of one client up to the MN that closes its run. Each may have been left out that was asked quietly. */
  #run(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    if (this.#bodyLeft > 0) return this.#body(bytes, end) ? this.#partEnds() : Got.more
    this.hits = 0
    const to = this.#lineEnd(bytes, end)
    if (to < 0) return Got.more
    if (sameBytes(bytes, this.at, to, words.mn)) {
      if (this.#answers < expected.mustAnswer[i]) throw new ProtocolError('bad-reply', 'fewer replies than requests before the fence')
      this.#answers = 0
      this.at = to + 2
      return Got.whole
    }
    this.#compareSome(bytes, this.at, to, expected, i)
    const hasBlock = this.#metaHeader(bytes, this.at, to, expected.hasBlock[i] === 1)
    if (++this.#answers > expected.mayAnswer[i]) throw new ProtocolError('bad-reply', 'more replies than requests before the fence')
    return hasBlock && !this.#body(bytes, end) ? Got.more : this.#partEnds()
  }

  // Where requests asked for it, an answer shows which of them it is to. One that was left out before it would else go unseen, and give
  // each client the answer of another.

  /** The next answer of a batch is to its next request.   @param to the line's CR */
  #compareNext(bytes: Buffer, from: number, to: number, { asked, start, askedTo, isEchoed }: Expectations, i: number): void {
    if (isEchoed[i] === 0 || askedTo[i] < 0) return
    this.#asked.read(asked[i], this.#answers === 0 ? start[i] : this.#asked.next, askedTo[i])
    if (isMetaCode(bytes, from, to) && !this.#asked.fits(bytes, from, to)) throw new ProtocolError('wrong-key', OTHER_KEY)
  }

  /** An answer in a run may be to any of the requests that may stay silent, or to the first that may not. One without key and
   *  opaque says nothing, and behind an error nobody can tell which request that was for. */
  #compareSome(bytes: Buffer, from: number, to: number, { asked, start, askedTo, isEchoed }: Expectations, i: number): void {
    if (isEchoed[i] === 0 || askedTo[i] < 0) return
    if (this.#answers === 0) this.#askedAt = start[i]
    if (!isMetaCode(bytes, from, to)) this.#askedAt = -1
    if (this.#askedAt < 0 || !showsEcho(bytes, from, to)) return
    while (this.#askedAt < askedTo[i]) {
      this.#asked.read(asked[i], this.#askedAt, askedTo[i])
      this.#askedAt = this.#asked.next
      if (this.#asked.fits(bytes, from, to)) return
      if (!this.#asked.isQuiet && this.#asked.isEchoed) break
    }
    throw new ProtocolError('wrong-key', OTHER_KEY)
  }

  #partEnds(): Got {
    this.partTo = this.at
    return Got.part
  }

  /** Dumps and statistics, on connections of one client only: their lines are not held to a grammar. */
  #manyLines(bytes: Buffer, end: number, isDump: boolean): Got {
    for (;;) {
      const lf = indexOfByte(bytes, LF, this.at, end)
      if ((lf < 0 ? end : lf) - this.at > LONGEST_LISTED) throw new ProtocolError('bad-reply', 'a line of more than 8192 bytes in a list')
      if (lf < 0) return Got.more
      const from = this.at
      const to = lf > from && bytes[lf - 1] === CR ? lf - 1 : lf
      this.at = lf + 1
      const isFirst = this.#lines++ === 0
      const isLast = sameBytes(bytes, from, to, words.end) || (isDump && sameBytes(bytes, from, to, words.en)) ||
        (isFirst && !opensList(bytes, from, to, isDump))
      if (!isLast) continue
      this.#lines = 0
      return Got.whole
    }
  }
}

const OTHER_KEY = 'a meta reply with another key or opaque than its request'
const wrongKey = (): ProtocolError => new ProtocolError('wrong-key', 'a VALUE for a key that was not asked for')
const lostReplies = (): ProtocolError => new ProtocolError('lost-replies', 'the backend had no memory for replies and dropped some')

const openings = ['STAT ', 'PREFIX ', 'ITEM '].map(word)
const dumpOpenings = ['key=', 'mg ', 'OK'].map(word)

const opensList = (bytes: Buffer, from: number, to: number, isDump: boolean): boolean =>
  (isDump ? dumpOpenings : openings).some((opening) => startsWith(bytes, from, to, opening))

function mustBeValue(bytes: Buffer, at: number): void {
  for (let i = 1; i < VALUE.length; i++) if (bytes[at + i] !== VALUE[i]) throw new ProtocolError('bad-reply', 'no VALUE line where one was expected')
}

/** The line of a VALUE that begins at `at` is here. */
const isHeaderWhole = (bytes: Buffer, at: number, end: number): boolean =>
  end - at >= LONGEST_VALUE_HEADER || indexOfByte(bytes, LF, at, end) >= 0

function startsWith(bytes: Buffer, from: number, to: number, start: Uint8Array): boolean {
  return to - from >= start.length && sameBytes(bytes, from, from + start.length, start)
}

/** `ERROR`, by itself or with words behind it. */
const isErrorWord = (bytes: Buffer, from: number, to: number): boolean =>
  startsWith(bytes, from, to, ERROR) && (to - from === ERROR.length || bytes[from + ERROR.length] === SPACE)

const isCode = (bytes: Buffer, from: number, to: number, a: number, b: number): boolean =>
  bytes[from] === a && bytes[from + 1] === b && (to - from === 2 || bytes[from + 2] === SPACE)

function isNumber(bytes: Buffer, from: number, to: number): boolean {
  if (to === from || to - from > 20) return false
  for (let i = from; i < to; i++) if (bytes[i] < 48 || bytes[i] > 57) return false
  return true
}
