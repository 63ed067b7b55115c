/** What reply framers are told to expect, and what they find. Small integers on the hot path; their names are the table's own words. */
import { commands, replyShapes, type ReplyShape } from './commands.ts'

/** What only lanes expect: several requests that are answered in one go, or a part of such an answer. */
const laneShapes = [
  'metaRun', //    meta requests, some of them quiet, up to and including the MN that closes them
  'metaBatch', //  several meta requests of one client that all must answer: one entry instead of many
  'gets', //       several gets of one key each, of one client: one entry instead of many
  'part', //       values of a part of a get, whose END stands for nothing; `partCas`: with cas numbers
  'partCas',
  'joined', //     a get of one key that went on the same line as the gets behind it: its value, or nothing
] as const
type AnyShape = ReplyShape | (typeof laneShapes)[number]

export const Shape = Object.fromEntries([...replyShapes, ...laneShapes].map((name, at) => [name, at])) as { readonly [name in AnyShape]: number }
export const shapeOfRow = Uint8Array.from(commands, (row) => Shape[row.reply ?? 'none'])

/** What the requests in flight may be answered with: a column for each question, a place for each request. */
export interface Expectations {
  readonly shape: Uint8Array
  /** The request's buffer; in it, the keys of a get. */
  readonly asked: readonly Buffer[]
  readonly keyFrom: Int32Array
  readonly keyTo: Int32Array
  /** Of requests that are answered in one go: how many answers may come, and how many must. */
  readonly mayAnswer: Int32Array
  readonly mustAnswer: Int32Array
  /** Where the first of them begins in `asked`, and where the last one ends; -1: they do not lie side by side. */
  readonly start: Int32Array
  readonly askedTo: Int32Array
  /** 1: one of them at least has its key or its opaque in the answer. */
  readonly isEchoed: Uint8Array
  /** 1: a data block went with it, or with one of them. */
  readonly hasBlock: Uint8Array
  /** How many requests, or groups of them, are in flight. */
  readonly count: number
}

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

/** The reply in hand, as its readers share it: how far it has been read, and what it has come to so far. */
export interface ReplyInHand {
  at: number
  partTo: number
  hits: number
  bodyLeft: number
  answers: number
  /** @returns where the line's CR is, or -1 when the line is not whole yet */
  lineEnd(bytes: Buffer, end: number): number
  /** Consumes a data block as far as it is here.   @returns true when it and its line end are done */
  body(bytes: Buffer, end: number): boolean
  /** The line is an error that may stand in the place of the reply.   @param mayBeMore a data block went with the request */
  errorLine(bytes: Buffer, from: number, to: number, mayBeMore: boolean): void
}

/** A stream that can no longer be followed. There is no way back in step. */
export class ProtocolError extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}
