/** A backend connection that speaks text and meta.
 *
 *  Requests are written one client's run after the other; each is an entry of `pending`, in the same order:
 *
 *      get a        → forward                    set b … noreply → `noreply` cut off, reply swallowed
 *      mg x q ┐
 *      mg y q ├ one entry, a run: closed by `mn`, the client's own (its MN is forwarded) or ours (its MN is kept)
 *      mn     ┘
 *
 *  The last entry may be an open run only while its client's input is being read: nobody else writes in between. */
import { commands, MN } from '../proto/commands.ts'
import { Got, ProtocolError, Shape, shapeOfRow } from '../proto/frame.ts'
import { release } from '../proto/bytes.ts'
import { textReply } from '../proto/refusal.ts'
import { TextReplyFramer } from '../proto/text-reply.ts'
import type { TextRequestFramer } from '../proto/text-request.ts'
import { BackendConnection, type BackendContext, type BackendOwner } from './backend-connection.ts'
import type { ClientSession } from './client-session.ts'
import { Fate } from './pending.ts'
import type { SlabPool } from './slab.ts'

const VERSION_REQUEST = Buffer.from('version\r\n')
const MN_REQUEST = Buffer.from('mn\r\n')
const NO_BYTES = Buffer.alloc(0)
const MN_TEXT = Buffer.from('MN\r\n')
/** A run is closed by a fence of ours at the latest after this many requests. */
const LONGEST_RUN = 256

const isMetaRow = Uint8Array.from(commands, (row) => (row.reply === 'meta' ? 1 : 0))
/** What counts as a hit or miss in the counters. */
const isReadRow = Uint8Array.from(commands, (row) => (row.reply === 'values' || row.reply === 'values-cas' || row.verb === 'mg' ? 1 : 0))

export class TextLane extends BackendConnection {
  readonly dialect = 'text'
  readonly #framer: TextReplyFramer
  #hasOpenRun = false
  #isRunFull = false

