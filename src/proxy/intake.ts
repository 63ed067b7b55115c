/** What one client sends: from its socket to requests that are taken one after the other.
 *
 *      socket ─ data ─▶ framer ─ next() ─▶ taker.take(frame)
 *
 *  Reading stops for named reasons and goes on when none is left, at the end of the turn in which the last one went. */
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { beginsProxyHeader } from '../lib/proxy-header.ts'
import { BinaryRequestFramer } from '../proto/binary-request.ts'
import { BINARY_MAGIC, dialectOf, Found, type Dialect, type RequestFrame } from '../proto/frame.ts'
import { TextRequestFramer } from '../proto/text-request.ts'

/** Why a client is not being read, as bits. */
export const Pause = {
  /** It does not take its replies. */
  clientSlow: 1,
  /** It has as many requests in flight as it may. */
  inFlight: 2,
  /** It is between two connections to memcached. */
  moving: 4,
  /** No lane is ready yet. */
  lane: 8,
  /** memcached does not take more. */
  backendFull: 16,
  /** It has as much outstanding on a lane as it may. */
  share: 32,
  /** It has asked for as much as its rule lets it in a second. */
  rate: 64,
} as const

/** Who takes the requests. */
export interface Taker {
  /** Takes the request, or lets it wait by `wait()`. */
  take(frame: RequestFrame, found: Found): void
  /** A piece of a data block whose head was taken, after `stream()`. */
  takePiece(piece: Buffer): void
  /** The data block is done. */
  bodyEnded(): void
}

/** The client, as far as its requests run dry or are taken up again. */
export interface Pumped {
  /** No whole request is left, or reading was paused. */
  ranDry(): void
  /** The last reason to pause has gone: `goOn()` is to be called at the end of the turn. */
  mayGoOn(): void
  /** It begins with a PROXY header, and nobody believes it for whom it is. */
  isClaimed(): void
}

export class Intake {
  dialect: Dialect = 'text'
  /** The data block of a request passes in pieces. */
  isStreaming = false
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #taker: Taker
  readonly #client: Pumped
  readonly #holds: (growth: number) => void
  /** Longest get line that is collected, in bytes. */
  readonly #mostLine: number
  #framer: TextRequestFramer | BinaryRequestFramer | undefined
  /** The request in hand was looked at and has to wait. */
  #waiting: Found | undefined
  #pauses = 0
  #isStopped = false
  /** Bytes of unfinished requests that are kept. */
  #held = 0
  /** Bytes that were handed on, and that memcached does not take. */
  #kept = 0
  #begunAt = 0

  /** @param holds told by how many bytes what is held has grown */
  constructor(socket: Socket, clock: Clock, taker: Taker, client: Pumped, mostLine: number, holds: (growth: number) => void) {
    this.#socket = socket
    this.#clock = clock
    this.#taker = taker
    this.#client = client
    this.#mostLine = mostLine
    this.#holds = holds
  }

  /** The request in hand; undefined: nothing has come yet. */
  get frame(): RequestFrame | undefined {
    return this.#framer?.frame
  }

  get hasBegun(): boolean {
    return this.#framer !== undefined
  }

  get isPaused(): boolean {
    return this.#pauses !== 0
  }

