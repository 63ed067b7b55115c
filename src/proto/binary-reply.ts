/** Replies of the binary protocol. The header says which request is answered (opcode and opaque come back), so all that
 *  the framer does is to read it and to follow the body. Source: protocol-binary.txt, "Response header". */
import { MAX_BODY, MAX_KEY } from './frame.ts'
import { Got, ProtocolError } from './reply.ts'
import { HEADER } from './binary-request.ts'

const RESPONSE_MAGIC = 0x81

export class BinaryReplyFramer {
  at = 0
  opcode = 0
  status = 0
  opaque = 0
  keyBytes = 0
  bodyBytes = 0
  /** Offset of the key of the packet whose header was just read. */
  keyStart = 0
  #bodyLeft = 0

  get isInsideBody(): boolean {
    return this.#bodyLeft > 0
  }

  /** Bytes that are still to come of the packet in hand. */
  get bytesLeft(): number {
    return this.#bodyLeft
  }

  /** Reads the header of the next packet. @returns false when it, its extras and its key are not all here yet
   *  @throws ProtocolError when it is no reply */
  header(bytes: Buffer, at: number, end: number): boolean {
    this.at = at
    if (at < end && bytes[at] !== RESPONSE_MAGIC) throw new ProtocolError('bad-reply', 'a binary reply without its magic byte')
    if (end - at < HEADER) return false
    this.opcode = bytes[at + 1]
    this.keyBytes = (bytes[at + 2] << 8) | bytes[at + 3]
    const extras = bytes[at + 4]
    this.status = (bytes[at + 6] << 8) | bytes[at + 7]
    this.bodyBytes = ((bytes[at + 8] << 24) | (bytes[at + 9] << 16) | (bytes[at + 10] << 8) | bytes[at + 11]) >>> 0
    this.opaque = ((bytes[at + 12] << 24) | (bytes[at + 13] << 16) | (bytes[at + 14] << 8) | bytes[at + 15]) >>> 0
    if (this.bodyBytes > MAX_BODY || extras + this.keyBytes > this.bodyBytes || this.keyBytes > MAX_KEY) throw new ProtocolError('bad-reply', 'a binary reply with a bad length')
    const head = HEADER + extras + this.keyBytes
    if (end - at < head) return false
    this.keyStart = at + HEADER + extras
    this.at = at + head
    this.#bodyLeft = HEADER + this.bodyBytes - head
    return true
  }

  /** Follows the body of the packet in hand, which goes on at `at`: what was consumed before may have been moved. */
  body(at: number, end: number): Got {
    const taken = Math.min(this.#bodyLeft, end - at)
    this.at = at + taken
    this.#bodyLeft -= taken
    return this.#bodyLeft === 0 ? Got.whole : Got.more
  }
}
