/** What the request framers of both dialects have in common: a frame is offsets into `chunk`, and a data block that is
 *  not here yet is held, read over or taken in pieces.
 *
 *      push(chunk) ─▶ [ bytes ] ─▶ next() ─▶ request | head | faulty | lost | http | more
 *                                               │
 *                                               └ hold() the data block · skip() it · stream() it
 *
 *  Only a head that straddles two chunks is copied; a data block that does stays in pieces (`rest`). Nothing is allocated
 *  for a request otherwise. */
import { UNKNOWN } from './commands.ts'
import { Found } from './frame.ts'
import { Pieces } from './pieces.ts'

export const NOTHING = Buffer.alloc(0)

export abstract class RequestFramer {
  /** Row of the command table. */
  row = UNKNOWN
  /** A second row that policy must allow as well (a meta get that also writes, an INCR that may create); -1: none. */
  alsoRow = -1
  /** Every release of memcached reads it the same way and answers in a form known beforehand. */
  strict = false
  /** May stay without an answer: meta `q`, quiet opcodes. */
  quiet = false
  /** Ends in `noreply`; `cutStart` to `cutEnd` are that word and the blank before it. */
  silent = false
  cutStart = 0
  cutEnd = 0
  /** The request: `start` to `end` of `chunk`, then `rest`. `lineEnd` is just behind its line, or header and key. */
  chunk: Buffer = NOTHING
  start = 0
  lineEnd = 0
  end = 0
  rest: Buffer[] = []
  /** First key's start; for the get family `keyEnd` is the end of the last key. */
  keyStart = 0
  keyEnd = 0
  keys = 0
  /** Bytes of the whole request, data block and line ends counted. */
  size = 0
  /** Lowest release of memcached that takes it as meant, as `release()` gives it; 0: any. */
  needs = 0

  protected input: Buffer = NOTHING
  protected at = 0
  /** Up to here no line end was found. */
  protected scanned = 0
  protected mode: 'framing' | 'holding' | 'skipping' | 'streaming' = 'framing'
  protected bodyLeft = 0
  readonly #pieces = new Pieces()
  /** What `input` begins, when it was joined. */
  #room: Buffer = NOTHING

  abstract next(): Found

  /** Bytes of an unfinished request that are kept until the rest arrives. */
  get held(): number {
    return this.mode === 'holding' ? this.size - this.bodyLeft : this.input.length - this.at
  }

  get isInsideRequest(): boolean {
    return this.mode !== 'framing' || this.at < this.input.length
  }

  get isStreaming(): boolean {
    return this.mode === 'streaming'
  }

  push(chunk: Buffer): void {
    if (this.mode === 'holding' && this.bodyLeft > 0) {
      const taken = Math.min(this.bodyLeft, chunk.length)
      this.#pieces.add(this.rest, taken === chunk.length ? chunk : chunk.subarray(0, taken))
      this.bodyLeft -= taken
      this.input = chunk
      this.at = this.scanned = taken
    } else if (this.at === this.input.length) {
      this.input = chunk
      this.at = this.scanned = 0
    } else this.#append(chunk)
  }

  /** Joins a head that straddles chunks. One that comes in many small pieces is not copied whole for each of them: behind
   *  it is room for as much again, which frames given out before do not reach. */
  #append(chunk: Buffer): void {
    const kept = this.input.length - this.at
    const to = this.input.length + chunk.length
    if (this.input.buffer === this.#room.buffer && to <= this.#room.length) {
      chunk.copy(this.#room, this.input.length)
      this.input = this.#room.subarray(0, to)
      return
    }
    this.#room = Buffer.allocUnsafeSlow(2 * (kept + chunk.length))
    this.input.copy(this.#room, 0, this.at)
    chunk.copy(this.#room, kept)
    this.input = this.#room.subarray(0, kept + chunk.length)
    this.scanned = Math.max(this.scanned - this.at, 0)
    this.at = 0
  }

  /** The data block is wanted whole: `next()` answers again when it is here. Only after `Found.head`. */
  hold(): void {
    this.mode = 'holding'
    this.end = this.input.length
    this.bodyLeft = this.size - (this.input.length - this.start)
    this.at = this.input.length
  }

  /** The data block is read over. After `Found.head`. */
  skip(): void {
    this.mode = 'skipping'
    this.bodyLeft = this.size - (this.lineEnd - this.start)
    this.at = this.lineEnd
  }

  /** The data block is taken in pieces by `body()`. After `Found.head`. */
  stream(): void {
    this.skip()
    this.mode = 'streaming'
  }

  /** @returns the next piece of a streamed data block, undefined when no more of it is here */
  body(): Buffer | undefined {
    if (this.mode !== 'streaming') return undefined
    const from = this.at
    const taken = this.#takeBody()
    return taken === 0 ? undefined : this.input.subarray(from, from + taken)
  }

  /** Everything from the start of the frame in hand on, for a connection that is no longer framed. */
  takeRest(): Buffer[] {
    const pieces = [this.chunk.subarray(this.start, this.chunk === this.input ? this.input.length : this.end), ...this.rest]
    if (this.chunk !== this.input) pieces.push(this.input.subarray(this.at))
    this.at = this.input.length
    this.rest = []
    return pieces.filter((piece) => piece.length > 0)
  }

  /** @returns true when no data block stands in the way of the next head */
  protected passBody(): boolean {
    if (this.mode === 'skipping') this.#takeBody()
    return this.bodyLeft === 0
  }

  #takeBody(): number {
    const taken = Math.min(this.bodyLeft, this.input.length - this.at)
    this.at += taken
    this.bodyLeft -= taken
    if (this.bodyLeft === 0) this.mode = 'framing'
    return taken
  }

  /** Nothing is left to read: an idle client keeps nothing of what it has sent. */
  protected letGo(): Found {
    this.input = this.#room = this.chunk = NOTHING
    this.at = this.scanned = 0
    if (this.rest.length > 0) this.rest = []
    this.#pieces.letGo()
    return Found.more
  }

  /** A frame begins at `at`, and as far as is known ends at `next`. */
  protected beginFrame(input: Buffer, at: number, next: number): void {
    this.chunk = input
    this.start = this.keyStart = this.keyEnd = at
    this.keys = 0
    this.lineEnd = this.end = this.at = this.scanned = next
    this.size = next - at
    if (this.rest.length > 0) this.rest = []
    this.row = UNKNOWN
    this.alsoRow = -1
    this.strict = this.quiet = this.silent = false
    this.needs = 0
  }
}
