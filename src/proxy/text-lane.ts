/** A backend connection that speaks text and meta.
 *
 *  Requests are written one client's run after the other; each is an entry of `pending`, in the same order:
 *
 *      get a        → forward                    set b … noreply → `noreply` cut off, reply swallowed
 *      mg x q ┐
 *      mg y q ├ one entry, a run: closed by `mn`, the client's own (its MN is forwarded) or ours (its MN is kept)
 *      mn     ┘
 *      mg x v ┐ one entry, a batch: as many answers as requests
 *      mg y v ┘
 *      get b ┐ an entry each, one line `get b c`: `joined` but for the last, which has the END (get-join.ts)
 *      get c ┘
 *
 *  The last entry may be an open run only while its client's input is being read: nobody else writes in between. */
import assert from 'node:assert'
import { commands, GET, isAgainRow, isReadRow, MG, MN } from '../proto/commands.ts'
import { printable } from '../lib/printable.ts'
import { LF, SPACE, type RequestFrame } from '../proto/frame.ts'
import { Got, ProtocolError, Shape, shapeOfRow } from '../proto/reply.ts'
import { release } from '../proto/bytes.ts'
import { textLine } from '../proto/refusal.ts'
import { TextReplyFramer } from '../proto/text-reply.ts'
import { Assembly } from './assembly.ts'
import { BackendConnection, SHOWN_BYTES, type BackendContext, type BackendOwner } from './backend-connection.ts'
import type { ClientSession } from './client-session.ts'
import { COPY_BYTES, GetJoin } from './get-join.ts'
import { Fate, Pending } from './pending.ts'
import type { SlabPool } from './slab.ts'
import type { Route } from './target.ts'

const VERSION_REQUEST = Buffer.from('version\r\n')
const MN_REQUEST = Buffer.from('mn\r\n')
const NO_BYTES = Buffer.alloc(0)
const END_LINE = Buffer.from('END\r\n')
/** memcached's own words, whole. */
const NO_MEMORY = Buffer.from('SERVER_ERROR out of memory writing get response\r\n')
const MN_TEXT = Buffer.from('MN\r\n')
const META_SINCE = release('1.6.18')
/** A run is closed by a fence of ours at the latest after this many requests. */
const LONGEST_RUN = 256

const isMetaRow = Uint8Array.from(commands, (row) => (row.reply === 'meta' ? 1 : 0))
export class TextLane extends BackendConnection {
  readonly dialect = 'text'
  readonly #framer: TextReplyFramer
  #hasOpenRun = false
  #hasOpenBatch = false
  #isRunFull = false
  readonly #join = new GetJoin()
  readonly #assembly: Assembly

  constructor(context: BackendContext, route: Route, owner: BackendOwner, slabs: SlabPool, isPrivate: boolean) {
    super(context, route, owner, slabs, isPrivate)
    this.#framer = new TextReplyFramer(isPrivate)
    this.#assembly = new Assembly(slabs)
  }

  /** Proves that this is a memcached with room for us, and says which. A private connection's client may find out by
   *  itself: all that comes back is its own. */
  protected greet(): void {
    if (this.isPrivate) return this.becomeReady('', 0)
    this.pending.push(undefined, Shape.version, Fate.swallow, 0, NO_BYTES, 0, 0, this.context.clock.now)
    this.send(VERSION_REQUEST, 0, VERSION_REQUEST.length)
    this.flush()
  }

  /** True when every release that could be behind it reads the line as this one does. */
  takes(needs: number): boolean {
    return needs === 0 || this.release >= needs
  }

