/** The replies of one client, in the order of its requests, whoever answers them.
 *
 *      runs   [ lane A x3 ] [ ours x1 ] [ lane B x12 ]
 *              head: flows ─▶ reply queue ─▶ socket        the others: held until those before them are done
 *
 *  A run is the longest stretch of its requests that one source answers: a lane, a private connection, or memseal itself. With
 *  one lane there is one run, and a request costs an increment. */
import type { Socket } from 'node:net'
import type { ClientClose } from '../telemetry/reasons.ts'
import { ReplyQueue, type ReplyOwner } from './reply-queue.ts'
import { Share } from './share.ts'
import type { Slab } from './slab.ts'
import type { Turn } from './turn.ts'

/** The client, as those who answer it see it. */
export interface Receiver {
  readonly record: { hits: number }
  /** So much it may leave unread before a lane waits for it; nothing more when it has gone. */
  readonly mostBehind: number
  /** More bytes are owed than before. */
  repliesGrew(): void
  /** Fewer requests are in flight than before. */
  settled(): void
  /** A write was confirmed; nothing may be owed any more. */
  repliesTaken(): void
  /** The socket failed under a write. */
  repliesLost(): void
  /** The rest of the get whose parts it sends is not asked for: the reply to the first part was an error. */
  dropRest(): void
  /** What its lane owed is asked again at `source`: whatever it asks from now on comes behind that. */
  goesOnAt(source: Source): void
  destroy(why: ClientClose): void
}

/** Who answers: told apart by identity only. */
export type Source = object

interface Held { bytes: Buffer; from: number; to: number; slab: Slab | undefined }

/** Replies of ours have no source, and neither has what is left of a source that was lost. */
const OURS: Source = {}
const LOST: Source = {}

export class Run {
  readonly outbox: Outbox
  source: Source
  /** Requests of it that are not answered yet; of ours, those whose replies are held. */
  count = 0
  next: Run | undefined
  /** Of the reply in hand: bytes that have come, and items among them. */
  bytes = 0
  hits = 0
  /** Replies that came before their turn. */
  held: Held[] | undefined
  /** While a loss is dealt with: the last of the runs that take its place. */
  tail: Run | undefined

  constructor(outbox: Outbox, source: Source) {
    this.outbox = outbox
    this.source = source
  }
}

export class Outbox implements ReplyOwner {
  readonly client: Receiver
  /** Requests that await their replies. */
  inFlight = 0
  isClosed = false
  readonly share = new Share()
  readonly #queue: ReplyQueue
  #head: Run
  #last: Run

  constructor(client: Receiver, socket: Socket, turn: Turn, isCoalescing: boolean) {
    this.client = client
    this.#queue = new ReplyQueue(socket, turn, this, isCoalescing)
    this.#head = this.#last = new Run(this, LOST)
  }

  /** Bytes that the client could take and has not taken. What is held here for those before it is not among them: it does not
   *  become less by the client's reading. */
  get backlog(): number {
    return this.#queue.backlog
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  get bytesOut(): number {
    return this.#queue.bytesOut
  }

  get isCoalescing(): boolean {
    return this.#queue.isCoalescing
  }

  // Requests enter.

  /** The next request is answered by `source`, or the next `count`.   @param keys that are read   @returns the run that they belong to */
  expect(source: Source, keys: number, count = 1): Run {
    let run = this.#last
    if (run.source !== source) run = this.#open(source)
    if (keys > 0) this.share.asked(keys)
    run.count += count
    this.inFlight += count
    return run
  }

  /** memseal itself answers the next request.   @param reply bytes that nobody writes again */
  answer(reply: Buffer): void {
    if (this.isClosed) return
    if (this.inFlight === 0) {
      this.#queue.add(reply, 0, reply.length, undefined)
    } else {
      const run = this.#last.source === OURS ? this.#last : this.#open(OURS)
      run.count++
      this.inFlight++
      this.#hold(run, reply, 0, reply.length, undefined)
    }
    this.client.repliesGrew()
  }

  #open(source: Source): Run {
    const run = new Run(this, source)
    this.#last = this.#last.next = run
    this.#advance()
    return run
  }

