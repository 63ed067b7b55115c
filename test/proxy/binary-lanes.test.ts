import { expect, test } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// The binary protocol on shared connections: requests go out under numbers of memseal's own, replies come back under the
// clients'.

const get = (key: string, opaque = 7) => packet({ opcode: 0x00, key, opaque })
const getq = (key: string, opaque = 7) => packet({ opcode: 0x09, key, opaque })
const noop = (opaque = 7) => packet({ opcode: 0x0a, opaque })
const value = (text: string, opaque: number, opcode = 0x00) => reply({ opcode, extras: 4, value: text, opaque })

const binary = async (clients = 1, more = {}) => {
  const t = await transcript({ clients, dialect: 'binary', ...more })
  // Lanes for binary clients are opened when the first of them speaks.
  t.client(1).sends(noop(99))
  const lane = await t.lanes(1)
  const [opaque] = await lane.seesPackets(0x0a)
  lane.says(reply({ opcode: 0x0a, opaque }))
  await t.client(1).gets(reply({ opcode: 0x0a, opaque: 99 }))
  return { t, lane }
}

test('the same opaque of all clients comes back to each', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(get('a'), get('b', 0xffffffff))
  const [a, b] = await lane.seesPackets(0x00, 0x00)
  t.client(2).sends(get('c'))
  const [c] = await lane.seesPackets(0x00)
  expect(new Set([a, b, c]).size).toBe(3)
  lane.says(value('A', a), value('B', b), value('C', c))
  await t.client(1).gets(value('A', 7), value('B', 0xffffffff))
  await t.client(2).gets(value('C', 7))
})

test('a quiet run is settled by its own noop', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(getq('a', 1), getq('b', 2), noop(3))
  const [, b, fence] = await lane.seesPackets(0x09, 0x09, 0x0a)
  t.client(2).sends(get('c'))
  const [c] = await lane.seesPackets(0x00)
  lane.says(value('B', b, 0x09), reply({ opcode: 0x0a, opaque: fence }), value('C', c))
  await t.client(1).gets(value('B', 2, 0x09), reply({ opcode: 0x0a, opaque: 3 }))
  await t.client(2).gets(value('C', 7))
})

test('a quiet run without noop is closed by ours, which the client does not see', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(getq('a', 1), packet({ opcode: 0x11, extras: 8, key: 'b', value: 'x', opaque: 2 }))
  const [, set, fence] = await lane.seesPackets(0x09, 0x11, 0x0a)
  t.client(2).sends(get('c'))
  const [c] = await lane.seesPackets(0x00)
  lane.says(reply({ opcode: 0x11, status: 3, value: 'Too large.', opaque: set }), reply({ opcode: 0x0a, opaque: fence }), value('C', c))
  await t.client(1).gets(reply({ opcode: 0x11, status: 3, value: 'Too large.', opaque: 2 }))
  await t.client(2).gets(value('C', 7))
  t.client(1).sends(get('d', 4))
  const [d] = await lane.seesPackets(0x00)
  lane.says(value('D', d))
  await t.client(1).gets(value('D', 4))
})

test('a quiet request of one client is settled by the reply to another', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(getq('a', 1), get('b', 2))
  const [, b] = await lane.seesPackets(0x09, 0x00)
  lane.says(value('B', b))
  await t.client(1).gets(value('B', 2))
  t.client(1).end()
  await t.client(1).endsWith()
  expect(await t.reason(1)).toBe('client-closed')
})

test('a client that leaves mid-flight does not shift the next reply', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(get('a'), getq('b'))
  const [a, b, fence] = await lane.seesPackets(0x00, 0x09, 0x0a)
  t.client(2).sends(get('c'))
  const [c] = await lane.seesPackets(0x00)
  t.client(1).leaves()
  await t.reason(1)
  lane.says(value('A', a), value('B', b, 0x09), reply({ opcode: 0x0a, opaque: fence }), value('C', c))
  await t.client(2).gets(value('C', 7))
})

test.each<[string, (opaque: number) => Buffer]>([
  ['a foreign opaque', opaque => value('A', opaque + 100)],
  ['the opaque of the client', () => value('A', 7)],
  ['another opcode', opaque => value('A', opaque, 0x0c)],
  ['another magic', opaque => packet({ opcode: 0, opaque, extras: 4 })],
  ['a length that lies', opaque => reply({ opcode: 0, opaque, extras: 4, body: 2 })],
  ['text', () => Buffer.from('END\r\n')],
])('%s closes the lane and whoever has a request on it, nobody else', async (_, says) => {
  const { t, lane } = await binary(3)
  t.client(3).sends(noop(1))
  const [first] = await lane.seesPackets(0x0a)
  lane.says(reply({ opcode: 0x0a, opaque: first }))
  await t.client(3).gets(reply({ opcode: 0x0a, opaque: 1 }))
  t.client(1).sends(get('a'))
  const [a] = await lane.seesPackets(0x00)
  t.client(2).sends(get('b'))
  await lane.seesPackets(0x00)
  t.passes(2000)
  lane.says(says(a))
  const told = await t.logged('backend-lost')
  expect(told).toMatchObject({ level: 'warn', reason: 'out-of-step', dialect: 'binary', clients: 2, asked: 'opcode 0x00 a' })
  expect(told.answered).toMatch(/^(\\x8[01]\\x0|END\\r\\n)[ -~]*$/)
  expect(await t.reason(1)).toBe('backend-out-of-step')
  expect(await t.reason(2)).toBe('backend-out-of-step')
  const next = await t.lanes(2)
  t.client(3).sends(get('c', 5))
  const [c] = await next.seesPackets(0x00)
  next.says(value('C', c))
  await t.client(3).gets(value('C', 5))
})