  /** Queues the request that the framer holds. */
  request(session: ClientSession, frame: RequestFrame): void {
    if (frame.row === GET && frame.keys === 1 && this.#mayJoin && session.replies.isCoalescing) return this.#get(session, frame)
    this.#enqueue(session, frame)
    if (frame.silent) {
      this.send(frame.chunk, frame.start, frame.cutStart)
      this.send(frame.chunk, frame.cutEnd, frame.end)
    } else this.send(frame.chunk, frame.start, frame.end)
    if (frame.rest.length > 0) for (const piece of frame.rest) this.send(piece, 0, piece.length)
    if (this.#isRunFull) this.endTurn()
  }

  /** What does not tell its release may be no memcached, and answer the keys of one get out of their order. */
  get #mayJoin(): boolean {
    return !this.isPrivate && this.context.settings.joinsGets && this.release > 0
  }

  #get(session: ClientSession, frame: RequestFrame): void {
    if (this.#hasOpenRun) this.endTurn()
    this.#hasOpenBatch = false
    const { pending } = this
    const isMember = this.#join.takes(pending, session, frame, this.release)
    if (isMember) pending.shape[pending.last] = Shape.joined
    else this.#closeJoin()
    pending.push(session, Shape.values, Fate.forward, GET, frame.chunk, frame.keyStart, frame.keyEnd, this.context.clock.now)
    if (isMember) this.#join.add(frame)
    else this.#join.open(frame)
    super.send(frame.chunk, isMember ? frame.keyStart - 1 : frame.start, frame.keyEnd)
  }

  #closeJoin(): void {
    const { tail, tailFrom, tailTo, isOpen } = this.#join
    if (!isOpen) return
    this.#join.close()
    super.send(tail, tailFrom, tailTo)
  }

  override send(bytes: Buffer, from: number, to: number): void {
    this.#closeJoin()
    super.send(bytes, from, to)
  }

  override flush(): void {
    this.#closeJoin()
    super.flush()
  }

  override local(session: ClientSession, reply: Buffer): void {
    this.#closeJoin()
    super.local(session, reply)
  }

  /** Queues the line of a request whose data block follows by `streamBody()`. Only on a private connection. */
  requestHead(session: ClientSession, frame: RequestFrame): void {
    this.#enqueue(session, frame)
    this.send(frame.chunk, frame.start, frame.silent ? frame.cutStart : frame.lineEnd)
    if (frame.silent) this.send(frame.chunk, frame.cutEnd, frame.lineEnd)
  }

  streamBody(piece: Buffer): void {
    this.send(piece, 0, piece.length)
  }

  #enqueue(session: ClientSession, frame: RequestFrame): void {
    const pending = this.pending
    const row = frame.row
    const now = this.context.clock.now
    assert(!this.#hasOpenRun || pending.sessions[pending.last] === session, 'a run is closed before another client writes')
    if (this.#hasOpenRun || frame.quiet) {
      if (this.#joinRun(session, frame)) return
    }
    if (isMetaRow[row] === 1) return this.#joinBatch(session, frame)
    this.#hasOpenBatch = false
    const fate = frame.silent ? Fate.swallow : Fate.forward
    pending.push(session, shapeOfRow[row], fate, row, frame.chunk, frame.keyStart, frame.keyEnd, now)
  }

  /** Meta requests of one kind that follow each other make one entry: as many must answer as were asked. */
  #joinBatch(session: ClientSession, frame: RequestFrame): void {
    const pending = this.pending
    const last = pending.last
    if (this.#hasOpenBatch && pending.sessions[last] === session && pending.row[last] === frame.row) {
      pending.from[last]++
      return
    }
    const fate = frame.changes ? Fate.changes : Fate.forward
    const i = pending.push(session, Shape.metaBatch, fate, frame.row, frame.chunk, 1, 0, this.context.clock.now)
    pending.start[i] = frame.start
    this.#hasOpenBatch = true
  }

