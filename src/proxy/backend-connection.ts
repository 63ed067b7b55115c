/** One socket to memcached and what is in flight on it: a lane that clients share, or the private connection of one of them.
 *
 *      connecting ─▶ standby ◀─▶ offered ─▶ retiring ─▶ closed          (from each of them to closed, when it is lost)
 *
 *      clients ─ dialect.enter ─▶ [ parts of this turn ] ─ flush ─▶ memcached ─▶ slab ─ dialect.read ─▶ outboxes of clients
 *                     │                                                               │
 *                     └────────────── expected: an entry for each reply ──────────────┘  the oldest is whose reply comes next */
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import type { RequestFrame } from '../proto/frame.ts'
import type { Login } from '../proto/login.ts'
import { ProtocolError } from '../proto/reply.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { BackendContext } from './backend-context.ts'
import { BackendDeadlines } from './backend-deadlines.ts'
import { SHOWN_BYTES, type Dialect, type LoginWitness, type Part, type Wire } from './dialect.ts'
import { Expected, Fate } from './expected.ts'
import { LongReply } from './long-reply.ts'
import { endingOf, greetingFailure, NO_MEMORY_ADVICE, OUT_OF_STEP_ADVICE, type Loss } from './loss.ts'
import { outboxesIn, settleLost } from './lost-requests.ts'
import { moveOn } from './move-on.ts'
import { outboxOfNobody } from './nobody.ts'
import type { Outbox, Run } from './outbox.ts'
import { ReplyWindow } from './reply-window.ts'
import type { SlabPool } from './slab.ts'
import { Staging } from './staging.ts'
import type { Route } from './target.ts'

export interface BackendOwner extends LoginWitness {
  backendReady(connection: BackendConnection): void
  /** @param words what happened, for people */
  backendClosed(connection: BackendConnection, why: BackendClose, words: string, loss: Loss | undefined): void
  /** Its client may have to log in, so it is to be known beforehand whether memcached wants that. */
  readonly mayLogIn?: boolean
  /** Its client is about to log in, so memseal does not. */
  readonly bringsLogin?: boolean
  /** A lane has become busy with a long reply, or is so no longer. */
  laneBusy?(lane: BackendConnection): void
  /** Another is on its way. */
  readonly isOpening?: boolean
  /** Another connection that is ready now, for reads whose connection was lost before they were answered. */
  heirOf?(connection: BackendConnection): BackendConnection | undefined
}

/** `offered`: its clients stay, and others may come. `standby`: they are to go to another lane, each as soon as nothing of it is in
 *  flight here. `retiring`: likewise, and it closes when it is empty, since it has a successor. */
export type BackendState = 'connecting' | 'offered' | 'standby' | 'retiring' | 'closed'

/** Replies are held until they are whole up to this size, so that a client can still be told of an error; larger ones
 *  flow as they come. A fraction of a slab, since what is held moves along to the next one. */
const STREAM_BYTES = 32 * 1024

export class BackendConnection implements Wire {
  readonly isPrivate: boolean
  readonly route: Route
  readonly dialect: Dialect
  readonly expected = new Expected()
  readonly clock: Clock
  readonly slabs: SlabPool
  readonly login: Login | undefined
  readonly witness: LoginWitness
  /** Release of memcached, as `release()` gives it; 0 when unknown. */
  release = 0
  version = ''
  state: BackendState = 'connecting'
  /** Clients that have chosen this lane. */
  clients = 0
  readyAt = 0
  /** Nothing was in flight when it closed, so that no client noticed. */
  wasIdle = true
  /** It was asked who is there, and has not said a word yet. */
  isUnanswered = false
  /** When its successor is due. */
  replaceAt = Infinity
  readonly window: ReplyWindow
  /** What is to be written. */
  readonly staging: Staging
  readonly longReply: LongReply

  readonly #context: BackendContext
  readonly #owner: BackendOwner
  readonly #socket: Socket
  /** Takes the replies that nobody waits for any more. */
  #nobody: Outbox | undefined
  /** Everything that arrives is this client's, unread. */
  #raw: Outbox | undefined
  #why: BackendClose | undefined
  readonly #deadlines: BackendDeadlines
  #isPaused = false

