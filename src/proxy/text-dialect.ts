/** The text protocol, classic and meta, on a connection to memcached.
 *
 *  Requests are written one client's run after the other; each is an entry of `expected`, in the same order:
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
import { commands, GET, hasBlockOfRow, ME, MG, MN, VERSION } from '../proto/commands.ts'
import { release } from '../proto/bytes.ts'
import type { RequestFrame } from '../proto/frame.ts'
import { Shape, shapeOfRow } from '../proto/reply.ts'
import type { Dialect, Part, Wire } from './dialect.ts'
import { Fate, type Expected } from './expected.ts'
import { GATHERS_SINCE, GetJoin } from './get-join.ts'
import type { Run } from './outbox.ts'
import { TextGreeting } from './text-greeting.ts'
import { askedLine, bytesAgain, errorsFor, keysOf } from './text-lost.ts'
import { TextReplies } from './text-replies.ts'

const VERSION_REQUEST = Buffer.from('version\r\n')
const MN_REQUEST = Buffer.from('mn\r\n')
const CRLF = Buffer.from('\r\n')
/** memcached's own words, whole. */
const NO_MEMORY = Buffer.from('SERVER_ERROR out of memory writing get response\r\n')
const META_SINCE = release('1.6.18')
/** A run is closed by a fence of ours at the latest after this many requests. */
const LONGEST_RUN = 256

const isMetaRow = Uint8Array.from(commands, ({ reply }) => (reply === 'meta' ? 1 : 0))

/** Its client has sent more than this request in one go, or the request in pieces. */
const isPipelined = ({ chunk, start, end }: RequestFrame): boolean => start > 0 || end < chunk.length

export class TextDialect implements Dialect {
  readonly name = 'text'
  readonly #wire: Wire
  #hasOpenRun = false
  #hasOpenBatch = false
  /** The last that was written are meta requests that have neither key nor opaque in their answers. */
  #needsFence = false
  readonly #greeting: TextGreeting
  readonly #join = new GetJoin()
  readonly replies: TextReplies

  constructor(wire: Wire) {
    this.#wire = wire
    this.#greeting = new TextGreeting(wire, (request, row, shown) => this.#askWhoIsThere(request, row, shown))
    this.replies = new TextReplies(wire, this.#greeting, this.#join)
  }

  // Requests.

  /** Proves that this is a memcached with room for us, and says which. */
  greet(): void {
    this.#greeting.begin()
  }

  #askWhoIsThere(request: Buffer, row: number, shown: Buffer): void {
    this.#wire.expected.push(undefined, Shape.line, Fate.swallow, row, shown, this.#wire.clock.now)
    this.#put(request, 0, request.length)
  }

  probe(): void {
    if (this.#wire.release >= META_SINCE) this.#own(MN_REQUEST, MN)
    else this.#own(VERSION_REQUEST, VERSION)
  }

  /** A request of ours, whose reply nobody gets. */
  #own(request: Buffer, row: number): void {
    this.#wire.expected.push(undefined, shapeOfRow[row], Fate.swallow, row, request, this.#wire.clock.now)
    this.#put(request, 0, request.length)
  }

  takes({ needs }: RequestFrame): boolean {
    return needs === 0 || this.#wire.release >= needs
  }

  enter(frame: RequestFrame, run: Run, isHead: boolean): void {
    if (frame.row === GET && frame.keys === 1 && !this.#wire.isPrivate && run.outbox.isCoalescing) return this.#get(frame, run)
    this.#expect(frame, run)
    const end = isHead ? frame.lineEnd : frame.end
    if (frame.silent) {
      this.#put(frame.chunk, frame.start, frame.cutStart)
      this.#put(frame.chunk, frame.cutEnd, end)
    } else this.#put(frame.chunk, frame.start, end)
    if (!isHead && frame.rest.length > 0) for (const piece of frame.rest) this.#put(piece, 0, piece.length)
    if (this.#hasOpenRun && this.#wire.expected.mayAnswer[this.#wire.expected.last] >= LONGEST_RUN) this.endRun()
  }

  enterPart(frame: RequestFrame, run: Run, { from, to, keys, isFirst, isLast }: Part): void {
    this.#endMeta()
    const { chunk, row } = frame
    const shape = isLast ? shapeOfRow[row] : shapeOfRow[row] === Shape.valuesCas ? Shape.partCas : Shape.part
    this.#note(frame, run, shape, isFirst ? Fate.forward : Fate.follows, from, to, keys)
    this.#put(chunk, frame.start, frame.keyStart)
    this.#put(chunk, from, to)
    this.#put(CRLF, 0, CRLF.length)
  }

  /** What does not tell its release may be no memcached, and answer the keys of one get out of their order. */
  get #mayJoin(): boolean {
    return this.#wire.joinsGets && this.#wire.release > 0
  }

  #get(frame: RequestFrame, run: Run): void {
    this.#endMeta()
    const { expected, release: version } = this.#wire
    if (this.#isOneMore(frame, run)) {
      expected.extend(expected.last, frame.end, 1)
      return this.#put(frame.chunk, frame.start, frame.end)
    }
    if (!this.#mayJoin || (version >= GATHERS_SINCE && isPipelined(frame))) {
      this.#note(frame, run, Shape.gets, Fate.forward, frame.keyStart, frame.keyEnd, 1)
      expected.askedTo[expected.last] = frame.end
      return this.#put(frame.chunk, frame.start, frame.end)
    }
    const isMember = this.#join.takes(expected, run, frame, version)
    if (isMember) expected.shape[expected.last] = Shape.joined
    else this.#closeJoin()
    this.#note(frame, run, Shape.values, Fate.forward, frame.keyStart, frame.keyEnd, 1)
    if (isMember) this.#join.add(frame)
    else this.#join.open(frame)
    this.#wire.send(frame.chunk, isMember ? frame.keyStart - 1 : frame.start, frame.keyEnd)
  }

