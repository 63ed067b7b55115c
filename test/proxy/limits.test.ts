import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// What one client may take of time and memory, and what becomes of it past that.

const MiB = 2 ** 20
const big = (bytes: number) => `VALUE a 0 ${bytes}\r\n${'x'.repeat(bytes)}\r\nEND\r\n`

test('a client that does not read is not read either, and gets all when it does', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  const lane = t.backend
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  lane.says(big(12 * MiB))
  const spare = await t.lanes(2)
  await spare.sees('get b\r\n')
  spare.says('END\r\n')
  await t.client(2).gets('END\r\n')
  t.client(1).sends('get again\r\n')
  await lane.seesNothing()
  await spare.seesNothing()
  t.client(1).socket.resume()
  await t.client(1).gets(big(12 * MiB))
  lane.says('END\r\n')
  // One who reads so much gets a connection of its own.
  await (await t.private(1)).sees('get again\r\n')
})

test('reply_timeout counts silence: a reply that flows is not late, and neither is what waits behind it', async () => {
  const t = await transcript({ clients: 2, backend: { reply_timeout: '3s', probe_interval: 'off' } })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('VALUE a 0 4\r\n')
  for (const byte of 'aaaa') {
    await t.settle()
    t.passes(3000)
    t.backend.says(byte)
  }
  t.backend.says('\r\nEND\r\n')
  await t.client(1).gets('VALUE a 0 4\r\naaaa\r\nEND\r\n')
  t.passes(3000)
  await t.settle()
  expect(t.lines.filter(line => line.event === 'backend-lost')).toEqual([])
  t.passes(1)
  await t.client(2).gets('SERVER_ERROR memseal: no reply within 3000 ms\r\n')
})

// Of one that can have the connection for itself: bulk.test.ts.
test('reply_backlog: a client that leaves more than that unread, where no other connection can be had for the others, is closed; nobody else', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '12MiB' } })
  t.refusesMore()
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\nget a\r\n')
  await t.backend.sees('get a\r\nget a\r\n')
  t.backend.says(big(8 * MiB))
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says(big(20 * MiB), 'VALUE b 0 1\r\nB\r\nEND\r\n')
  expect(await t.reason(1)).toBe('reply-backlog')
  await t.client(2).gets('VALUE b 0 1\r\nB\r\nEND\r\n')
})

test('reply_backlog: small limits count too', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '64KiB' } })
  t.refusesMore()
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says(big(8 * MiB), 'END\r\n')
  expect(await t.reason(1)).toBe('reply-backlog')
  await t.client(2).gets('END\r\n')
})


test('a slow client on its own connection: memcached waits, nothing is lost', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\nget b\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\nget b\r\n')
  own.says(big(20 * MiB), 'END\r\n')
  await own.seesNothing()
  t.client(1).socket.resume()
  await t.client(1).gets(big(20 * MiB), 'END\r\n')
})

test('request_memory: a request up to it is held, one for which there can never be room is refused', async () => {
  const t = await transcript({ limits: { request_memory: '1MiB', request_size: '2MiB' } })
  const sized = (bytes: number) => `set a 0 0 ${bytes - 21}\r\n${'x'.repeat(bytes - 21)}\r\n`
  expect(sized(MiB)).toHaveLength(MiB)
  t.client(1).sends(sized(MiB))
  await t.backend.sees(sized(MiB))
  t.backend.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  t.client(1).sends(sized(MiB + 1), 'get c\r\n')
  await t.backend.sees('get c\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: out of memory holding the request\r\n')
  expect(t.service.heldBytes).toBe(0)
})

test('request_memory: of uploads that exceed it together the oldest goes', async () => {
  const t = await transcript({ clients: 3, limits: { request_memory: '1MiB', request_size: '1MiB' } })
  t.client(3).sends('get a\r\n')
  t.client(1).sends(`set a 0 0 800000\r\n${'x'.repeat(700_000)}`)
  await t.settle()
  t.passes(250)
  t.client(2).sends(`set b 0 0 500000\r\n${'x'.repeat(500_000)}\r\n`)
  expect(await t.reason(1)).toBe('request-memory')
  await t.backend.sees(`get a\r\nset b 0 0 500000\r\n${'x'.repeat(500_000)}\r\n`)
  t.backend.says('END\r\nSTORED\r\n')
  await t.client(2).gets('STORED\r\n')
  expect(t.service.heldBytes).toBe(0)
})

test('request_timeout: a client that does not finish what it began is closed', async () => {
  const t = await transcript({ clients: 2, limits: { request_timeout: '20s' } })
  t.client(1).sends('get a\r\nset b 0 0 5\r\nab')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.passes(20_000)
  await t.client(1).getsNothing()
  t.passes(1000)
  expect(await t.reason(1)).toBe('request-timeout')
  await t.client(2).getsNothing()
})

