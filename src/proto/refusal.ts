/** Our own answers, in the words of each dialect. No byte of a client is ever put into them. */
import { printable } from '../lib/printable.ts'
import { HEADER } from './binary-request.ts'

const LONGEST_WORDS = 200
/** More wordings than the tables of ours have. */
const MOST_KEPT = 64
const kept = new Map<string, Buffer>()

/** A line of the text protocol. @param words fixed ones, from a table of ours: each is kept */
export function textReply(words: string): Buffer {
  const made = kept.get(words)
  if (made !== undefined) return made
  const line = textLine(words)
  if (kept.size < MOST_KEPT) kept.set(words, line)
  return line
}

/** A line for one occasion, not kept. @param words may hold what others wrote: the line stays one line, and short */
export function textLine(words: string): Buffer {
  const bytes = Buffer.from(words)
  return Buffer.from(`${printable(bytes, 0, bytes.length, LONGEST_WORDS)}\r\n`)
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
