import { expect, test } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// A memcached that does not tell its version to whoever asks in text is there all the same.

const noop = (opaque: number) => packet({ opcode: 0x0a, opaque })
const state = (t: Awaited<ReturnType<typeof transcript>>) => Object.values(t.service.measure().now.backendStates)
const isUp = (t: Awaited<ReturnType<typeof transcript>>) => Object.values(t.service.measure().now.backends)

test('one that is silent about the question in text is asked in binary: ready, and binary clients share a lane', async () => {
  const t = await transcript({ greeting: '', dialect: 'binary', backend: { connect_timeout: '1s' } })
  await t.settle()
  expect(t.service.readiness()).toEqual([expect.stringContaining('no connection to its backend')])
  expect([state(t), isUp(t)]).toEqual([['down'], [false]])
  t.passes(1001)
  const lane = await t.lanes(1)
  expect((await t.logged('backend-ready')).dialect).toBe('binary')
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['binary-only'], [true]])
  t.client(1).sends(noop(7))
  const [opaque] = await lane.seesPackets(0x0a)
  lane.says(reply({ opcode: 0x0a, opaque }))
  await t.client(1).gets(reply({ opcode: 0x0a, opaque: 7 }))
  const text = await t.connect()
  text.sends('get a\r\n')
  await text.gets('SERVER_ERROR memseal: memcached speaks the binary protocol alone\r\n')
})

test('one that wants a login (-Y) is reachable; each client gets its own connection, and stays there', async () => {
  const t = await transcript({ greeting: 'CLIENT_ERROR unauthenticated\r\n', clients: 2 })
  expect(await t.logged('backend-wants-login')).toMatchObject({ level: 'info', dialect: 'text' })
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['wants-login'], [true]])
  t.client(1).sends('get a\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\n')
  own.says('CLIENT_ERROR unauthenticated\r\n')
  await t.client(1).gets('CLIENT_ERROR unauthenticated\r\n')
  t.client(2).sends('set auth 0 0 3\r\nu p\r\n')
  const other = await t.private(2)
  await other.sees('set auth 0 0 3\r\nu p\r\n')
  other.says('STORED\r\n')
  await t.client(2).gets('STORED\r\n')
  expect(t.service.traffic.privates.login).toBe(2)
  expect(t.service.traffic.backendClosed['login-wanted']).toBe(1)
})

test('one that wants a login (-S) tells its version all the same, and nothing else', async () => {
  const t = await transcript({ greeting: '', loginWanted: true, dialect: 'binary', commands: '[read, write, sasl]', backend: { connect_timeout: '1s' } })
  await t.settle()
  t.passes(1001)
  expect(await t.logged('backend-wants-login')).toMatchObject({ level: 'info', dialect: 'binary' })
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['wants-login'], [true]])
  t.client(1).sends(noop(7))
  const own = await t.private(1)
  const [opaque] = await own.seesPackets(0x0a)
  const refused = { opcode: 0x0a, status: 0x20, value: 'Auth failure.' }
  own.says(reply({ ...refused, opaque }))
  await t.client(1).gets(reply({ ...refused, opaque: 7 }))
})
