import { expect, test } from 'vitest'
import { BinaryRequestFramer } from '../../src/proto/binary-request.ts'
import { commands } from '../../src/proto/commands.ts'
import { Found, RequestFrame } from '../../src/proto/frame.ts'
import { notAllowed, textLine, textReply } from '../../src/proto/refusal.ts'
import { packet } from './binary.ts'

test('fixed words are made once', () => {
  expect(textReply('CLIENT_ERROR fixed').toString()).toBe('CLIENT_ERROR fixed\r\n')
  expect(textReply('CLIENT_ERROR fixed')).toBe(textReply('CLIENT_ERROR fixed'))
})

test('a line for one occasion is not kept, and stays one short line whatever stands in it', () => {
  expect(textLine('SERVER_ERROR x')).not.toBe(textLine('SERVER_ERROR x'))
  expect(textLine('SERVER_ERROR a\r\nVALUE b\n\0\xe9').toString()).toBe('SERVER_ERROR a\\r\\nVALUE b\\n\\x00\\xc3\\xa9\r\n')
  expect(textLine('x'.repeat(200)).toString()).toBe(`${'x'.repeat(200)}\r\n`)
  expect(textLine('x'.repeat(201)).toString()).toBe(`${'x'.repeat(200)}…\r\n`)
})

test('the table of kept words does not grow without end', () => {
  const words = (n: number) => `SERVER_ERROR ${n}`
  const made = Array.from({ length: 1000 }, (_, n) => textReply(words(n)))
  expect(made.filter((line, n) => textReply(words(n)) === line).length).toBeLessThanOrEqual(64)
  expect(textReply(words(999)).toString()).toBe('SERVER_ERROR 999\r\n')
})

test('what is not allowed is refused in the form that its askers read', () => {
  const told = (verb: string, sub?: string): string => {
    const frame = new RequestFrame('text')
    frame.row = commands.findIndex(row => row.verb === verb && row.sub === sub)
    return notAllowed(frame).toString()
  }
  for (const row of commands) {
    if (row.verb === undefined) continue
    // A list, or one line: readers of one line would take the second one for the reply to what they ask next.
    const isList = row.group === 'stats' || row.sub === 'metadump'
    expect(told(row.verb, row.sub)).toMatch(isList ? /^[^\r\n]+\r\nEND\r\n$/ : /^CLIENT_ERROR memseal: command not allowed\r\n$/)
  }
  expect(told('stats', 'slabs')).toBe('STAT memseal command_not_allowed\r\nEND\r\n')
  expect(told('lru_crawler', 'metadump')).toBe('key=memseal:command_not_allowed exp=-1 la=0 cas=0 fetch=no cls=0 size=0\r\nEND\r\n')
})

test('what nobody knows is unknown, in memcached\'s words, and so are logins in binary', () => {
  const unknown = new RequestFrame('text')
  unknown.words = 'ERROR'
  expect(notAllowed(unknown).toString()).toBe('ERROR\r\n')
  const told = (opcode: number): [status: number, words: string] => {
    const framer = new BinaryRequestFramer()
    framer.push(packet({ opcode, key: opcode === 0x21 ? 'PLAIN' : '', opaque: 0xcafe }))
    expect(framer.next()).toBe(Found.request)
    const reply = notAllowed(framer.frame)
    expect([reply[0], reply[1], reply.readUInt32BE(12)]).toEqual([0x81, opcode, 0xcafe])
    return [reply.readUInt16BE(6), reply.toString('latin1', 24)]
  }
  for (const opcode of [0x1f, 0x20, 0x21, 0x30, 0x70, 0xff]) expect(told(opcode)).toEqual([0x81, 'Unknown command'])
  for (const opcode of [0x07, 0x0a, 0x10]) expect(told(opcode)).toEqual([0x83, 'memseal: command not allowed'])
})
