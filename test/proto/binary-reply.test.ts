import { expect, test } from 'vitest'
import { everySplit } from '../support/every-split.ts'
import { reply } from './binary.ts'
import { binaryReplies } from './reading.ts'

const expectPackets = (bytes: Buffer, ...expected: string[]) => everySplit(bytes, pieces => expect(binaryReplies(pieces)).toEqual(expected))

test('each form of reply', () => {
  expectPackets(reply({ opcode: 0x0a }), '10 0 51966 0 ', 'whole')
  expectPackets(reply({ opcode: 0, extras: 4, value: 'value' }), '0 0 51966 9 ', 'whole')
  expectPackets(reply({ opcode: 0x0c, extras: 4, key: 'abc', value: '\x81\x80' }), '12 0 51966 9 abc', 'whole')
  expectPackets(reply({ opcode: 0x0c, status: 1, key: 'abc' }), '12 1 51966 3 abc', 'whole')
  expectPackets(reply({ opcode: 1, status: 0x82, value: 'Out of memory' }), '1 130 51966 13 ', 'whole')
  expectPackets(reply({ opcode: 5, value: '12345678', opaque: 0xffffffff }), '5 0 4294967295 8 ', 'whole')
  expectPackets(reply({ opcode: 0x10, key: 'pid', value: '1', opaque: 0 }), '16 0 0 4 pid', 'whole')
  expectPackets(reply({ opcode: 0, key: 'k'.repeat(250) }), `0 0 51966 250 ${'k'.repeat(250)}`, 'whole')
})

test('replies follow one another', () => {
  const two = Buffer.concat([reply({ opcode: 0, extras: 4, value: reply({ opcode: 1 }).toString('latin1') }), reply({ opcode: 1, opaque: 7 })])
  expectPackets(two, '0 0 51966 28 ', 'whole', '1 0 7 0 ', 'whole')
})

test('what breaks the stream', () => {
  for (const magic of [0x80, 0, 0x45, 0x82]) expectPackets(reply({ opcode: 0, magic }), 'bad-reply')
  expectPackets(Buffer.from('ERROR Too many open connections\r\n'), 'bad-reply')
  expectPackets(reply({ opcode: 0, extras: 4, key: 'abc', body: 6 }), 'bad-reply')
  expectPackets(reply({ opcode: 0, body: 2 ** 30 + 1 }), 'bad-reply')
  expectPackets(reply({ opcode: 0, body: 2 ** 32 - 1 }), 'bad-reply')
  expectPackets(reply({ opcode: 0, key: 'k'.repeat(251) }), 'bad-reply')
  expectPackets(Buffer.concat([reply({ opcode: 0, value: 'x' }), Buffer.from('x')]), '0 0 51966 1 ', 'whole', 'bad-reply')
})

test('what is not whole is waited for', () => {
  expectPackets(reply({ opcode: 0 }).subarray(0, 23), 'held 23')
  expectPackets(reply({ opcode: 0x0c, extras: 4, key: 'abc', value: 'x' }).subarray(0, 30), 'held 30')
  expectPackets(reply({ opcode: 0, extras: 4, value: 'xy' }).subarray(0, 29), '0 0 51966 6 ')
})
