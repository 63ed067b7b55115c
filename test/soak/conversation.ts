/** What a client says next in its dialect, and what it must hear. */
import type { Part, ReplyChecker } from './expected.ts'
import type { OwnKeys } from './own-keys.ts'
import type { SharedCounter } from './shared-counter.ts'

/** Requests of one batch, and the replies they must bring. */
export class Batch {
  readonly pieces: Buffer[] = []
  requests = 0
  silent = 0
  readonly #checker: ReplyChecker

  constructor(checker: ReplyChecker) {
    this.#checker = checker
  }

  /** @param parts of the reply; none: the request must stay unanswered */
  ask(what: string, request: (string | Buffer)[], parts: (string | Part)[]): void {
    this.requests++
    for (const piece of request) this.pieces.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    if (parts.length === 0) this.silent++
    else this.#checker.expect(what, joined(parts))
  }
}

function joined(parts: (string | Part)[]): Part[] {
  const out: Part[] = []
  let literals: Buffer[] = []
  const close = () => {
    if (literals.length > 0) out.push(Buffer.concat(literals))
    literals = []
  }
  for (const part of parts) {
    if (typeof part === 'string') literals.push(Buffer.from(part, 'latin1'))
    else if (Buffer.isBuffer(part)) literals.push(part)
    else {
      close()
      out.push(part)
    }
  }
  close()
  return out
}

export interface Talk {
  own: OwnKeys
  /** Undefined for clients that vanish: what they added last could not be known. */
  shared: SharedCounter | undefined
  batch: Batch
  version: string
}