  has(reason: number): boolean {
    return (this.#pauses & reason) !== 0
  }

  /** A request waits that was looked at. */
  get isHoldingBack(): boolean {
    return this.#waiting !== undefined
  }

  /** When its unfinished request began, in the clock's ms; 0: there is none. */
  get begunAt(): number {
    return this.#begunAt
  }

  /** Since when its unfinished request is held, in the clock's ms; Infinity when there is none. */
  get holdsSince(): number {
    if (this.#held === 0) return Infinity
    return this.#begunAt === 0 ? this.#clock.now : this.#begunAt
  }

  push(chunk: Buffer): void {
    if (this.#framer === undefined) {
      if (beginsProxyHeader(chunk)) return this.#client.isClaimed()
      this.dialect = dialectOf(chunk[0])
      this.#framer = this.dialect === 'binary' ? new BinaryRequestFramer() : new TextRequestFramer(this.#mostLine)
    }
    this.#framer.push(chunk)
    if (this.#pauses === 0) this.pump()
  }

  /** Takes request after request until the bytes run out or a reason to wait comes up. */
  pump(): void {
    const framer = this.#framer
    if (framer === undefined) return
    while (this.#pauses === 0 && !this.#isStopped) {
      if (this.isStreaming && !this.#streamOn(framer)) break
      const found = this.#waiting ?? framer.next()
      this.#waiting = undefined
      if (found === Found.more) break
      // Whatever is unfinished behind this one has begun later.
      if (found === Found.request) this.#begunAt = 0
      this.#taker.take(framer.frame, found)
    }
    if (this.#isStopped) return
    this.#account(framer)
    this.#client.ranDry()
  }

  /** The request in hand is taken again when the reason has gone; 0: another reason to pause than its own. */
  wait(found: Found, reason: number): void {
    this.#waiting = found
    this.pause(reason)
  }

  /** @returns what waits, and will not be taken again */
  takeBackWaiting(): { frame: RequestFrame; found: Found } | undefined {
    const found = this.#waiting
    this.#waiting = undefined
    return found === undefined ? undefined : { frame: this.#framer!.frame, found }
  }

  // What becomes of a data block that is not here yet.

  /** The request is taken again when its data block is whole. */
  hold(): void {
    this.#framer!.hold()
  }

  skip(): void {
    this.#framer!.skip()
  }

  stream(): void {
    this.#framer!.stream()
    this.isStreaming = true
  }

  /** @returns true when the data block is done and nothing else holds the client up */
  #streamOn(framer: TextRequestFramer | BinaryRequestFramer): boolean {
    for (let piece = framer.body(); piece !== undefined; piece = framer.body()) this.#taker.takePiece(piece)
    this.isStreaming = framer.isStreaming
    if (!this.isStreaming) this.#taker.bodyEnded()
    return !this.isStreaming && this.#pauses === 0 && !this.#isStopped
  }

  /** Everything from the request in hand on: the client is no longer followed. */
  takeRest(): Buffer[] {
    this.#isStopped = true
    this.#letGo()
    return this.#framer!.takeRest()
  }

  /** A fresh connection to memcached would take these bytes for its dialect, so they may not be the first on one. */
  get isOtherDialect(): boolean {
    const { chunk, start } = this.#framer!.frame
    return (chunk[start] === BINARY_MAGIC) !== (this.dialect === 'binary')
  }

  // Pausing.

  pause(reason: number): void {
    if (this.#pauses === 0) this.#socket.pause()
    this.#pauses |= reason
  }

  resume(reason: number): void {
    if ((this.#pauses & reason) === 0) return
    this.#pauses &= ~reason
    if (this.#pauses === 0) this.#client.mayGoOn()
  }

  goOn(): void {
    if (this.#pauses !== 0) return
    if (!this.#isStopped) this.pump()
    if (this.#pauses === 0) this.#socket.resume()
  }

  // Held bytes.

  /** So much of what was handed on is here still, until memcached takes it. */
  keep(bytes: number): void {
    const growth = bytes - this.#kept
    if (growth === 0) return
    this.#kept = bytes
    this.#held += growth
    this.#holds(growth)
  }

  #account(framer: TextRequestFramer | BinaryRequestFramer): void {
    const held = framer.held + (this.#waiting === Found.request ? framer.frame.size : 0) + this.#kept
    const growth = held - this.#held
    this.#held = held
    if (!framer.isInsideRequest) this.#begunAt = 0
    else if (this.#begunAt === 0) this.#begunAt = this.#clock.now
    if (growth !== 0) this.#holds(growth)
  }

  /** Nothing more is taken, and what waits will never be. */
  stop(): void {
    this.#isStopped = true
    this.#waiting = undefined
    this.#socket.pause()
  }

  close(): void {
    this.#isStopped = true
    this.#framer = undefined
    this.#letGo()
  }

  #letGo(): void {
    const held = this.#held
    this.#held = this.#kept = this.#begunAt = 0
    if (held !== 0) this.#holds(-held)
  }
}