test('request_timeout counts from where each request begins', async () => {
  const t = await transcript({ limits: { request_timeout: '20s' }, backend: { reply_timeout: '1h', probe_interval: 'off' } })
  for (let n = 0; n < 16; n++) {
    t.client(1).sends('a\r\nget ')
    await t.settle()
    t.passes(19_000)
    if (n > 0) await t.backend.sees('get a\r\n')
  }
  expect(t.client(1).hasEnded).toBe(false)
  t.passes(2000)
  expect(await t.reason(1)).toBe('request-timeout')
})

test('idle_timeout: a client with nothing in flight is closed, one that waits is not', async () => {
  const t = await transcript({ clients: 2, limits: { idle_timeout: '20s' }, backend: { reply_timeout: '1h' } })
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
  t.passes(20_000)
  await t.client(2).getsNothing()
  t.passes(1000)
  await t.client(2).endsWith()
  await t.client(1).getsNothing()
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
  await t.client(1).getsNothing()
  t.passes(1000)
  await t.client(1).endsWith()
})

test('refusals that nobody reads stop the reading of more', async () => {
  const t = await transcript({ limits: { reply_backlog: '4MiB' } })
  t.client(1).socket.pause()
  const refused = 'verbosity 1\r\n'.repeat(20_000)
  let taken = 0
  for (let n = 0; n < 100; n++) void t.client(1).write(refused).then(() => { taken++ })
  await t.settle()
  expect(taken).toBeLessThan(100)
  expect(t.lines.filter(line => line.event === 'closed')).toEqual([])
})

test('a slow client on a connection of its own is waited for, however small reply_backlog is', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '64KiB' }, backend: { sharing: 'private' } })
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\n')
  const reply = `VALUE a 0 ${16 * MiB}\r\n${'x'.repeat(16 * MiB)}\r\nEND\r\n`
  own.says(reply)
  t.client(2).sends('get b\r\n')
  const other = await t.private(2)
  await other.sees('get b\r\n')
  other.says('END\r\n')
  await t.client(2).gets('END\r\n')
  expect(t.lines.filter(line => line.event === 'closed')).toEqual([])
  t.client(1).socket.resume()
  await t.client(1).gets(reply)
})

// memcached that hangs: it takes what fits into the system's buffers, and no more.

const head = 'set a 0 0 33554432\r\n'
const half = 'x'.repeat(16 * MiB)

test('an upload that memcached does not take is not read on, counts in request_memory, and goes on when it does', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends(head)
  const own = await t.private(1)
  await own.sees(head)
  own.socket.pause()
  let taken = 0
  for (let n = 0; n < 32; n++) void t.client(1).write('x'.repeat(MiB)).then(() => { taken++ })
  await t.settle()
  expect(taken).toBeLessThan(32)
  expect(t.service.heldBytes).toBeGreaterThan(256 * 1024)
  expect(t.service.heldBytes).toBeLessThan(MiB)
  own.socket.resume()
  t.client(1).sends('\r\n')
  await own.sees(half, half, '\r\n')
  expect(t.service.heldBytes).toBe(0)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
})

test('an upload of which memcached takes nothing for reply_timeout ends, with an error and a reason; one that it takes slowly does not', async () => {
  const t = await transcript({ backend: { sharing: 'private', reply_timeout: '5s' } })
  t.client(1).sends(head)
  const own = await t.private(1)
  await own.sees(head)
  own.socket.pause()
  t.client(1).sends(half)
  await t.settle()
  t.passes(0)
  t.passes(5000)
  await t.settle()
  expect(t.service.traffic.backendClosed['upload-stuck']).toBe(0)
  // It has taken some.
  own.socket.resume()
  await own.readExactly(MiB)
  own.socket.pause()
  await t.settle()
  t.passes(0)
  t.passes(5000)
  await t.settle()
  expect(t.service.traffic.backendClosed['upload-stuck']).toBe(0)
  t.passes(1)
  expect(t.service.traffic.backendClosed['upload-stuck']).toBe(1)
  await t.client(1).endsWith('SERVER_ERROR memseal: memcached takes nothing of a value for 5000 ms\r\n')
  t.client(1).end()
  expect(await t.reason(1)).toBe('backend-closed')
  expect(t.service.heldBytes).toBe(0)
})

test('request_memory: of uploads that memcached does not take the oldest goes', async () => {
  const t = await transcript({ clients: 2, backend: { sharing: 'private' }, limits: { request_memory: '1MiB' } })
  for (const n of [1, 2]) {
    t.client(n).sends(head)
    const own = await t.private(n)
    await own.sees(head)
    own.socket.pause()
    t.client(n).sends(half)
    await t.settle()
    t.passes(250)
  }
  t.service.prepare({ ...t.config, limits: { ...t.config.limits, request_memory: t.service.heldBytes - 1 } }, undefined)()
  // Looked at with the next that is held.
  t.service.holds(0)
  expect(await t.reason(1)).toBe('request-memory')
  await t.client(2).getsNothing()
})
