/** One socket to memcached and what is in flight on it: a lane that clients share, or the private connection of one of them.
 *
 *      connecting ─▶ standby ◀─▶ offered ─▶ retiring ─▶ closed          (from each of them to closed, when it is lost)
 *
 *      clients ─ dialect.enter ─▶ [ parts of this turn ] ─ flush ─▶ memcached ─▶ slab ─ dialect.read ─▶ outboxes of clients
 *                     │                                                               │
 *                     └────────────── expected: an entry for each reply ──────────────┘  the oldest is whose reply comes next */
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { whyNotSeen } from '../lib/hidden-paths.ts'
import type { Histogram } from '../lib/histogram.ts'
import { printable } from '../lib/printable.ts'
import { systemErrorText } from '../lib/system-error.ts'
import { isReadRow } from '../proto/commands.ts'
import type { RequestFrame } from '../proto/frame.ts'
import { ProtocolError } from '../proto/reply.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { Dial } from './dial.ts'
import { SHOWN_BYTES, type Dialect, type Part, type Wire } from './dialect.ts'
import { Expected, Fate } from './expected.ts'
import { Hold, isFarBehind } from './hold.ts'
import { settleLost } from './lost-requests.ts'
import { moveOn } from './move-on.ts'
import { outboxOfNobody } from './nobody.ts'
import type { Outbox, Run } from './outbox.ts'
import { ReplyWindow } from './reply-window.ts'
import type { SlabPool } from './slab.ts'
import { Staging } from './staging.ts'
import type { Route } from './target.ts'
import type { Turn } from './turn.ts'

export interface BackendSettings {
  connectTimeoutMs: number
  replyTimeoutMs: number
  /** A lane that was idle for this long is asked for a sign of life; 0: never. */
  probeIntervalMs: number
  /** Gets that are there together leave as one. */
  joinsGets: boolean
  /** A reply of more than this, of which more is to come, holds up the others so long that they leave the lane. */
  longReplyBytes: number
}

/** What connections of one service share. */
export interface BackendContext {
  settings: BackendSettings
  turn: Turn
  clock: Clock
  dial: Dial
  /** Seconds, of a sample. */
  latency: { backend: Histogram; own: Histogram }
}

/** What else the log says of a connection that was lost. */
export interface Loss {
  /** In place of `BackendClose`, if it is TLS that failed. */
  reason?: string
  advice: string
  /** Of one that went out of step: what was asked, what came instead (the first bytes of both, printable), and how many clients
   *  were closed for it. */
  asked?: string
  answered?: string
  clients?: number
}

export interface BackendOwner {
  backendReady(connection: BackendConnection): void
  /** @param words what happened, for people */
  backendClosed(connection: BackendConnection, why: BackendClose, words: string, loss: Loss | undefined): void
  /** See `Wire`. */
  loginWanted?(): void
  loggedIn?(isSure: boolean): void
  /** A lane has become busy with a long reply, or is so no longer. */
  laneBusy?(lane: BackendConnection): void
  /** Another is on its way. */
  readonly isOpening?: boolean
  /** Another connection that is ready now, for reads whose connection was lost before they were answered. */
  heirOf?(connection: BackendConnection): BackendConnection | undefined
}

/** A client that is not read until memcached takes more. */
export interface WaitsForRoom {
  backendHasRoom(): void
}

/** `offered`: its clients stay, and others may come. `standby`: they are to go to another lane, each as soon as nothing of it is in
 *  flight here. `retiring`: likewise, and it closes when it is empty, since it has a successor. */
export type BackendState = 'connecting' | 'offered' | 'standby' | 'retiring' | 'closed'

/** Replies are held until they are whole up to this size, so that a client can still be told of an error; larger ones
 *  flow as they come. A fraction of a slab, since what is held moves along to the next one. */
const STREAM_BYTES = 32 * 1024
/** What memcached with `-Y` says to whoever has not logged in, instead of its version. */
const LOGIN_WANTED = /^CLIENT_ERROR unauthenticated/
/** memcached does not read: clients stop being read. Of a private connection it is little, so that whoever takes it slowly shows a sign
 *  of life often. */
