import { expect, test } from 'vitest'
import { everySplit } from '../support/every-split.ts'
import { packet } from './binary.ts'
import { binaryFrames, latin1, textFrames } from './reading.ts'

// eachKey(): the keys of a request as memcached reads them, however the request was written and cut.

const table: [line: string, keys: string[]][] = [
  ['get a', ['a']],
  ['get   a  bb ccc ', ['a', 'bb', 'ccc']],
  ['gets a a', ['a', 'a']],
  ['gat 60 a b', ['a', 'b']],
  ['set a 0 0 1\r\nx', ['a']],
  ['cas a 0 0 1 9 noreply\r\nx', ['a']],
  ['incr a 1', ['a']],
  ['delete a noreply', ['a']],
  ['touch a 0', ['a']],
  ['mg a v', ['a']],
  ['mg Zm9vYmFy b v', ['foobar']],
  ['mg AAE= b', ['\0\x01']],
  ['ms Zm9vYmFy 1 b\r\nx', ['foobar']],
  ['md a q', ['a']],
  ['ma YQ== b', ['a']],
  ['me a', ['a']],
  ['mn', []],
  ['version', []],
  ['flush_all', []],
  ['stats settings', []],
]

test.each(table)('%s', (line, keys) => {
  everySplit(latin1(`${line}\r\n`), pieces => expect(textFrames(pieces)[0].eachKey).toEqual(keys))
})

test('binary requests', () => {
  const keysOf = (bytes: Buffer): void => everySplit(bytes, pieces => expect(binaryFrames(pieces)[0].eachKey).toEqual(bytes[3] === 0 ? [] : ['a b']))
  keysOf(packet({ opcode: 0x00, key: 'a b' }))
  keysOf(packet({ opcode: 0x11, extras: 8, key: 'a b', value: 'x' }))
  keysOf(packet({ opcode: 0x0a }))
})