  /** @returns true when the request is now part of the run at the end of the queue */
  #joinRun(session: ClientSession, frame: RequestFrame): boolean {
    const pending = this.pending
    const last = pending.last
    this.#hasOpenBatch = false
    if (isMetaRow[frame.row] === 1) {
      if (!this.#hasOpenRun) {
        const i = pending.push(session, Shape.metaRun, Fate.quiet, frame.row, frame.chunk, 1, frame.quiet ? 0 : 1, this.context.clock.now)
        pending.start[i] = frame.start
        this.#hasOpenRun = true
        return true
      }
      pending.from[last]++
      if (!frame.quiet) pending.to[last]++
      // Hits are counted in a run that has a read in it.
      if (frame.row === MG) pending.row[last] = MG
      this.#isRunFull = pending.from[last] >= LONGEST_RUN
      return true
    }
    if (frame.row === MN) {
      this.#hasOpenRun = this.#isRunFull = false
      pending.from[last]++
      return true
    }
    this.endTurn()
    return false
  }

  /** The client's input has run dry: what it asked quietly is closed, so that its silence can be told from delay. */
  endTurn(): void {
    this.#hasOpenBatch = false
    if (!this.#hasOpenRun) return
    const pending = this.pending
    const last = pending.last
    pending.fate[last] |= Fate.ourFence
    this.#hasOpenRun = this.#isRunFull = false
    this.send(MN_REQUEST, 0, MN_REQUEST.length)
  }

  protected parse(): void {
    const pending = this.pending
    const framer = this.#framer
    const bytes = this.slab.bytes
    const end = this.end
    // A client that is closed for what it leaves unread takes its private connection with it.
    while (this.at < end && this.state !== 'closed') {
      if (pending.count === 0) {
        if (this.rawSession !== undefined) return
        throw new ProtocolError('unasked', 'memcached sent something that nobody asked for')
      }
      const head = pending.head
      const shape = pending.shape[head]
      // The mn of the client's own that closes a run counts among its requests, but its MN is no answer to one of them.
      const isOwnFence = shape === Shape.metaRun && (pending.fate[head] & Fate.ourFence) === 0
      const got = framer.next(bytes, this.at, end, shape, pending.asked[head], pending.from[head] - (isOwnFence ? 1 : 0), pending.to[head])
      this.at = framer.at
      if (got === Got.more) {
        // A watcher's lines are news: they do not wait until there are many.
        if (shape === Shape.endless) this.streamHead()
        return
      }
      if (got === Got.absent) this.#answerInPlace(head, this.at, END_LINE)
      else if (got === Got.refused) this.#answerInPlace(head, framer.partTo, NO_BYTES)
      else if (got === Got.part) this.#part(head)
      else if (pending.sessions[head] === undefined) this.#ownReply(shape)
      else this.#settle(head)
    }
  }

  #part(head: number): void {
    const pending = this.pending
    const session = pending.sessions[head]!
    if (isReadRow[pending.row[head]] === 1) session.record.hits += this.#framer.hits
    this.deliver(session, 0, this.#framer.partTo)
    // Of a batch it is known which requests have their answers; of a run with silent ones it is not.
    if (pending.shape[head] === Shape.metaBatch) pending.fate[head] &= ~Fate.started
    else pending.fate[head] |= Fate.started
  }

  #settle(head: number): void {
    const pending = this.pending
    const session = pending.sessions[head]!
    const fate = pending.fate[head]
    const row = pending.row[head]
    if (row === GET) this.#join.saw((fate & Fate.started) === 0 ? this.at - this.from : Infinity)
    const isRun = pending.shape[head] === Shape.metaRun
    const count = isRun || pending.shape[head] === Shape.metaBatch ? pending.from[head] : 1
    if (isReadRow[row] === 1 && !isRun) session.record.hits += this.#framer.hits
    if ((fate & Fate.ourFence) !== 0) this.from = this.at
    else if (pending.shape[head] === Shape.joined) this.#deliverWithEnd(session, (fate & Fate.started) !== 0)
    else this.deliver(session, fate & Fate.swallow, this.at)
    if (this.state === 'closed') return
    pending.shift()
    session.settled(count)
    if (pending.count > 0 && pending.shape[pending.head] === Shape.local) this.settleLocals()
  }

  /** A joined get that got nothing of its own from memcached. What is here up to `to` is for it too, but stays. */
  #answerInPlace(head: number, to: number, behind: Buffer): void {
    const session = this.pending.sessions[head]!
    this.#assemble(session, to, behind)
    this.pending.shift()
    session.settled(1)
  }

  /** @param isStarted a part of the value has gone out */
  #deliverWithEnd(session: ClientSession, isStarted: boolean): void {
    if (isStarted || this.at - this.from > COPY_BYTES) this.deliver(session, 0, this.at)
    this.#assemble(session, this.at, END_LINE)
    this.from = this.at
  }

  #assemble(session: ClientSession, to: number, behind: Buffer): void {
    if (session.isClosed) return
    this.#assembly.add(session.replies, this.slab.bytes, this.from, to, behind)
    session.repliesGrew()
  }

  #ownReply(shape: number): void {
    const reply = this.slab.bytes.toString('latin1', this.from, this.at - 2)
    this.from = this.at
    this.pending.shift()
    if (shape === Shape.version && this.state === 'connecting') {
      if (!reply.startsWith('VERSION ')) throw new ProtocolError('not-memcached', `memcached refused the question for its version: ${reply}`)
      const version = reply.slice('VERSION '.length)
      this.becomeReady(version, release(version))
    }
    this.settleLocals()
  }

  protected override isWaiting(): boolean {
    return this.pending.shape[this.pending.head] !== Shape.endless
  }

  protected probe(): void {
    const isMeta = this.release >= META_SINCE
    const request = isMeta ? MN_REQUEST : VERSION_REQUEST
    this.pending.push(undefined, isMeta ? Shape.mn : Shape.version, Fate.swallow, 0, NO_BYTES, 0, 0, this.context.clock.now)
    this.send(request, 0, request.length)
  }

  /** Its line, as the client wrote it; of a run or batch the first one's. */
  protected asked(head: number): string {
    const { asked, shape, from, start } = this.pending
    const bytes = asked[head]
    if (bytes === NO_BYTES) return shape[head] === Shape.version ? 'version' : 'mn'
    const isBatch = shape[head] === Shape.metaRun || shape[head] === Shape.metaBatch
    const at = isBatch ? start[head] : lineStart(bytes, from[head])
    return printable(bytes, at, bytes.indexOf(LF, at) + 1, SHOWN_BYTES)
  }

  protected failPending(words: string, heir: TextLane | undefined): void {
    const pending = this.pending
    this.#hasOpenRun = this.#hasOpenBatch = false
    this.#assembly.close()
    heir?.endTurn()
    const error = textLine(`SERVER_ERROR memseal: ${words}`)
    const settled: [ClientSession, number][] = []
    let answered = this.#framer.answers
    let hasBytes = this.end > this.from || answered > 0
    const tooMany = this.hasLostReplies ? this.#tooManyKeys() : Infinity
    while (pending.count > 0) {
      const head = pending.head
      const session = pending.sessions[head]
      const fate = pending.fate[head]
      const shape = pending.shape[head]
      const requests = shape === Shape.metaRun || shape === Shape.metaBatch ? pending.from[head] : 1
      const local = pending.asked[head]
      const isTooMuch = this.#keys(head) >= tooMany
      const again = heir === undefined || session === undefined || session.isClosed || hasBytes || isTooMuch ? undefined : this.#askedAgain(head, heir)
      hasBytes = false
      if (again !== undefined) heir!.#askAgain(session!, pending, head, again)
      pending.shift()
      if (session === undefined || again !== undefined) continue
      let queued = 0
      if ((fate & Fate.started) !== 0) session.destroy('backend-lost-mid-reply')
      else if (shape === Shape.local) queued = failed(session, local, heir)
      else if (shape === Shape.metaRun) queued = this.#failRun(session, error, requests, (fate & Fate.ourFence) !== 0, heir)
      else if (shape === Shape.metaBatch) for (let i = answered; i < requests; i++) queued += failed(session, error, heir)
      else if (shape === Shape.mn) queued = failed(session, MN_TEXT, heir)
      else if ((fate & Fate.swallow) === 0) queued = failed(session, isTooMuch ? NO_MEMORY : error, heir)
      settled.push([session, requests - queued])
      answered = 0
    }
    // Only now: a client that is read again would ask before its later replies have their places.
    for (const [session, count] of settled) session.settled(count)
  }

  /** It was a get of several keys that memcached had no memory for, and nothing tells which: those of the most keys are not asked
   *  again, or they would take along the next lane and whoever is there. */
  #tooManyKeys(): number {
    const { pending } = this
    let most = 0
    for (let n = 0; n < pending.count; n++) most = Math.max(most, this.#keys((pending.head + n) & (pending.shape.length - 1)))
    return most > 1 ? Math.max(2, most / 2) : Infinity
  }

  /** Keys of a get; 0 for other requests. */
  #keys(index: number): number {
    const { shape, asked, from, to } = this.pending
    if (shape[index] !== Shape.values && shape[index] !== Shape.valuesCas && shape[index] !== Shape.joined) return 0
    let keys = 1
    for (let at = from[index]; at < to[index]; at++) if (asked[index][at] === SPACE) keys++
    return keys
  }

  /** Each request of a run may answer with an error, quiet or not; the MN behind them tells the client where they end. */
  #failRun(session: ClientSession, error: Buffer, requests: number, isOurFence: boolean, heir: TextLane | undefined): number {
    let queued = 0
    for (let i = isOurFence ? 0 : 1; i < requests; i++) queued += failed(session, error, heir)
    return isOurFence ? queued : queued + failed(session, MN_TEXT, heir)
  }

  /** @returns the bytes to send to the heir; undefined when the request may not be sent a second time: it changes something,
   *  a part of its answer has come, it was sent twice before, or its client has waited too long to wait for another */
  #askedAgain(head: number, heir: TextLane): Buffer | undefined {
    const pending = this.pending
    const row = pending.row[head]
    const asked = pending.asked[head]
    // What memcached had no memory for was not this one, if it asks for one key: it may go on as often as others stand in its way.
    const mayGo = pending.fate[head] === Fate.forward || (pending.fate[head] === Fate.again && this.hasLostReplies && this.#keys(head) <= 1)
    if (!mayGo || heir.release < this.release) return undefined
    if (this.context.clock.now - pending.sentAt[head] > this.context.settings.replyTimeoutMs / 2) return undefined
    switch (pending.shape[head]) {
      case Shape.values: case Shape.valuesCas: case Shape.joined: {
        if (isAgainRow[row] !== 1) return undefined
        return Buffer.from(`${commands[row].verb} ${asked.toString('latin1', pending.from[head], pending.to[head])}\r\n`, 'latin1')
      }
      case Shape.metaBatch: {
        // Only a batch of one: of more, the requests need not lie side by side.
        if (pending.from[head] !== 1) return undefined
        const start = pending.start[head]
        return asked.subarray(start, asked.indexOf(LF, start) + 1)
      }
      default: return undefined
    }
  }

  #askAgain(session: ClientSession, from: Pending, head: number, line: Buffer): void {
    session.goesOnAt(this)
    this.#hasOpenBatch = false
    // It keeps the time of its first sending, so that nobody waits longer than for one request.
    const shape = from.shape[head] === Shape.joined ? Shape.values : from.shape[head]
    const i = this.pending.push(session, shape, Fate.again, from.row[head], from.asked[head], from.from[head], from.to[head], from.sentAt[head])
    this.pending.start[i] = from.start[head]
    this.send(line, 0, line.length)
  }
}

/** @returns the start of the line that `at` is in */
function lineStart(bytes: Buffer, at: number): number {
  return at === 0 ? 0 : bytes.lastIndexOf(LF, at - 1) + 1
}

/** Behind whatever the client asked again at the heir. @returns how many requests are settled there, later */
function failed(session: ClientSession, reply: Buffer, heir: TextLane | undefined): number {
  if (heir !== undefined && session.isAt(heir)) {
    heir.local(session, reply)
    return 1
  }
  session.replies.add(reply, 0, reply.length, undefined)
  return 0
}
