/** The replies of the text protocol on a connection to memcached: whose each is, and how it goes on.
 *
 *      window ─▶ framer.next() ─┬─ whole ──▶ its client; ours is kept
 *                               ├─ part ───▶ answers of several requests that are one entry: they go on as they come
 *                               └─ absent ─▶ a get on a line of several got nothing: END is put in its place */
import { GET, isReadRow, VERSION } from '../proto/commands.ts'
import { Got, ProtocolError, Shape } from '../proto/reply.ts'
import { TextReplyFramer } from '../proto/text-reply.ts'
import { Assembly } from './assembly.ts'
import { SHOWN_BYTES, type Replies, type Wire } from './dialect.ts'
import { Fate } from './expected.ts'
import { COPY_BYTES, type GetJoin } from './get-join.ts'
import type { Outbox, Run } from './outbox.ts'
import type { TextGreeting } from './text-greeting.ts'

const NO_BYTES = Buffer.alloc(0)
const END_LINE = Buffer.from('END\r\n')

export class TextReplies implements Replies {
  readonly unproved: Outbox[] = []
  readonly #wire: Wire
  readonly #framer: TextReplyFramer
  readonly #greeting: TextGreeting
  readonly #join: GetJoin
  readonly #assembly: Assembly

  constructor(wire: Wire, greeting: TextGreeting, join: GetJoin) {
    this.#wire = wire
    this.#framer = new TextReplyFramer(wire.isPrivate)
    this.#greeting = greeting
    this.#join = join
    this.#assembly = new Assembly(wire.slabs)
  }

  get wantsLogin(): boolean {
    return this.#greeting.wantsLogin
  }

  /** Of several requests that are one entry, the oldest, so many have been answered. */
  get answers(): number {
    return this.#framer.answers
  }

  get hasBegun(): boolean {
    return this.#framer.answers > 0
  }

  get bytesLeft(): number {
    return this.#framer.bodyLeft
  }

  get isEndless(): boolean {
    const { shape, head } = this.#wire.expected
    return shape[head] === Shape.endless
  }

  read(): void {
    const wire = this.#wire
    const { expected, window } = wire
    const { bytes, end } = window
    const framer = this.#framer
    framer.anyOrder = !wire.joinsGets
    while (window.at < end && !wire.isClosed) {
      if (expected.count === 0) {
        if (wire.isRaw) return
        throw new ProtocolError('unasked', 'memcached sent something that nobody asked for')
      }
      const { head } = expected
      const got = framer.next(bytes, window.at, end, expected, head)
      window.at = framer.at
      switch (got) {
        case Got.more:
          // A watcher's lines are news: they do not wait until there are many.
          if (expected.shape[head] === Shape.endless) wire.deliverPart()
          return
        case Got.part: this.#deliverAnswers(head); break
        case Got.whole:
          if (expected.run[head] === undefined) this.#ownReply(head)
          else this.#settle(head, expected.run[head])
          break
        case Got.absent: this.#answerInPlace(head, window.at, END_LINE); break
        case Got.refused: this.#answerInPlace(head, framer.partTo, NO_BYTES); break
        default: got satisfies never
      }
    }
  }

  #deliverAnswers(head: number): void {
    const { expected } = this.#wire
    const run = expected.run[head]!
    if (isReadRow[expected.row[head]] === 1) run.outbox.hit(run, this.#framer.hits)
    this.#wire.deliver(run, 0, this.#framer.partTo)
    // Of a batch it is known which requests have their answers; of a run with silent ones it is not.
    if (expected.shape[head] !== Shape.metaRun) {
      this.#noteProof(head, run)
      expected.fate[head] &= ~Fate.started
    } else expected.fate[head] |= Fate.started
  }

