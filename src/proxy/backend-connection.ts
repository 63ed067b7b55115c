/** One socket to memcached and what is in flight on it. Text and binary lanes add how requests are queued and how replies
 *  are told apart (text-lane.ts, binary-lane.ts); a private connection is the same with one client on it.
 *
 *      clients ─ send(view) ─▶ [ parts of this turn ] ─ flush ─▶ memcached ─▶ slab ─ parse() ─▶ reply queues of clients
 *                                 │                                             │
 *                                 └──────── pending: one entry a request ───────┘  head is whose reply comes next
 *
 *  Bytes of the slab:   0 ······ from ······ at ······ end ······ SLAB
 *                        delivered │ held     │ not yet  │ Node reads the next bytes here
 *                                  └ checked ─┘ checked  └ */
import type { Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { whyNotSeen } from '../lib/hidden-paths.ts'
import type { Histogram } from '../lib/histogram.ts'
import { printable } from '../lib/printable.ts'
import { systemErrorText } from '../lib/system-error.ts'
import { ProtocolError, Shape } from '../proto/reply.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { ClientSession } from './client-session.ts'
import type { Dial } from './dial.ts'
import { Fate, Pending } from './pending.ts'
import type { Slab, SlabPool } from './slab.ts'
import type { Route } from './target.ts'
import type { Turn } from './turn.ts'

export type { BackendClose }

export type BackendSettings = {
  connectTimeoutMs: number
  replyTimeoutMs: number
  /** A lane that was idle for this long is asked for a sign of life; 0: never. */
  probeIntervalMs: number
  /** Gets that are there together leave as one. */
  joinsGets: boolean
}

/** What connections of one service share. */
export type BackendContext = {
  settings: BackendSettings
  turn: Turn
  clock: Clock
  dial: Dial
  slabs: SlabPool
  /** Seconds, of a sample. */
  latency: { backend: Histogram; own: Histogram }
}

/** What else the log says of a connection that was lost. */
export type Loss = {
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
  /** Another connection that is ready now, for reads whose connection was lost before they were answered. */
  heirOf?(connection: BackendConnection): BackendConnection | undefined
}

/** Requests up to this size are joined in one buffer when several leave in a turn; larger ones leave as views. */
const JOIN_BYTES = 8 * 1024
const STAGING_BYTES = 64 * 1024
/** A read that has less room than this at the end of its slab goes to the next slab. */
const READ_ROOM = 4
/** Replies are held until they are whole up to this size, so that a client can still be told of an error; larger ones
 *  flow as they come. A fraction of a slab, since what is held moves along to the next one. */
const STREAM_BYTES = 32 * 1024
/** What of a request and of its reply is shown in the log when they do not fit. */
export const SHOWN_BYTES = 80
/** memcached does not read: clients stop being read. */
const FULL_BYTES = 8 * 1024 * 1024
const OUT_OF_STEP_ADVICE =
  'if it comes again, compare what was asked with what was answered: behind backend.connect may be no memcached, or a proxy that answers in another order'
const NO_MEMORY_ADVICE = 'raise read_buf_mem_limit of memcached (-o), or let clients ask for fewer keys at once'
/** Buffers that requests are joined in, free for the next turn. Each is written again only after its write was confirmed. */
const freeStaging: Buffer[] = []
const MOST_FREE_STAGING = 32

export abstract class BackendConnection {
  readonly isPrivate: boolean
  readonly route: Route
  readonly pending = new Pending()
  /** Release of memcached, as `release()` gives it; 0 when unknown. */
  release = 0
  version = ''
  state: 'connecting' | 'ready' | 'closed' = 'connecting'
  /** Clients that have chosen this lane. */
  sessions = 0
  /** False: its clients are to go to another lane, each as soon as nothing of it is in flight here. */
  isOffered = true
  /** It has a successor and closes when it is empty. */
  isRetiring = false
  readyAt = 0
  /** Nothing was in flight when it closed, so that no client noticed. */
  wasIdle = true
  /** When its successor is due. */
  replaceAt = Infinity
  /** Everything that arrives is this client's, unread. */
  rawSession: ClientSession | undefined

  protected readonly context: BackendContext
  protected slab: Slab
  protected from = 0
  protected at = 0
  protected end = 0
  /** It was closed because memcached had no memory for its replies. */
  protected hasLostReplies = false

  readonly #owner: BackendOwner
  readonly #socket: Socket
  readonly #slabs: SlabPool
  readonly #slabBytes: number
  #window: Buffer
  #parts: Buffer[] = []
  #partFrom: number[] = []
  #partTo: number[] = []
  #partBytes = 0
  #isMarked = false
  #staged: Buffer[] = []
  #waiting: Set<ClientSession> | undefined
  #connectBy: number
  #resumedAt = 0
  #heardAt = 0
  #isPaused = false
  #isUploading = false
  #hasEnded = false

  constructor(context: BackendContext, route: Route, owner: BackendOwner, slabs: SlabPool, isPrivate: boolean) {
    this.context = context
    this.route = route
    this.isPrivate = isPrivate
    this.#owner = owner
    this.#slabs = slabs
    this.slab = slabs.take()
    this.#slabBytes = this.slab.bytes.length
    this.#window = this.slab.bytes
    this.#connectBy = context.clock.read() + context.settings.connectTimeoutMs
    this.#socket = context.dial(route, { buffer: this.#nextWindow, callback: this.#read }, {
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
    this.#socket.on('drain', () => this.#drained())
  }

  /** Asks who is there; calls `becomeReady()` when it is a memcached. */
  protected abstract greet(): void
  /** Takes whole replies from `at` to `end`. @throws ProtocolError */
  protected abstract parse(): void
  /** A client's input has run dry: whatever it asked quietly gets a fence behind it. */
  abstract endTurn(): void
  /** Gives every request in flight an error, or closes clients that hold a part of a reply. A read of which nothing was
   *  answered goes to the heir instead, if it was not there before. */
  protected abstract failPending(words: string, heir: BackendConnection | undefined): void
  /** Asks for a sign of life. */
  protected abstract probe(): void
  /** The start of the request at the head of the queue, for the log. */
  protected abstract asked(head: number): string

  #dialed(): void {
    if (this.state === 'connecting') this.greet()
  }

  /** Words of ours that wait for their turn among the client's replies. */
  local(session: ClientSession, reply: Buffer): void {
    this.endTurn()
    this.pending.push(session, Shape.local, Fate.forward, 0, reply, 0, 0, this.context.clock.now)
  }

  protected settleLocals(): void {
    const pending = this.pending
    while (pending.count > 0 && pending.shape[pending.head] === Shape.local) {
      const session = pending.sessions[pending.head]!
      const reply = pending.asked[pending.head]
      pending.shift()
      session.replies.add(reply, 0, reply.length, undefined)
      session.repliesGrew()
      session.settled(1)
    }
  }

  /** What is in flight will never be answered whole: a watcher's log. */
  get isEndless(): boolean {
    return this.pending.count > 0 && this.pending.shape[this.pending.head] === Shape.endless
  }

  get isIdle(): boolean {
    return this.pending.count === 0
  }

  get isFull(): boolean {
    return this.#socket.writableLength + this.#partBytes > FULL_BYTES
  }

  /** Queues bytes for this turn's write. They may not change until they are written: they are a client's, or ours for good. */
  send(bytes: Buffer, from: number, to: number): void {
    const last = this.#parts.length - 1
    this.#partBytes += to - from
    if (last >= 0 && this.#parts[last] === bytes && this.#partTo[last] === from) {
      this.#partTo[last] = to
    } else {
      this.#parts.push(bytes)
      this.#partFrom.push(from)
      this.#partTo.push(to)
    }
    if (this.#isMarked) return
    this.#isMarked = true
    this.context.turn.backend(this)
  }

  flush(): void {
    this.#isMarked = false
    const count = this.#parts.length
    if (count === 0 || this.state === 'closed' || this.#hasEnded) return
    if (this.context.turn.startedAt !== 0) this.#timeLast()
    if (count === 1) this.#socket.write(this.#parts[0].subarray(this.#partFrom[0], this.#partTo[0]))
    else this.#writeJoined(count)
    this.#parts.length = this.#partFrom.length = this.#partTo.length = this.#partBytes = 0
  }

  /** Of one turn in 16: how long memcached takes over the last request, and how long we had it ourselves. */
  #timeLast(): void {
    const { turn, latency } = this.context
    const heldMs = performance.now() - turn.startedAt
    this.pending.time((backendMs) => {
      const answeredAt = performance.now()
      latency.backend.observe(backendMs / 1000)
      turn.whenWritten((writtenAt) => latency.own.observe((heldMs + writtenAt - answeredAt) / 1000))
    })
  }

  #writeJoined(count: number): void {
    const isOneWrite = this.#partBytes <= STAGING_BYTES
    if (!isOneWrite) this.#socket.cork()
    let staging: Buffer | undefined
    let filled = 0
    for (let i = 0; i < count; i++) {
      const bytes = this.#parts[i]
      const from = this.#partFrom[i]
      const to = this.#partTo[i]
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
    this.#socket.write(staging.subarray(0, filled), this.#onStagingWritten)
  }

  /** Writes are confirmed in their order. After an error the buffer may still be looked at, and is not used again. */
  readonly #onStagingWritten = (error: Error | null | undefined): void => {
    const staging = this.#staged.shift()
    if (error == null && staging !== undefined && freeStaging.length < MOST_FREE_STAGING) freeStaging.push(staging)
  }

  /** A client stops being read until memcached takes more. */
  waitForRoom(session: ClientSession): void {
    this.#waiting ??= new Set()
    this.#waiting.add(session)
  }

  #drained(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    for (const session of waiting) session.backendHasRoom()
  }

  /** Where Node reads the next bytes: never a place that was given out before, unless all that was read there is done
   *  with and confirmed. Node asks for it after each read. */
  readonly #nextWindow = (): Buffer => {
    if (this.from === this.end && this.end > 0 && this.slab.isUnshared) this.from = this.at = this.end = 0
    if (this.slab.bytes.length - this.end < this.slab.bytes.length / READ_ROOM) this.#moveToNextSlab()
    this.#window = this.slab.bytes.subarray(this.end)
    return this.#window
  }

  #moveToNextSlab(): void {
    const next = this.#slabs.take()
    // It was one slab too many, and the client that had to go was the only one here.
    if (this.state === 'closed') return next.release()
    this.slab.bytes.copy(next.bytes, 0, this.from, this.end)
    this.slab.release()
    this.slab = next
    this.end -= this.from
    this.at -= this.from
    this.from = 0
  }

  readonly #read = (count: number, window: Uint8Array): boolean => {
    if (this.state === 'closed') return false
    if (window !== this.#window) {
      // Should Node ever read twice into one place, replies that wait there are no longer what they were.
      this.#outOfStep('Node read into memory that was in use')
      return false
    }
    this.end += count
    this.#heardAt = this.context.clock.now
    try {
      // What was asked before everything passes unread is followed to its end: a fence of ours may be the last of it.
      if (this.rawSession === undefined || this.pending.count > 0) {
        this.parse()
        if (this.at - this.from >= Math.min(STREAM_BYTES, this.#slabBytes / 8)) this.streamHead()
      }
      if (this.rawSession !== undefined && this.pending.count === 0) this.#passOn(this.rawSession)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (this.state === 'connecting') this.fail('not-memcached', `it answered "${this.#answered()}"`)
      else if (error.code === 'lost-replies') this.#repliesLost(error.message)
      else this.#outOfStep(error.message)
    }
    return !this.#isPaused
  }

  /** The start of what came and was not understood, for people who have to find out why. */
  #answered(): string {
    return printable(this.slab.bytes, this.from, this.end, SHOWN_BYTES)
  }

  #passOn(session: ClientSession): void {
    if (this.from === this.end) return
    session.replies.add(this.slab.bytes, this.from, this.end, this.slab)
    this.from = this.at = this.end
    session.repliesGrew()
  }

  /** A part of a long reply goes on to its client; from now on only the rest may follow. */
  protected streamHead(): void {
    const pending = this.pending
    const head = pending.head
    this.deliver(pending.sessions[head], pending.fate[head] & Fate.swallow, this.at)
    pending.fate[head] |= Fate.started
  }

  /** Hands [from, to) to a client, if it is still there and wants it. */
  protected deliver(session: ClientSession | undefined, isSwallowed: number, to: number): void {
    if (isSwallowed === 0 && session !== undefined && !session.isClosed) {
      session.replies.add(this.slab.bytes, this.from, to, this.slab)
      session.repliesGrew()
    }
    this.from = to
  }

  /** Only for a private connection: its client does not take its replies. */
  pauseReading(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#resumedAt = this.context.clock.now
    this.#socket.resume()
  }

  /** A client's value is on its way in pieces. Until its end memcached answers nothing, earlier requests included. */
  uploading(isUnderWay: boolean): void {
    this.#isUploading = isUnderWay
    this.#resumedAt = this.context.clock.now
  }

  /** The value in hand will never be whole, so nobody is owed an answer to it. memcached closes when it learns of it. */
  abandonUpload(): void {
    this.pending.fate[(this.pending.head + this.pending.count - 1) & (this.pending.sessions.length - 1)] |= Fate.swallow
    this.endWriting()
  }

  /** In raw mode: the client has sent all it will. */
  endWriting(): void {
    this.flush()
    this.#hasEnded = true
    this.#socket.end()
  }

  protected becomeReady(version: string, release: number): void {
    this.state = 'ready'
    this.readyAt = this.#heardAt = this.context.clock.now
    this.version = version
    this.release = release
    this.#owner.backendReady(this)
  }

  /** Called at every tick. A request without an answer closes the connection. */
  checkDeadline(now: number): void {
    if (this.state === 'connecting' && now > this.#connectBy) {
      this.fail('connect-timeout', `no answer within ${this.context.settings.connectTimeoutMs} ms`)
    } else if (this.pending.count > 0 && !this.#isPaused && !this.#isUploading && this.isWaiting()) {
      const since = Math.max(this.pending.sentAt[this.pending.head], this.#resumedAt)
      if (now - since > this.context.settings.replyTimeoutMs) this.fail('reply-timeout', `no reply within ${this.context.settings.replyTimeoutMs} ms`)
    } else if (this.state === 'ready' && !this.isPrivate && this.pending.count === 0) {
      const interval = this.context.settings.probeIntervalMs
      if (interval > 0 && now - this.#heardAt >= interval) this.probe()
    }
  }

  /** False when the head of the queue may rightly stay without an answer for long. */
  protected isWaiting(): boolean {
    return true
  }

  /** The stream is no longer in step: nobody can say whose bytes come next, so every client with a request on it goes. */
  #outOfStep(words: string): void {
    const { pending } = this
    const mask = pending.sessions.length - 1
    const clients = new Set<ClientSession>()
    for (let n = 0; n < pending.count; n++) {
      const session = pending.sessions[(pending.head + n) & mask]
      if (session !== undefined && !session.isClosed) clients.add(session)
    }
    const asked = pending.count === 0 ? '' : this.asked(pending.head)
    const loss = { advice: OUT_OF_STEP_ADVICE, asked, answered: this.#answered(), clients: clients.size }
    // Told even when nobody waited for anything: there it may be somebody's reply the next time.
    this.wasIdle = false
    this.#close('out-of-step')
    for (const session of clients) session.destroy('backend-out-of-step')
    while (pending.count > 0) pending.shift()
    this.#tellClosed('out-of-step', words, undefined, loss)
  }

  /** memcached dropped replies, and nobody can say whose. None of what it said is wrong, so clients stay: it is as if the
   *  connection had been lost. */
  #repliesLost(words: string): void {
    this.hasLostReplies = true
    // The line that says so is nobody's answer.
    this.from = this.at = this.end
    this.fail('replies-lost', words, { advice: NO_MEMORY_ADVICE })
  }

  fail(why: BackendClose, words: string, loss?: Loss): void {
    if (this.state === 'closed') return
    this.wasIdle = this.pending.count === 0
    this.#close(why)
    // After `reply_timeout` a client has waited as long as it may.
    this.#tellClosed(why, words, why === 'reply-timeout' || this.wasIdle ? undefined : this.#owner.heirOf?.(this), loss)
  }

  #close(why: BackendClose): void {
    const isOrderly = why === 'replaced' && this.state === 'ready'
    this.state = 'closed'
    // Over TLS an orderly end says so to the other side. One that is still being opened could wait for that for minutes.
    if (isOrderly) this.#socket.destroySoon()
    else this.#socket.destroy()
    this.slab.spoil()
  }

  #tellClosed(why: BackendClose, words: string, heir: BackendConnection | undefined, loss: Loss | undefined): void {
    this.failPending(words, heir)
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
