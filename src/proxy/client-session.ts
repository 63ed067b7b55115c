/** One client, from its first byte to its close.
 *
 *      socket ─▶ intake ─ take(frame) ─▶ policy ─┬─ refused ─────────────▶ our words, in their turn
 *                                                ├─ shared ──▶ lane ─────▶ memcached
 *                                                └─ private ─▶ own connection, once nothing of the client is in flight
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
import { QUIT } from '../proto/commands.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import type { Departures } from '../telemetry/departures.ts'
import type { Logger } from '../telemetry/log.ts'
import type { ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import { RecordFlood } from '../tls/record-watch.ts'
import { Answers, type Answered, type AnswersHome } from './answers.ts'
import type { BackendConnection } from './backend-connection.ts'
import { ClientRecord, type ClientSnapshot } from './client-record.ts'
import { Intake, Pause, type Taker } from './intake.ts'
import { Outbox, type Receiver, type Source } from './outbox.ts'
import { PrivateRoute, type PrivateHome } from './private-route.ts'
import { SharedRoute, type SharedHome } from './shared-route.ts'
import type { Traveller } from './traveller.ts'
import type { Turn } from './turn.ts'

/** What a client needs of its service. */
export interface Home extends SharedHome, PrivateHome, AnswersHome {
  readonly sharing: 'shared' | 'private'
  readonly isCoalescing: boolean
  readonly turn: Turn
  readonly log: Logger
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

export class ClientSession implements Receiver, Taker, Traveller, Answered {
  readonly peer: Peer
  readonly outbox: Outbox
  readonly intake: Intake
  readonly record: ClientRecord

  readonly #home: Home
  readonly #socket: Socket
  readonly #tcp: Socket
  #state: State = 'serving'
  /** How its requests are to travel from now on; `#state` is where they are. */
  #goal: 'shared' | 'followed' | 'raw'
  readonly #answers: Answers
  readonly #shared: SharedRoute
  readonly #private: PrivateRoute
  /** It is to end as soon as the request in hand has been handed over. */
  #isDraining = false
  #hasEnded = false
  #isMarked = false
  #why: ClientClose | undefined
  readonly #oldestAt: number
  #finishBy = 0

