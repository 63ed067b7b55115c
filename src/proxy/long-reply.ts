/** The oldest reply of a lane, while it is a long one: the others leave, and a client that does not take it holds the lane.
 *
 *      short ─▶ busy: others go to another lane ─▶ held: memcached is not read until the client takes more ─▶ busy ─▶ short */
import type { Clock } from '../lib/clock.ts'
import type { Dialect } from './dialect.ts'
import type { Expected } from './expected.ts'
import { Hold, isFarBehind } from './hold.ts'
import type { Outbox } from './outbox.ts'
import type { ReplyWindow } from './reply-window.ts'

interface Lane {
  readonly expected: Expected
  readonly dialect: Dialect
  readonly window: ReplyWindow
  readonly clock: Clock
  readonly state: string
  /** Clients that have chosen it. */
  readonly clients: number
  pauseReading(): void
  resumeReading(): void
}

export class LongReply {
  /** Whoever asks something here waits for its end. */
  isBusy = false
  readonly #lane: Lane
  readonly #longBytes: number
  readonly #onBusy: () => void
  readonly #isOpening: () => boolean
  /** Of the oldest reply, what has come. */
  #bytes = 0
  #hold: Hold | undefined

  /** @param longBytes a reply of more than this, of which more is to come, is long   @param onBusy the lane is busy, or no longer
   *  @param isOpening another lane is on its way */
  constructor(lane: Lane, longBytes: number, onBusy: () => void, isOpening: () => boolean) {
    this.#lane = lane
    this.#longBytes = longBytes
    this.#onBusy = onBusy
    this.#isOpening = isOpening
  }

  /** `count` bytes were read, and the replies in them.   @param head the oldest before */
  grew(head: number, count: number): void {
    const { expected, window } = this.#lane
    this.#bytes = expected.head === head ? this.#bytes + count : window.end - window.from
  }

  /** Is the oldest reply a long one, and does its client take it? */
  look(): void {
    const { expected, dialect, state } = this.#lane
    const wasBusy = this.isBusy
    const run = expected.count > 0 ? expected.run[expected.head] : undefined
    this.isBusy = run !== undefined && this.#bytes + dialect.replies.bytesLeft > this.#longBytes
    if (this.isBusy !== wasBusy || this.isBusy && state === 'offered') this.#onBusy()
    if (run !== undefined && this.isBusy && this.mayHold && isFarBehind(run.outbox, expected)) this.#holdFor(run.outbox)
  }

  #holdFor(outbox: Outbox): void {
    this.#hold = new Hold(outbox, this.#lane.clock.now)
    this.#lane.pauseReading()
    // Whoever comes next needs another lane.
    if (this.#lane.state === 'offered') this.#onBusy()
  }

  get isHeld(): boolean {
    return this.#hold !== undefined
  }

  get expected(): Expected {
    return this.#lane.expected
  }

  /** Nobody else is to ask here, or soon so. */
  get mayHold(): boolean {
    return this.#lane.state !== 'offered' || this.#lane.clients <= 1 || this.#isOpening()
  }

  checkHold(now: number, replyTimeoutMs: number): void {
    this.#hold?.check(this, now, replyTimeoutMs)
  }

  /** The client that the lane waits for has taken some. */
  repliesTaken(): void {
    if (this.#hold?.isOver === true) this.letGo(this.#hold.outbox)
  }

  /** The client has gone, or is not to be waited for. */
  letGo(outbox: Outbox): void {
    if (this.#hold?.outbox !== outbox) return
    this.#hold = undefined
    this.#lane.resumeReading()
  }
}
