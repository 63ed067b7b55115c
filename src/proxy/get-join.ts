/** The gets of one turn that leave as one, whichever clients they are of.
 *
 *      client 1  get a ─┐                           ┌─▶ client 1  VALUE a … END
 *      client 2  get b ─┼─▶ get a b c ─▶ memcached ─┼─▶ client 2  END
 *      client 1  get c ─┘                           └─▶ client 1  VALUE c … END
 *
 *  Before 1.6.35 memcached writes the reply to each get of a pipeline by itself: a system call, a segment and often a
 *  wake-up of ours for every one of them, most of what a get costs there. One get of several keys is answered in one go.
 *  Later releases gather the replies to one pipeline themselves; there only gets of different clients are joined, which
 *  spares memcached a third of its work at one request in flight each.
 *
 *  A value still goes to nobody but a client that asked for its key: each is an entry of `expected` with a key of its own.
 *
 *  The line stays open, without its end, until something else is to be sent or the turn is over. */
import { release, sameRange } from '../proto/bytes.ts'
import type { RequestFrame } from '../proto/frame.ts'
import type { Expected } from './expected.ts'
import type { Outbox, Run } from './outbox.ts'

/** From here on memcached gathers the replies to the gets of a pipeline itself. */
export const GATHERS_SINCE = release('1.6.35')
/** A line of more than 1024 bytes is one that some releases take only if it comes in one piece (PROTOCOL 1.1, 7). */
export const LONGEST_JOIN_BYTES = 1024
/** Bounds the wait behind earlier clients' values, and the cost of the scan for a key that stands twice. */
export const MOST_JOINED = 64
/** Up to this size a value is copied, so that its END can stand behind it. Larger ones cost so much themselves that
 *  gathering their replies saves nothing. */
export const COPY_BYTES = 4096

const NO_BYTES = Buffer.alloc(0)

export class GetJoin {
  /** What ends the line: the blanks and the line end behind the key of the last get. */
  tail: Buffer = NO_BYTES
  tailFrom = 0
  tailTo = 0
  #members = 0
  #bytes = 0
  #areSmall = true

  get isOpen(): boolean {
    return this.#members > 0
  }

  /** Whether values are small lately; while they are not, each get goes by itself. */
  saw(valueBytes: number): void {
    this.#areSmall = valueBytes <= COPY_BYTES
  }

  /** True when the get can be one more of the open line.   @param version of memcached */
  takes(expected: Expected, run: Run, frame: RequestFrame, version: number): boolean {
    if (this.#members === 0 || this.#members >= MOST_JOINED || !this.#areSmall) return false
    if (version >= GATHERS_SINCE && expected.run[expected.last]!.outbox === run.outbox) return false
    return this.#lengthWith(frame) <= LONGEST_JOIN_BYTES && !this.#hasAsked(expected, run.outbox, frame)
  }

  /** Its blank and key go before the end of the line, and its own end takes that one's place. */
  #lengthWith({ keyStart, end }: RequestFrame): number {
    return this.#bytes - (this.tailTo - this.tailFrom) + 1 + end - keyStart
  }

  /** If a key stands twice in one get and changes in between, memcached may answer only one of the two, and we cannot tell
   *  which. Between clients that is harmless; one client must not see the newer state first. */
  #hasAsked(expected: Expected, outbox: Outbox, { chunk, keyStart, keyEnd }: RequestFrame): boolean {
    for (let n = expected.count - this.#members; n < expected.count; n++) {
      const i = expected.at(n)
      if (expected.run[i]!.outbox === outbox && sameRange(expected.asked[i], expected.keyFrom[i], expected.keyTo[i], chunk, keyStart, keyEnd)) return true
    }
    return false
  }

  open(frame: RequestFrame): void {
    this.#members = 1
    this.#bytes = frame.end - frame.start
    this.#takeTail(frame)
  }

  add(frame: RequestFrame): void {
    this.#members++
    this.#bytes = this.#lengthWith(frame)
    this.#takeTail(frame)
  }

  #takeTail(frame: RequestFrame): void {
    this.tail = frame.chunk
    this.tailFrom = frame.keyEnd
    this.tailTo = frame.end
  }

  close(): void {
    this.#members = 0
    this.tail = NO_BYTES
  }
}
