/** Our own answers, in the words of each dialect. No byte of a client is ever put into them. */
import { printable } from '../lib/printable.ts'
import { HEADER, Status } from './binary-request.ts'
import { commands, type RefusalForm } from './commands.ts'
import type { RequestFrame } from './frame.ts'

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

/** What of a request may not be, where its command may. */
export const Refused = {
  key: { words: 'memseal: key not allowed', status: Status.notSupported },
  value: { words: 'memseal: value too large', status: Status.tooLarge },
  keys: { words: 'memseal: too many keys in one get', status: Status.invalid },
} as const
export type Refused = (typeof Refused)[keyof typeof Refused]

/** What a client gets for a request that it may not make with this key, value or number of keys. Its command's form of refusal is not
 *  asked for: those that have one have no keys. */
export function refusedFor({ dialect, opcode, opaque }: RequestFrame, { words, status }: Refused): Buffer {
  return dialect === 'binary' ? binaryReply(opcode, opaque, status, words) : textReply(`CLIENT_ERROR ${words}`)
}

const NOT_ALLOWED = 'memseal: command not allowed'
/** One word, since libmemcached and pymemcache take a statistic's value to end at a blank. */
const lists: Record<Exclude<RefusalForm, 'unknown'>, Buffer> = {
  statistic: Buffer.from('STAT memseal command_not_allowed\r\nEND\r\n'),
  key: Buffer.from('key=memseal:command_not_allowed exp=-1 la=0 cas=0 fetch=no cls=0 size=0\r\nEND\r\n'),
}

/** Opcodes whose refusal does not say that there is no such command. */
const known: ReadonlySet<number | undefined> = new Set(commands.flatMap(({ refusal, opcode, quiet }) => (refusal === 'unknown' ? [] : [opcode, quiet])))

/** What a client gets for a command that it may not use. Never the binary status 0x20, which libraries read as "log in": then
 *  spymemcached reconnects, memjs answers nothing any more, and libmemcached aborts its program. */
export function notAllowed(frame: RequestFrame): Buffer {
  if (frame.dialect === 'binary') {
    const { opcode, opaque } = frame
    return known.has(opcode) ? binaryReply(opcode, opaque, Status.notSupported, NOT_ALLOWED) : binaryReply(opcode, opaque, Status.unknown, 'Unknown command')
  }
  const form = commands[frame.row].refusal
  if (form === undefined) return textReply(`CLIENT_ERROR ${NOT_ALLOWED}`)
  return form === 'unknown' ? textReply(frame.words) : lists[form]
}
