import type { Socket } from 'node:net'
import type { Guest } from '../admission/first-room.ts'
import type { Place } from '../admission/place.ts'
import { readProxyHeader, type Source } from '../lib/proxy-header.ts'

// A connection from a load balancer, before it is known for whom it is: the PROXY header is read and nothing behind it.
//
//   accept ── HeaderReader ──┬─ whole ── back to the listener: admission of the client, TLS (gets the bytes behind it)
//              (reads)       ├─ wrong, late, displaced ── told, reset
//                            └─ gone ── a health check, when it has said nothing

export interface HeaderEvents {
  /** It waits no longer, for whatever reason; told before the others. */
  over(): void
  /** @param bytes of the header   @param source for whom the connection is; undefined: the balancer's own */
  whole(bytes: number, source: Source | undefined): void
  /** @param words how it is wrong, the end of a sentence */
  wrong(words: string): void
  /** The balancer has left.   @param bytes that it had sent */
  gone(bytes: number): void
}

export class HeaderReader implements Guest {
  readonly place: Place
  readonly #socket: Socket
  readonly #on: HeaderEvents
  readonly #timer: NodeJS.Timeout
  #bytes: Buffer | undefined

  /** @param socket paused, nothing read   @param place that it holds until it is known whose it is */
  constructor(socket: Socket, place: Place, timeoutMs: number, on: HeaderEvents) {
    this.#socket = socket
    this.place = place
    this.#on = on
    this.#timer = setTimeout(() => this.#wrong('did not send a whole PROXY header in time'), timeoutMs)
    socket.on('data', this.#read).on('end', this.#gone).on('close', this.#gone).on('error', ignore).resume()
  }

  displace(): void {
    this.#wrong('did not send a whole PROXY header, and its place was needed for another')
  }

  /** The listener closes. */
  close(): void {
    this.#stop()
    this.#socket.destroy()
  }

  /** Nothing more is read, and the place is given back. */
  #stop(): void {
    clearTimeout(this.#timer)
    this.#socket.off('data', this.#read).off('end', this.#gone).off('close', this.#gone).pause()
    this.place.release()
    this.#on.over()
  }

  readonly #read = (chunk: Buffer): void => {
    const bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk])
    const header = readProxyHeader(bytes)
    if (header.kind === 'wrong') return this.#wrong(header.words)
    if (header.kind === 'unfinished') {
      this.#bytes = bytes
      return
    }
    this.#stop()
    if (bytes.length > header.bytes) this.#socket.unshift(bytes.subarray(header.bytes))
    this.#on.whole(header.bytes, header.source)
  }

  #wrong(words: string): void {
    this.#stop()
    this.#on.wrong(words)
  }

  readonly #gone = (): void => {
    this.#stop()
    this.#on.gone(this.#bytes?.length ?? 0)
  }
}

function ignore(): void {}
