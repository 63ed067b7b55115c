/** One client, from its first byte to its close.
 *
 *      socket ─▶ intake ─ frames ─▶ router ─┬─ refused ─▶ our words, in their turn
 *                                           ├─ shared ──▶ lane ─────────▶ memcached
 *                                           └─ private ─▶ own connection, once nothing of the client is in flight
 *      socket ◀─ outbox (one write a turn) ◀──────────────────── lane, private connection
 *
 *      serving ─▶ moving ─▶ private ─▶ raw           from each of them ─▶ finishing (it still gets what it is owed) ─▶ closed
 *         ◀─────────┘ ◀────────┘
 *
 *  On a private connection requests are still followed, unless everything is allowed and something came that cannot be
 *  framed: then both directions pass unread (`raw`) for the rest of the client's time. */
import type { Socket } from 'node:net'
import { reset } from '../lib/reset.ts'
import type { Peer } from '../policy/peer.ts'
import { Meter, type Use } from '../policy/allowance.ts'
import { Verdict, type Permit } from '../policy/permit.ts'
import { isAuditedRow } from '../proto/commands.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import type { Departures } from '../telemetry/departures.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { ClientClose } from '../telemetry/reasons.ts'
import { RecordFlood } from '../tls/record-watch.ts'
import { Answers, type Answered } from './answers.ts'
import type { BackendConnection } from './backend-connection.ts'
import { ClientDeadlines } from './client-deadlines.ts'
import { ClientRecord, type ClientSnapshot } from './client-record.ts'
import { Intake, Pause, type Pumped } from './intake.ts'
import { Outbox, type Receiver, type Source } from './outbox.ts'
import { PrivateRoute } from './private-route.ts'
import { Router, type RouterHome } from './router.ts'
import { SharedRoute, type SharedHome } from './shared-route.ts'
import type { Traveller } from './traveller.ts'
import type { Turn } from './turn.ts'

/** What a client needs of its service. */
export interface Home extends SharedHome, RouterHome {
  readonly isCoalescing: boolean
  readonly turn: Turn
  readonly log: EventLog
  readonly departures: Departures
  add(session: ClientSession): void
  remove(session: ClientSession, why: ClientClose): void
  /** Bytes of unfinished requests that are held have grown by so many. */
  holds(growth: number): void
}

type State = 'serving' | 'moving' | 'private' | 'raw' | 'finishing' | 'closed'

/** Replies that a client has not taken: above it the client is not read, below half of it again. */
const MOST_SLOW_BYTES = 1024 * 1024
/** A closed socket that does not finish is destroyed after this long. */
const LINGER_MS = 5_000
/** Longest that a client that was expelled may take for what it is owed. */
const EXPELLED_MS = 10_000

export class ClientSession implements Receiver, Pumped, Traveller, Answered {
  readonly peer: Peer
  readonly outbox: Outbox
  readonly intake: Intake
  readonly record: ClientRecord
  readonly answers: Answers

  #permit: Permit
  #meter: Meter | undefined
  /** Its client may not be here any more: it goes as soon as what is under way is done, and at this time at the latest. */
  #expelled: ClientClose | undefined
  #leaveBy = Infinity
  readonly #home: Home
  readonly #socket: Socket
  readonly #tcp: Socket
  #state: State = 'serving'
  readonly #shared: SharedRoute
  readonly #private: PrivateRoute
  readonly #router: Router
  /** It is to end as soon as the request in hand has been handed over. */
  #isDraining = false
  #hasEnded = false
  #isMarked = false
  #why: ClientClose | undefined
  readonly #deadlines: ClientDeadlines
  #finishBy = 0