  /** @param tcp of TLS, the socket beneath it */
  constructor(home: Home, socket: Socket, peer: Peer, tcp: Socket = socket) {
    this.#tcp = tcp
    this.#home = home
    this.#socket = socket
    this.peer = peer
    this.record = new ClientRecord(peer, home.clock.now)
    const maxAge = home.limits.max_age
    this.#oldestAt = maxAge === 0 ? Infinity : home.clock.now + maxAge * (0.9 + Math.random() * 0.2)
    this.#goal = home.sharing === 'private' ? 'followed' : 'shared'
    this.outbox = new Outbox(this, socket, home.turn, home.isCoalescing)
    this.#answers = new Answers(home, this)
    this.#shared = new SharedRoute(home, this)
    this.#private = new PrivateRoute(home, this)
    this.intake = new Intake(socket, home.clock, this, home.limits.request_size, (growth) => home.holds(growth))
    socket.on('data', this.#onData)
    socket.on('end', () => this.#onEnd())
    socket.on('error', error => this.#end(error instanceof RecordFlood ? 'tls-flood' : 'client-reset'))
    socket.on('close', () => this.#end('client-closed'))
    home.add(this)
    socket.resume()
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

  take(frame: RequestFrame, found: Found): void {
    switch (found) {
      case Found.request: case Found.head: return this.#request(frame, found)
      case Found.faulty: return this.#faulty(frame)
      case Found.lost: return this.#lost(frame)
      case Found.http: return this.finish('http')
      case Found.more: return
      default: found satisfies never
    }
  }

  #request(frame: RequestFrame, found: Found): void {
    const { policy } = this.#home
    // It was allowed when its first part was sent.
    if (this.#shared.isInParts) return void this.#shared.take(frame, found)
    if (!policy.allows(frame.row, frame.alsoRow)) return this.#answers.refuse(frame, found)
    if (frame.row === QUIT) return this.#quit(frame)
    if (this.#goal === 'shared') {
      const obstacle = this.#shared.obstacle(frame) ?? this.#weight() ?? this.#shared.take(frame, found)
      if (obstacle === undefined) return
      this.#leaveSharing(obstacle === 'oversize' || obstacle === 'heavy' || obstacle === 'login' ? 'followed' : 'raw', obstacle)
    } else if (this.#goal === 'followed' && policy.isOpen && !frame.strict) this.#goal = 'raw'
    else if (this.#isLightAgain(frame)) return this.#shareAgain(frame, found)
    this.#privately(frame, found)
  }

  /** @returns `heavy` when its values would hold up the others, and there is a connection to be had for it */
  #weight(): PrivateReason | undefined {
    return this.outbox.share.isHeavy && this.#home.hasPrivatePlace ? 'heavy' : undefined
  }

  /** Who had to go for what it reads, and not for what it sends, may come back. */
  #isLightAgain(frame: RequestFrame): boolean {
    const { whyPrivate } = this.record
    return (whyPrivate === 'heavy' || whyPrivate === 'behind') && this.outbox.share.isLightAgain && this.#shared.obstacle(frame) === undefined
  }

  #shareAgain(frame: RequestFrame, found: Found): void {
    if (this.outbox.inFlight > 0) return this.move(found)
    this.#private.leave()
    this.#goal = 'shared'
    this.#request(frame, found)
  }

  #faulty(frame: RequestFrame): void {
    if (!this.intake.isOtherDialect && this.#goesRaw(frame, Found.faulty)) return
    this.#answers.faulty(frame, Found.faulty)
  }

  /** Nobody can say where it ends, so it is the last one. */
  #lost(frame: RequestFrame): void {
    if (this.intake.isOtherDialect) return this.finish('protocol')
    if (this.#goesRaw(frame, Found.lost)) return
    this.#answers.faulty(frame, Found.lost)
    this.finish('protocol')
  }

  #goesRaw(frame: RequestFrame, found: Found): boolean {
    if (!this.#home.policy.isOpen) return false
    if (this.#goal === 'shared') this.#leaveSharing('raw', 'unframed')
    this.#goal = 'raw'
    this.#privately(frame, found)
    return true
  }

  #privately(frame: RequestFrame, found: Found): void {
    if (this.outbox.inFlight === 0) this.#shared.leave()
    this.#private.take(frame, found, this.#goal === 'raw')
  }

  #quit(frame: RequestFrame): void {
    this.#answers.quit(frame)
    this.finish('quit')
  }

  answer(frame: RequestFrame, found: Found, words: string, status: number): void {
    this.#answers.say(frame, found, words, status)
  }

  /** From now on only a private connection will do.   @param goal `raw`: unread, if everything is allowed */
  #leaveSharing(goal: 'followed' | 'raw', why: PrivateReason): void {
    this.#goal = this.#home.policy.isOpen ? goal : 'followed'
    this.record.whyPrivate = why
  }

  counted(frame: RequestFrame): void {
    this.record.asked(frame.row, frame.keys)
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
    this.#become('raw')
    if (this.#hasEnded) this.#private.endWriting()
  }

  wentBack(): void {
    this.intake.resume(Pause.backendFull)
    if (this.#state === 'finishing') return
    this.#become('serving')
    this.#endIfDrained()
  }

  takePiece(piece: Buffer): void {
    this.#private.takePiece(piece)
  }

  bodyEnded(): void {
    this.#private.bodyEnded()
  }

  bodyDone(): void {
    this.pauseIfFull()
    this.#endIfDrained()
  }

  /** A reload has ended `commands: [all]`. What passes unread cannot be held to the new list, so it passes no longer. */
  commandsNarrowed(): void {
    if (this.#state === 'raw') this.destroy('commands-changed')
    else if (this.#goal === 'raw') this.#goal = 'followed'
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

  repliesGrew(): void {
    const { backlog } = this.outbox
    if (backlog <= this.#slowBytes) return
    const most = this.#home.limits.reply_backlog
    if (backlog > most) return this.destroy('reply-backlog')
    this.intake.pause(Pause.clientSlow)
    if (this.#private.isOpen) this.#private.pauseReading()
    // It does not keep up: what it asks next comes on a connection that can wait for it.
    else if (this.#goal === 'shared' && backlog > most / 2) {
      this.#goal = 'followed'
      this.record.whyPrivate = 'behind'
    }
  }

  repliesTaken(): void {
    if (this.intake.has(Pause.clientSlow) && this.outbox.backlog < this.#slowBytes / 2) {
      this.#private.resumeReading()
      this.intake.resume(Pause.clientSlow)
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
    const { limits } = this.#home
    const { begunAt } = this.intake
    const isRaw = this.#state === 'raw'
    const idleMs = this.outbox.inFlight === 0 && this.outbox.isEmpty && !this.intake.isHoldingBack ? now - this.record.activeAt : -1
    if (this.#finishBy > 0) {
      if (now > this.#finishBy) this.destroy(this.#why!)
    } else if (begunAt > 0 && !this.intake.isPaused && this.#state !== 'finishing' && now - begunAt > limits.request_timeout) {
      this.destroy('request-timeout')
    } else if (isRaw && isDraining && idleMs > 1000) this.finish('drain')
    else if (!isRaw && begunAt === 0 && idleMs >= 0 && now > this.#oldestAt) this.finish('max-age')
    else if (limits.idle_timeout > 0 && idleMs > limits.idle_timeout) this.finish('idle')
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
    this.#home.remove(this, this.#why)
    this.#tell()
  }

  snapshot(): ClientSnapshot {
    return this.record.snapshot(this.#home.clock.now, this.intake.dialect, this.outbox, this.#private.isOpen)
  }

  /** One line per connection, as far as the configuration wants it. Who connects and says nothing is only counted, by the listener. */
  #tell(): void {
    const { log, departures, clock } = this.#home
    if (this.record.bytesIn === 0 || !log.isLevelEnabled('info')) return
    departures.left(this.record.departure(clock.now, this.intake.dialect, this.outbox, this.#goal !== 'shared', this.#why!), clock.now)
  }
}
