/** Requests in flight on one backend connection, first in first out.
 *
 *  Columns instead of objects: nothing is allocated for a request, and with tens of thousands in flight taking the head
 *  stays at 10 ns (an array's shift(): 10,800 ns). */
import type { ClientSession } from './client-session.ts'

const FIRST_SIZE = 256
const NO_BYTES = Buffer.alloc(0)

/** What becomes of the reply, as bits. */
export const Fate = {
  forward: 0,
  /** The client asked for none (`noreply`), or the request was ours. */
  swallow: 1,
  /** May stay silent. */
  quiet: 2,
  /** A part of it has gone to the client, so that nothing else may be put in its place. */
  started: 4,
  /** The fence that closes a run is ours: its MN or NOOP is kept from the client. */
  ourFence: 8,
  /** Was sent before, on a connection that was lost: not a third time. */
  again: 16,
  /** Changes something, or may: sent once only. */
  changes: 32,
} as const

export class Pending {
  count = 0
  /** Index of the oldest. */
  head = 0
  sessions: (ClientSession | undefined)[] = new Array(FIRST_SIZE)
  /** The buffer of the request (its keys are compared), or the words of a local reply. */
  asked: Buffer[] = new Array(FIRST_SIZE).fill(NO_BYTES)
  shape = new Uint8Array(FIRST_SIZE)
  fate = new Uint8Array(FIRST_SIZE)
  row = new Uint8Array(FIRST_SIZE)
  opcode = new Uint8Array(FIRST_SIZE)
  /** Keys of the request in `asked`; for a run, how many requests it has and how many of them must answer. */
  from = new Int32Array(FIRST_SIZE)
  to = new Int32Array(FIRST_SIZE)
  /** Of a run or batch: where the first line begins in `asked`. */
  start = new Int32Array(FIRST_SIZE)
  /** Number that we put in the place of the client's opaque, and the client's own. */
  ticket = new Uint32Array(FIRST_SIZE)
  opaque = new Uint32Array(FIRST_SIZE)
  sentAt = new Float64Array(FIRST_SIZE)
  /** Index of the request whose way is timed; -1: none. One at a time, so that requests themselves are not slowed. */
  timed = -1
  #timedFrom = 0
  #onAnswer: ((backendMs: number) => void) | undefined
  #mask = FIRST_SIZE - 1

  /** Index of the newest, while there is one. */
  get last(): number {
    return (this.head + this.count - 1) & this.#mask
  }

  /** @returns the index of the new last one */
  push(session: ClientSession | undefined, shape: number, fate: number, row: number, asked: Buffer, from: number, to: number, now: number): number {
    if (this.count > this.#mask) this.#grow()
    const i = (this.head + this.count++) & this.#mask
    this.sessions[i] = session
    this.asked[i] = asked
    this.shape[i] = shape
    this.fate[i] = fate
    this.row[i] = row
    this.from[i] = from
    this.to[i] = to
    this.sentAt[i] = now
    return i
  }

  shift(): void {
    if (this.head === this.timed) this.#answered()
    this.sessions[this.head] = undefined
    this.asked[this.head] = NO_BYTES
    this.head = (this.head + 1) & this.#mask
    this.count--
  }

  /** Times the last request from now, when it is written, until it leaves the queue, answered or failed. */
  time(onAnswer: (backendMs: number) => void): void {
    if (this.timed !== -1 || this.count === 0) return
    this.timed = (this.head + this.count - 1) & this.#mask
    this.#timedFrom = performance.now()
    this.#onAnswer = onAnswer
  }

  #answered(): void {
    this.timed = -1
    this.#onAnswer?.(performance.now() - this.#timedFrom)
  }

  #grow(): void {
    // Places change: what is timed is let go.
    this.timed = -1
    const size = this.count * 2
    const order = <T>(old: ArrayLike<T>, put: (index: number, value: T) => void): void => {
      for (let i = 0; i < this.count; i++) put(i, old[(this.head + i) & this.#mask])
    }
    const typed = <T extends Uint8Array | Int32Array | Uint32Array | Float64Array>(old: T): T => {
      const wider = new (old.constructor as new (size: number) => T)(size)
      order(old, (i, value) => (wider[i] = value))
      return wider
    }
    const sessions = new Array<ClientSession | undefined>(size)
    const asked = new Array<Buffer>(size).fill(NO_BYTES)
    order(this.sessions, (i, value) => (sessions[i] = value))
    order(this.asked, (i, value) => (asked[i] = value))
    this.sessions = sessions
    this.asked = asked
    this.shape = typed(this.shape)
    this.fate = typed(this.fate)
    this.row = typed(this.row)
    this.opcode = typed(this.opcode)
    this.from = typed(this.from)
    this.to = typed(this.to)
    this.start = typed(this.start)
    this.ticket = typed(this.ticket)
    this.opaque = typed(this.opaque)
    this.sentAt = typed(this.sentAt)
    this.head = 0
    this.#mask = size - 1
  }
}
