/** The binary protocol on a connection to memcached.
 *
 *  Each request goes out with a number of ours in the place of its opaque, so every reply proves which request it answers,
 *  and the client's opaque is put back before the reply leaves. Requests that may stay silent are settled by the reply to
 *  any later one; if a client's input ends with one of them, a NOOP of ours goes behind it. */
import { printable } from '../lib/printable.ts'
import { commands, echoesKeyOfRow, isAgainRow, isReadRow, MN, STATS, VERSION } from '../proto/commands.ts'
import { BinaryReplyFramer } from '../proto/binary-reply.ts'
import { HEADER, Status } from '../proto/binary-request.ts'
import { release } from '../proto/bytes.ts'
import type { RequestFrame } from '../proto/frame.ts'
import { SASL_AUTH } from '../proto/login.ts'
import { binaryReply } from '../proto/refusal.ts'
import { Got, ProtocolError, Shape } from '../proto/reply.ts'
import { SHOWN_BYTES, type Dialect, type Replies, type Wire } from './dialect.ts'
import { Fate, type Expected } from './expected.ts'
import type { Run } from './outbox.ts'

const OPAQUE = 12
const VERSION_OPCODE = commands[VERSION].opcode!
const NOOP_OPCODE = commands[MN].opcode!
const STAT_OPCODE = commands[STATS].opcode!
/** "Auth error" of protocol-binary.txt. */
const LOGIN_WANTED = 0x20
const isLogin = Uint8Array.from({ length: 256 }, (_, opcode) => (opcode === 0x21 || opcode === 0x22 ? 1 : 0))
const NO_BYTES = Buffer.alloc(0)

export class BinaryDialect implements Dialect, Replies {
  readonly name = 'binary'
  readonly replies = this
  readonly #wire: Wire
  readonly #framer = new BinaryReplyFramer()
  #nextTicket = 1
  /** The last request may stay silent. */
  #isQuietBehind = false
  /** Told while it is not known whether we may do more than ask for it. */
  #version = ''

  constructor(wire: Wire) {
    this.#wire = wire
  }

  // Requests.

  /** A memcached that wants a login tells its version all the same, and nothing else. Without SASL it knows no logins, and takes no
   *  harm of one. */
  greet(): void {
    if (this.#wire.login === undefined) this.#askWhoIsThere()
    else this.#send(this.#wire.login.binaryRequest)
  }

  #askWhoIsThere(): void {
    this.#own(VERSION_OPCODE)
    this.#own(NOOP_OPCODE)
  }

  probe(): void {
    this.#own(NOOP_OPCODE)
  }

  takes(): boolean {
    return true
  }

  enter(frame: RequestFrame, run: Run, isHead: boolean): void {
    const fate = frame.quiet ? Fate.quiet : Fate.forward
    this.#expect(run, fate, frame.row, frame.opcode, frame.opaque, frame.chunk, frame.start, frame.keyStart, frame.keyEnd, this.#wire.clock.now)
    this.#isQuietBehind = frame.quiet
    this.#wire.send(frame.chunk, frame.start, isHead ? frame.lineEnd : frame.end)
    if (!isHead && frame.rest.length > 0) for (const piece of frame.rest) this.#wire.send(piece, 0, piece.length)
  }

