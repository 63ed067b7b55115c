import { isIP } from 'node:net'
import { expect, test } from 'vitest'
import { beginsProxyHeader, readProxyHeader, type ProxyHeader } from '../../src/lib/proxy-header.ts'
import { prng } from '../support/prng.ts'
import { SIGNATURE, v1, v2, v4Addresses, v6Addresses } from '../support/proxy-header.ts'

const of = (text: string | Buffer) => readProxyHeader(Buffer.from(text as string, 'latin1'))
const whole = (address: string, port: number) => ({ kind: 'whole', source: { address, port } })
const own = { kind: 'whole', source: undefined }
const wrong = { kind: 'wrong', words: expect.stringMatching(/^begins with /) }

const headers: [string, Buffer, object][] = [
  ['v1 TCP4', v1('TCP4 192.0.2.7 10.0.0.1 56324 443'), whole('192.0.2.7', 56324)],
  ['v1 TCP6', v1('TCP6 2001:db8::7 2001:db8::1 65535 0'), whole('2001:db8::7', 65535)],
  ['v1 TCP6 written long', v1('TCP6 2001:0DB8:0000:0000:0000:0000:0000:0007 ::1 1 2'), whole('2001:db8::7', 1)],
  ['v1 TCP6 of IPv4', v1('TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 1 2'), whole('192.0.2.7', 1)],
  ['v1 TCP6 of IPv4 in hex', v1('TCP6 ::ffff:c000:207 ::ffff:10.0.0.1 1 2'), whole('192.0.2.7', 1)],
  ['v1 UNKNOWN', v1('UNKNOWN'), own],
  ['v1 UNKNOWN with what else', v1('UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535'), own],
  ['v1 of the most bytes', v1('TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535'), whole('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65535)],
  ['v2 TCP4', v2(0x21, 0x11, v4Addresses('192.0.2.7', 56324)), whole('192.0.2.7', 56324)],
  ['v2 TCP6', v2(0x21, 0x21, v6Addresses('20010db8000000000000000000000007', 56324)), whole('2001:db8::7', 56324)],
  ['v2 TCP6 of IPv4', v2(0x21, 0x21, v6Addresses('00000000000000000000ffffc0000207', 1)), whole('192.0.2.7', 1)],
  ['v2 TCP4 with TLVs', v2(0x21, 0x11, Buffer.concat([v4Addresses('192.0.2.7', 1), Buffer.from([4, 0, 3, 1, 2, 3])])), whole('192.0.2.7', 1)],
  ['v2 unix', v2(0x21, 0x31, Buffer.alloc(216, 'a')), own],
  ['v2 of no family', v2(0x21, 0x00, Buffer.alloc(0)), own],
  ['v2 LOCAL', v2(0x20, 0x00, Buffer.alloc(0)), own],
  ['v2 LOCAL, whatever its family says', v2(0x20, 0x11, v4Addresses('192.0.2.7', 1)), own],
  ['v2 LOCAL of a family that does not exist', v2(0x20, 0xff, Buffer.alloc(9)), own],
  ['v2 of the most bytes', v2(0x21, 0x11, Buffer.concat([v4Addresses('192.0.2.7', 1), Buffer.alloc(16_384 - 28)])), whole('192.0.2.7', 1)],
]

test.each(headers)('%s: said at its last byte and not before, and nothing of what follows it is taken', (_, header, expected) => {
  for (let cut = 1; cut < header.length; cut += cut > 300 ? 97 : 1) expect([cut, readProxyHeader(header.subarray(0, cut))]).toEqual([cut, { kind: 'unfinished' }])
  expect(readProxyHeader(header)).toEqual({ ...expected, bytes: header.length })
  for (const behind of ['get a\r\n', '\r\n', '\x16\x03\x01', 'PROXY ']) {
    expect(readProxyHeader(Buffer.concat([header, Buffer.from(behind, 'latin1')]))).toEqual({ ...expected, bytes: header.length })
  }
})

test.each([
  ['another verb', 'get a\r\n'], ['HTTP', 'GET / HTTP/1.1\r\n'], ['TLS', '\x16\x03\x01'], ['binary', '\x80\x0b'], ['small letters', 'proxy TCP4 '], ['a blank before it', ' PROXY'],
  ['no family', 'PROXY \r\n'], ['an unknown family', 'PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n'], ['UNKNOWN with more letters', 'PROXY UNKNOWNS\r\n'],
  ['the other family', 'PROXY TCP4 ::1 ::1 1 2\r\n'], ['the other family', 'PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n'], ['a wrong destination', 'PROXY TCP4 1.2.3.4 x 1 2\r\n'],
  ['a wrong address', 'PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n'], ['zeros before digits', 'PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n'], ['a zone', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n'],
  ['a port too many', 'PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n'], ['a port of other digits', 'PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n'], ['a port with a sign', 'PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n'],
  ['a port missing', 'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n'], ['a word too many', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n'], ['two blanks', 'PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n'],
  ['a lone line feed', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\nget a\r\n'],
  ['one byte more than there may be', `PROXY UNKNOWN ${'x'.repeat(108 - 16)}\r\n`],
  ['no end within them', 'PROXY '.padEnd(107, 'x')],
  ['another byte of the signature', '\r\n\r\n\0\r\nQUIX'], ['CR LF alone, then words', '\r\nget a\r\n'],
  ['version 1 in the form of 2', `${SIGNATURE}\x11`], ['version 3', `${SIGNATURE}\x31`], ['an unknown command', `${SIGNATURE}\x22`],
] as const)('%s is wrong', (_, bytes) => {
  expect(of(bytes)).toEqual(wrong)
})

test.each([
  ['UDP', v2(0x21, 0x12, v4Addresses('192.0.2.7', 1))], ['UDP over IPv6', v2(0x21, 0x22, Buffer.alloc(36))], ['unix datagrams', v2(0x21, 0x32, Buffer.alloc(216))],
  ['a family that does not exist', v2(0x21, 0x41, Buffer.alloc(36))], ['a transport without a family', v2(0x21, 0x01, Buffer.alloc(36))], ['a family without a transport', v2(0x21, 0x10, Buffer.alloc(36))],
  ['TCP4 one byte short', v2(0x21, 0x11, Buffer.alloc(11))], ['TCP6 one byte short', v2(0x21, 0x21, Buffer.alloc(35))], ['unix one byte short', v2(0x21, 0x31, Buffer.alloc(215))],
  ['one byte more than there may be', v2(0x21, 0x11, Buffer.alloc(16_384 - 15))],
])('v2 with %s is wrong as soon as its head is there', (_, header) => {
  expect(readProxyHeader(header.subarray(0, 16))).toEqual(wrong)
  expect(readProxyHeader(header)).toEqual(wrong)
})

test('whatever comes, it is a header with an address, wrong, or unfinished within its bounds; and byte by byte it is the same', () => {
  const random = prng(11)
  const found = { whole: 0, wrong: 0, unfinished: 0 }
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(random.pick(headers)[1].subarray(0, 600))
    for (let change = random.between(0, 3); change > 0; change--) {
      const at = random.between(0, Math.min(bytes.length, 60) - 1)
      bytes[at] = random.chance(0.5) ? random.between(0, 255) : bytes[random.between(0, bytes.length - 1)]
    }
    const said = readProxyHeader(bytes)
    found[said.kind] += 1
    if (said.kind === 'whole') {
      expect(said.bytes).toBeLessThanOrEqual(bytes.length)
      if (said.source !== undefined) {
        expect(isIP(said.source.address)).not.toBe(0)
        expect(said.source.address).not.toMatch(/^::ffff:[0-9a-f]+:[0-9a-f]+$|[A-Z%]/)
        expect(said.source.port).toBeLessThanOrEqual(65_535)
      }
    } else if (said.kind === 'unfinished') expect(bytes.length).toBeLessThan(16_384)
    if (round % 20 !== 0) continue
    let first: ProxyHeader = { kind: 'unfinished' }
    for (let cut = 1; cut <= bytes.length && first.kind === 'unfinished'; cut++) first = readProxyHeader(bytes.subarray(0, cut))
    expect(first).toEqual(said)
  }
  for (const count of Object.values(found)) expect(count).toBeGreaterThan(500)
})

test('where none is due, one is seen by its first bytes, and nothing else is taken for one', () => {
  for (const [, header] of headers) expect(beginsProxyHeader(header)).toBe(true)
  for (const bytes of ['PROXY ', '\r\n\r\n\0']) expect(beginsProxyHeader(Buffer.from(bytes))).toBe(true)
  for (const bytes of ['PROXY', 'P', '\r\n', '\r\n\r\n', '\r\nget a\r\n', 'get a\r\n', 'PROXYget a\r\n', '\x80\x0b', '\x16\x03']) expect(beginsProxyHeader(Buffer.from(bytes, 'latin1'))).toBe(false)
})
