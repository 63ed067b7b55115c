/** The bytes that one turn sends on one connection to memcached, and how they become few writes. */
import type { Socket } from 'node:net'

/** Parts up to this size are joined in one buffer when several leave in a turn; larger ones leave as views. */
const JOIN_BYTES = 8 * 1024
const STAGING_BYTES = 64 * 1024
/** Buffers that parts are joined in, free for the next turn. Each is written again only after its write was confirmed. */
const freeStaging: Buffer[] = []
const MOST_FREE_STAGING = 32

export class Staging {
  size = 0
  readonly #socket: Socket
  readonly #parts: Buffer[] = []
  readonly #from: number[] = []
  readonly #to: number[] = []
  /** Handed to the socket and not yet confirmed, oldest first. */
  readonly #staged: Buffer[] = []

  constructor(socket: Socket) {
    this.#socket = socket
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0
  }

  /** Neighbours in one buffer are one part. */
  add(bytes: Buffer, from: number, to: number): void {
    const last = this.#parts.length - 1
    this.size += to - from
    if (last >= 0 && this.#parts[last] === bytes && this.#to[last] === from) {
      this.#to[last] = to
    } else {
      this.#parts.push(bytes)
      this.#from.push(from)
      this.#to.push(to)
    }
  }

  write(): void {
    const count = this.#parts.length
    if (count === 1) this.#socket.write(this.#parts[0].subarray(this.#from[0], this.#to[0]))
    else if (count > 1) this.#writeJoined(count)
    this.#parts.length = this.#from.length = this.#to.length = this.size = 0
  }

  #writeJoined(count: number): void {
    const isOneWrite = this.size <= STAGING_BYTES
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
}
