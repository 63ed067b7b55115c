/** What a connection must bring, byte for byte. A reply is known before it is asked for, since only one client ever
 *  writes its keys; the few numbers that memcached chooses (cas) are the only places left open. */

/** Bytes that must be these; a decimal of memcached's choice; or some bytes of its choice. */
export type Part = Buffer | { digits: (text: string) => void } | { bytes: number, take?: (bytes: Buffer) => void }

interface Expected { what: string, parts: Part[] }

/** Something came that cannot be the reply. */
export class WrongReply extends Error {}

export class ReplyChecker {
  bytes = 0
  replies = 0
  readonly #queue: Expected[] = []
  #part = 0
  /** Bytes of the part in hand that were seen, for the parts that are left open. */
  #partial: Buffer = Buffer.alloc(0)
  #at = 0

  expect(what: string, parts: Part[]): void {
    this.#queue.push({ what, parts })
  }

  get awaited(): number {
    return this.#queue.length
  }

  /** The request whose reply comes next. */
  get next(): string {
    return this.#queue[0]?.what ?? 'nothing'
  }

  /** True in the middle of a reply. */
  get isInside(): boolean {
    return this.#part > 0 || this.#at > 0 || this.#partial.length > 0
  }

  /** @throws WrongReply */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      const expected = this.#queue[0]
      if (expected === undefined) throw new WrongReply(`bytes that nobody asked for: ${shown(chunk, at)}`)
      at = this.#take(expected, chunk, at)
      if (this.#part < expected.parts.length) continue
      this.#queue.shift()
      this.#part = 0
      this.replies++
    }
    this.bytes += chunk.length
  }

  #take(expected: Expected, chunk: Buffer, at: number): number {
    const part = expected.parts[this.#part]
    if (Buffer.isBuffer(part)) return this.#literal(expected, part, chunk, at)
    if ('bytes' in part) return this.#some(part, chunk, at)
    return this.#decimal(expected, part, chunk, at)
  }

  #literal(expected: Expected, part: Buffer, chunk: Buffer, at: number): number {
    const length = Math.min(part.length - this.#at, chunk.length - at)
    if (part.compare(chunk, at, at + length, this.#at, this.#at + length) !== 0) {
      let same = 0
      while (chunk[at + same] === part[this.#at + same]) same++
      throw new WrongReply(`${expected.what}: at byte ${this.#at + same} of part ${this.#part} came ${shown(chunk, at + same)}, ` +
        `not ${shown(part, this.#at + same)}`)
    }
    this.#at += length
    if (this.#at === part.length) this.#nextPart()
    return at + length
  }

  #some(part: { bytes: number, take?: (bytes: Buffer) => void }, chunk: Buffer, at: number): number {
    const length = Math.min(part.bytes - this.#partial.length, chunk.length - at)
    this.#partial = Buffer.concat([this.#partial, chunk.subarray(at, at + length)])
    if (this.#partial.length === part.bytes) {
      part.take?.(this.#partial)
      this.#nextPart()
    }
    return at + length
  }

  #decimal(expected: Expected, part: { digits: (text: string) => void }, chunk: Buffer, at: number): number {
    let end = at
    while (end < chunk.length && chunk[end] >= 48 && chunk[end] <= 57) end++
    this.#partial = Buffer.concat([this.#partial, chunk.subarray(at, end)])
    if (end === chunk.length) return end
    if (this.#partial.length === 0 || this.#partial.length > 20) {
      throw new WrongReply(`${expected.what}: no number where one belongs: ${shown(chunk, at)}`)
    }
    part.digits(this.#partial.toString('latin1'))
    this.#nextPart()
    return end
  }

  #nextPart(): void {
    this.#part++
    this.#at = 0
    this.#partial = Buffer.alloc(0)
  }
}

function shown(bytes: Buffer, at: number): string {
  return JSON.stringify(bytes.toString('latin1', at, at + 80))
}
