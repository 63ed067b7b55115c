/** Replies on their way to one client.
 *
 *      lanes ─ add(view) ─▶ [ queued ] ─ flush(), once a turn ─▶ [ one write under way ] ─ confirmed ─▶ slab released
 *
 *  Neighbouring replies grow into one view. One write at a time: what comes meanwhile leaves as one write after it, and a
 *  client that does not read holds the memory of one write inside the socket, not of all that it asked for. */
import type { Socket } from 'node:net'
import type { Slab } from './slab.ts'
import type { Turn } from './turn.ts'

/** Most bytes handed to the socket at once. */
const WRITE_BYTES = 256 * 1024
/** Replies wait one turn for those of the same client that are still to come, unless there are as many as this. memcached
 *  answers a connection twenty requests at a time, which cuts a client's pipeline in two somewhere; sent on like that, every
 *  cut would stay, and come back as a write, a record and a wake-up of its own on each further round. */
const ENOUGH_BYTES = 16 * 1024

type Segment = { bytes: Buffer; from: number; to: number; slab: Slab | undefined }

export interface ReplyOwner {
  /** Requests that await their replies. */
  readonly inFlight: number
  /** A write was confirmed; the queue may be empty now. */
  repliesTaken(): void
  /** The socket failed under a write. */
  repliesLost(): void
}

export class ReplyQueue {
  /** Bytes that the client is owed and has not taken. */
  backlog = 0
  /** Bytes confirmed so far. */
  bytesOut = 0

  readonly #socket: Socket
  readonly #turn: Turn
  readonly #owner: ReplyOwner
  /** Replies of one turn leave together. */
  readonly isCoalescing: boolean
  #segments: Segment[] = []
  #tail: Segment | undefined
  #isMarked = false
  #hasWaited = false
  #isClosed = false
  /** Views handed to the socket and not yet confirmed. */
  #writing: Segment[] = []
  #unconfirmed = 0
  #writingBytes = 0
  #hasFailed = false

  /** @param isCoalescing replies of one turn leave together; if not, each by itself */
  constructor(socket: Socket, turn: Turn, owner: ReplyOwner, isCoalescing: boolean) {
    this.#socket = socket
    this.#turn = turn
    this.#owner = owner
    this.isCoalescing = isCoalescing
  }

  get isEmpty(): boolean {
    return this.backlog === 0
  }

  /** @param slab the memory that `bytes` is of; undefined for bytes that nobody writes again */
  add(bytes: Buffer, from: number, to: number, slab: Slab | undefined): void {
    if (from === to || this.#isClosed) return
    this.backlog += to - from
    const tail = this.#tail
    if (tail !== undefined && tail.bytes === bytes && tail.to === from && this.isCoalescing) {
      tail.to = to
    } else {
      slab?.retain()
      this.#tail = { bytes, from, to, slab }
      this.#segments.push(this.#tail)
    }
    if (!this.#isMarked) {
      this.#isMarked = true
      this.#turn.client(this)
    }
  }

  flush(): void {
    this.#isMarked = false
    if (this.#unconfirmed > 0 || this.#isClosed) return
    if (this.#owner.inFlight > 0 && !this.#hasWaited && this.backlog < ENOUGH_BYTES && this.isCoalescing) return this.#waitATurn()
    this.#hasWaited = false
    const count = this.#segments.length
    if (count === 1 && this.backlog <= WRITE_BYTES) {
      const segment = this.#tail!
      this.#segments.length = 0
      this.#tail = undefined
      this.#write(segment)
    } else if (count > 0) this.#writeMany()
  }

  #waitATurn(): void {
    this.#hasWaited = this.#isMarked = true
    this.#turn.client(this)
  }

  /** Nothing more is written; what waits is let go. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const segment of this.#segments) segment.slab?.release()
    this.#segments = []
    this.#tail = undefined
    this.backlog = this.#writingBytes
  }

  #writeMany(): void {
    let taken = 0
    let bytes = 0
    while (taken < this.#segments.length && bytes < WRITE_BYTES && (taken === 0 || this.isCoalescing)) {
      const segment = this.#segments[taken]
      const room = WRITE_BYTES - bytes
      if (segment.to - segment.from > room) this.#split(taken, room)
      bytes += this.#segments[taken++].to - this.#segments[taken - 1].from
    }
    const now = this.#segments.splice(0, taken)
    if (this.#segments.length === 0) this.#tail = undefined
    if (taken > 1) this.#socket.cork()
    for (const segment of now) this.#write(segment)
    if (taken > 1) this.#socket.uncork()
  }

  #split(index: number, room: number): void {
    const segment = this.#segments[index]
    segment.slab?.retain()
    const behind = { ...segment, from: segment.from + room }
    segment.to = behind.from
    this.#segments.splice(index + 1, 0, behind)
    if (this.#tail === segment) this.#tail = behind
  }

  #write(segment: Segment): void {
    this.#unconfirmed++
    this.#writing.push(segment)
    this.#writingBytes += segment.to - segment.from
    this.#socket.write(segment.bytes.subarray(segment.from, segment.to), this.#onWritten)
  }

  /** Called once per view. Only when the last of them is confirmed, and none with an error, may their memory be used
   *  again: a socket that failed may still be looking at it. */
  readonly #onWritten = (error: Error | null | undefined): void => {
    if (error != null) this.#hasFailed = true
    if (--this.#unconfirmed > 0) return
    const writing = this.#writing
    for (let i = 0; i < writing.length; i++) {
      const slab = writing[i].slab
      if (slab === undefined) continue
      if (this.#hasFailed) slab.spoil()
      else slab.release()
    }
    writing.length = 0
    this.backlog -= this.#writingBytes
    if (!this.#hasFailed) this.bytesOut += this.#writingBytes
    this.#writingBytes = 0
    if (this.#hasFailed) {
      this.#owner.repliesLost()
      return
    }
    if (this.#segments.length > 0 && !this.#isMarked) {
      this.#isMarked = true
      this.#turn.client(this)
    }
    this.#owner.repliesTaken()
  }
}