  constructor(context: BackendContext, owner: BackendOwner, slabs: SlabPool, isPrivate: boolean) {
    super(context, owner, slabs, isPrivate)
    this.#framer = new TextReplyFramer(isPrivate)
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
  request(session: ClientSession, frame: TextRequestFramer): void {
    this.#enqueue(session, frame)
    if (frame.silent) {
      this.send(frame.chunk, frame.start, frame.cutStart)
      this.send(frame.chunk, frame.cutEnd, frame.end)
    } else this.send(frame.chunk, frame.start, frame.end)
    for (const piece of frame.rest) this.send(piece, 0, piece.length)
    if (this.#isRunFull) this.endTurn()
  }

  /** Queues the line of a request whose data block follows by `streamBody()`. Only on a private connection. */
  requestHead(session: ClientSession, frame: TextRequestFramer): void {
    this.#enqueue(session, frame)
    this.send(frame.chunk, frame.start, frame.silent ? frame.cutStart : frame.lineEnd)
    if (frame.silent) this.send(frame.chunk, frame.cutEnd, frame.lineEnd)
  }

  streamBody(piece: Buffer): void {
    this.send(piece, 0, piece.length)
  }

  #enqueue(session: ClientSession, frame: TextRequestFramer): void {
    const pending = this.pending
    const row = frame.row
    const now = this.context.clock.now
    if (this.#hasOpenRun || frame.quiet) {
      if (this.#joinRun(session, frame)) return
    }
    const fate = frame.silent ? Fate.swallow : Fate.forward
    pending.push(session, shapeOfRow[row], fate, row, frame.chunk, frame.keyStart, frame.keyEnd, now)
  }

  /** @returns true when the request is now part of the run at the end of the queue */
  #joinRun(session: ClientSession, frame: TextRequestFramer): boolean {
    const pending = this.pending
    const last = (pending.head + pending.count - 1) & (pending.sessions.length - 1)
    if (isMetaRow[frame.row] === 1) {
      if (!this.#hasOpenRun) {
        pending.push(session, Shape.metaRun, Fate.quiet, frame.row, NO_BYTES, 1, frame.quiet ? 0 : 1, this.context.clock.now)
        this.#hasOpenRun = true
        return true
      }
      pending.from[last]++
      if (!frame.quiet) pending.to[last]++
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
    if (!this.#hasOpenRun) return
    const pending = this.pending
    const last = (pending.head + pending.count - 1) & (pending.sessions.length - 1)
    pending.fate[last] |= Fate.ourFence
    this.#hasOpenRun = this.#isRunFull = false
    this.send(MN_REQUEST, 0, MN_REQUEST.length)
  }

  protected parse(): void {
    const pending = this.pending
    const framer = this.#framer
    const bytes = this.slab.bytes
    const end = this.end
    while (this.at < end) {
      if (pending.count === 0) throw new ProtocolError('unasked', 'memcached sent something that nobody asked for')
      const head = pending.head
      const shape = pending.shape[head]
      const got = framer.next(bytes, this.at, end, shape, pending.asked[head], pending.from[head], pending.to[head])
      this.at = framer.at
      if (got === Got.more) return
      if (got === Got.part) this.#part(head)
      else if (pending.sessions[head] === undefined) this.#ownReply(shape)
      else this.#settle(head)
    }
  }

  #part(head: number): void {
    const pending = this.pending
    const session = pending.sessions[head]!
    if (isReadRow[pending.row[head]] === 1) session.hits += this.#framer.hits
    this.deliver(session, 0, this.at)
    pending.fate[head] |= Fate.started
  }

  #settle(head: number): void {
    const pending = this.pending
    const session = pending.sessions[head]!
    const fate = pending.fate[head]
    const row = pending.row[head]
    const isRun = pending.shape[head] === Shape.metaRun
    if (isReadRow[row] === 1 && !isRun) session.hits += this.#framer.hits
    if ((fate & Fate.ourFence) !== 0) this.from = this.at
    else this.deliver(session, fate & Fate.swallow, this.at)
    const count = isRun ? pending.from[head] : 1
    pending.shift()
    session.settled(count)
    if (pending.count > 0 && pending.shape[pending.head] === Shape.local) this.settleLocals()
  }

  #ownReply(shape: number): void {
    const reply = this.slab.bytes.toString('latin1', this.from, this.at - 2)
    this.from = this.at
    this.pending.shift()
    if (shape === Shape.version) {
      const version = reply.slice('VERSION '.length)
      this.becomeReady(version, release(version))
    }
    this.settleLocals()
  }

  protected override isWaiting(): boolean {
    return this.pending.shape[this.pending.head] !== Shape.endless
  }

  protected failPending(words: string): void {
    const pending = this.pending
    this.#hasOpenRun = false
    const error = textReply(`SERVER_ERROR memseal: ${words}`)
    while (pending.count > 0) {
      const head = pending.head
      const session = pending.sessions[head]
      const fate = pending.fate[head]
      const shape = pending.shape[head]
      const requests = shape === Shape.metaRun ? pending.from[head] : 1
      const local = pending.asked[head]
      pending.shift()
      if (session === undefined) continue
      if (shape === Shape.local) session.replies.add(local, 0, local.length, undefined)
      else if ((fate & Fate.started) !== 0) session.destroy('backend-lost-mid-reply')
      else if (shape === Shape.metaRun) this.#failRun(session, error, requests, (fate & Fate.ourFence) !== 0)
      else if (shape === Shape.mn) session.replies.add(MN_TEXT, 0, MN_TEXT.length, undefined)
      else if ((fate & Fate.swallow) === 0) session.replies.add(error, 0, error.length, undefined)
      session.settled(requests)
    }
  }

  /** Each request of a run may answer with an error, quiet or not; the MN behind them tells the client where they end. */
  #failRun(session: ClientSession, error: Buffer, requests: number, isOurFence: boolean): void {
    const errors = isOurFence ? requests : requests - 1
    for (let i = 0; i < errors; i++) session.replies.add(error, 0, error.length, undefined)
    if (!isOurFence) session.replies.add(MN_TEXT, 0, MN_TEXT.length, undefined)
  }
}