const FULL_BYTES = { shared: 8 * 1024 * 1024, private: 256 * 1024 }
const OUT_OF_STEP_ADVICE =
  'if it comes again, compare what was asked with what was answered: behind backend.connect may be no memcached, or a proxy that answers in another order'
const NO_MEMORY_ADVICE = 'raise read_buf_mem_limit of memcached (-o), or let clients ask for fewer keys at once'

export class BackendConnection implements Wire {
  readonly isPrivate: boolean
  readonly route: Route
  readonly dialect: Dialect
  readonly expected = new Expected()
  readonly clock: Clock
  readonly slabs: SlabPool
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
  /** A long reply comes: whoever asks something here waits for its end. */
  isBusy = false
  /** Of the oldest reply, what has come. */
  #headBytes = 0
  #hold: Hold | undefined
  #nobody: Outbox | undefined

  readonly #context: BackendContext
  readonly #owner: BackendOwner
  readonly #socket: Socket
  readonly #staging: Staging
  /** Everything that arrives is this client's, unread. */
  #raw: Outbox | undefined
  #why: BackendClose | undefined
  #isMarked = false
  #waiting: Set<WaitsForRoom> | undefined
  readonly #connectBy: number
  #resumedAt = 0
  #heardAt = 0
  #isPaused = false
  #isUploading = false
  /** Bytes that memcached has taken, and when that was last seen to grow, or nothing was left to take. */
  #taken = 0
  #takenAt = 0
  #hasEnded = false

