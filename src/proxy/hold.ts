/** A lane that is not read until the client whose reply comes there takes more of it. */
import type { Expected } from './expected.ts'
import type { Outbox } from './outbox.ts'

/** A client that takes nothing may hold a lane for so many times `reply_timeout`, if it harms nobody. */
const PATIENCE = 10

/** Nobody is kept waiting when a lane is read no farther ahead than this for a client that has it for itself. */
const ENOUGH_BYTES = 4 * 1024 * 1024

interface HeldLane {
  readonly expected: Expected
  readonly mayHold: boolean
  letGo(outbox: Outbox): void
}

export class Hold {
  readonly outbox: Outbox
  readonly #resumeBelow: number
  #backlog: number
  /** When it was last seen to take something. */
  #takenAt: number

  constructor(outbox: Outbox, now: number) {
    this.outbox = outbox
    this.#backlog = outbox.backlog
    this.#resumeBelow = outbox.backlog / 2
    this.#takenAt = now
  }

  get isOver(): boolean {
    return this.outbox.backlog < this.#resumeBelow
  }

  check(lane: HeldLane, now: number, replyTimeoutMs: number): void {
    const { outbox } = this
    if (outbox.backlog !== this.#backlog) {
      this.#backlog = outbox.backlog
      this.#takenAt = now
    }
    // Others have come, and there is no other lane for them.
    if (!lane.mayHold) return lane.letGo(outbox)
    const mostMs = replyTimeoutMs * (isAlone(this.outbox, lane.expected) ? PATIENCE : 1)
    if (now - this.#takenAt > mostMs) outbox.client.destroy('reply-backlog')
  }
}

/** The client has left so much unread that its lane is to wait for it. */
export function isFarBehind(outbox: Outbox, expected: Expected): boolean {
  const { backlog, client: { mostBehind } } = outbox
  return backlog > mostBehind || (backlog > ENOUGH_BYTES && mostBehind < Infinity && isAlone(outbox, expected))
}

/** Nobody else is owed a reply here: whoever could go to another lane has gone. */
function isAlone(outbox: Outbox, expected: Expected): boolean {
  for (let n = 1; n < expected.count; n++) {
    const run = expected.run[expected.at(n)]
    if (run !== undefined && run.outbox !== outbox && !run.outbox.isClosed) return false
  }
  return true
}
