import { expect, test } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// Faults that the simulator found (test/simulate), each as a conversation.

const NOOP = 0x0a
const GETKQ = 0x0d
const STAT = 0x10

test('the request behind a lost private connection, held back by in_flight, goes to the next connection', async () => {
  const t = await transcript({ limits: { in_flight: 1 }, backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nget b\r\n')
  const first = await t.private(1)
  await first.sees('get a\r\n')
  first.end()
  const second = await t.private(2)
  await second.sees('get b\r\n')
  second.says('VALUE b 0 1\r\nB\r\nEND\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: the backend closed the connection\r\nVALUE b 0 1\r\nB\r\nEND\r\n')
})

test('a value on its way is passed on whole, though as many requests are in flight as may be', async () => {
  const t = await transcript({ limits: { in_flight: 1 }, backend: { sharing: 'private' } })
  t.client(1).sends('set a 0 0 5\r\nhe')
  const own = await t.private(1)
  await own.sees('set a 0 0 5\r\nhe')
  t.client(1).sends('llo\r\nget a\r\n')
  await own.sees('llo\r\n')
  own.says('STORED\r\n')
  await own.sees('get a\r\n')
  own.says('VALUE a 0 5\r\nhello\r\nEND\r\n')
  await t.client(1).gets('STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\n')
})

test('the reply to our fence does not reach a client whose bytes pass unread from then on', async () => {
  const t = await transcript({ commands: '[all]', backend: { sharing: 'private' } })
  const quiet = packet({ opcode: GETKQ, key: 'a' })
  t.client(1).sends(quiet)
  const own = await t.private(1)
  const [asked, fence] = await own.seesPackets(GETKQ, NOOP)
  const rest = packet({ opcode: STAT, key: 'no such word', opaque: 7 })
  t.client(1).sends(rest)
  await t.read(quiet.length + rest.length)
  own.says(reply({ opcode: GETKQ, opaque: asked, key: 'a', extras: 4, value: 'A' }))
  await own.sees(rest)
  own.says(reply({ opcode: NOOP, opaque: fence }), reply({ opcode: STAT, opaque: 7 }))
  await t.client(1).gets(reply({ opcode: GETKQ, key: 'a', extras: 4, value: 'A' }), reply({ opcode: STAT, opaque: 7 }))
})

test('a read of a client that has gone is not asked again, and its lane does not count that client', async () => {
  const t = await transcript({ clients: 2, backend: { connections: 2 } })
  await t.lanes(2)
  t.client(1).sends('get a\r\n')
  const lane = await t.seer('get a\r\n')
  t.client(1).leaves()
  await t.reason(1)
  lane.end()
  await t.logged('backend-lost')
  t.client(2).sends('get b\r\n')
  const other = await t.seer('get b\r\n')
  other.says('VALUE b 0 1\r\nB\r\nEND\r\n')
  await t.client(2).gets('VALUE b 0 1\r\nB\r\nEND\r\n')
  expect(t.service.lanes().reduce((sum, { clients }) => sum + clients, 0)).toBe(1)
})

test('a run of meta requests that is lost in the midst of an upload ends with the error, without an MN that nobody asked for', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('ms a 5 q\r\nhe')
  const own = await t.private(1)
  await own.sees('ms a 5 q\r\nhe')
  own.end()
  await t.client(1).endsWith('SERVER_ERROR memseal: the backend closed the connection\r\n')
})

test('refusals that wait for their turn do not keep their client\'s own connection from being read', async () => {
  const t = await transcript({ limits: { reply_backlog: '64KiB' }, backend: { sharing: 'private' } })
  t.client(1).socket.pause()
  const refused = 'verbosity 1\r\n'.repeat(800)
  t.client(1).sends(`get a\r\n${refused}get b\r\n`)
  const own = await t.private(1)
  await own.sees('get a\r\nget b\r\n')
  const value = (key: string): string => `VALUE ${key} 0 600\r\n${key.repeat(600)}\r\nEND\r\n`
  own.says(value('a'))
  await t.settle()
  own.says(value('b'))
  t.client(1).socket.resume()
  await t.client(1).gets(value('a'), 'CLIENT_ERROR memseal: command not allowed\r\n'.repeat(800), value('b'))
})

test('a drain hands over the request that waits for a connection, and ends its client after the answer', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\n')
  await t.read(7)
  const drained = t.service.drain()
  const own = await t.private(1)
  await own.sees('get a\r\n')
  own.says('END\r\n')
  await t.client(1).endsWith('END\r\n')
  t.client(1).destroy()
  await drained
})
