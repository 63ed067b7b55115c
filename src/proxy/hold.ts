/** A lane that is not read until the client whose reply comes there takes more of it. */
import type { Expected } from './expected.ts'
import type { Outbox } from './outbox.ts'

/** A client that takes nothing may hold a lane for so many times `reply_timeout`, if it harms nobody. */
const PATIENCE = 10

interface HeldLane {
  readonly expected: Expected
  readonly mayHold: boolean
  letGo(outbox: Outbox): void
}

export class Hold {
  readonly outbox: Outbox
  #backlog: number
  /** When it was last seen to take something. */
  #takenAt: number

  constructor(outbox: Outbox, now: number) {
    this.outbox = outbox
    this.#backlog = outbox.backlog
    this.#takenAt = now
  }

  check(lane: HeldLane, now: number, replyTimeoutMs: number): void {
    const { outbox } = this
    if (outbox.backlog !== this.#backlog) {
      this.#backlog = outbox.backlog
      this.#takenAt = now
    }
    // Others have come, and there is no other lane for them.
    if (!lane.mayHold) return lane.letGo(outbox)
    const mostMs = replyTimeoutMs * (this.#isAlone(lane.expected) ? PATIENCE : 1)
    if (now - this.#takenAt > mostMs) outbox.client.destroy('reply-backlog')
  }

  /** Nobody else is owed a reply here: whoever could go to another lane has gone. */
  #isAlone(expected: Expected): boolean {
    for (let n = 1; n < expected.count; n++) {
      const run = expected.run[expected.at(n)]
      if (run !== undefined && run.outbox !== this.outbox && !run.outbox.isClosed) return false
    }
    return true
  }
}
