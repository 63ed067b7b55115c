/** A backend connection that speaks the binary protocol.
 *
 *  Each request goes out with a number of ours in the place of its opaque, so every reply proves which request it answers,
 *  and the client's opaque is put back before the reply leaves. Requests that may stay silent are settled by the reply to
 *  any later one; if a client's input ends with one of them, a NOOP of ours goes behind it. */
import { printable } from '../lib/printable.ts'
import { echoesKeyOfRow, isAgainRow, isReadRow } from '../proto/commands.ts'
import { BinaryReplyFramer } from '../proto/binary-reply.ts'
import { HEADER, Status } from '../proto/binary-request.ts'
import type { RequestFrame } from '../proto/frame.ts'
import { Got, ProtocolError, Shape } from '../proto/reply.ts'
import { release } from '../proto/bytes.ts'
import { binaryReply } from '../proto/refusal.ts'
import { BackendConnection, SHOWN_BYTES } from './backend-connection.ts'
import type { ClientSession } from './client-session.ts'
import { Fate, Pending } from './pending.ts'

const OPAQUE = 12
const VERSION = 0x0b
const NOOP = 0x0a
const STAT = 0x10
const NO_BYTES = Buffer.alloc(0)

export class BinaryLane extends BackendConnection {
  readonly dialect = 'binary'
  readonly #framer = new BinaryReplyFramer()
  #nextTicket = 1
  #quietBehind = false

  protected greet(): void {
    if (this.isPrivate) return this.becomeReady('', 0)
    this.#own(VERSION)
    this.flush()
  }

  takes(): boolean {
    return true
  }

  request(session: ClientSession, frame: RequestFrame): void {
    this.#enqueue(session, frame)
    this.send(frame.chunk, frame.start, frame.end)
    if (frame.rest.length > 0) for (const piece of frame.rest) this.send(piece, 0, piece.length)
  }

  requestHead(session: ClientSession, frame: RequestFrame): void {
    this.#enqueue(session, frame)
    this.send(frame.chunk, frame.start, frame.lineEnd)
  }

  streamBody(piece: Buffer): void {
    this.send(piece, 0, piece.length)
  }

  #enqueue(session: ClientSession, frame: RequestFrame): void {
    const fate = frame.quiet ? Fate.quiet : Fate.forward
    const i = this.pending.push(session, Shape.line, fate, frame.row, frame.chunk, frame.keyStart, frame.keyEnd, this.context.clock.now)
    this.pending.opcode[i] = frame.opcode
    this.pending.opaque[i] = frame.opaque
    this.pending.ticket[i] = this.#nextTicket
    // The request's own buffer: it is ours since it was read, and nothing else looks at these four bytes.
    writeUint32(frame.chunk, frame.start + OPAQUE, this.#nextTicket)
    this.#nextTicket = (this.#nextTicket + 1) >>> 0
    this.#quietBehind = frame.quiet
  }

  /** A request of our own, whose reply nobody gets. */
  #own(opcode: number): void {
    const packet = Buffer.alloc(HEADER)
    packet[0] = 0x80
    packet[1] = opcode
    writeUint32(packet, OPAQUE, this.#nextTicket)
    const i = this.pending.push(undefined, Shape.line, Fate.swallow, 0, NO_BYTES, 0, 0, this.context.clock.now)
    this.pending.opcode[i] = opcode
    this.pending.ticket[i] = this.#nextTicket
    this.#nextTicket = (this.#nextTicket + 1) >>> 0
    this.send(packet, 0, packet.length)
  }

  endTurn(): void {
    if (!this.#quietBehind) return
    this.#quietBehind = false
    this.#own(NOOP)
  }

  protected parse(): void {
    const framer = this.#framer
    while (this.at < this.end && this.state !== 'closed') {
      if (!framer.isInsideBody) {
        if (this.pending.count === 0 && this.rawSession !== undefined) return
        const start = this.at
        if (!framer.header(this.slab.bytes, start, this.end)) {
          this.at = start
          return
        }
        this.#match(start)
        this.at = framer.at
      }
      const got = framer.body(this.at, this.end)
      this.at = framer.at
      if (got === Got.more) return
      this.#finishPacket()
    }
    // A header alone may have been the whole packet's news; its body is empty then and was finished above.
  }

  /** Finds the request that the packet answers: the first in the queue, but for those that may stay silent. */
  #match(start: number): void {
    const pending = this.pending
    const framer = this.#framer
    while (pending.count > 0 && pending.ticket[pending.head] !== framer.opaque) {
      if ((pending.fate[pending.head] & (Fate.quiet | Fate.started)) !== Fate.quiet) break
      this.#settle(pending.head)
    }
    const head = pending.head
    if (pending.count === 0 || pending.ticket[head] !== framer.opaque || pending.opcode[head] !== framer.opcode) {
      throw new ProtocolError('bad-reply', 'a binary reply to a request that is not the next one')
    }
    if (echoesKeyOfRow[pending.row[head]] === 1 && framer.status === Status.ok) this.#checkKey(head)
    writeUint32(this.slab.bytes, start + OPAQUE, pending.opaque[head])
    const session = pending.sessions[head]
    if (session !== undefined && isReadRow[pending.row[head]] === 1 && framer.status === Status.ok) session.record.hits++
  }

