/** Text requests whose connection was lost: how they read, what their clients get instead, and what is asked again. */
import { commands, isAgainRow } from '../proto/commands.ts'
import { printable } from '../lib/printable.ts'
import { LF } from '../proto/frame.ts'
import { textLine } from '../proto/refusal.ts'
import { Shape } from '../proto/reply.ts'
import { SHOWN_BYTES } from './dialect.ts'
import { Fate, type Expected } from './expected.ts'

const NO_BYTES = Buffer.alloc(0)
const MN_TEXT = Buffer.from('MN\r\n')

/** Its line, as the client wrote it; of several the first one's. */
export function askedLine({ asked, start }: Expected, entry: number): string {
  const bytes = asked[entry]
  return printable(bytes, start[entry], bytes.indexOf(LF, start[entry]) + 1, SHOWN_BYTES)
}

/** Keys of one line that it gets. */
export function keysOf({ shape, keys }: Expected, entry: number): number {
  if (shape[entry] === Shape.gets) return 1
  return shape[entry] === Shape.metaBatch || shape[entry] === Shape.metaRun ? 0 : keys[entry]
}

/** Each request of a run may answer with an error, quiet or not; the MN behind them, if its client has sent one, tells where they end.
 *  @param answers of the entry that its client has   @param isOpen the run has no end yet */
export function errorsFor({ shape, fate, mayAnswer, mustAnswer }: Expected, entry: number, words: string, answers: number, isOpen: boolean): Buffer {
  const hasNoMn = isOpen || (fate[entry] & Fate.ourFence) !== 0
  const error = textLine(`SERVER_ERROR memseal: ${words}`)
  const errors = (count: number): Buffer[] => new Array<Buffer>(Math.max(count, 0)).fill(error)
  switch (shape[entry]) {
    case Shape.metaRun: return Buffer.concat([...errors(mayAnswer[entry]), hasNoMn ? NO_BYTES : MN_TEXT])
    case Shape.metaBatch: case Shape.gets: return Buffer.concat(errors(mustAnswer[entry] - answers))
    case Shape.mn: return MN_TEXT
    default: return (fate[entry] & Fate.swallow) !== 0 ? NO_BYTES : error
  }
}

/** @returns the bytes to ask once more; undefined: they may not be */
export function bytesAgain({ shape, row, asked, start, askedTo, requests, keyFrom, keyTo }: Expected, entry: number): Buffer | undefined {
  if (isAgainRow[row[entry]] !== 1) return undefined
  const bytes = asked[entry]
  if (shape[entry] === Shape.gets) return bytes.subarray(start[entry], askedTo[entry])
  if (shape[entry] !== Shape.metaBatch) {
    return Buffer.from(`${commands[row[entry]].verb} ${bytes.toString('latin1', keyFrom[entry], keyTo[entry])}\r\n`, 'latin1')
  }
  // Only a batch of one.
  return requests[entry] === 1 ? bytes.subarray(start[entry], bytes.indexOf(LF, start[entry]) + 1) : undefined
}
