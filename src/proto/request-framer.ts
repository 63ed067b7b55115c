/** What the request framers of both dialects have in common: they fill a frame (frame.ts), and a data block that is not here
 *  yet is held, skipped or taken in pieces.
 *
 *      push(chunk) ─▶ [ bytes ] ─▶ next() ─▶ request | head | faulty | lost | http | more
 *                                               │
 *                                               └ hold() the data block · skip() it · stream() it
 *
 *  Only a head that straddles two chunks is copied; a data block that does stays in pieces (`rest`). Nothing is allocated
 *  for a request otherwise. */
import { Found, RequestFrame, type Dialect } from './frame.ts'
import { Pieces } from './pieces.ts'

const NOTHING = Buffer.alloc(0)

export abstract class RequestFramer {
  readonly frame: RequestFrame

  protected input: Buffer = NOTHING
  protected at = 0
  /** Up to here no line end was found. */
  protected scanned = 0
  protected mode: 'framing' | 'holding' | 'skipping' | 'streaming' = 'framing'
  protected bodyLeft = 0
  readonly #pieces = new Pieces()
  /** What `input` begins, when it was joined. */
  #room: Buffer = NOTHING

  constructor(dialect: Dialect) {
    this.frame = new RequestFrame(dialect)
  }

  abstract next(): Found

  /** Bytes of an unfinished request that are kept until the rest arrives. */
  get held(): number {
    return this.mode === 'holding' ? this.frame.size - this.bodyLeft : this.input.length - this.at
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
      this.#pieces.add(this.frame.rest, taken === chunk.length ? chunk : chunk.subarray(0, taken))
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
    this.frame.end = this.input.length
    this.bodyLeft = this.frame.size - (this.input.length - this.frame.start)
    this.at = this.input.length
  }

  /** The data block is skipped. After `Found.head`. */
  skip(): void {
    this.mode = 'skipping'
    this.bodyLeft = this.frame.size - (this.frame.lineEnd - this.frame.start)
    this.at = this.frame.lineEnd
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
    const pieces = [this.frame.chunk.subarray(this.frame.start, this.frame.chunk === this.input ? this.input.length : this.frame.end), ...this.frame.rest]
    if (this.frame.chunk !== this.input) pieces.push(this.input.subarray(this.at))
    this.at = this.input.length
    this.frame.rest = []
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
    this.input = this.#room = NOTHING
    this.at = this.scanned = 0
    this.frame.clear()
    this.#pieces.letGo()
    return Found.more
  }

  /** A frame begins at `at`, and as far as is known ends at `next`. */
  protected beginFrame(input: Buffer, at: number, next: number): void {
    this.frame.begin(input, at, next)
    this.at = this.scanned = next
  }
}
