import { expect, test } from 'vitest'
import { openingOf } from '../../src/tls/client-hello.ts'

/** Records of a handshake that carry these bytes, so many in each. */
function records(message: Buffer, each: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < message.length; at += each) {
    const part = message.subarray(at, at + each)
    parts.push(Buffer.from([0x16, 3, 1, part.length >> 8, part.length & 255]), part)
  }
  return Buffer.concat(parts)
}

function clientHello(bytes: number): Buffer {
  return Buffer.concat([Buffer.from([1, 0, bytes >> 8, bytes & 255]), Buffer.alloc(bytes, 7)])
}

test('a ClientHello is whole with its last byte and not before, in one record or in many', () => {
  for (const each of [4096, 300, 4]) {
    const bytes = records(clientHello(700), each)
    for (let length = 1; length < bytes.length; length++) expect([length, openingOf(bytes.subarray(0, length))]).toEqual([length, 'unfinished'])
    expect(openingOf(bytes)).toBe('hello')
    expect(openingOf(Buffer.concat([bytes, Buffer.from('more')]))).toBe('hello')
  }
})

test('what OpenSSL has to judge gets its turn: other messages, other records, and what goes on for ever', () => {
  expect(openingOf(records(Buffer.from([2, 0, 0, 1, 0]), 100))).toBe('hello')
  expect(openingOf(Buffer.from([0x15, 3, 1, 0, 2, 2, 40]))).toBe('hello')
  expect(openingOf(records(clientHello(100), 2).subarray(0, 7))).toBe('hello')
  expect(openingOf(Buffer.concat([records(clientHello(700), 4096).subarray(0, 5 + 4), Buffer.alloc(16 * 1024)]))).toBe('hello')
  const endless = records(clientHello(60_000), 4096)
  expect([openingOf(endless.subarray(0, 16 * 1024 - 1)), openingOf(endless.subarray(0, 16 * 1024))]).toEqual(['unfinished', 'hello'])
})

test.each([
  ['get a\r\n', 'PLAIN_TEXT'], ['g', 'PLAIN_TEXT'], ['\x80\x0a', 'PLAIN_TEXT'], ['\x16\x02', 'PLAIN_TEXT'], ['GETTER', 'PLAIN_TEXT'], ['PROXY TCP4 ', 'PROXY_HEADER'], ['PROXY', 'PLAIN_TEXT'],
  ['GET / HTTP/1.1\r\n', 'HTTP_REQUEST'], ['OPTIONS * HTTP/1.1', 'HTTP_REQUEST'], ['PRI * HTTP/2.0', 'HTTP_REQUEST'],
  ['\x16', 'unfinished'], ['\x16\x03', 'unfinished'],
])('%j is %s', (bytes, opening) => {
  expect(openingOf(Buffer.from(bytes, 'latin1'))).toBe(opening)
})