  constructor(context: BackendContext, route: Route, owner: BackendOwner, slabs: SlabPool, isPrivate: boolean, dialect: (wire: Wire) => Dialect) {
    this.#context = context
    this.#owner = owner
    this.route = route
    this.slabs = slabs
    this.isPrivate = isPrivate
    this.clock = context.clock
    this.window = new ReplyWindow(slabs)
    this.dialect = dialect(this)
    this.#connectBy = context.clock.read() + context.settings.connectTimeoutMs
    this.#socket = context.dial(route, { buffer: this.window.next, callback: this.#read }, {
      ready: () => this.#dialed(),
      failed: (error, failure) => {
        if (this.state !== 'connecting') this.fail('backend-error', describe(error))
        else if (failure === undefined) this.fail('connect-failed', describe(error) + hiddenBy(route))
        else this.fail('tls-failed', failure.words, failure)
      },
      ended: (failure) => {
        if (this.state !== 'connecting') this.fail('closed-by-backend', 'the backend closed the connection')
        else if (failure === undefined) this.fail('connect-failed', 'the backend closed the connection')
        else this.fail('tls-failed', failure.words, failure)
      },
    })
    this.#staging = new Staging(this.#socket)
    this.#socket.on('drain', () => this.#drained())
  }

  // Its life.

  /** memcached answers, and has not been given up. */
  get isReady(): boolean {
    return this.state === 'offered' || this.state === 'standby' || this.state === 'retiring'
  }

  get isClosed(): boolean {
    return this.state === 'closed'
  }

  /** A private connection's client may find out by itself who is there: all that comes back is its own. */
  #dialed(): void {
    if (this.state !== 'connecting') return
    if (this.isPrivate) return this.greeted('', 0)
    this.isUnanswered = true
    this.dialect.greet()
    this.flush()
  }

  greeted(version: string, release: number): void {
    if (this.state !== 'connecting') return
    this.version = version
    this.release = release
    this.readyAt = this.#heardAt = this.clock.now
    this.#become('standby')
    this.#owner.backendReady(this)
  }

  loginWanted(): void {
    this.#owner.loginWanted?.()
  }

  loggedIn(isSure: boolean): void {
    this.#owner.loggedIn?.(isSure)
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
    return this.expected.count > 0 && this.dialect.isEndless
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
    this.dialect.enter(frame, outbox.expect(this, isReadRow[frame.row] === 1 ? frame.keys : 0), isHead)
  }

  enterPart(frame: RequestFrame, outbox: Outbox, part: Part): void {
    this.dialect.enterPart(frame, outbox.expect(this, part.keys), part)
  }

  /** Queues bytes for this turn's write. They may not change until they are written: they are a client's, or ours for good. */
  send(bytes: Buffer, from: number, to: number): void {
    this.#staging.add(bytes, from, to)
    if (this.#isMarked) return
    this.#isMarked = true
    this.#context.turn.backend(this)
  }

  flush(): void {
    // Marked until it has ended: what the end of a turn sends is of this turn.
    if (this.state !== 'closed' && !this.#hasEnded) this.dialect.endTurn()
    this.#isMarked = false
    if (this.#staging.isEmpty || this.state === 'closed' || this.#hasEnded) return
    if (this.#context.turn.startedAt !== 0) this.#timeLast()
    this.#staging.write()
  }

  /** Of one turn in 16: how long memcached takes over the last request, and how long we had it ourselves. */
  #timeLast(): void {
    const { turn, latency } = this.#context
    const heldMs = performance.now() - turn.startedAt
    this.expected.time((backendMs) => {
      const answeredAt = performance.now()
      latency.backend.observe(backendMs / 1000)
      turn.whenWritten((writtenAt) => latency.own.observe((heldMs + writtenAt - answeredAt) / 1000))
    })
  }

  get isFull(): boolean {
    return this.unsent > (this.isPrivate ? FULL_BYTES.private : FULL_BYTES.shared)
  }

  /** Bytes that memcached has not taken. */
  get unsent(): number {
    return this.#socket.writableLength + this.#staging.size
  }

  /** A client stops being read until memcached takes more. */
  waitForRoom(client: WaitsForRoom): void {
    this.#waiting ??= new Set()
    this.#waiting.add(client)
  }

  #drained(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    for (const client of waiting) client.backendHasRoom()
  }

  // Replies.

  readonly #read = (count: number, place: Uint8Array): boolean => {
    if (this.state === 'closed') return false
    const { window } = this
    if (!this.window.grew(count, place)) {
      // Should Node ever read twice into one place, replies that wait there are no longer what they were.
      this.#outOfStep('Node read into memory that was in use')
      return false
    }
    this.#heardAt = this.clock.now
    this.isUnanswered = false
    try {
      // What was asked before everything passes unread is followed to its end: a fence of ours may be the last of it.
      if (this.#raw === undefined || this.expected.count > 0) {
        const { head } = this.expected
        this.dialect.read()
        this.#headBytes = this.expected.head === head ? this.#headBytes + count : window.end - window.from
        if (window.at - window.from >= Math.min(STREAM_BYTES, window.bytes.length / 8)) this.deliverPart()
        if (!this.isPrivate) this.#lookAtHead()
      }
      if (this.#raw !== undefined && this.expected.count === 0) this.#passOn(this.#raw)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (error.code === 'login-wanted') this.fail('login-wanted', error.message)
      else if (this.state === 'connecting' && LOGIN_WANTED.test(this.#answered())) this.fail('login-wanted', `it answered "${this.#answered()}"`)
      else if (this.state === 'connecting') this.fail('not-memcached', `it answered "${this.#answered()}"`)
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

  /** Is the oldest reply a long one, and does its client take it? */
  #lookAtHead(): void {
    const { expected } = this
    const wasBusy = this.isBusy
    const run = expected.count > 0 ? expected.run[expected.head] : undefined
    this.isBusy = run !== undefined && this.#headBytes + this.dialect.bytesLeft > this.#context.settings.longReplyBytes
    if (this.isBusy !== wasBusy || this.isBusy && this.state === 'offered') this.#owner.laneBusy?.(this)
    if (run !== undefined && this.isBusy && this.mayHold && isFarBehind(run.outbox, expected)) this.#holdFor(run.outbox)
  }

  #holdFor(outbox: Outbox): void {
    this.#hold = new Hold(outbox, this.clock.now)
    this.pauseReading()
    // Whoever comes next needs another lane.
    if (this.state === 'offered') this.#owner.laneBusy?.(this)
  }

  get isHeld(): boolean {
    return this.#hold !== undefined
  }

  /** What others have in flight here is asked at `heir` instead, as far as it may be.   @returns how many requests */
  leaveTo(heir: BackendConnection): number {
    return moveOn(this, heir, this.#context.settings.replyTimeoutMs / 2)
  }

  /** Takes the replies that nobody waits for any more. */
  get nobody(): Outbox {
    this.#nobody ??= outboxOfNobody(this.#context.turn)
    return this.#nobody
  }

  /** Nobody else is to ask here, or soon so. */
  get mayHold(): boolean {
    return this.state !== 'offered' || this.clients <= 1 || this.#owner.isOpening === true
  }

  /** The client that the lane waits for has taken some. */
  repliesTaken(): void {
    if (this.#hold?.isOver === true) this.letGo(this.#hold.outbox)
  }

  /** The client has gone, or is not to be waited for. */
  letGo(outbox: Outbox): void {
    if (this.#hold?.outbox !== outbox) return
    this.#hold = undefined
    this.resumeReading()
  }

  #passOn(outbox: Outbox): void {
    const { bytes, from, end, slab } = this.window
    if (from === end) return
    this.window.clear()
    outbox.pass(bytes, from, end, slab)
  }

  /** The start of what came and was not understood, for people who have to find out why. */
  #answered(): string {
    return printable(this.window.bytes, this.window.from, this.window.end, SHOWN_BYTES)
  }

  // A client that does not take its replies.

  pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#resumedAt = this.clock.now
    this.#socket.resume()
  }

  // A private connection's client.

  /** A client's value is on its way in pieces. Until its end memcached answers nothing, earlier requests included. */
  uploading(isUnderWay: boolean): void {
    this.#isUploading = isUnderWay
    this.#resumedAt = this.#takenAt = this.clock.now
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
    this.flush()
    this.#hasEnded = true
    this.#socket.end()
  }

  // The end.

  /** Called at every tick. A request without an answer closes the connection. */
  checkDeadline(now: number): void {
    const { connectTimeoutMs, replyTimeoutMs, probeIntervalMs } = this.#context.settings
    const { expected } = this
    if (this.state === 'connecting' && now > this.#connectBy) {
      this.fail('connect-timeout', `no answer within ${connectTimeoutMs} ms`)
    } else if (this.#hold !== undefined) {
      this.#hold.check(this, now, replyTimeoutMs)
    } else if (this.#isUploading) {
      if (this.#isStuck(now)) this.fail('upload-stuck', `memcached takes nothing of a value for ${replyTimeoutMs} ms`)
    } else if (expected.count > 0 && !this.#isPaused && !this.dialect.isEndless) {
      // A reply that flows is not late, and neither are those behind it: what counts is silence.
      const since = Math.max(expected.sentAt[expected.head], this.#resumedAt, this.#heardAt)
      if (now - since > replyTimeoutMs) this.fail('reply-timeout', `no reply within ${replyTimeoutMs} ms`)
    } else if (this.isReady && !this.isPrivate && this.isIdle) {
      if (probeIntervalMs > 0 && now - this.#heardAt >= probeIntervalMs) this.dialect.probe()
    }
  }

  /** memcached answers nothing before the end of a value; that it takes more of it is its sign of life. */
  #isStuck(now: number): boolean {
    const taken = this.#socket.bytesWritten - this.#socket.writableLength
    if (taken !== this.#taken || this.unsent === 0) {
      this.#taken = taken
      this.#takenAt = now
    }
    return now - this.#takenAt > this.#context.settings.replyTimeoutMs
  }

  /** The stream is no longer in step: nobody can say whose bytes come next, so every client with a request on it goes. */
  #outOfStep(words: string): void {
    const { expected } = this
    const outboxes = new Set<Outbox>(this.dialect.unproved.filter((outbox) => !outbox.isClosed))
    for (let n = 0; n < expected.count; n++) {
      const run = expected.run[expected.at(n)]
      if (run !== undefined && !run.outbox.isClosed) outboxes.add(run.outbox)
    }
    const asked = expected.count === 0 ? '' : this.dialect.asked(expected.head)
    const loss = { advice: OUT_OF_STEP_ADVICE, asked, answered: this.#answered(), clients: outboxes.size }
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
    this.#drained()
    this.#owner.backendClosed(this, why, words, loss)
  }
}

/** A socket of memcached in /tmp is there for everybody but a unit with a /tmp of its own. */
function hiddenBy({ address }: Route): string {
  const hidden = 'path' in address ? whyNotSeen(address.path) : undefined
  return hidden === undefined ? '' : ` (${hidden.words}. ${hidden.fix})`
}

/** Node's message names the address already; its code is what people search for. */
function describe(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : systemErrorText(error.code, `${error.code}: ${error.message}`)
}
