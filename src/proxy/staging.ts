/** The bytes that one turn sends on one connection to memcached, and how they become few writes.
 *
 *      send(bytes) ─▶ [ parts of this turn ] ─ flush() ─▶ one write ─▶ memcached, which takes them: `isFull`, `waitForRoom` */
import type { Socket } from 'node:net'
import { timeLast, type BackendContext } from './backend-context.ts'
import type { Dialect } from './dialect.ts'
import type { Expected } from './expected.ts'

/** Parts up to this size are joined in one buffer when several leave in a turn; larger ones leave as views. */
const JOIN_BYTES = 8 * 1024
const STAGING_BYTES = 64 * 1024
/** Buffers that parts are joined in, free for the next turn. Each is written again only after its write was confirmed. */
const freeStaging: Buffer[] = []
const MOST_FREE_STAGING = 32

/** memcached does not read: clients stop being read. Of a private connection it is little, so that whoever takes it slowly shows a sign
 *  of life often. */
const FULL_BYTES = { shared: 8 * 1024 * 1024, private: 256 * 1024 }

/** A client that is not read until memcached takes more. */
export interface WaitsForRoom {
  backendHasRoom(): void
}

/** Whose bytes they are. */
interface Sender {
  readonly isClosed: boolean
  readonly isPrivate: boolean
  readonly dialect: Dialect
  readonly expected: Expected
}

export class Staging {
  #size = 0
  readonly #socket: Socket
  readonly #context: BackendContext
  readonly #sender: Sender
  readonly #parts: Buffer[] = []
  readonly #from: number[] = []
  readonly #to: number[] = []
  /** Handed to the socket and not yet confirmed, oldest first. */
  readonly #staged: Buffer[] = []

  #isMarked = false
  #hasEnded = false
  #waiting: Set<WaitsForRoom> | undefined

  constructor(socket: Socket, context: BackendContext, sender: Sender) {
    this.#socket = socket
    this.#context = context
    this.#sender = sender
    socket.on('drain', () => this.drained())
  }

  /** Queues bytes for this turn's write. They may not change until they are written: they are a client's, or ours for good. */
  send(bytes: Buffer, from: number, to: number): void {
    this.#add(bytes, from, to)
    if (this.#isMarked) return
    this.#isMarked = true
    this.#context.turn.backend(this)
  }

  /** Neighbours in one buffer are one part. */
  #add(bytes: Buffer, from: number, to: number): void {
    const last = this.#parts.length - 1
    this.#size += to - from
    if (last >= 0 && this.#parts[last] === bytes && this.#to[last] === from) {
      this.#to[last] = to
    } else {
      this.#parts.push(bytes)
      this.#from.push(from)
      this.#to.push(to)
    }
  }

  flush(): void {
    const { dialect, isClosed, expected } = this.#sender
    // Marked until it has ended: what the end of a turn sends is of this turn.
    if (!isClosed && !this.#hasEnded) dialect.endTurn()
    this.#isMarked = false
    if (this.#parts.length === 0 || isClosed || this.#hasEnded) return
    if (this.#context.turn.startedAt !== 0) timeLast(expected, this.#context)
    this.#write()
  }

  #write(): void {
    const count = this.#parts.length
    if (count === 1) this.#socket.write(this.#parts[0].subarray(this.#from[0], this.#to[0]))
    else if (count > 1) this.#writeJoined(count)
    this.#parts.length = this.#from.length = this.#to.length = this.#size = 0
  }

  #writeJoined(count: number): void {
    const isOneWrite = this.#size <= STAGING_BYTES
    if (!isOneWrite) this.#socket.cork()
    let staging: Buffer | undefined
    let filled = 0
    for (let i = 0; i < count; i++) {
      const bytes = this.#parts[i]
      const from = this.#from[i]
      const to = this.#to[i]
      const size = to - from
      const isJoined = isOneWrite || size <= JOIN_BYTES
      if (staging !== undefined && (!isJoined || filled + size > STAGING_BYTES)) {
        this.#writeStaging(staging, filled)
        staging = undefined
      }
      if (!isJoined) {
        this.#socket.write(bytes.subarray(from, to))
        continue
      }
      if (staging === undefined) {
        staging = freeStaging.pop() ?? Buffer.allocUnsafeSlow(STAGING_BYTES)
        filled = 0
      }
      bytes.copy(staging, filled, from, to)
      filled += size
    }
    if (staging !== undefined) this.#writeStaging(staging, filled)
    if (!isOneWrite) this.#socket.uncork()
  }

  #writeStaging(staging: Buffer, filled: number): void {
    this.#staged.push(staging)
    this.#socket.write(staging.subarray(0, filled), this.#onWritten)
  }

  /** Writes are confirmed in their order. After an error the buffer may still be looked at, and is not used again. */
  readonly #onWritten = (error: Error | null | undefined): void => {
    const staging = this.#staged.shift()
    if (error == null && staging !== undefined && freeStaging.length < MOST_FREE_STAGING) freeStaging.push(staging)
  }

  /** Nothing comes after what is staged. */
  end(): void {
    this.flush()
    this.#hasEnded = true
    this.#socket.end()
  }

  // What memcached has not taken.

  get unsent(): number {
    return this.#socket.writableLength + this.#size
  }

  get taken(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  get isFull(): boolean {
    return this.unsent > (this.#sender.isPrivate ? FULL_BYTES.private : FULL_BYTES.shared)
  }

  /** A client stops being read until memcached takes more. */
  waitForRoom(client: WaitsForRoom): void {
    this.#waiting ??= new Set()
    this.#waiting.add(client)
  }

  /** memcached has taken all, or never will. */
  drained(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    for (const client of waiting) client.backendHasRoom()
  }
}