  #checkKey(head: number): void {
    const { asked, from, to } = this.pending
    const { keyStart, keyBytes } = this.#framer
    const isSame = keyBytes === to[head] - from[head] &&
      asked[head].compare(this.slab.bytes, keyStart, keyStart + keyBytes, from[head], to[head]) === 0
    if (!isSame) throw new ProtocolError('wrong-key', 'a value for a key that was not asked for')
  }

  #finishPacket(): void {
    const pending = this.pending
    const head = pending.head
    const framer = this.#framer
    // Statistics are many packets to one request; the last has neither key nor body, or a status that says no.
    if (framer.opcode === STAT && framer.status === Status.ok && framer.bodyBytes > 0) {
      this.deliver(pending.sessions[head], pending.fate[head] & Fate.swallow, this.at)
      pending.fate[head] |= Fate.started
      return
    }
    if (pending.sessions[head] === undefined) return this.#ownReply()
    this.deliver(pending.sessions[head], pending.fate[head] & Fate.swallow, this.at)
    if (this.state === 'closed') return
    this.#settle(head)
  }

  #settle(head: number): void {
    const session = this.pending.sessions[head]
    this.pending.shift()
    session?.settled(1)
    this.settleLocals()
  }

  #ownReply(): void {
    const { opcode, status, keyStart } = this.#framer
    const words = this.slab.bytes.toString('latin1', keyStart, this.at)
    this.from = this.at
    this.#settle(this.pending.head)
    if (opcode !== VERSION) return
    if (status !== Status.ok) throw new ProtocolError('not-memcached', `memcached refused the question for its version: ${words}`)
    this.becomeReady(words, release(words))
  }

  protected probe(): void {
    this.#own(NOOP)
  }

  /** Opcode and key: the rest of a header says nothing to people. */
  protected asked(head: number): string {
    const { opcode, asked, from, to } = this.pending
    return `opcode 0x${opcode[head].toString(16).padStart(2, '0')} ${printable(asked[head], from[head], to[head], SHOWN_BYTES)}`.trimEnd()
  }

  protected failPending(words: string, heir: BinaryLane | undefined): void {
    const pending = this.pending
    this.#quietBehind = false
    heir?.endTurn()
    const settled: ClientSession[] = []
    let hasBytes = this.end > this.from
    while (pending.count > 0) {
      const head = pending.head
      const session = pending.sessions[head]
      const shape = pending.shape[head]
      const fate = pending.fate[head]
      const error = shape === Shape.local
        ? pending.asked[head]
        : (fate & Fate.swallow) !== 0 ? NO_BYTES : binaryReply(pending.opcode[head], pending.opaque[head], Status.unavailable, `memseal: ${words}`)
      const isAskedAgain = heir !== undefined && session !== undefined && !session.isClosed && !hasBytes && this.#mayBeAskedAgain(head)
      if (isAskedAgain) heir.#askAgain(session, pending, head)
      hasBytes = false
      pending.shift()
      if (session === undefined || isAskedAgain) continue
      if ((fate & Fate.started) !== 0) session.destroy('backend-lost-mid-reply')
      else if (heir !== undefined && session.isAt(heir)) {
        heir.local(session, error)
        continue
      } else session.replies.add(error, 0, error.length, undefined)
      settled.push(session)
    }
    // Only now: a client that is read again would ask before its later replies have their places.
    for (const session of settled) session.settled(1)
  }

  /** A read that was sent once, and whose client has not waited too long to wait for another answer. */
  #mayBeAskedAgain(head: number): boolean {
    const pending = this.pending
    const isGet = pending.shape[head] !== Shape.local && isAgainRow[pending.row[head]] === 1
    const age = this.context.clock.now - pending.sentAt[head]
    return isGet && pending.fate[head] === Fate.forward && age <= this.context.settings.replyTimeoutMs / 2
  }

  #askAgain(session: ClientSession, from: Pending, head: number): void {
    session.goesOnAt(this)
    const asked = from.asked[head]
    const start = from.from[head] - HEADER
    // It keeps the time of its first sending, so that nobody waits longer than for one request.
    const i = this.pending.push(session, Shape.line, Fate.again, from.row[head], asked, from.from[head], from.to[head], from.sentAt[head])
    this.pending.opcode[i] = from.opcode[head]
    this.pending.opaque[i] = from.opaque[head]
    this.pending.ticket[i] = this.#nextTicket
    writeUint32(asked, start + OPAQUE, this.#nextTicket)
    this.#nextTicket = (this.#nextTicket + 1) >>> 0
    this.send(asked, start, from.to[head])
  }
}

function writeUint32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = (value >>> 16) & 255
  bytes[at + 2] = (value >>> 8) & 255
  bytes[at + 3] = value & 255
}
