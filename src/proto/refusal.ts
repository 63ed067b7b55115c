/** Our own answers, in the words of each dialect. No byte of a client is ever put into them. */
import { HEADER } from './binary-request.ts'

const line = (words: string): Buffer => Buffer.from(words + '\r\n')
const cache = new Map<string, Buffer>()

/** A line of the text protocol. @param words fixed ones, from a table of ours: each is kept */
export function textReply(words: string): Buffer {
  let made = cache.get(words)
  if (made === undefined) {
    made = line(words)
    cache.set(words, made)
  }
  return made
}

/** A packet of the binary protocol that answers `opcode` and `opaque`. */
export function binaryReply(opcode: number, opaque: number, status: number, words: string): Buffer {
  const packet = Buffer.alloc(HEADER + Buffer.byteLength(words))
  packet[0] = 0x81
  packet[1] = opcode
  packet.writeUInt16BE(status, 6)
  packet.writeUInt32BE(packet.length - HEADER, 8)
  packet.writeUInt32BE(opaque, 12)
  packet.write(words, HEADER)
  return packet
}