  /** The number goes into the request's own buffer: it is ours since it was read, and nothing else looks at these four bytes. */
  #expect(
    run: Run | undefined, fate: number, row: number, opcode: number, opaque: number,
    asked: Buffer, start: number, keyFrom: number, keyTo: number, sentAt: number,
  ): void {
    const { expected } = this.#wire
    const i = expected.push(run, Shape.line, fate, row, asked, sentAt)
    expected.start[i] = start
    expected.keyFrom[i] = keyFrom
    expected.keyTo[i] = keyTo
    expected.opcode[i] = opcode
    expected.opaque[i] = opaque
    expected.keys[i] = isReadRow[row]
    expected.ticket[i] = this.#nextTicket
    writeUint32(asked, start + OPAQUE, this.#nextTicket)
    this.#nextTicket = (this.#nextTicket + 1) >>> 0
  }

  /** No request of this protocol has several keys. */
  enterPart(frame: RequestFrame, run: Run): void {
    this.enter(frame, run, false)
  }

  /** A request of our own, whose reply nobody gets. */
  #own(opcode: number): void {
    const packet = Buffer.alloc(HEADER)
    packet[0] = 0x80
    packet[1] = opcode
    this.#send(packet)
  }

  #send(packet: Buffer): void {
    this.#expect(undefined, Fate.swallow, 0, packet[1], 0, packet, 0, 0, 0, this.#wire.clock.now)
    this.#wire.send(packet, 0, packet.length)
  }

  endRun(): void {
    if (!this.#isQuietBehind) return
    this.#isQuietBehind = false
    this.#own(NOOP_OPCODE)
  }

  /** No packet has memcached send what it has gathered. */
  endBeforeUpload(): void {}

  endTurn(): void {}

  // Replies.

  /** Each reply has the number of its request. */
  readonly unproved = []

  /** memcached says so to each request, and closes. */
  readonly wantsLogin = false

  get hasBegun(): boolean {
    return false
  }

  get bytesLeft(): number {
    return this.#framer.bytesLeft
  }

  get isEndless(): boolean {
    return false
  }

  read(): void {
    const wire = this.#wire
    const { window } = wire
    const framer = this.#framer
    while (window.at < window.end && !wire.isClosed) {
      if (!framer.isInsideBody) {
        if (wire.expected.count === 0 && wire.isRaw) return
        const start = window.at
        if (!framer.header(window.bytes, start, window.end)) return
        this.#match(start)
        window.at = framer.at
      }
      // An empty body is finished here too.
      const got = framer.body(window.at, window.end)
      window.at = framer.at
      if (got === Got.more) return
      this.#finishPacket()
    }
  }

  /** Finds the request that the packet answers: the first in the queue, but for those that may stay silent. */
  #match(start: number): void {
    const { expected, window: { bytes } } = this.#wire
    const framer = this.#framer
    while (expected.count > 0 && expected.ticket[expected.head] !== framer.opaque) {
      if ((expected.fate[expected.head] & (Fate.quiet | Fate.started)) !== Fate.quiet) break
      this.#settle()
    }
    const { head } = expected
    if (expected.count === 0 || expected.ticket[head] !== framer.opaque || expected.opcode[head] !== framer.opcode) {
      throw new ProtocolError('bad-reply', 'a binary reply to a request that is not the next one')
    }
    if (echoesKeyOfRow[expected.row[head]] === 1 && framer.status === Status.ok) this.#checkKey(head)
    writeUint32(bytes, start + OPAQUE, expected.opaque[head])
    const run = expected.run[head]
    if (run !== undefined && isReadRow[expected.row[head]] === 1 && framer.status === Status.ok) run.outbox.hit(run, 1)
  }

  #checkKey(head: number): void {
    const { expected: { asked, keyFrom, keyTo }, window: { bytes } } = this.#wire
    const { keyStart, keyBytes } = this.#framer
    const isSame = keyBytes === keyTo[head] - keyFrom[head] &&
      asked[head].compare(bytes, keyStart, keyStart + keyBytes, keyFrom[head], keyTo[head]) === 0
    if (!isSame) throw new ProtocolError('wrong-key', 'a value for a key that was not asked for')
  }

  #finishPacket(): void {
    const { expected, window: { at } } = this.#wire
    const { head } = expected
    const framer = this.#framer
    const run = expected.run[head]
    // Statistics are many packets to one request; the last has neither key nor body, or a status that says no.
    if (run !== undefined && framer.opcode === STAT_OPCODE && framer.status === Status.ok && framer.bodyBytes > 0) return this.#wire.deliverPart()
    if (run === undefined) return this.#ownReply()
    if (isLogin[framer.opcode] === 1) this.#clientLogin(framer.status)
    this.#wire.deliver(run, expected.fate[head] & Fate.swallow, at)
    if (!this.#wire.isClosed) this.#settle()
  }

  #clientLogin(status: number): void {
    if (status === Status.ok) this.#wire.witness.loggedIn?.(true)
    else if (status === LOGIN_WANTED) this.#wire.witness.loginRefused?.()
  }

  #settle(): void {
    const { expected } = this.#wire
    const run = expected.run[expected.head]
    const keys = expected.keys[expected.head]
    expected.shift()
    run?.outbox.settle(run, 1, keys)
  }

  #ownReply(): void {
    const wire = this.#wire
    const { window } = wire
    const { opcode, status, keyStart } = this.#framer
    const words = window.bytes.toString('latin1', keyStart, window.at)
    const shown = printable(window.bytes, keyStart, window.at, SHOWN_BYTES)
    window.from = window.at
    this.#settle()
    if (opcode === SASL_AUTH) return this.#loggedIn(status, shown)
    if (status === LOGIN_WANTED) throw new ProtocolError(wire.login === undefined ? 'login-wanted' : 'login-refused', `it answered "${words}"`)
    if (opcode !== VERSION_OPCODE) return wire.greeted(this.#version, release(this.#version))
    if (status !== Status.ok) throw new ProtocolError('not-memcached', `memcached refused the question for its version: ${words}`)
    this.#version = words
  }

  #loggedIn(status: number, shown: string): void {
    const wire = this.#wire
    if (status === Status.unknown) wire.witness.loginNotWanted?.()
    else if (status !== Status.ok) throw new ProtocolError('login-refused', `it answered "${shown}"`)
    // A private connection's client finds out by itself who is there.
    if (wire.isPrivate) wire.greeted('', 0)
    else this.#askWhoIsThere()
  }

  /** Each request has an entry. */
  takeApart(): void {}

  // A connection that was lost.

  /** Opcode and key: the rest of a header says nothing to people. */
  asked(entry: number): string {
    const { opcode, asked, keyFrom, keyTo } = this.#wire.expected
    return `opcode 0x${opcode[entry].toString(16).padStart(2, '0')} ${printable(asked[entry], keyFrom[entry], keyTo[entry], SHOWN_BYTES)}`.trimEnd()
  }

  keys(entry: number): number {
    return this.#wire.expected.keys[entry]
  }

  /** It says so in the reply to the request itself. */
  readonly noMemory = NO_BYTES

  inPlaceOf(entry: number, words: string): Buffer {
    const { fate, opcode, opaque } = this.#wire.expected
    if ((fate[entry] & Fate.swallow) !== 0) return NO_BYTES
    return binaryReply(opcode[entry], opaque[entry], Status.unavailable, `memseal: ${words}`)
  }

  again(entry: number): Buffer | undefined {
    const { asked, row, start, keyTo } = this.#wire.expected
    return isAgainRow[row[entry]] === 1 ? asked[entry].subarray(start[entry], keyTo[entry]) : undefined
  }

  enterAgain(lost: Expected, entry: number, bytes: Buffer, run: Run): void {
    const keyFrom = lost.keyFrom[entry] - lost.start[entry]
    // The number is another one, and the first connection may still be writing these bytes.
    const copy = Buffer.from(bytes)
    // It keeps the time of its first sending, so that nobody waits longer than for one request.
    this.#expect(run, Fate.again, lost.row[entry], lost.opcode[entry], lost.opaque[entry], copy, 0, keyFrom, copy.length, lost.sentAt[entry])
    this.#wire.send(copy, 0, copy.length)
  }

  close(): void {
    this.#isQuietBehind = false
  }
}

function writeUint32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = (value >>> 16) & 255
  bytes[at + 2] = (value >>> 8) & 255
  bytes[at + 3] = value & 255
}
