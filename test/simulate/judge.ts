/** Holds what a client got against what it asked: exactly its replies in their order, or an error of memseal's in the place of
 *  one, or, where the connection ended early, the beginning of such a stream.
 *
 *      asked   get a   mg b q   mg c q   get d            A reading: so many of its requests are answered by so many bytes.
 *      got     VALUE a … END  VA …                        Silence may be an answer, and an error may be any of several
 *                             ↑ readings: 1, 2            requests': so every reading that fits is followed, from where it was. */
import { HEADER, uint16At, uint32At } from './model.ts'
import { KEY_REFUSED, nameOf, type Request } from './requests.ts'

interface Reading { n: number, at: number }

const OWN_ERROR = 'SERVER_ERROR memseal: '

export class Judge {
  readonly #client: number
  readonly #asked: readonly Request[]
  /** What came, from the first byte on that a reading has not passed. */
  #got = ''
  #readings: Reading[] = [{ n: 0, at: 0 }]
  #farthest: Reading = { n: 0, at: 0 }
  /** As far as it goes, it is right. */
  isRight = true
  /** Everything that was asked has been answered. */
  isWhole = false

  constructor(client: number, asked: readonly Request[]) {
    this.#client = client
    this.#asked = asked
  }

  takes(bytes: string): void {
    this.#got += bytes
  }

  /** @param sent of the requests   @param total that will be sent   @param mayFail errors of memseal's may stand in the place of replies */
  look(sent: number, total: number, mayFail: boolean): void {
    const todo = this.#readings
    const kept: Reading[] = []
    let seen: Set<number> | undefined
    const size = this.#got.length
    this.isWhole = this.isRight = false
    while (todo.length > 0) {
      const reading = todo.pop()!
      const { n, at } = reading
      if (todo.length > 0 || seen !== undefined) {
        const mark = n * (size + 1) + at
        seen ??= new Set()
        if (seen.has(mark)) continue
        seen.add(mark)
      }
      if (n > this.#farthest.n) this.#farthest = reading
      if (n >= sent) {
        if (at < size) continue
        this.isRight = true
        if (n >= total) this.isWhole = true
        kept.push(reading)
        continue
      }
      if (this.#follow(this.#asked[n], n, at, mayFail, todo)) {
        this.isRight = true
        kept.push(reading)
      }
    }
    this.#readings = kept
    this.#letGo()
  }

  /** @param todo takes the readings that go on   @returns whether more bytes may show that it goes on */
  #follow({ replies, canFail, binary }: Request, n: number, at: number, mayFail: boolean, todo: Reading[]): boolean {
    const got = this.#got
    let isOpen = at === got.length && (canFail || replies.length > 1 || replies[0] !== '')
    if (mayFail && canFail && !isOpen) {
      const end = binary === undefined ? errorLine(got, at) : errorPacket(got, at, binary)
      if (end > at) todo.push({ n: n + 1, at: end })
      else if (end < 0) isOpen = true
    }
    for (const reply of replies) {
      if (got.startsWith(reply, at)) todo.push({ n: n + 1, at: at + reply.length })
      else if (at + reply.length > got.length && reply.startsWith(got.slice(at))) isOpen = true
    }
    return isOpen
  }

  /** What all readings have passed is not read again. */
  #letGo(): void {
    let least = this.#got.length
    for (const { at } of this.#readings) if (at < least) least = at
    if (least === 0 || this.#readings.length === 0 || (least < 1000 && least < this.#got.length)) return
    this.#got = this.#got.slice(least)
    for (const reading of this.#readings) reading.at -= least
    if (!this.#readings.includes(this.#farthest)) this.#farthest = { n: this.#farthest.n, at: Math.max(0, this.#farthest.at - least) }
  }

  /** The oldest request that is owed a reply may be refused for a key, or not. */
  get mayBeRefused(): boolean {
    return this.#asked[this.#farthest.n]?.replies.includes(KEY_REFUSED) === true
  }

  /** How far what came is right, for people. */
  get words(): string {
    const { n, at } = this.#farthest
    const next = this.#asked[n]
    return `after ${n} of ${this.#asked.length} replies, for ${next === undefined ? 'nothing' : nameOf(this.#client, n, next)}: ` +
      `got ${JSON.stringify(this.#got.slice(at, at + 100))}, right is ${JSON.stringify(next?.replies.map(reply => reply.slice(0, 100)) ?? [])}`
  }
}

/** @returns where it ends; `at` when there is none; -1 when it is cut short */
function errorLine(got: string, at: number): number {
  if (!got.startsWith(OWN_ERROR, at)) return at < got.length && OWN_ERROR.startsWith(got.slice(at)) ? -1 : at
  const end = got.indexOf('\r\n', at)
  return end < 0 ? -1 : end + 2
}

function errorPacket(got: string, at: number, { opcode, opaque }: { opcode: number, opaque: number }): number {
  if (got[at] !== '\x81') return at
  if (got.length < at + HEADER) return -1
  const status = uint16At(got, at + 6)
  if (got.charCodeAt(at + 1) !== opcode || uint32At(got, at + 12) !== opaque || (status !== 0x86 && status !== 0x82)) return at
  const end = at + HEADER + uint32At(got, at + 8)
  return end > got.length ? -1 : end
}