  constructor(context: BackendContext, route: Route, owner: BackendOwner, slabs: SlabPool, isPrivate: boolean, dialect: (wire: Wire) => Dialect) {
    this.#context = context
    this.#owner = owner
    this.route = route
    this.slabs = slabs
    this.isPrivate = isPrivate
    this.clock = context.clock
    this.login = owner.bringsLogin === true ? undefined : context.login
    this.witness = owner
    this.window = new ReplyWindow(slabs)
    this.dialect = dialect(this)
    this.#deadlines = new BackendDeadlines(context.settings, context.clock.read())
    this.longReply = new LongReply(this, context.settings.longReplyBytes, () => owner.laneBusy?.(this), () => owner.isOpening === true)
    this.#socket = context.dial(route, { buffer: this.window.next, callback: this.#read }, {
      ready: () => this.#dialed(),
      failed: (error, failure) => this.fail(...endingOf(error, failure, this.isConnecting, route)),
      ended: (failure) => this.fail(...endingOf(undefined, failure, this.isConnecting, route)),
    })
    this.staging = new Staging(this.#socket, context, this)
  }

  // Its life.

  /** memcached answers, and has not been given up. */
  get isReady(): boolean {
    return this.state === 'offered' || this.state === 'standby' || this.state === 'retiring'
  }

  get isConnecting(): boolean {
    return this.state === 'connecting'
  }

  get isClosed(): boolean {
    return this.state === 'closed'
  }

  /** A private connection's client may find out by itself who is there: all that comes back is its own. */
  #dialed(): void {
    if (this.state !== 'connecting') return
    if (this.isPrivate && this.login === undefined && this.#owner.mayLogIn !== true) return this.greeted('', 0)
    this.isUnanswered = true
    this.dialect.greet()
    this.staging.flush()
  }

  greeted(version: string, release: number): void {
    if (this.state !== 'connecting') return
    this.version = version
    this.release = release
    this.readyAt = this.#deadlines.heardAt = this.clock.now
    this.#become('standby')
    this.#owner.backendReady(this)
  }

  /** Whether its clients may stay. */
  offer(isOffered: boolean): void {
    if (this.state === 'offered' || this.state === 'standby') this.#become(isOffered ? 'offered' : 'standby')
  }

  retire(): void {
    if (this.state === 'connecting') this.fail('replaced', 'the backend is another now')
    else if (this.isReady) this.#become('retiring')
  }

  #become(state: BackendState): void {
    const isOrderly = state === 'closed' && this.isReady && this.#why === 'replaced'
    this.state = state
    if (state !== 'closed') return
    // Over TLS an orderly end says so to the other side. One that is still being opened could wait for that for minutes.
    if (isOrderly) this.#socket.destroySoon()
    else this.#socket.destroy()
    this.window.close()
  }

  /** What is in flight will never be answered whole: a watcher's log. */
  get isEndless(): boolean {
    return this.expected.count > 0 && this.dialect.replies.isEndless
  }

  get isIdle(): boolean {
    return this.expected.count === 0
  }

  get isRaw(): boolean {
    return this.#raw !== undefined
  }

  get joinsGets(): boolean {
    return this.#context.settings.joinsGets
  }

  // Requests.

  /** The next request of a client.   @param isHead its data block follows by `send()` */
  enter(frame: RequestFrame, outbox: Outbox, isHead: boolean): void {
    this.dialect.enter(frame, outbox.expect(this, frame.keysRead), isHead)
  }

  enterPart(frame: RequestFrame, outbox: Outbox, part: Part): void {
    this.dialect.enterPart(frame, outbox.expect(this, part.keys), part)
  }

  send(bytes: Buffer, from: number, to: number): void {
    this.staging.send(bytes, from, to)
  }

  // Replies.

  readonly #read = (count: number, place: Uint8Array): boolean => {
    if (this.state === 'closed') return false
    const { window } = this
    if (!window.grew(count, place)) {
      // Should Node ever read twice into one place, replies that wait there are no longer what they were.
      this.#outOfStep('Node read into memory that was in use')
      return false
    }
    this.#deadlines.heardAt = this.clock.now
    this.isUnanswered = false
    try {
      // What was asked before everything passes unread is followed to its end: a fence of ours may be the last of it.
      if (this.#raw === undefined || this.expected.count > 0) {
        const { head } = this.expected
        this.dialect.replies.read()
        this.longReply.grew(head, count)
        if (window.at - window.from >= Math.min(STREAM_BYTES, window.bytes.length / 8)) this.deliverPart()
        if (!this.isPrivate) this.longReply.look()
      }
      if (this.#raw !== undefined && this.expected.count === 0) window.passOn(this.#raw)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (this.state === 'connecting') this.fail(...greetingFailure(error, this.dialect.name, window.shown(SHOWN_BYTES)))
      else if (error.code === 'lost-replies') this.#repliesLost(error.message)
      else this.#outOfStep(error.message)
    }
    return !this.#isPaused
  }

  deliver(run: Run, isSwallowed: number, to: number): void {
    const { window } = this
    if (isSwallowed === 0) run.outbox.deliver(run, window.bytes, window.from, to, window.slab)
    window.from = to
  }

  /** A part of a long reply goes on to its client; from now on only the rest may follow. */
  deliverPart(): void {
    const { run, fate, head } = this.expected
    const whose = run[head]
    if (whose === undefined) return
    this.deliver(whose, fate[head] & Fate.swallow, this.window.at)
    fate[head] |= Fate.started
  }

  /** What others have in flight here is asked at `heir` instead, as far as it may be.   @returns how many requests */
  leaveTo(heir: BackendConnection): number {
    this.#nobody ??= outboxOfNobody(this.#context.turn)
    return moveOn(this, this.#nobody, heir, this.#context.settings.replyTimeoutMs / 2)
  }

  // A client that does not take its replies.

  get isPaused(): boolean {
    return this.#isPaused
  }

  pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#deadlines.resumedAt = this.clock.now
    this.#socket.resume()
  }

  // A private connection's client.

  /** A client's value is on its way in pieces. Until its end memcached answers nothing, earlier requests included. */
  uploading(isUnderWay: boolean): void {
    this.#deadlines.uploading(isUnderWay, this.clock.now)
  }

  /** The value in hand will never be whole, so nobody is owed an answer to it. memcached closes when it learns of it. */
  abandonUpload(): void {
    this.expected.fate[this.expected.last] |= Fate.swallow
    this.endWriting()
  }

  /** Both directions pass unread from now on, once what was asked before is answered. */
  passUnread(outbox: Outbox): void {
    this.#raw = outbox
  }

  /** The client has sent all it will. */
  endWriting(): void {
    this.staging.end()
  }

  // The end.

  /** Called at every tick. A request without an answer closes the connection. */
  checkDeadline(now: number): void {
    if (this.longReply.isHeld) return this.longReply.checkHold(now, this.#context.settings.replyTimeoutMs)
    const missed = this.#deadlines.missed(this, now)
    if (missed === 'probe') this.dialect.probe()
    else if (missed !== undefined) this.fail(...missed)
  }

  /** The stream is no longer in step: nobody can say whose bytes come next, so every client with a request on it goes. */
  #outOfStep(words: string): void {
    const { expected } = this
    const outboxes = outboxesIn(expected, this.dialect.replies.unproved)
    const asked = expected.count === 0 ? '' : this.dialect.asked(expected.head)
    const loss = { advice: OUT_OF_STEP_ADVICE, asked, answered: this.window.shown(SHOWN_BYTES), clients: outboxes.size }
    // Logged even when nobody waited for anything: there it may be somebody's reply the next time.
    this.wasIdle = false
    this.#close('out-of-step')
    for (const { client } of outboxes) client.destroy('backend-out-of-step')
    while (expected.count > 0) expected.shift()
    this.#tellClosed('out-of-step', words, undefined, loss)
  }

  /** memcached dropped replies, and nobody can say whose. None of what it said is wrong, so clients stay: it is as if the
   *  connection had been lost. */
  #repliesLost(words: string): void {
    // The line that says so is nobody's answer.
    this.window.clear()
    this.fail('replies-lost', words, { advice: NO_MEMORY_ADVICE })
  }

  fail(why: BackendClose, words: string, loss?: Loss): void {
    if (this.state === 'closed') return
    this.wasIdle = this.isIdle
    this.#close(why)
    // After `reply_timeout` a client has waited as long as it may.
    this.#tellClosed(why, words, why === 'reply-timeout' || this.wasIdle ? undefined : this.#owner.heirOf?.(this), loss)
  }

  #close(why: BackendClose): void {
    this.#why = why
    this.#become('closed')
  }

  #tellClosed(why: BackendClose, words: string, heir: BackendConnection | undefined, loss: Loss | undefined): void {
    settleLost(this, heir, words, this.#context.settings.replyTimeoutMs / 2, why === 'replies-lost')
    this.dialect.close()
    this.staging.drained()
    this.#owner.backendClosed(this, why, words, loss)
  }
}