  /** @param tcp of TLS, the socket beneath it */
  constructor(home: Home, socket: Socket, peer: Peer, permit: Permit, use: Use | undefined, tcp: Socket = socket) {
    this.#tcp = tcp
    this.#permit = permit
    this.#meter = use && this.#measured(use, 0)
    this.#home = home
    this.#socket = socket
    this.peer = peer
    this.record = new ClientRecord(peer, home.clock.now)
    this.outbox = new Outbox(this, socket, home.turn, home.isCoalescing)
    this.answers = new Answers(home, this)
    this.#shared = new SharedRoute(home, this)
    this.#private = new PrivateRoute(home, this)
    this.#router = new Router(home, this, this.#shared, this.#private)
    this.#deadlines = new ClientDeadlines(this, home.clock.now, home.limits.max_age)
    this.intake = new Intake(socket, home.clock, this.#router, this, home.limits.request_size, (growth) => home.holds(growth))
    socket.on('data', this.#onData)
    socket.on('end', () => this.#onEnd())
    socket.on('error', error => this.#end(error instanceof RecordFlood ? 'tls-flood' : 'client-reset'))
    socket.on('close', () => this.#end('client-closed'))
    home.add(this)
    socket.resume()
  }

  /** Of TLS, the one that was made of the TCP socket. */
  get socket(): Socket {
    return this.#socket
  }

  /** What it may do. */
  get permit(): Permit {
    return this.#permit
  }

  get meter(): Meter | undefined {
    return this.#meter
  }

  #measured(use: Use, passed: number): Meter {
    return new Meter(use, passed, () => this.intake.resume(Pause.rate))
  }

  get #passedBytes(): number {
    return this.record.bytesIn + this.outbox.bytesOut
  }

  get isUnread(): boolean {
    return this.#state === 'raw'
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  get inFlight(): number {
    return this.outbox.inFlight
  }

  /** Every change of state, and all that depends on it. */
  #become(state: State): void {
    const before = this.#state
    if (before === 'closed' || before === state) return
    this.#state = state
    if (before === 'moving') this.intake.resume(Pause.moving)
    if (state === 'moving') this.intake.pause(Pause.moving)
    else if (state === 'finishing') this.intake.stop()
  }

  // Requests.

  readonly #onData = (chunk: Buffer): void => {
    if (this.#state === 'closed' || this.#state === 'finishing') return
    this.record.bytesIn += chunk.length
    this.record.activeAt = this.#home.clock.now
    if (this.#state === 'raw') this.#private.passOn(chunk)
    else this.intake.push(chunk)
  }

  counted(frame: RequestFrame): void {
    if (this.record.asked(frame.row, frame.keys)) this.#home.events.began(this.peer, frame.row)
    if (isAuditedRow[frame.row] === 1) this.#home.events.audited(this.peer, this.#permit, frame)
    if (this.#permit.observed !== undefined) this.answers.observe(frame, this.#permit.observed)
    this.#meter?.asked(1, this.#passedBytes)
    if (this.#expelled !== undefined && !this.intake.isStreaming) return this.finish(this.#expelled)
    this.pauseIfFull()
  }

  /** A value that is on its way goes on, however many requests are in flight: until its end memcached may answer none of them. */
  pauseIfFull(): void {
    if (this.outbox.inFlight >= this.#home.limits.in_flight && !this.intake.isStreaming) this.intake.pause(Pause.inFlight)
  }

  ranDry(): void {
    if (this.isClosed) return
    this.endRun()
    this.#endIfDrained()
    if (!this.#hasEnded || this.intake.isPaused) return
    if (this.intake.isStreaming) this.#private.abandonUpload()
    this.finish('client-closed')
  }

  endRun(): void {
    this.#shared.endRun()
    this.#private.endRun()
  }

  isClaimed(): void {
    this.finish('proxy-header')
  }

  // The ways to memcached.

  dropRest(): void {
    this.#shared.dropRest()
  }

  goesOnAt(source: Source): void {
    this.#shared.use(source as BackendConnection)
  }

  laneDecided(): void {
    this.intake.resume(Pause.lane)
  }

  backendHasRoom(): void {
    this.intake.keep(0)
    this.intake.resume(Pause.backendFull)
  }

  /** The request waits until nothing is in flight, or until its own connection stands: memcached may execute what comes on two
   *  connections in either order. */
  move(found: Found): void {
    this.intake.wait(found, Pause.moving)
    this.#become('moving')
  }

  arrived(): void {
    if (this.#state === 'moving' || this.#state === 'serving') this.#become('private')
  }

  turnedRaw(): void {
    const { observed } = this.#permit
    if (observed?.passesUnread === false) this.#home.access.observed(this.peer, observed, { command: 'unknown', also: undefined, reason: 'command' })
    this.#become('raw')
    this.#home.events.unread(this.peer, this.#permit)
    if (this.#hasEnded) this.#private.endWriting()
  }

  wentBack(): void {
    this.intake.resume(Pause.backendFull)
    if (this.#state === 'finishing') return
    this.#become('serving')
    this.#endIfDrained()
  }

  bodyDone(): void {
    if (this.#expelled !== undefined) return this.finish(this.#expelled)
    this.pauseIfFull()
    this.#endIfDrained()
  }

  /** What it may do from now on, after a reload. What passes unread cannot be held to anything less than all, and neither can the rest
   *  of a get that was judged before its first part was sent. */
  usePermit(permit: Permit, use: Use | undefined): void {
    this.#permit = permit
    this.#meter?.leave(this.#passedBytes)
    this.#meter = use && this.#measured(use, this.#passedBytes)
    this.intake.resume(Pause.rate)
    if (this.#shared.isInParts && permit.verdict(this.intake.frame!) !== Verdict.allowed) return this.destroy('access-changed')
    if (permit.passesUnread) return
    if (this.#state === 'raw') this.destroy('commands-changed')
    else this.#router.permitNarrowed()
  }

  /** Its client may not be here any more, after a reload. No further request of it is carried out; it still gets the replies that it is
   *  owed, and what is half done is done: a value of which memcached has a part, a get of which it has. */
  expel(why: ClientClose): void {
    if (this.isClosed || this.#expelled !== undefined) return
    this.#expelled = why
    this.#leaveBy = this.#home.clock.now + EXPELLED_MS
    if (this.#state === 'raw') this.destroy(why)
    else if (!this.intake.isStreaming && !this.#shared.isInParts) this.finish(why)
  }

  // Replies and what they change.

  settled(): void {
    const { inFlight } = this.outbox
    if (inFlight === 0) this.record.allAnswered()
    if (this.#state === 'finishing') return this.mayGoOn()
    if (!this.intake.isPaused) return
    if (this.intake.has(Pause.share) && this.outbox.share.isHalfFree) this.intake.resume(Pause.share)
    if (this.intake.has(Pause.inFlight) && inFlight <= this.#home.limits.in_flight / 2) this.intake.resume(Pause.inFlight)
    if (this.#state === 'moving' && inFlight === 0) this.#become(this.#private.isOpen ? 'private' : 'serving')
  }

  get #slowBytes(): number {
    return Math.min(MOST_SLOW_BYTES, this.#home.limits.reply_backlog / 2)
  }

  get mostBehind(): number {
    return this.isClosed ? Infinity : this.#home.limits.reply_backlog / 2
  }

  repliesGrew(): void {
    const { backlog } = this.outbox
    if (backlog <= this.#slowBytes) return
    const most = this.#home.limits.reply_backlog
    if (backlog > most) return this.destroy('reply-backlog')
    this.intake.pause(Pause.clientSlow)
    if (this.#private.isOpen) this.#private.pauseReading()
    // It does not keep up: what it asks next comes on a connection that can wait for it.
    else if (this.#router.shares && backlog > most / 2) this.#router.leaveSharing('followed', 'behind')
  }

  repliesTaken(): void {
    const { backlog } = this.outbox
    if (this.intake.has(Pause.clientSlow)) {
      this.#shared.repliesTaken()
      if (backlog < this.#slowBytes / 2) {
        this.#private.resumeReading()
        this.intake.resume(Pause.clientSlow)
      }
    }
    if (this.#state === 'finishing') this.mayGoOn()
  }

  repliesLost(): void {
    this.#end('client-reset')
  }

  mayGoOn(): void {
    if (this.#isMarked) return
    this.#isMarked = true
    this.#home.turn.waiter(this)
  }

  goOn(): void {
    this.#isMarked = false
    if (this.#state === 'finishing') this.#finishIfDone()
    else if (this.#state !== 'closed') this.intake.goOn()
  }

  // The end.

  /** The client has sent all it will; it still gets what it is owed. */
  #onEnd(): void {
    this.#hasEnded = true
    if (this.#state === 'raw') this.#private.endWriting()
    else if (!this.intake.hasBegun) this.finish('client-closed')
    else if (!this.intake.isPaused) this.intake.pump()
    // It waits for the end of a watcher's log, which has none.
    else if (this.#private.isEndless) this.finish('client-closed')
  }

  /** Reads no more, and closes when the client has all that it is owed. */
  finish(why: ClientClose): void {
    if (this.isClosed) return
    this.#why ??= why
    const wasRaw = this.#state === 'raw'
    this.#become('finishing')
    if (!wasRaw) this.endRun()
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#finishBy > 0 || (this.outbox.inFlight > 0 && !this.#private.isEndless) || !this.outbox.isEmpty) return
    // Both sides have said all they have to say. (A TLS client is still owed the alert that says so.)
    if (this.#hasEnded && this.peer.tls === undefined) return this.destroy(this.#why!)
    this.#finishBy = this.#home.clock.now + LINGER_MS
    // What it still sends is skipped, or its own end would never be seen.
    this.#socket.removeListener('data', this.#onData)
    this.#socket.end()
    this.#socket.resume()
  }

  /** Drain: idle clients close now, busy ones after the last reply they are owed. */
  drain(): void {
    this.#isDraining = true
    if (this.#state !== 'raw') this.#endIfDrained()
  }

  /** A request that waits is handed over first, and so is a data block that is still coming: replies to what was asked before may be
   *  behind it. */
  #endIfDrained(): void {
    if (this.#isDraining && !this.intake.isStreaming && !this.intake.isHoldingBack) this.finish('drain')
  }

  /** Closes now, whatever is owed. */
  destroy(why: ClientClose): void {
    if (this.isClosed) return
    this.#why = why
    this.#end(why)
  }

  /** The same, so that its library learns of it as of a host that has failed. */
  reset(why: ClientClose): void {
    if (this.isClosed) return
    reset(this.#tcp)
    this.destroy(why)
  }

  /** Deadlines of this client, looked at once a second. */
  checkDeadlines(now: number, isDraining: boolean): void {
    if (now > this.#leaveBy) return this.destroy(this.#expelled!)
    if (this.#finishBy > 0) {
      if (now > this.#finishBy) this.destroy(this.#why!)
      return
    }
    const why = this.#deadlines.missed(now, this.#home.limits, this.#state, isDraining)
    if (why === 'request-timeout') this.destroy(why)
    else if (why !== undefined) this.finish(why)
  }

  #end(why: ClientClose): void {
    if (this.isClosed) return
    this.#become('closed')
    this.#why ??= why
    this.#socket.destroy()
    this.outbox.close()
    this.intake.close()
    this.#shared.leave()
    this.#private.close()
    this.#meter?.leave(this.#passedBytes)
    this.#home.remove(this, this.#why)
    this.record.tellEnd(this.#home, this.intake.dialect, this.outbox, !this.#router.shares, this.#why, this.#permit.rule)
  }

  snapshot(): ClientSnapshot {
    return this.record.snapshot(this.#home.clock.now, this.intake.dialect, this.outbox, this.#private.isOpen, this.#permit.rule)
  }
}
