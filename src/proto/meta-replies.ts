/** The replies to several meta requests of one client that are one entry.
 *
 *      batch    mg a v, mg b v             VA 1 … EN                   as many answers as requests
 *      run      mg a v q, mg b v q, mn     VA 1 … MN                   any may be left out that was asked quietly; the MN ends it */
import { sameBytes, word } from './bytes.ts'
import { MAX_BODY, SPACE } from './frame.ts'
import { isMetaCode, MetaAsked, showsEcho } from './meta-echo.ts'
import { Got, ProtocolError, type Expectations, type ReplyInHand } from './reply.ts'

const MN = word('MN')
const NON_NUMERIC = word('CLIENT_ERROR cannot increment or decrement non-numeric value')

export class MetaReplies {
  readonly #reply: ReplyInHand
  /** Of a run, where the next request begins that may be answered; -1: nobody can tell. */
  #askedAt = 0
  readonly #asked = new MetaAsked()

  constructor(reply: ReplyInHand) {
    this.#reply = reply
  }

  /** As many answers as there are requests. Those that are here whole are taken in one go. */
  batch(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    const count = expected.mustAnswer[i]
    let hits = 0
    let got: Got = Got.more
    while (this.#reply.at < end) {
      // A value whose header came with bytes before these is a hit that `hits` no longer tells of.
      const isGoingOn = this.#reply.bodyLeft > 0
      if (this.#meta(bytes, end, expected, i) !== Got.whole) break
      hits += isGoingOn ? 1 : this.#reply.hits
      this.#reply.partTo = this.#reply.at
      got = ++this.#reply.answers === count ? Got.whole : Got.part
      if (got === Got.whole) break
    }
    if (got === Got.whole) this.#reply.answers = 0
    this.#reply.hits = hits
    return got
  }

  #meta(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    if (this.#reply.bodyLeft > 0) return this.#reply.body(bytes, end) ? Got.whole : Got.more
    this.#reply.hits = 0
    const to = this.#reply.lineEnd(bytes, end)
    if (to < 0) return Got.more
    this.#compareNext(bytes, this.#reply.at, to, expected, i)
    if (!this.#metaHeader(bytes, this.#reply.at, to, expected.hasBlock[i] === 1)) return Got.whole
    return this.#reply.body(bytes, end) ? Got.whole : Got.more
  }

  /** @returns true when a block follows */
  #metaHeader(bytes: Buffer, from: number, to: number, hasRequestBlock: boolean): boolean {
    this.#reply.at = to + 2
    const a = bytes[from]
    const b = bytes[from + 1]
    const isCode = isMetaCode(bytes, from, to)
    if (isCode && a === 86 && b === 65) {
      let bodyBytes = 0
      let p = from + 3
      for (let d = bytes[p] - 48; p < to && d >= 0 && d <= 9 && p - from < 14; d = bytes[++p] - 48) bodyBytes = bodyBytes * 10 + d
      if (p === from + 3 || (p < to && bytes[p] !== SPACE) || bodyBytes > MAX_BODY) throw new ProtocolError('bad-reply', 'a VA line with a bad length')
      this.#reply.hits = 1
      this.#reply.bodyLeft = bodyBytes + 2
      return true
    }
    if (isCode && a === 72 && b === 68) {
      this.#reply.hits = 1
      return false
    }
    const isMiss = isCode && ((a === 69 && (b === 78 || b === 88)) || (a === 78 && (b === 70 || b === 83)))
    if (!isMiss && !sameBytes(bytes, from, to, NON_NUMERIC)) this.#reply.errorLine(bytes, from, to, hasRequestBlock)
    return false
  }

  /** Answers of one client up to the MN that closes its run. Each may have been left out that was asked quietly. */
  run(bytes: Buffer, end: number, expected: Expectations, i: number): Got {
    if (this.#reply.bodyLeft > 0) return this.#reply.body(bytes, end) ? this.#partEnds() : Got.more
    this.#reply.hits = 0
    const to = this.#reply.lineEnd(bytes, end)
    if (to < 0) return Got.more
    if (sameBytes(bytes, this.#reply.at, to, MN)) {
      if (this.#reply.answers < expected.mustAnswer[i]) throw new ProtocolError('bad-reply', 'fewer replies than requests before the fence')
      this.#reply.answers = 0
      this.#reply.at = to + 2
      return Got.whole
    }
    this.#compareSome(bytes, this.#reply.at, to, expected, i)
    const hasBlock = this.#metaHeader(bytes, this.#reply.at, to, expected.hasBlock[i] === 1)
    if (++this.#reply.answers > expected.mayAnswer[i]) throw new ProtocolError('bad-reply', 'more replies than requests before the fence')
    return hasBlock && !this.#reply.body(bytes, end) ? Got.more : this.#partEnds()
  }

  // Where requests asked for it, an answer shows which of them it is to. One that was left out before it would else go unseen, and give
  // each client the answer of another.

  /** The next answer of a batch is to its next request.   @param to the line's CR */
  #compareNext(bytes: Buffer, from: number, to: number, { asked, start, askedTo, isEchoed }: Expectations, i: number): void {
    if (isEchoed[i] === 0 || askedTo[i] < 0) return
    this.#asked.read(asked[i], this.#reply.answers === 0 ? start[i] : this.#asked.next, askedTo[i])
    if (isMetaCode(bytes, from, to) && !this.#asked.fits(bytes, from, to)) throw new ProtocolError('wrong-key', OTHER_KEY)
  }

  /** An answer in a run may be to any of the requests that may stay silent, or to the first that may not. One without key and
   *  opaque says nothing, and behind an error nobody can tell which request that was for. */
  #compareSome(bytes: Buffer, from: number, to: number, { asked, start, askedTo, isEchoed }: Expectations, i: number): void {
    if (isEchoed[i] === 0 || askedTo[i] < 0) return
    if (this.#reply.answers === 0) this.#askedAt = start[i]
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
    this.#reply.partTo = this.#reply.at
    return Got.part
  }
}

const OTHER_KEY = 'a meta reply with another key or opaque than its request'
