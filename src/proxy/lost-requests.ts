/** What becomes of the requests that were in flight on a connection that is lost.
 *
 *      a read of which nothing was answered ─▶ asked once more, at the heir: another connection that is ready
 *      half a reply has gone out            ─▶ its client is closed: nothing else may stand in the place of the rest
 *      everything else                      ─▶ an error, in its turn */
import type { Clock } from '../lib/clock.ts'
import type { Dialect } from './dialect.ts'
import { Fate, type Expected } from './expected.ts'
import type { Outbox, Run, Source } from './outbox.ts'
import type { ReplyWindow } from './reply-window.ts'

/** A connection on which requests are in flight that may be asked again on another. */
export interface Asking extends Source {
  readonly dialect: Dialect
  readonly expected: Expected
  readonly clock: Clock
  readonly release: number
}

export interface LostConnection extends Asking {
  readonly window: ReplyWindow
}

export interface Heir extends Source {
  readonly dialect: Dialect
  readonly release: number
}

const NO_BYTES = Buffer.alloc(0)

/** @param words for the errors
 *  @param mostAgeMs a client that has waited for longer does not wait for another answer
 *  @param lacksMemory memcached had no memory for the replies to a get of several keys */
export function settleLost(lost: LostConnection, heir: Heir | undefined, words: string, mostAgeMs: number, lacksMemory: boolean): void {
  const { expected, dialect } = lost
  const runs = new Set<Run>()
  /** Of clients whose get was sent in parts: what became of its latest part. */
  const parts = new Map<Outbox, Fortune>()
  dialect.replies.takeApart()
  const hasBytes = lost.window.end > lost.window.from || dialect.replies.hasBegun
  const tooMany = lacksMemory ? tooManyKeys(lost) : Infinity
  heir?.dialect.endRun()
  for (let isFirst = true; expected.count > 0; isFirst = false) {
    const { head } = expected
    const run = expected.run[head]
    if (run !== undefined) {
      runs.add(run)
      const { outbox } = run
      const count = expected.requests[head]
      const before = (expected.fate[head] & Fate.follows) === 0 ? 'none' : parts.get(outbox)?.became ?? 'answered'
      const isTooMuch = dialect.keys(head) >= tooMany
      const mayGo = heir !== undefined && !outbox.isClosed && !(isFirst && hasBytes) && !isTooMuch && before !== 'failed'
      const bytes = mayGo ? again(lost, head, heir, mostAgeMs, lacksMemory) : undefined
      parts.set(outbox, { became: bytes === undefined ? 'failed' : 'again', isOpen: expected.isOpenPart(head) })
      if (bytes !== undefined) {
        heir!.dialect.enterAgain(expected, head, bytes, outbox.askAgain(run, count, heir!))
        outbox.client.goesOnAt(heir!)
      } else {
        const isHalf = (expected.fate[head] & Fate.started) !== 0 || before === 'answered' || before === 'again'
        if (isHalf) outbox.client.destroy('backend-lost-mid-reply')
        // The error stands in the place of the first part, and of the whole.
        const isSilent = outbox.isClosed || before === 'failed'
        outbox.replace(run, count, expected.keys[head], isSilent ? NO_BYTES : isTooMuch ? dialect.noMemory : dialect.inPlaceOf(head, words, isFirst))
      }
    }
    expected.shift()
  }
  for (const [{ client, isClosed }, { became, isOpen }] of parts) if (became === 'failed' && isOpen && !isClosed) client.dropRest()
  for (const run of runs) run.outbox.lose(run)
}

/** `isOpen`: parts of the get are still to be sent. */
interface Fortune { became: 'again' | 'failed'; isOpen: boolean }

/** @returns the bytes to send to the heir; undefined when the request may not be sent a second time: it changes something, it was
 *  sent twice before, or its client has waited too long. What asks for one key was not what memcached lacked the memory for: it may
 *  go on as often as others take its lane along. */
export function again({ expected, dialect, clock, release }: Asking, entry: number, heir: Heir, mostAgeMs: number, lacksMemory: boolean): Buffer | undefined {
  const fate = expected.fate[entry]
  const mayGo = fate === Fate.forward || fate === Fate.follows || (fate === Fate.again && lacksMemory && dialect.keys(entry) <= 1)
  if (!mayGo || heir.release < release || clock.now - expected.sentAt[entry] > mostAgeMs) return undefined
  return dialect.again(entry)
}

/** Nothing tells which get it was: those of the most keys are not asked again, or they would take along the next lane and whoever
 *  is there. */
function tooManyKeys({ expected, dialect }: LostConnection): number {
  let most = 0
  for (let n = 0; n < expected.count; n++) most = Math.max(most, dialect.keys(expected.at(n)))
  return most > 1 ? Math.max(2, most / 2) : Infinity
}

/** Of clients that are owed a reply, and of the others that may have been given another's. */
export function outboxesIn(expected: Expected, others: readonly Outbox[]): Set<Outbox> {
  const outboxes = new Set(others.filter((outbox) => !outbox.isClosed))
  for (let n = 0; n < expected.count; n++) {
    const run = expected.run[expected.at(n)]
    if (run !== undefined && !run.outbox.isClosed) outboxes.add(run.outbox)
  }
  return outboxes
}