  // Replies come.

  /** @param slab the memory that `bytes` is of */
  deliver(run: Run, bytes: Buffer, from: number, to: number, slab: Slab): void {
    if (this.isClosed || from === to) return
    run.bytes += to - from
    if (run === this.#head) this.#queue.add(bytes, from, to, slab)
    else this.#hold(run, bytes, from, to, slab)
    this.client.repliesGrew()
  }

  /** Bytes of a connection that passes unread. */
  pass(bytes: Buffer, from: number, to: number, slab: Slab): void {
    this.#queue.add(bytes, from, to, slab)
    this.client.repliesGrew()
  }

  /** Items that a reply has brought. */
  hit(run: Run, items: number): void {
    run.hits += items
    this.client.record.hits += items
  }

  /** `count` requests of the run have been answered, or may be taken for answered.   @param keys that they read */
  settle(run: Run, count: number, keys: number): void {
    if (keys > 0) this.share.answered(keys, run.bytes, run.hits)
    run.bytes = run.hits = 0
    run.count -= count
    this.inFlight -= count
    if (run.count === 0 && run.next !== undefined) this.#advance()
    this.client.settled()
  }

  // A source is lost: what is asked again and what gets an error take the places of the requests that were in flight there.

  /** @returns the run that the `count` requests belong to now */
  askAgain(run: Run, count: number, heir: Source): Run {
    const again = this.#inPlaceOf(run, heir)
    run.count -= count
    again.count += count
    return again
  }

  /** @param reply what `count` requests get, which will have no other answer; of no bytes when they asked for none */
  replace(run: Run, count: number, keys: number, reply: Buffer): void {
    this.share.answered(keys, 0, 0)
    const ours = this.#inPlaceOf(run, OURS)
    run.count -= count
    ours.count += count
    if (!this.isClosed && reply.length > 0) this.#hold(ours, reply, 0, reply.length, undefined)
  }

  /** Nothing will come of this run's source any more. */
  lose(run: Run): void {
    run.source = LOST
    run.tail = undefined
    this.#advance()
    this.client.repliesGrew()
    this.client.settled()
  }

  #inPlaceOf(run: Run, source: Source): Run {
    const behind = run.tail ?? run
    if (behind !== run && behind.source === source) return behind
    const made = new Run(this, source)
    made.next = behind.next
    behind.next = made
    if (this.#last === behind) this.#last = made
    run.tail = made
    return made
  }

  // The order.

  /** Those that are done make room for the next ones. */
  #advance(): void {
    while (this.#head.count === 0 && this.#head.next !== undefined) {
      this.#head = this.#head.next
      this.#giveHeld(this.#head)
      if (this.#head.source !== OURS) continue
      this.inFlight -= this.#head.count
      this.#head.count = 0
    }
  }

  #hold(run: Run, bytes: Buffer, from: number, to: number, slab: Slab | undefined): void {
    slab?.retain()
    run.held ??= []
    run.held.push({ bytes, from, to, slab })
  }

  #giveHeld(run: Run): void {
    if (run.held === undefined) return
    for (const { bytes, from, to, slab } of run.held) {
      this.#queue.add(bytes, from, to, slab)
      slab?.release()
    }
    run.held = undefined
  }

  // The socket.

  repliesTaken(): void {
    this.client.repliesTaken()
  }

  repliesLost(): void {
    this.client.repliesLost()
  }

  /** Nothing more is written; what waits is let go. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#queue.close()
    for (let run: Run | undefined = this.#head; run !== undefined; run = run.next) {
      for (const { slab } of run.held ?? []) slab?.release()
      run.held = undefined
    }
  }
}
