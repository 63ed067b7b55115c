/** What is expected on one backend connection, first in first out: an entry for each reply that is to come, or for several that
 *  come in one go.
 *
 *  Columns instead of objects: nothing is allocated for a request, and with tens of thousands in flight taking the head stays at
 *  10 ns (an array's shift(): 10,800 ns). */
import { hasBlockOfRow } from '../proto/commands.ts'
import { Shape, type Expectations } from '../proto/reply.ts'
import type { Run } from './outbox.ts'

const FIRST_SIZE = 256
const NO_BYTES = Buffer.alloc(0)

/** What becomes of the reply, as bits. Possible together: `swallow` and `again` stand alone, `quiet` may go with `ourFence`, each of
 *  the others with `started`. */
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
  /** A part of a reply whose first part was another entry. */
  follows: 64,
} as const

export class Expected implements Expectations {
  count = 0
  /** Index of the oldest. */
  head = 0
  /** Whose the reply is; undefined: the request was ours. */
  run: (Run | undefined)[] = new Array(FIRST_SIZE)
  /** The buffer of the request: its keys are compared. */
  asked: Buffer[] = new Array(FIRST_SIZE).fill(NO_BYTES)
  shape = new Uint8Array(FIRST_SIZE)
  fate = new Uint8Array(FIRST_SIZE)
  row = new Uint8Array(FIRST_SIZE)
  hasBlock = new Uint8Array(FIRST_SIZE)
  opcode = new Uint8Array(FIRST_SIZE)
  /** Where the line begins in `asked`; of several the first one. */
  start = new Int32Array(FIRST_SIZE)
  /** Where the last of several ends in `asked`; -1: they do not lie side by side. */
  askedTo = new Int32Array(FIRST_SIZE)
  /** 1: one of them at least has its key or its opaque in the answer. */
  isEchoed = new Uint8Array(FIRST_SIZE)
  keyFrom = new Int32Array(FIRST_SIZE)
  keyTo = new Int32Array(FIRST_SIZE)
  /** Requests that are answered when it is, and how many answers those that are no fence may have, and must. */
  requests = new Int32Array(FIRST_SIZE)
  mayAnswer = new Int32Array(FIRST_SIZE)
  mustAnswer = new Int32Array(FIRST_SIZE)
  /** Keys that are read. */
  keys = new Int32Array(FIRST_SIZE)
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

  /** @param n 0: the oldest   @returns its index */
  at(n: number): number {
    return (this.head + n) & this.#mask
  }

  /** One request. What is not given here is that of a request without keys.   @returns the index of the new last one */
  push(run: Run | undefined, shape: number, fate: number, row: number, asked: Buffer, sentAt: number): number {
    if (this.count > this.#mask) this.#grow()
    const i = (this.head + this.count++) & this.#mask
    this.run[i] = run
    this.asked[i] = asked
    this.shape[i] = shape
    this.fate[i] = fate
    this.row[i] = row
    this.hasBlock[i] = hasBlockOfRow[row]
    this.start[i] = this.keyFrom[i] = this.keyTo[i] = this.keys[i] = this.isEchoed[i] = 0
    this.askedTo[i] = -1
    this.requests[i] = this.mayAnswer[i] = this.mustAnswer[i] = 1
    this.sentAt[i] = sentAt
    return i
  }

  shift(): void {
    if (this.head === this.timed) this.#answered()
    this.run[this.head] = undefined
    this.asked[this.head] = NO_BYTES
    this.head = (this.head + 1) & this.#mask
    this.count--
  }

  /** One more request answers in one go with those of the entry.   @param end of it in `asked`   @param keys that it reads */
  extend(i: number, end: number, keys: number): void {
    this.requests[i]++
    this.mustAnswer[i]++
    this.keys[i] += keys
    this.askedTo[i] = end
  }

  /** It is a part of a get, and not the last one. */
  isOpenPart(i: number): boolean {
    return this.shape[i] === Shape.part || this.shape[i] === Shape.partCas
  }

  /** Some of the requests that are one entry have been answered.   @param count of one key each */
  leaveEntry(i: number, count: number): void {
    this.requests[i] -= count
    this.mustAnswer[i] -= count
    this.keys[i] -= count
  }

  /** The first of the requests that are one entry, the oldest, gets an entry of its own, of one key.   @param end where it ends in `asked` */
  splitOldest(end: number): void {
    if (this.count > this.#mask) this.#grow()
    const rest = this.head
    const i = this.head = (rest - 1) & this.#mask
    this.count++
    this.run[i] = this.run[rest]
    this.asked[i] = this.asked[rest]
    this.shape[i] = this.shape[rest]
    this.fate[i] = this.fate[rest]
    this.row[i] = this.row[rest]
    this.sentAt[i] = this.sentAt[rest]
    this.start[i] = this.start[rest]
    this.askedTo[i] = this.start[rest] = end
    this.requests[i] = this.mayAnswer[i] = this.mustAnswer[i] = this.keys[i] = 1
    this.leaveEntry(rest, 1)
    this.fate[rest] &= ~Fate.started
  }

  /** Times the last request from now, when it is written, until it leaves the queue, answered or failed. */
  time(onAnswer: (backendMs: number) => void): void {
    if (this.timed !== -1 || this.count === 0) return
    this.timed = this.last
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
    const run = new Array<Run | undefined>(size)
    const asked = new Array<Buffer>(size).fill(NO_BYTES)
    order(this.run, (i, value) => (run[i] = value))
    order(this.asked, (i, value) => (asked[i] = value))
    this.run = run
    this.asked = asked
    this.shape = typed(this.shape)
    this.fate = typed(this.fate)
    this.row = typed(this.row)
    this.hasBlock = typed(this.hasBlock)
    this.opcode = typed(this.opcode)
    this.start = typed(this.start)
    this.askedTo = typed(this.askedTo)
    this.isEchoed = typed(this.isEchoed)
    this.keyFrom = typed(this.keyFrom)
    this.keyTo = typed(this.keyTo)
    this.requests = typed(this.requests)
    this.mayAnswer = typed(this.mayAnswer)
    this.mustAnswer = typed(this.mustAnswer)
    this.keys = typed(this.keys)
    this.ticket = typed(this.ticket)
    this.opaque = typed(this.opaque)
    this.sentAt = typed(this.sentAt)
    this.head = 0
    this.#mask = size - 1
  }
}
