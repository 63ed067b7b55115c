/** Holds what a client got against what it asked: exactly its replies in their order, or an error of memseal's in the place of
 *  one, or, where the connection ended early, the beginning of such a stream. */
import { HEADER } from './model.ts'
import type { Request } from './requests.ts'

export interface Verdict {
  /** Everything that was asked has been answered. */
  isWhole: boolean
  /** As far as it goes, it is right. */
  isRight: boolean
  /** How far that is, for people. */
  words: string
}

const OWN_ERROR = 'SERVER_ERROR memseal: '

/** @param mayFail errors of memseal's may stand in the place of replies */
export function judge(got: string, asked: readonly Request[], mayFail: boolean): Verdict {
  // Silence may be an answer, and an error may be any of several requests': so every reading that fits is followed.
  const seen = new Set<number>()
  const todo: [request: number, at: number][] = [[0, 0]]
  let farthest = 0
  let farthestAt = 0
  let isRight = false
  while (todo.length > 0) {
    const [n, at] = todo.pop()!
    const mark = n * (got.length + 1) + at
    if (seen.has(mark)) continue
    seen.add(mark)
    if (n > farthest) [farthest, farthestAt] = [n, at]
    if (at === got.length) isRight = true
    if (n === asked.length) {
      if (at === got.length) return { isWhole: true, isRight: true, words: '' }
      continue
    }
    const { replies, canFail, binary } = asked[n]
    if (mayFail && canFail) {
      const end = binary === undefined ? errorLine(got, at) : errorPacket(got, at, binary)
      if (end > at) todo.push([n + 1, end])
      else if (end < 0) isRight = true
    }
    for (const reply of replies) {
      if (got.startsWith(reply, at)) todo.push([n + 1, at + reply.length])
      else if (at < got.length && reply.startsWith(got.slice(at))) isRight = true
    }
  }
  const next = asked[farthest]
  return {
    isWhole: false, isRight,
    words: `after ${farthest} of ${asked.length} replies, for ${next?.name ?? 'nothing'}: got ${JSON.stringify(got.slice(farthestAt, farthestAt + 100))}, ` +
      `right is ${JSON.stringify(next?.replies.map(reply => reply.slice(0, 100)) ?? [])}`,
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
  const head = Buffer.from(got.slice(at, at + HEADER), 'latin1')
  if (head.length < HEADER) return -1
  const status = head.readUInt16BE(6)
  if (head[1] !== opcode || head.readUInt32BE(12) !== opaque || (status !== 0x86 && status !== 0x82)) return at
  const end = at + HEADER + head.readUInt32BE(8)
  return end > got.length ? -1 : end
}
