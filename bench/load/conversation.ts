import type { Script } from './script.ts'

/** Counts what has been answered. Latency in nanoseconds. */
export interface Tally {
  answered(startedAt: number, now: number): void
}

/** One client's walk through a script: what it sends next, and what must come back, byte for byte.
 *
 *      replies  |--- answered ---|--- in flight ---|--- not yet asked ---|   (a circle)
 *                          #expectAt         #nextRequest
 *
 *  Times are milliseconds of `performance.now()`. */
export class Conversation {
  inFlight = 0
  #script: Script
  #tally: Tally
  #nextRequest: number
  #nextReply: number
  #expectAt: number
  /** when each request in flight was meant to be sent: a ring, oldest at `#oldest` */
  #startedAt: Float64Array
  #oldest = 0

  /** @param depth most requests that will ever be in flight   @param start index of the first request */
  constructor(script: Script, tally: Tally, depth: number, start: number) {
    this.#script = script
    this.#tally = tally
    this.#nextRequest = start % script.length
    this.#nextReply = this.#nextRequest
    this.#expectAt = this.#nextReply === 0 ? 0 : script.replyEnd[this.#nextReply - 1]
    this.#startedAt = new Float64Array(2 ** Math.ceil(Math.log2(Math.max(depth, 1))))
  }

  /** The bytes of the next request, and of as many more as stand before the end of the script, up to `most`. */
  next(most: number, startedAt: number): Buffer {
    const { requests, requestEnd, length } = this.#script
    const first = this.#nextRequest
    const last = Math.min(first + most, length) - 1
    for (let i = first; i <= last; i++) {
      this.#startedAt[(this.#oldest + this.inFlight++) & (this.#startedAt.length - 1)] = startedAt
    }
    this.#nextRequest = last + 1 === length ? 0 : last + 1
    return requests.subarray(first === 0 ? 0 : requestEnd[first - 1], requestEnd[last])
  }

  /** Checks `chunk[0, length)` against what must come.
   *  @returns how many replies it completed   @throws WrongReply at the first byte that differs */
  receive(chunk: Buffer, length: number, now: number): number {
    const { replies } = this.#script
    let answered = 0
    for (let at = 0; at < length;) {
      const take = Math.min(length - at, replies.length - this.#expectAt)
      if (this.#script.unknown) this.#blank(chunk, at, take, this.#script.unknown)
      if (chunk.compare(replies, this.#expectAt, this.#expectAt + take, at, at + take) !== 0) {
        throw wrongReply(chunk.subarray(at, at + take), replies.subarray(this.#expectAt, this.#expectAt + take))
      }
      at += take
      answered += this.#advance(take, now)
    }
    return answered
  }

  #advance(bytes: number, now: number): number {
    const { replyEnd, length, replies } = this.#script
    this.#expectAt += bytes
    let answered = 0
    while (this.#nextReply < length && replyEnd[this.#nextReply] <= this.#expectAt) {
      if (this.inFlight === 0) throw new WrongReply('a reply came that nothing asked for')
      this.#tally.answered(this.#startedAt[this.#oldest], now)
      this.#oldest = (this.#oldest + 1) & (this.#startedAt.length - 1)
      this.inFlight--
      this.#nextReply++
      answered++
    }
    if (this.inFlight === 0 && this.#expectAt > (replyEnd[this.#nextReply - 1] ?? 0)) {
      throw new WrongReply('bytes came that nothing asked for')
    }
    if (this.#expectAt === replies.length) {
      this.#expectAt = 0
      this.#nextReply = 0
    }
    return answered
  }

  #blank(chunk: Buffer, at: number, take: number, unknown: { offset: number, length: number }): void {
    const { replyEnd, length } = this.#script
    const until = this.#expectAt + take
    for (let i = this.#nextReply; i < length; i++) {
      const hole = (i === 0 ? 0 : replyEnd[i - 1]) + unknown.offset
      if (hole >= until) return
      const from = Math.max(hole, this.#expectAt)
      const to = Math.min(hole + unknown.length, until)
      for (let byte = from; byte < to; byte++) chunk[byte - this.#expectAt + at] = 0
    }
  }
}

export class WrongReply extends Error {}

function wrongReply(got: Buffer, wanted: Buffer): WrongReply {
  let at = 0
  while (got[at] === wanted[at]) at++
  const shown = (bytes: Buffer) => JSON.stringify(bytes.subarray(Math.max(0, at - 16), at + 48).toString('latin1'))
  return new WrongReply(`wrong byte in a reply: got ${shown(got)}, wanted ${shown(wanted)}`)
}
