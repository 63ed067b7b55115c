/** One client, from its first byte to its close.
 *
 *      socket ─ data ─▶ framer ─ next() ─▶ policy ─┬─ refused ─────────────▶ our words, in their turn
 *                                                  ├─ shared ──▶ lane ─────▶ memcached
 *                                                  └─ private ─▶ own connection, once nothing of the client is in flight
 *      socket ◀─ replies (one write a turn) ◀──────────────────── lane, private connection
 *
 *  On a private connection requests are still followed, unless everything is allowed and something came that cannot be
 *  framed: then both directions pass unread (`raw`) for the rest of the client's time.
 *
 *  Reading stops for named reasons and goes on when none is left. */
import type { Socket } from 'node:net'
import { commands, groupOfRow, isShareableRow, QUIT } from '../proto/commands.ts'
import { BinaryRequestFramer, Status } from '../proto/binary-request.ts'
import { BINARY_MAGIC, dialectOf, Found, type Dialect } from '../proto/frame.ts'
import { binaryReply, textReply } from '../proto/refusal.ts'
import { TextRequestFramer } from '../proto/text-request.ts'
import type { Peer } from '../process/listener.ts'
import type { BinaryLane } from './binary-lane.ts'
import type { BackendClose, BackendConnection, BackendOwner, Loss } from './backend-connection.ts'
import { ClientRecord, type RecordFields } from './client-record.ts'
import type { ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import { RecordFlood } from '../tls/record-watch.ts'
import { ReplyQueue, type ReplyOwner } from './reply-queue.ts'
import type { Service } from './service.ts'
import type { TextLane } from './text-lane.ts'

export type { ClientClose }

/** What `memseal connections` shows of a client. */
export interface ClientSnapshot extends RecordFields {
  id: string
  dialect: Dialect
  idleSeconds: number
  bytesOut: number
  inFlight: number
  backlogBytes: number
  /** Why it has a backend connection of its own; undefined: it shares. */
  isPrivate: PrivateReason | undefined
}

/** Why a client is not being read, as bits. */
const Pause = {
  clientSlow: 1,
  inFlight: 2,
  handover: 4,
  lane: 8,
  backendFull: 16,
  finishing: 32,
} as const

/** Replies that a client has not taken: above it the client is not read, below half of it again. */
const MOST_SLOW_BYTES = 1024 * 1024
/** A closed socket that does not finish is destroyed after this long. */
const LINGER_MS = 5_000

type Lane = TextLane | BinaryLane
type Framer = TextRequestFramer | BinaryRequestFramer

/** A fresh connection to memcached would take these bytes for its dialect, so they may not be the first on one. */
const isOtherDialect = (framer: Framer): boolean =>
  (framer.frame.chunk[framer.frame.start] === BINARY_MAGIC) !== framer instanceof BinaryRequestFramer

export class ClientSession implements ReplyOwner, BackendOwner {
  readonly peer: Peer
  readonly replies: ReplyQueue
  isClosed = false
  /** Requests that await their replies. */
  inFlight = 0
  readonly record: ClientRecord

  readonly #service: Service
  readonly #socket: Socket
  #dialect: Dialect = 'text'
  #framer: Framer | undefined
  #lane: Lane | undefined
  #private: Lane | undefined
  #isRaw = false
  /** The frame in hand was looked at and has to wait. */
  #isWaiting: Found | undefined
  /** From now on only a private connection will do. */
  #wantsPrivate: 'no' | 'followed' | 'raw'
  #isStreaming = false
  #endsAfterBody = false
  #pauses = 0
  #hasEnded = false
  #why: ClientClose | undefined
  readonly #oldestAt: number
  #begunAt = 0
  #held = 0
  #finishBy = 0

  constructor(service: Service, socket: Socket, peer: Peer) {
    this.#service = service
    this.#socket = socket
    this.peer = peer
    this.record = new ClientRecord(peer, service.clock.now)
    const maxAge = service.limits.max_age
    this.#oldestAt = maxAge === 0 ? Infinity : service.clock.now + maxAge * (0.9 + Math.random() * 0.2)
    this.#wantsPrivate = service.sharing === 'private' ? 'followed' : 'no'
    this.replies = new ReplyQueue(socket, service.turn, this, service.isCoalescing)
    socket.on('data', this.#onData)
    socket.on('end', () => this.#onEnd())
    socket.on('error', error => this.#end(error instanceof RecordFlood ? 'tls-flood' : 'client-reset'))
    socket.on('close', () => this.#end('client-closed'))
    service.add(this)
    socket.resume()
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.isClosed) return
    this.record.bytesIn += chunk.length
    this.record.activeAt = this.#service.clock.now
    if (this.#isRaw) return this.#passOn(chunk)
    if (this.#framer === undefined) this.#start(chunk[0])
    this.#framer!.push(chunk)
    if (this.#pauses === 0) this.#pump()
  }

  #start(firstByte: number): void {
    this.#dialect = dialectOf(firstByte)
    this.#framer = this.#dialect === 'binary' ? new BinaryRequestFramer() : new TextRequestFramer(this.#service.limits.request_size)
  }

  /** Takes request after request until the bytes run out or a reason to wait comes up. */
  #pump(): void {
    const framer = this.#framer
    if (framer === undefined) return
    while (this.#pauses === 0 && !this.isClosed) {
      if (this.#isStreaming && !this.#streamOn(framer)) break
      const found = this.#isWaiting ?? framer.next()
      this.#isWaiting = undefined
      if (found === Found.more) break
      // Whatever is unfinished behind this one has begun later.
      if (found === Found.request) this.#begunAt = 0
      this.#take(framer, found)
      if (this.#isRaw) return
    }
    if (this.isClosed) return
    this.#endTurn()
    this.#accountHeld(framer)
    if (!this.#hasEnded || this.#pauses !== 0 || this.isClosed) return
    if (this.#isStreaming) this.#private?.abandonUpload()
    this.finish('client-closed')
  }

  /** No fence in the middle of a data block: memcached would take it for a part of the value. */
  #endTurn(): void {
    this.#lane?.endTurn()
    if (!this.#isStreaming) this.#private?.endTurn()
  }

  #take(framer: Framer, found: Found): void {
    switch (found) {
      case Found.request: case Found.head: return this.#request(framer, found)
      case Found.faulty: return this.#faulty(framer)
      case Found.lost: return this.#lost(framer)
      case Found.http: return this.finish('http')
      case Found.more: return
      default: found satisfies never
    }
  }

  #request(framer: Framer, found: typeof Found.request | typeof Found.head): void {
    const policy = this.#service.policy
    if (!policy.allows(framer.frame.row, framer.frame.alsoRow)) return this.#refuse(framer, found)
    if (framer.frame.row === QUIT) return this.#quit(framer)
    if (this.#wantsPrivate === 'no' && !this.#isShareable(framer)) {
      const isOversize = framer.frame.strict && framer.frame.size > this.#service.limits.request_size
      this.#wantsPrivate = policy.isOpen && !isOversize ? 'raw' : 'followed'
      this.record.whyPrivate = isOversize ? 'oversize' : isShareableRow[framer.frame.row] === 0 ? 'command' : 'unframed'
    } else if (this.#wantsPrivate === 'followed' && policy.isOpen && !framer.frame.strict) this.#wantsPrivate = 'raw'
    if (this.#wantsPrivate !== 'no') return this.#privately(framer, found)
    const lane = this.#sharedLane(framer, found)
    if (lane === undefined) return
    if (!lane.takes(framer.frame.needs)) {
      this.#wantsPrivate = policy.isOpen ? 'raw' : 'followed'
      this.record.whyPrivate = 'release'
      return this.#privately(framer, found)
    }
    if (found === Found.head) return this.#hold(framer)
    // What waits here counts among the unfinished requests; what is handed over is bounded by the lane alone.
    if (lane.isFull) {
      lane.waitForRoom(this)
      return this.#waitWith(found, Pause.backendFull)
    }
    this.#count(framer)
    lane.request(this, framer.frame)
  }

  #isShareable(framer: Framer): boolean {
    return framer.frame.strict && isShareableRow[framer.frame.row] === 1 && framer.frame.size <= this.#service.limits.request_size
  }

  /** @returns the lane to use; undefined when there is none: the request waits, or was answered with an error */
  #sharedLane(framer: Framer, found: Found): Lane | undefined {
    const lane = this.#lane
    if (lane !== undefined && lane.state === 'ready') {
      if (lane.isOffered) return lane
      if (this.inFlight > 0) {
        this.#waitWith(found, Pause.handover)
        return undefined
      }
      this.#leaveLane()
    }
    const pool = this.#service.pool(this.#dialect)
    this.#lane = pool.choose()
    if (this.#lane !== undefined) {
      this.#lane.sessions++
      return this.#lane
    }
    if (pool.isDown) {
      this.#answer(framer, found, 'SERVER_ERROR memseal: backend unavailable', Status.unavailable)
      return undefined
    }
    pool.wait(this)
    this.#waitWith(found, Pause.lane)
    return undefined
  }

  isAt(connection: BackendConnection): boolean {
    return this.#lane === connection
  }

  /** Its lane was lost, and what can be asked again is asked there: whatever it sends from now on comes behind that. */
  goesOnAt(lane: Lane): void {
    if (this.#lane === lane) return
    if (this.#lane !== undefined) this.#lane.sessions--
    this.#lane = lane
    lane.sessions++
  }

  #waitWith(found: Found, reason: number): void {
    this.#isWaiting = found
    this.#pause(reason)
  }

  laneDecided(): void {
    this.#resume(Pause.lane)
  }

  #count(framer: Framer): void {
    this.inFlight++
    this.record.asked(framer.frame.row, framer.frame.keys)
    this.#pauseIfFull()
  }

  /** A value that is on its way goes on, however many requests are in flight: until its end memcached may answer none of them. */
  #pauseIfFull(): void {
    if (this.inFlight >= this.#service.limits.in_flight && !this.#isStreaming) this.#pause(Pause.inFlight)
  }

  /** The data block has to be whole before the request may enter a connection that others use. */
  #hold(framer: Framer): void {
    if (framer.frame.size > this.#service.limits.request_memory) return this.#answer(framer, Found.head, 'SERVER_ERROR memseal: out of memory holding the request', Status.outOfMemory)
    framer.hold()
  }

  #accountHeld(framer: Framer): void {
    const held = framer.held + (this.#isWaiting === Found.request ? framer.frame.size : 0)
    const growth = held - this.#held
    this.#held = held
    if (!framer.isInsideRequest) this.#begunAt = 0
    else if (this.#begunAt === 0) this.#begunAt = this.#service.clock.now
    if (growth !== 0) this.#service.holds(growth)
  }

  get #slowBytes(): number {
    return Math.min(MOST_SLOW_BYTES, this.#service.limits.reply_backlog / 2)
  }

  /** Since when its unfinished request is held, in the clock's ms; Infinity when there is none. */
  get holdsSince(): number {
    if (this.#held === 0) return Infinity
    return this.#begunAt === 0 ? this.#service.clock.now : this.#begunAt
  }

  // Refusals and faults: our own words, behind whatever the client is still owed.

  #refuse(framer: Framer, found: Found): void {
    this.record.refused++
    this.#service.traffic.refused[groupOfRow[framer.frame.row]]++
    const isAlso = this.#service.policy.allows(framer.frame.row, -1)
    this.#service.refused(this.peer, commands[framer.frame.row].name, isAlso ? commands[framer.frame.alsoRow].name : undefined)
    this.#answer(framer, found, 'CLIENT_ERROR memseal: command not allowed', Status.refused)
  }

  #faulty(framer: Framer): void {
    if (!isOtherDialect(framer) && this.#goesRaw(Found.faulty)) return
    if (!this.#service.policy.allows(framer.frame.row, -1)) return this.#refuse(framer, Found.faulty)
    this.#answer(framer, Found.faulty, framer.frame.words, Status.invalid)
  }

  #lost(framer: Framer): void {
    if (isOtherDialect(framer)) return this.finish('protocol')
    if (this.#goesRaw(Found.lost)) return
    if (!this.#service.policy.allows(framer.frame.row, -1)) this.#refuse(framer, Found.lost)
    else if (framer instanceof BinaryRequestFramer) this.#answer(framer, Found.lost, 'Invalid arguments', framer.frame.status)
    else this.#answer(framer, Found.lost, framer.frame.words, 0)
    this.finish('protocol')
  }

  #goesRaw(found: Found): boolean {
    if (!this.#service.policy.isOpen) return false
    if (this.#wantsPrivate === 'no') this.record.whyPrivate = 'unframed'
    this.#wantsPrivate = 'raw'
    this.#privately(this.#framer!, found)
    return true
  }

  /** Answers in memcached's stead, in the client's dialect and in its turn; the request's data block is read over. */
  #answer(framer: Framer, found: Found, words: string, status: number): void {
    if (found === Found.head) framer.skip()
    if (framer instanceof BinaryRequestFramer) {
      const text = words.replace(/^(CLIENT|SERVER)_ERROR /, '')
      this.#local(binaryReply(framer.frame.opcode, framer.frame.opaque, status, text))
    } else if (!framer.frame.silent) this.#local(textReply(words))
  }

  #local(reply: Buffer): void {
    const connection = this.#private ?? this.#lane
    if (this.inFlight === 0 || connection === undefined || connection.state !== 'ready') {
      this.replies.add(reply, 0, reply.length, undefined)
      this.repliesGrew()
      return
    }
    connection.local(this, reply)
    if (++this.inFlight >= this.#service.limits.in_flight) this.#pause(Pause.inFlight)
  }

  #quit(framer: Framer): void {
    if (framer instanceof BinaryRequestFramer && !framer.frame.quiet) this.#local(binaryReply(framer.frame.opcode, framer.frame.opaque, Status.ok, ''))
    this.finish('quit')
  }

  // The private connection.

  #privately(framer: Framer, found: Found): void {
    if (this.#private === undefined) return this.#openPrivate(framer, found)
    // Lost a moment ago, and still telling those in flight: `backendClosed` comes next, and another connection with it.
    if (this.#private.state !== 'ready') return this.#waitWith(found, Pause.handover)
    if (this.#wantsPrivate === 'raw') {
      if (this.inFlight > 0) return this.#waitWith(found, Pause.handover)
      return this.#turnRaw(framer)
    }
    this.#isStreaming = found === Found.head
    this.#count(framer)
    if (this.#isStreaming) {
      this.#private.requestHead(this, framer.frame)
      framer.stream()
      this.#private.uploading(true)
    } else this.#private.request(this, framer.frame)
    if (this.#private.isFull) this.#waitForPrivate()
  }

  /** Replies that are still to come on the shared lane come first. */
  #openPrivate(framer: Framer, found: Found): void {
    if (this.inFlight > 0) return this.#waitWith(found, Pause.handover)
    this.#leaveLane()
    this.#private = this.#service.openPrivate(this.#dialect, this)
    // Its memory was more than there may be, and this client was the one that had to go for it.
    if (this.isClosed) return this.#private?.fail('client-gone', 'its client has left')
    if (this.#private !== undefined) return this.#waitWith(found, Pause.handover)
    this.#answer(framer, found, 'SERVER_ERROR memseal: too many private connections', Status.unavailable)
    this.finish('private-limit')
  }

  #leaveLane(): void {
    if (this.#lane === undefined) return
    this.#lane.endTurn()
    this.#lane.sessions--
    this.#lane = undefined
  }

  backendReady(): void {
    this.#resume(Pause.handover)
  }

  backendClosed(connection: BackendConnection, why: BackendClose, words: string, loss: Loss | undefined): void {
    this.#service.privateClosed(connection)
    if (this.#private !== connection) return
    this.#private = undefined
    const wasConnecting = why === 'connect-failed' || why === 'connect-timeout' || why === 'tls-failed'
    if (why !== 'client-gone') {
      this.#service.lost(why)
      const isNoticed = wasConnecting || !connection.wasIdle || this.#isRaw || this.#isStreaming
      if (isNoticed) this.#service.privateLost(this.peer, connection.route, loss?.reason ?? why, words, loss)
    }
    if (this.isClosed) return
    if (this.#isRaw || this.#isStreaming) return this.finish('backend-closed')
    if (!wasConnecting) return this.#resume(Pause.backendFull | Pause.handover)
    // Nobody answers: the request that waits gets its error; one whose end is not known cannot be read over.
    const found = this.#isWaiting
    this.#isWaiting = undefined
    if (found !== undefined) {
      this.#answer(this.#framer!, found, 'SERVER_ERROR memseal: backend unavailable', Status.unavailable)
      if (found !== Found.request && found !== Found.head || this.#wantsPrivate === 'raw') return this.finish('backend-unavailable')
    }
    this.#resume(Pause.handover)
  }

  #streamOn(framer: Framer): boolean {
    for (let piece = framer.body(); piece !== undefined; piece = framer.body()) {
      this.#private!.streamBody(piece)
    }
    this.#isStreaming = framer.isStreaming
    if (!this.#isStreaming) {
      this.#private!.uploading(false)
      this.#pauseIfFull()
      if (this.#endsAfterBody) this.finish('drain')
    }
    if (this.#private!.isFull) this.#waitForPrivate()
    return !this.#isStreaming && this.#pauses === 0
  }

  #waitForPrivate(): void {
    this.#private!.waitForRoom(this)
    this.#pause(Pause.backendFull)
  }

  #turnRaw(framer: Framer): void {
    const connection = this.#private!
    this.#isRaw = true
    connection.rawSession = this
    for (const piece of framer.takeRest()) connection.send(piece, 0, piece.length)
    this.#service.heldBytes -= this.#held
    this.#held = this.#begunAt = 0
    if (this.#hasEnded) connection.endWriting()
  }

  /** A reload has ended `commands: [all]`. What passes unread cannot be held to the new list, so it passes no longer. */
  commandsNarrowed(): void {
    if (this.#isRaw) this.destroy('commands-changed')
    else if (this.#wantsPrivate === 'raw') this.#wantsPrivate = 'followed'
  }

  #passOn(chunk: Buffer): void {
    const connection = this.#private
    if (connection === undefined) return
    connection.send(chunk, 0, chunk.length)
    if (connection.isFull) this.#waitForPrivate()
  }

  backendHasRoom(): void {
    this.#resume(Pause.backendFull)
  }

  // Replies and what they change.

  /** `count` requests have been answered, or may be taken for answered. */
  settled(count: number): void {
    this.inFlight -= count
    if (this.inFlight === 0) this.record.allAnswered()
    if (this.#pauses === 0 && !this.#hasEnded) return
    if (this.#pauses & Pause.inFlight && this.inFlight <= this.#service.limits.in_flight / 2) this.#resume(Pause.inFlight)
    if (this.inFlight > 0) return
    if (this.#pauses & Pause.handover) this.#resume(Pause.handover)
    if (this.#pauses & Pause.finishing) this.#finishIfDone()
  }

  repliesGrew(): void {
    const backlog = this.replies.backlog
    if (backlog <= this.#slowBytes) return
    if (backlog > this.#service.limits.reply_backlog) return this.destroy('reply-backlog')
    this.#pause(Pause.clientSlow)
    if (this.#private !== undefined) this.#private.pauseReading()
    // It does not keep up: what it asks next comes on a connection that can wait for it.
    else if (this.#wantsPrivate === 'no' && backlog > this.#service.limits.reply_backlog / 2) {
      this.#wantsPrivate = 'followed'
      this.record.whyPrivate = 'behind'
    }
  }

  repliesTaken(): void {
    if (this.#pauses & Pause.clientSlow && this.replies.backlog < this.#slowBytes / 2) {
      this.#private?.resumeReading()
      this.#resume(Pause.clientSlow)
    }
    if (this.#pauses & Pause.finishing) this.#finishIfDone()
  }

  repliesLost(): void {
    this.#end('client-reset')
  }

  // Pausing.

  #pause(reason: number): void {
    if (this.#pauses === 0) this.#socket.pause()
    this.#pauses |= reason
  }

  #resume(reason: number): void {
    if ((this.#pauses & reason) === 0) return
    this.#pauses &= ~reason
    if (this.#pauses !== 0 || this.isClosed) return
    if (!this.#isRaw) this.#pump()
    if (this.#pauses === 0 && !this.isClosed) this.#socket.resume()
  }

  // The end.

  /** The client has sent all it will; it still gets what it is owed. */
  #onEnd(): void {
    this.#hasEnded = true
    if (this.#isRaw) this.#private?.endWriting()
    else if (this.#framer === undefined) this.finish('client-closed')
    else if (this.#pauses === 0) this.#pump()
  }

  /** Reads no more, and closes when the client has all that it is owed. */
  finish(why: ClientClose): void {
    if (this.isClosed) return
    this.#why ??= why
    this.#pause(Pause.finishing)
    this.#endTurn()
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#finishBy > 0 || (this.inFlight > 0 && this.#private?.isEndless !== true) || !this.replies.isEmpty) return
    // Both sides have said all they have to say. (A TLS client is still owed the alert that says so.)
    if (this.#hasEnded && this.peer.tls === undefined) return this.destroy(this.#why!)
    this.#finishBy = this.#service.clock.now + LINGER_MS
    // What it still sends is read over, or its own end would never be seen.
    this.#socket.removeListener('data', this.#onData)
    this.#socket.end()
    this.#socket.resume()
  }

  /** Drain: idle clients close now, busy ones after the last reply they are owed. */
  drain(): void {
    // Replies to what it asked before may be behind the data block that is still coming.
    if (this.#isStreaming) this.#endsAfterBody = true
    else if (!this.#isRaw) this.finish('drain')
  }

  /** Closes now, whatever is owed. */
  destroy(why: ClientClose): void {
    if (this.isClosed) return
    this.#why = why
    this.#socket.destroy()
    this.#end(why)
  }

  /** Deadlines of this client, looked at once a second. */
  checkDeadlines(now: number, isDraining: boolean): void {
    const limits = this.#service.limits
    const isQuiet = this.inFlight === 0 && this.replies.isEmpty
    if (this.#finishBy > 0) {
      if (now > this.#finishBy) this.destroy(this.#why!)
    } else if (this.#begunAt > 0 && this.#pauses === 0 && now - this.#begunAt > limits.request_timeout) {
      this.destroy('request-timeout')
    } else if (isQuiet && this.#isRaw && isDraining && now - this.record.activeAt > 1000) {
      this.finish('drain')
    } else if (isQuiet && this.#begunAt === 0 && now > this.#oldestAt && !this.#isRaw) {
      this.finish('max-age')
    } else if (isQuiet && limits.idle_timeout > 0 && now - this.record.activeAt > limits.idle_timeout) {
      this.finish('idle')
    }
  }

  #end(why: ClientClose): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#why ??= why
    this.#socket.destroy()
    this.replies.close()
    this.#service.heldBytes -= this.#held
    this.#service.forget(this)
    this.#leaveLane()
    this.#private?.fail('client-gone', 'its client has left')
    this.#framer = undefined
    this.#service.remove(this, this.#why)
    this.#tell()
  }

  snapshot(): ClientSnapshot {
    const { record } = this
    const now = this.#service.clock.now
    return {
      id: this.peer.id, dialect: this.#dialect, ...record.fields(now), idleSeconds: Math.round(now - record.activeAt) / 1000,
      bytesOut: this.replies.bytesOut, inFlight: this.inFlight, backlogBytes: this.replies.backlog,
      isPrivate: this.#private === undefined ? undefined : record.whyPrivate,
    }
  }

  /** One line per connection, as far as the configuration wants it. Who connects and says nothing is only counted, by the listener. */
  #tell(): void {
    const { log, departures, clock } = this.#service
    if (this.record.bytesIn === 0 || !log.isLevelEnabled('info')) return
    departures.left({
      client: this.peer.id, dialect: this.#dialect, ...this.record.fields(clock.now),
      bytesOut: this.replies.bytesOut, isPrivate: this.#wantsPrivate !== 'no', reason: this.#why!,
    }, clock.now)
  }
}
