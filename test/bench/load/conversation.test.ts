import { expect, test } from 'vitest'
import { Conversation, WrongReply, type Tally } from '../../../bench/load/conversation.ts'
import type { DialectName } from '../../../bench/load/dialects/dialect.ts'
import { writeScript } from '../../../bench/load/script.ts'

const dialects: DialectName[] = ['text', 'meta', 'binary']
const traffic = { keys: 20, valueBytes: 30, sets: 0.3, hits: 0.8, keysPerGet: 1 }
const scripts = {
  text: writeScript({ dialect: 'text', ...traffic }),
  meta: writeScript({ dialect: 'meta', ...traffic }),
  binary: writeScript({ dialect: 'binary', ...traffic }),
}

test.each(dialects)('%s: right replies are counted however they are cut up', dialect => {
  for (const size of [1, 7, 4096]) {
    const t = talk(dialect, 0)
    t.conversation.next(40, 5)
    expect(t.receiveInPieces(t.replies(0, 40), size)).toBe(40)
    expect(t.tally).toEqual({ answered: 40, waitedMs: 40 * 2 })
    expect(t.conversation.inFlight).toBe(0)
  }
})

test.each(dialects)('%s: one wrong byte is noticed, wherever it stands', dialect => {
  const t = talk(dialect, 0)
  const right = t.replies(0, 3)
  for (let at = 0; at < right.length; at++) {
    if (dialect === 'binary' && isCas(t, at)) continue
    const wrong = Buffer.from(right)
    wrong[at] ^= 1
    const { conversation } = talk(dialect, 0)
    conversation.next(3, 0)
    expect(() => conversation.receive(wrong, wrong.length, 0), `byte ${at}`).toThrow(WrongReply)
  }
})

test('the CAS of a binary reply may be any number', () => {
  const t = talk('binary', 0)
  t.conversation.next(2, 0)
  const replies = t.replies(0, 2)
  replies.fill(0xab, 16, 24)
  expect(t.receiveInPieces(replies, 5)).toBe(2)
})

test('the value of another key is a wrong reply', () => {
  const t = talk('text', 0)
  t.conversation.next(1, 0)
  const other = t.replies(1, 2)
  expect(() => t.conversation.receive(other, other.length, 0)).toThrow(/got .*wanted/)
})

test('a reply nothing asked for is noticed, whole or in part', () => {
  const whole = talk('text', 0)
  whole.conversation.next(1, 0)
  expect(() => whole.receiveInPieces(whole.replies(0, 2), 4096)).toThrow('nothing asked for')
  const part = talk('text', 0)
  expect(() => part.receiveInPieces(part.replies(0, 1).subarray(0, 3), 4096)).toThrow('nothing asked for')
})

test('the walk goes on at the end of the script from its beginning', () => {
  const { length } = scripts.text
  const t = talk('text', length - 2)
  expect(t.conversation.next(5, 0)).toEqual(t.requests(length - 2, length))
  expect(t.conversation.inFlight).toBe(2)
  expect(t.conversation.next(3, 0)).toEqual(t.requests(0, 3))
  const replies = Buffer.concat([t.replies(length - 2, length), t.replies(0, 3)])
  expect(t.receiveInPieces(replies, 11)).toBe(5)
})

function talk(dialect: DialectName, start: number) {
  const script = scripts[dialect]
  const tally = { answered: 0, waitedMs: 0 }
  const counting: Tally = {
    answered: (startedAt, now) => {
      tally.answered++
      tally.waitedMs += now - startedAt
    },
  }
  const conversation = new Conversation(script, counting, 64, start)
  const slice = (bytes: Buffer, ends: Uint32Array, from: number, to: number) =>
    Buffer.from(bytes.subarray(from === 0 ? 0 : ends[from - 1], ends[to - 1]))
  return {
    script, tally, conversation,
    requests: (from: number, to: number) => slice(script.requests, script.requestEnd, from, to),
    replies: (from: number, to: number) => slice(script.replies, script.replyEnd, from, to),
    receiveInPieces: (bytes: Buffer, size: number) => {
      let answered = 0
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size)
        answered += conversation.receive(piece, piece.length, 7)
      }
      return answered
    },
  }
}

function isCas(t: ReturnType<typeof talk>, at: number): boolean {
  const reply = t.script.replyEnd.findIndex(end => at < end)
  const offset = at - (reply === 0 ? 0 : t.script.replyEnd[reply - 1])
  return offset >= 16 && offset < 24
}