  /** Gets of one client that lie side by side make one entry: as many answers come as were asked. */
  #isOneMore(frame: RequestFrame, run: Run): boolean {
    const { expected } = this.#wire
    if (expected.count === 0) return false
    const { last } = expected
    return expected.shape[last] === Shape.gets && expected.run[last] === run && expected.requests[last] < LONGEST_RUN && this.#liesBehind(last, frame)
  }

  /** A request with an entry of its own, or a part of one. */
  #note(frame: RequestFrame, run: Run, shape: number, fate: number, keyFrom: number, keyTo: number, keys: number): void {
    const { expected, clock } = this.#wire
    const i = expected.push(run, shape, fate, frame.row, frame.chunk, clock.now)
    expected.start[i] = frame.start
    expected.keyFrom[i] = keyFrom
    expected.keyTo[i] = keyTo
    expected.keys[i] = keys
  }

  /** A get follows: its reply looks like no answer to a meta request, so it does for a fence. */
  #endMeta(): void {
    if (this.#hasOpenRun) this.endRun()
    this.#hasOpenBatch = this.#needsFence = false
  }

  /** All that is written but for the parts of a line that gets share: that line ends first. */
  #put(bytes: Buffer, from: number, to: number): void {
    this.#closeJoin()
    this.#wire.send(bytes, from, to)
  }

  #closeJoin(): void {
    const { tail, tailFrom, tailTo, isOpen } = this.#join
    if (!isOpen) return
    this.#join.close()
    this.#wire.send(tail, tailFrom, tailTo)
  }

  #expect(frame: RequestFrame, run: Run): void {
    const { expected } = this.#wire
    const { row } = frame
    assert(!this.#hasOpenRun || expected.run[expected.last] === run, 'a run is closed before another client writes')
    if ((this.#hasOpenRun || frame.quiet) && this.#isOfRun(frame, run)) return
    if (isMetaRow[row] === 1) return this.#expectInBatch(frame, run)
    this.#hasOpenBatch = false
    // Its reply looks like no answer to a meta request, but that of `me`, so it does for a fence.
    if (row !== ME) this.#needsFence = false
    this.#note(frame, run, shapeOfRow[row], frame.silent ? Fate.swallow : Fate.forward, frame.keyStart, frame.keyEnd, frame.keysRead)
  }

  /** Meta requests of one kind that follow each other make one entry: as many must answer as were asked. */
  #expectInBatch(frame: RequestFrame, run: Run): void {
    const { expected, clock } = this.#wire
    if (this.#hasOpenBatch) {
      const { last } = expected
      if (expected.run[last] === run && expected.row[last] === frame.row && this.#liesBehind(last, frame)) {
        expected.extend(last, frame.end, frame.keysRead)
        if (frame.isEchoed) expected.isEchoed[last] = 1
        else this.#needsFence = true
        return
      }
    }
    const i = expected.push(run, Shape.metaBatch, frame.changes ? Fate.changes : Fate.forward, frame.row, frame.chunk, clock.now)
    this.#noteAsked(i, frame)
    expected.keys[i] = frame.keysRead
    this.#hasOpenBatch = true
    if (!frame.isEchoed) this.#needsFence = true
  }

  /** The request follows the last one of the entry in the same buffer, so that both can be read again one after the other. */
  #liesBehind(entry: number, { chunk, start, rest }: RequestFrame): boolean {
    const { asked, askedTo } = this.#wire.expected
    return asked[entry] === chunk && askedTo[entry] === start && rest.length === 0
  }

  #noteAsked(entry: number, { start, end, rest, isEchoed }: RequestFrame): void {
    const { expected } = this.#wire
    expected.start[entry] = start
    expected.askedTo[entry] = rest.length === 0 ? end : -1
    expected.isEchoed[entry] = isEchoed ? 1 : 0
  }

  /** @returns true when the request is now part of the run at the end of the queue */
  #isOfRun(frame: RequestFrame, run: Run): boolean {
    const { expected, clock } = this.#wire
    this.#hasOpenBatch = false
    if (isMetaRow[frame.row] === 1) {
      if (!this.#hasOpenRun) {
        const i = expected.push(run, Shape.metaRun, Fate.quiet, frame.row, frame.chunk, clock.now)
        this.#noteAsked(i, frame)
        expected.mustAnswer[i] = 0
        expected.keys[i] = frame.keysRead
        this.#hasOpenRun = true
        return true
      }
      const { last } = expected
      expected.requests[last]++
      expected.mayAnswer[last]++
      if (!frame.quiet) expected.mustAnswer[last]++
      expected.hasBlock[last] |= hasBlockOfRow[frame.row]
      expected.askedTo[last] = this.#liesBehind(last, frame) ? frame.end : -1
      if (frame.isEchoed) expected.isEchoed[last] = 1
      expected.keys[last] += frame.keysRead
      // Hits are counted in a run that has a read in it.
      if (frame.row === MG) expected.row[last] = MG
      return true
    }
    if (frame.row === MN) {
      this.#hasOpenRun = this.#needsFence = false
      expected.requests[expected.last]++
      return true
    }
    this.endRun()
    return false
  }

  endRun(): void {
    this.#hasOpenBatch = false
    if (!this.#hasOpenRun) return
    const { expected } = this.#wire
    expected.fate[expected.last] |= Fate.ourFence
    this.#hasOpenRun = this.#needsFence = false
    this.#put(MN_REQUEST, 0, MN_REQUEST.length)
  }

  /** memcached gathers replies while it waits for the rest of a value, but `mn` has it send them at once. Nobody gets its MN; nor the
   *  ERROR of a release that is too old to know it, where no lane has told which it is. */
  endBeforeUpload(): void {
    if (this.#hasOpenRun) this.endRun()
    else if (this.#wire.expected.count > 0) {
      this.#hasOpenBatch = false
      this.#own(MN_REQUEST, MN)
    }
  }

  /** What cannot be told from its answer gets a fence behind it, one a turn: an answer that is left out must not go unseen. */
  endTurn(): void {
    if (this.#needsFence && !this.#wire.isPrivate) {
      this.#needsFence = this.#hasOpenBatch = false
      this.#own(MN_REQUEST, MN)
    } else this.#closeJoin()
  }

  // A connection that was lost.

  asked(entry: number): string {
    return askedLine(this.#wire.expected, entry)
  }

  keys(entry: number): number {
    return keysOf(this.#wire.expected, entry)
  }

  readonly noMemory = NO_MEMORY

  inPlaceOf(entry: number, words: string, isFirst: boolean): Buffer {
    const { expected } = this.#wire
    return errorsFor(expected, entry, words, isFirst ? this.replies.answers : 0, this.#hasOpenRun && entry === expected.last)
  }

  again(entry: number): Buffer | undefined {
    return bytesAgain(this.#wire.expected, entry)
  }

  enterAgain(lost: Expected, entry: number, bytes: Buffer, run: Run): void {
    const { expected } = this.#wire
    this.#hasOpenBatch = false
    const row = lost.row[entry]
    const shape = lost.shape[entry] === Shape.joined ? Shape.values : lost.shape[entry]
    // It keeps the time of its first sending, so that nobody waits longer than for one request.
    const i = expected.push(run, shape, Fate.again | (lost.fate[entry] & Fate.follows), row, bytes, lost.sentAt[entry])
    expected.keys[i] = lost.keys[entry]
    if (shape === Shape.metaBatch) {
      expected.askedTo[i] = bytes.length
      expected.isEchoed[i] = lost.isEchoed[entry]
      if (lost.isEchoed[entry] === 0) this.#needsFence = true
    } else if (shape === Shape.gets) {
      this.#needsFence = false
      expected.askedTo[i] = bytes.length
      expected.requests[i] = expected.mustAnswer[i] = lost.requests[entry]
    } else {
      this.#needsFence = false
      expected.keyFrom[i] = commands[row].verb!.length + 1
      expected.keyTo[i] = bytes.length - 2
    }
    this.#put(bytes, 0, bytes.length)
  }

  close(): void {
    this.#hasOpenRun = this.#hasOpenBatch = false
    this.#join.close()
    this.replies.close()
  }
}