  #settle(head: number, run: Run): void {
    const wire = this.#wire
    const { expected, window } = wire
    const fate = expected.fate[head]
    const row = expected.row[head]
    const isStarted = (fate & Fate.started) !== 0
    if (this.#greeting.isStranger) this.#greeting.saw(row, isStarted ? '' : this.#line())
    if (wire.isClosed) return
    if (row === GET && expected.requests[head] === 1) this.#join.saw(isStarted ? Infinity : window.at - window.from)
    if (isReadRow[row] === 1 && expected.shape[head] !== Shape.metaRun) run.outbox.hit(run, this.#framer.hits)
    if ((fate & Fate.ourFence) !== 0) window.from = window.at
    else if (this.#isOfParts(head)) this.#deliverPart(head, run)
    else if (expected.shape[head] === Shape.joined) this.#deliverWithEnd(run, isStarted)
    else wire.deliver(run, fate & Fate.swallow, window.at)
    if (wire.isClosed) return
    this.#noteProof(head, run)
    const count = expected.requests[head]
    const keys = expected.keys[head]
    expected.shift()
    run.outbox.settle(run, count, keys)
  }

  /** An answer that nothing tells from another's is proved by the fence behind it, or by a reply of another kind. */
  #noteProof(entry: number, { outbox }: Run): void {
    const { shape, isEchoed } = this.#wire.expected
    if (shape[entry] !== Shape.metaBatch) this.unproved.length = 0
    else if (isEchoed[entry] === 0 && !this.#wire.isPrivate && this.unproved.at(-1) !== outbox) this.unproved.push(outbox)
  }

  #isOfParts(entry: number): boolean {
    return this.#wire.expected.isOpenPart(entry) || (this.#wire.expected.fate[entry] & Fate.follows) !== 0
  }

  /** Of all parts but the last the END is left out. An error in the place of the first one's values answers the whole get; behind
   *  values nothing but values may come. */
  #deliverPart(head: number, run: Run): void {
    const wire = this.#wire
    const { expected, window } = wire
    const { fate } = expected
    if (!this.#framer.isError) wire.deliver(run, fate[head] & Fate.swallow, this.#wire.expected.isOpenPart(head) ? window.at - END_LINE.length : window.at)
    else if ((fate[head] & (Fate.swallow | Fate.follows)) === Fate.follows) run.outbox.client.destroy('backend-lost-mid-reply')
    else if ((fate[head] & Fate.swallow) === 0) {
      wire.deliver(run, 0, window.at)
      let isOpen = this.#wire.expected.isOpenPart(head)
      for (let n = 1; n < expected.count && isOpen; n++) {
        const i = expected.at(n)
        if (expected.run[i]?.outbox !== run.outbox) continue
        fate[i] |= Fate.swallow
        isOpen = this.#wire.expected.isOpenPart(i)
      }
      if (isOpen) run.outbox.client.dropRest()
    }
    window.from = window.at
  }

  /** The reply in hand, as far as it is looked at, without the end of its line. */
  #line(): string {
    const { bytes, from, at } = this.#wire.window
    return bytes.toString('latin1', from, Math.min(at - 2, from + SHOWN_BYTES))
  }

  /** A joined get that got nothing of its own from memcached. What is here up to `to` is for it too, but stays. */
  #answerInPlace(head: number, to: number, behind: Buffer): void {
    const { expected } = this.#wire
    const run = expected.run[head]!
    this.#assemble(run, to, behind)
    expected.shift()
    run.outbox.settle(run, 1, 1)
  }

  /** @param isStarted a part of the value has gone out */
  #deliverWithEnd(run: Run, isStarted: boolean): void {
    const wire = this.#wire
    const { window } = wire
    if (isStarted || window.at - window.from > COPY_BYTES) wire.deliver(run, 0, window.at)
    this.#assemble(run, window.at, END_LINE)
    window.from = window.at
  }

  #assemble(run: Run, to: number, behind: Buffer): void {
    if (!run.outbox.isClosed) this.#assembly.add(run, this.#wire.window.bytes, this.#wire.window.from, to, behind)
  }

  #ownReply(head: number): void {
    const wire = this.#wire
    const { window } = wire
    const line = window.bytes.toString('latin1', window.from, window.at - 2)
    const row = wire.expected.row[head]
    this.unproved.length = 0
    // Before the line is let go: the log shows it.
    if (row === VERSION && !wire.isConnecting && !line.startsWith('VERSION ')) throw new ProtocolError('not-memcached', `memcached refused the question for its version: ${line}`)
    const shown = window.shown(SHOWN_BYTES)
    window.from = window.at
    wire.expected.shift()
    if (wire.isConnecting) this.#greeting.answered(row, line, shown)
  }

  takeApart(): void {
    const { expected, window } = this.#wire
    const { head } = expected
    if (expected.count === 0 || expected.shape[head] !== Shape.gets) return
    const framer = this.#framer
    const { answers } = framer
    expected.start[head] = framer.takeUnanswered(expected.start[head])
    expected.leaveEntry(head, answers)
    const isInHand = window.end > window.from || (expected.fate[head] & Fate.started) !== 0
    if (isInHand && expected.requests[head] > 1) expected.splitOldest(framer.inHandTo)
    const run = expected.run[head]
    if (answers > 0 && run !== undefined) run.outbox.settle(run, answers, answers)
  }

  close(): void {
    this.#assembly.close()
  }
}
