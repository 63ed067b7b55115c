/** What request framers hand over, and what reply framers are told to expect. Small integers on the hot path; their
 *  names are the table's own words. */
import { commands, type ReplyShape } from './commands.ts'

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

/** Expected replies as small integers, in the order of `shapes`. */
const shapes = [
  'values', 'values-cas', 'stored', 'number', 'deleted', 'touched', 'ok', 'version', 'mn', 'me', 'meta', 'line', 'lines', 'dump', 'endless', 'none',
] as const satisfies readonly ReplyShape[]
export const Shape = {
  values: 0, valuesCas: 1, stored: 2, number: 3, deleted: 4, touched: 5, ok: 6, version: 7, mn: 8, me: 9, meta: 10, line: 11, lines: 12, dump: 13, endless: 14, none: 15,
  /** A run of meta requests, some of them quiet, up to and including the MN that closes it. */
  metaRun: 16,
  /** Several meta requests of one client that all must answer: one entry instead of many. */
  metaBatch: 18,
  /** A get of one key that went on the same line as the gets behind it: its value, or nothing. */
  joined: 19,
  /** Our own words, which wait their turn among the replies. */
  local: 17,
} as const
export const shapeOfRow = Uint8Array.from(commands, (row) => shapes.indexOf((row.reply ?? 'none') as (typeof shapes)[number]))

/** What `next()` of a reply framer found. */
export const Got = {
  /** The reply goes on in bytes that are not here yet; what lies before `at` surely belongs to it. */
  more: 0,
  /** One answer inside a run of several; the run goes on. */
  part: 1,
  /** The whole reply. */
  whole: 2,
  /** Nothing: what is here answers a later request of the same line. */
  absent: 3,
  /** An error line, which answers all requests of the line. It is consumed for the last of them. */
  refused: 4,
} as const
export type Got = (typeof Got)[keyof typeof Got]

/** A stream that can no longer be followed. There is no way back in step. */
export class ProtocolError extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}

export const CR = 13
export const LF = 10
export const SPACE = 32

/** Longest line that memcached takes in pieces (1024 before 1.6.14). get and gets are exempt there, and bounded here. */
export const MAX_LINE = 2048
export const MAX_GET_LINE = 8192
export const MAX_KEYS = 256
export const MAX_KEY = 250
