import type { Socket } from 'node:net'
import { beginsProxyHeader } from '../lib/proxy-header.ts'

// The first bytes of a TLS connection, read before anything is spent on it: is this a ClientHello, and is it whole?
//
//   accept ── HelloReader ──┬─ whole ──── waits for its turn ── handOver ── TLS (gets the same bytes)
//               (reads)     ├─ not TLS ── told at once
//                           └─ gone ───── the peer ended or broke it; seen at once, before its turn too
//
// A socket that is not read shows neither what it wants nor that its peer has left: handshakes were spent on dialers that
// had given up, and slots on peers that never said a word.

/** What the bytes are so far. The last three are the codes of what went wrong, as `handshakeFailure` takes them. */
export type Opening = 'unfinished' | 'hello' | 'PLAIN_TEXT' | 'HTTP_REQUEST' | 'PROXY_HEADER'

const HANDSHAKE = 0x16
const ALERT_OR_OTHER_RECORD = [0x14, 0x15, 0x17]
const httpMethod = /^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PRI) /
const MAJOR_VERSION = 3
const RECORD_HEAD = 5
const MESSAGE_HEAD = 4

/** A ClientHello has some 300 to 2,000 bytes, with a session's ticket a few thousand more. One that goes on beyond this
 *  gets its turn as it is, and OpenSSL judges it. */
const MOST_BYTES = 16 * 1024

/** @param bytes all that has come, one at least */
export function openingOf(bytes: Buffer): Opening {
  const first = bytes[0]
  if (first !== HANDSHAKE) {
    // Other records of TLS are as wrong here as they are harmless: OpenSSL says so without any cost.
    if (ALERT_OR_OTHER_RECORD.includes(first) && bytes[1] === MAJOR_VERSION) return 'hello'
    if (beginsProxyHeader(bytes)) return 'PROXY_HEADER'
    return httpMethod.test(bytes.toString('latin1', 0, 8)) ? 'HTTP_REQUEST' : 'PLAIN_TEXT'
  }
  if (bytes.length > 1 && bytes[1] !== MAJOR_VERSION) return 'PLAIN_TEXT'
  return bytes.length >= MOST_BYTES || isWhole(bytes) ? 'hello' : 'unfinished'
}

/** A message may be spread over records. What is no ClientHello counts as whole: there is nothing to wait for. */
function isWhole(bytes: Buffer): boolean {
  let message = 0
  let missing = Infinity
  for (let at = 0; at + RECORD_HEAD <= bytes.length;) {
    if (bytes[at] !== HANDSHAKE) return true
    const end = at + RECORD_HEAD + bytes.readUInt16BE(at + 3)
    if (end > bytes.length) return false
    if (message === 0 && end - at >= RECORD_HEAD + MESSAGE_HEAD) missing = MESSAGE_HEAD + bytes.readUIntBE(at + RECORD_HEAD + 1, 3)
    // A head cut in two by records is seen in no client; its length is unknown, so OpenSSL has to say what it is.
    else if (message === 0) return true
    message += end - at - RECORD_HEAD
    if (message >= missing) return true
    at = end
  }
  return false
}

export interface HelloEvents {
  /** The ClientHello is there; reading goes on, so that the peer's leaving is still seen. */
  whole(): void
  /** @param code for `handshakeFailure` */
  notTls(code: string): void
  /** The peer has ended its side. That it broke the connection is told by the socket's close. */
  gone(): void
}

export class HelloReader {
  readonly #socket: Socket
  readonly #on: HelloEvents
  #bytes: Buffer | undefined
  #isWhole = false

  /** @param socket paused, nothing read */
  constructor(socket: Socket, on: HelloEvents) {
    this.#socket = socket
    this.#on = on
    socket.on('data', this.#read).on('end', this.#ended).resume()
  }

  readonly #read = (chunk: Buffer): void => {
    this.#bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk])
    // Nobody has anything to say behind a ClientHello: the rest can wait in the kernel.
    if (this.#bytes.length > MOST_BYTES) this.#socket.pause()
    if (this.#isWhole) return
    const opening = openingOf(this.#bytes)
    if (opening === 'unfinished') return
    this.#isWhole = true
    if (opening === 'hello') this.#on.whole()
    else this.#on.notTls(opening)
  }

  readonly #ended = (): void => this.#on.gone()

  /** Stops reading and puts back what was read, for whoever reads the socket next. */
  handOver(): void {
    this.#socket.off('data', this.#read).off('end', this.#ended).pause()
    if (this.#bytes !== undefined) this.#socket.unshift(this.#bytes)
    this.#bytes = undefined
  }
}
