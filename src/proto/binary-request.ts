/** Requests of the binary protocol, pulled one by one: a header of 24 bytes says all there is to know.
 *
 *  `strict` asks that body = extras + key + value exactly as the table says. What memcached does with anything else
 *  differs by release and can run the surplus as another request (PROTOCOL 4), so it is never shared.
 *  The frame and the ways of taking a body: request-framer.ts. Source: protocol-binary.txt. */
import { commands, STATS, UNKNOWN } from './commands.ts'
import { BINARY_MAGIC, Found, MAX_BODY, MAX_KEY } from './frame.ts'
import { RequestFramer } from './request-framer.ts'

export const HEADER = 24

export const Status = {
  ok: 0, notFound: 0x01, exists: 0x02, tooLarge: 0x03, invalid: 0x04, notStored: 0x05, unknown: 0x81, outOfMemory: 0x82, notSupported: 0x83, unavailable: 0x86,
} as const

export class BinaryRequestFramer extends RequestFramer {
  constructor() {
    super('binary')
  }

  next(): Found {
    if (!this.passBody()) return Found.more
    if (this.mode === 'holding') {
      this.mode = 'framing'
      return Found.request
    }
    const input = this.input
    const at = this.at
    const here = input.length - at
    if (here === 0) return this.letGo()
    if (here < HEADER) return Found.more
    if (input[at] !== BINARY_MAGIC) return this.#begin(input, at, input.length, Found.lost)
    return this.#read(input, at)
  }

  /** Header, extras and key must be in one piece before a frame is given out: they are what is looked at. */
  #read(input: Buffer, at: number): Found {
    this.#begin(input, at, at + HEADER, Found.request)
    const { frame } = this
    const keyBytes = (input[at + 2] << 8) | input[at + 3]
    const extras = input[at + 4]
    const body = ((input[at + 8] << 24) | (input[at + 9] << 16) | (input[at + 10] << 8) | input[at + 11]) >>> 0
    frame.opcode = input[at + 1]
    frame.opaque = ((input[at + 12] << 24) | (input[at + 13] << 16) | (input[at + 14] << 8) | input[at + 15]) >>> 0
    const row = rowOfOpcode[frame.opcode]
    frame.quiet = isQuietOpcode[frame.opcode] === 1
    frame.size = HEADER + body
    frame.row = row
    frame.status = row === UNKNOWN ? Status.unknown : Status.invalid
    if (row === UNKNOWN) return this.#withBody(input, at, body)
    if (!headerFits(commands[row], keyBytes, extras, body)) return Found.lost
    const needed = HEADER + extras + keyBytes
    if (input.length - at < needed) {
      this.at = at
      return Found.more
    }
    frame.keyStart = at + HEADER + extras
    frame.keyEnd = frame.keyStart + keyBytes
    frame.keys = keyBytes > 0 ? 1 : 0
    frame.strict = commands[row].shareable
    frame.lineEnd = at + needed
    if (createsOfRow[row] >= 0 && !isNeverCreating(input, frame.keyStart - 4)) frame.alsoRow = createsOfRow[row]
    if (row === STATS && keyBytes > 0) frame.row = rowOfStat(input.toString('latin1', frame.keyStart, frame.keyEnd))
    return this.#withBody(input, at, body)
  }

  #withBody(input: Buffer, at: number, body: number): Found {
    const end = at + HEADER + body
    if (end > input.length) {
      this.at = this.frame.lineEnd
      return Found.head
    }
    this.frame.end = this.at = end
    return Found.request
  }

  #begin(input: Buffer, at: number, next: number, found: Found): Found {
    this.beginFrame(input, at, next)
    this.frame.opcode = 0
    this.frame.opaque = 0
    this.frame.status = Status.invalid
    return found
  }
}

function headerFits(row: (typeof commands)[number], keyBytes: number, extras: number, body: number): boolean {
  const isStat = row.name === 'stats'
  const wantsKey = row.key === true
  const extrasFit = typeof row.extras === 'number' ? extras === row.extras : row.extras!.includes(extras)
  if (!extrasFit || keyBytes > MAX_KEY || extras + keyBytes > body || body > MAX_BODY) return false
  if (wantsKey ? keyBytes === 0 : keyBytes > 0 && !isStat) return false
  return row.value === true || body === extras + keyBytes
}

const createsOfRow = Int16Array.from(commands, ({ creates }) => (creates === undefined ? -1 : commands.findIndex((row) => row.name === creates)))

/** The exptime that says: do not create the item. */
const isNeverCreating = (bytes: Buffer, at: number): boolean =>
  bytes[at] === 255 && bytes[at + 1] === 255 && bytes[at + 2] === 255 && bytes[at + 3] === 255

const rowOfOpcode = new Uint8Array(256).fill(UNKNOWN)
/** 1: may stay silent. */
export const isQuietOpcode = new Uint8Array(256)
commands.forEach((row, index) => {
  if (row.opcode !== undefined) rowOfOpcode[row.opcode] = index
  if (row.quiet === undefined) return
  rowOfOpcode[row.quiet] = index
  isQuietOpcode[row.quiet] = 1
})

/** Policy names the sub-commands of STAT like those of the text protocol; an unlisted one is the administrator's. */
function rowOfStat(sub: string): number {
  const row = commands.findIndex((command) => command.verb === 'stats' && command.sub === sub)
  return row < 0 ? UNKNOWN : row
}
