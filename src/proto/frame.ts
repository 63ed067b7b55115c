/** A request, as everyone behind the framers sees it. */
import { hasBlockOfRow, isChangingRow, isReadRow, UNKNOWN } from './commands.ts'

/** The first byte of a connection decides its dialect for good, as in memcached itself. */
export const BINARY_MAGIC = 0x80
export const dialectOf = (firstByte: number): Dialect => (firstByte === BINARY_MAGIC ? 'binary' : 'text')
export type Dialect = 'text' | 'binary'

/** What `next()` of a request framer found. */
export const Found = {
  /** No whole request: more bytes are needed. */
  more: 0,
  /** A whole request whose extent is certain. `strict` says whether the grammar for shared connections admits it. */
  request: 1,
  /** Its line (or header) is here and certain, its data block is not yet: `hold()`, `skip()` or `stream()` it. */
  head: 2,
  /** Certainly faulty, and certainly ends where it ends: a line, or a line and the data block that it announces. */
  faulty: 3,
  /** Something whose end nobody can know: what follows might be data or commands. */
  lost: 4,
  /** A request of the web: no client of a cache. */
  http: 5,
} as const
export type Found = (typeof Found)[keyof typeof Found]

export const CR = 13
export const LF = 10
export const SPACE = 32

/** Longest line that memcached takes in pieces (1024 before 1.6.14). get and gets are exempt there, and bounded here. */
export const MAX_LINE = 2048
export const MAX_GET_LINE = 8192
/** Keys of one get line, as we send it. */
export const MAX_KEYS = 256
export const MAX_KEY = 250
/** Longest body of a packet and longest value that is believed. Above it releases differ in what they take a binary length for: up to
 *  1.6.41 it is a signed number. */
export const MAX_BODY = 1 << 30

const NOTHING = Buffer.alloc(0)

/** One request. Its framer fills it, and fills the same one again for the next: nothing is allocated for a request. */
export class RequestFrame {
  readonly dialect: Dialect
  /** Row of the command table. */
  row = UNKNOWN
  /** A second row that policy must allow as well (a meta get that also writes, an INCR that may create); -1: none. */
  alsoRow = -1
  /** Every release of memcached reads it the same way and answers in a form known beforehand. */
  strict = false
  /** May stay without an answer: meta `q`, quiet opcodes. */
  quiet = false
  /** Ends in `noreply`; `cutStart` to `cutEnd` are that word and the blank before it. */
  silent = false
  cutStart = 0
  cutEnd = 0
  /** The request: `start` to `end` of `chunk`, then `rest`. `lineEnd` is just behind its line, or header and key. */
  chunk: Buffer = NOTHING
  start = 0
  lineEnd = 0
  end = 0
  rest: Buffer[] = []
  /** First key's start; `keyEnd` is the end of the last key. Between them are keys and blanks. */
  keyStart = 0
  keyEnd = 0
  keys = 0
  /** Its key is written in base64. */
  hasBase64Key = false
  /** Meta: its answer shows its key or its opaque. */
  isEchoed = false
  /** Bytes of the whole request, data block and line ends counted. */
  size = 0
  /** Lowest release of memcached that takes it as meant, as `release()` gives it; 0: any. */
  needs = 0
  /** Text: what memcached says to it when it is faulty or lost. */
  words = ''
  /** Binary: its opcode and opaque, and the status that memcached answers a faulty or lost header with. */
  opcode = 0
  opaque = 0
  status = 0

  constructor(dialect: Dialect) {
    this.dialect = dialect
  }

  /** A request begins at `at`, and as far as is known ends at `next`. */
  begin(input: Buffer, at: number, next: number): void {
    this.chunk = input
    this.start = this.keyStart = this.keyEnd = at
    this.keys = 0
    this.lineEnd = this.end = next
    this.size = next - at
    if (this.rest.length > 0) this.rest = []
    this.row = UNKNOWN
    this.alsoRow = -1
    this.strict = this.quiet = this.silent = this.hasBase64Key = this.isEchoed = false
    this.needs = 0
  }

  /** It changes something, or may. */
  get changes(): boolean {
    return isChangingRow[this.row] === 1 || this.alsoRow >= 0
  }

  /** Keys whose values it asks for. */
  get keysRead(): number {
    return isReadRow[this.row] === 1 ? this.keys : 0
  }

  /** Of its value, without the line end behind it. */
  get valueBytes(): number {
    const block = this.size - (this.lineEnd - this.start)
    if (this.dialect === 'binary') return block
    return hasBlockOfRow[this.row] === 1 ? block - 2 : 0
  }

  /** Lets go of the bytes. */
  clear(): void {
    this.chunk = NOTHING
    this.start = this.lineEnd = this.end = this.keyStart = this.keyEnd = 0
    if (this.rest.length > 0) this.rest = []
  }

  /** Each key as memcached reads it. The bytes are the client's own as long as the frame is in hand; those of a base64 key are new. */
  * eachKey(): Generator<Buffer, void, undefined> {
    const { chunk, keyEnd } = this
    if (this.keys === 0) return
    if (this.dialect === 'binary') {
      yield chunk.subarray(this.keyStart, keyEnd)
      return
    }
    for (let at = this.keyStart; at < keyEnd;) {
      let to = at
      while (to < keyEnd && chunk[to] !== SPACE) to++
      if (to > at) yield this.hasBase64Key ? Buffer.from(chunk.toString('latin1', at, to), 'base64') : chunk.subarray(at, to)
      at = to + 1
    }
  }
}