test('a value under another key than was asked for closes the lane', async () => {
  const { t, lane } = await binary()
  t.client(1).sends(packet({ opcode: 0x0c, key: 'abc', opaque: 7 }))
  const [a] = await lane.seesPackets(0x0c)
  lane.says(reply({ opcode: 0x0c, extras: 4, key: 'abd', value: 'x', opaque: a }))
  expect(await t.reason(1)).toBe('backend-out-of-step')
})

test('refusals wait for their turn, under the client\'s opaque and opcode', async () => {
  const { t, lane } = await binary(1, { commands: '[read]' })
  t.client(1).sends(get('a', 1), packet({ opcode: 0x01, extras: 8, key: 'b', value: 'x', opaque: 2 }), get('c', 3))
  const [a, c] = await lane.seesPackets(0x00, 0x00)
  await t.client(1).getsNothing()
  lane.says(value('A', a), value('C', c))
  await t.client(1).gets(value('A', 1), reply({ opcode: 0x01, status: 0x83, value: 'memseal: command not allowed', opaque: 2 }), value('C', 3))
})

test('memcached closes: an error for each request, under its own opaque', async () => {
  const { t, lane } = await binary(2)
  t.client(1).sends(get('a', 1), packet({ opcode: 0x01, extras: 8, key: 'b', value: 'x', opaque: 2 }))
  await lane.seesPackets(0x00, 0x01)
  lane.end()
  const lost = (opcode: number, opaque: number) => reply({ opcode, opaque, status: 0x86, value: 'memseal: the backend closed the connection' })
  await t.client(1).gets(lost(0x00, 1), lost(0x01, 2))
})

test('values larger than what is read at once come whole', async () => {
  const { t, lane } = await binary(2)
  const large = 'v'.repeat(1_500_000)
  t.client(1).sends(get('a', 1), get('b', 2))
  const [a, b] = await lane.seesPackets(0x00, 0x00)
  lane.says(value(large, a), value('B', b))
  await t.client(1).gets(value(large, 1), value('B', 2))
})

test('statistics are many packets on a connection of the client\'s own', async () => {
  const { t, lane } = await binary()
  t.client(1).sends(packet({ opcode: 0x10, opaque: 5 }), get('a', 6))
  const own = await t.private(1)
  const [stat, a] = await own.seesPackets(0x10, 0x00)
  own.says(reply({ opcode: 0x10, key: 'pid', value: '1', opaque: stat }), reply({ opcode: 0x10, opaque: stat }), value('A', a))
  await t.client(1).gets(reply({ opcode: 0x10, key: 'pid', value: '1', opaque: 5 }), reply({ opcode: 0x10, opaque: 5 }), value('A', 6))
  await lane.seesNothing()
})

test('no fence gets into the value of a quiet request that comes in pieces', async () => {
  const { t } = await binary(1, { limits: { request_size: '1KiB' } })
  const set = packet({ opcode: 0x11, extras: 8, key: 'a', value: 'x'.repeat(2000), opaque: 3 })
  t.client(1).sends(set.subarray(0, 500))
  const own = await t.private(1)
  await own.readExactly(500)
  await own.seesNothing()
  t.client(1).sends(set.subarray(500))
  await own.readExactly(set.length - 500)
  const [fence] = await own.seesPackets(0x0a)
  own.says(reply({ opcode: 0x0a, opaque: fence }))
  await t.client(1).getsNothing()
})

test('quit is answered behind all the rest, quiet quit is not', async () => {
  const { t, lane } = await binary(2)
  for (const [client, opcode] of [[1, 0x07], [2, 0x17]] as const) {
    t.client(client).sends(get('a', 1), packet({ opcode, opaque: 9 }), get('b', 2))
    const [a] = await lane.seesPackets(0x00)
    lane.says(value('A', a))
    await t.client(client).endsWith(Buffer.concat([value('A', 1), ...(opcode === 0x07 ? [reply({ opcode, opaque: 9 })] : [])]))
    t.client(client).end()
    expect(await t.reason(client)).toBe('quit')
  }
})
