import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// Clients that cannot share, or may not: each on a connection to memcached of its own.

const openAll = '[all]'

test('a client moves to its own connection once nothing of it is in flight', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\nstats\r\nget b\r\n')
  await t.backend.sees('get a\r\n')
  await t.client(1).getsNothing()
  expect(t.privates).toBe(0)
  t.backend.says('VALUE a 0 1\r\nA\r\nEND\r\n')
  const own = await t.private(1)
  await own.sees('stats\r\nget b\r\n')
  own.says('STAT pid 1\r\nEND\r\nEND\r\n')
  await t.client(1).gets('VALUE a 0 1\r\nA\r\nEND\r\nSTAT pid 1\r\nEND\r\nEND\r\n')
  t.client(2).sends('get c\r\n')
  await t.backend.sees('get c\r\n')
  t.client(1).sends('get d\r\n')
  await own.sees('get d\r\n')
})

test('its own connection closes with the client', async () => {
  const t = await transcript()
  t.client(1).sends('stats\r\n')
  const own = await t.private(1)
  await own.sees('stats\r\n')
  t.client(1).leaves()
  await own.readToEnd()
  expect(await t.reason(1)).toBe('client-reset')
})

test('a half-close is kept from memcached until the replies are there', async () => {
  const t = await transcript()
  t.client(1).sends('get a\nget b\r\n')
  t.client(1).end()
  const own = await t.private(1)
  await own.sees('get a\nget b\r\n')
  own.says('END\r\nEND\r\n')
  await t.client(1).endsWith('END\r\nEND\r\n')
})

test('errors on its own connection are for the client to see', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nincr b 1\r\nset c 0 0 1\r\nx\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\nincr b 1\r\nset c 0 0 1\r\nx\r\n')
  own.says('ERROR\r\nCLIENT_ERROR x\r\nSERVER_ERROR out of memory writing get response\r\n')
  await t.client(1).gets('ERROR\r\nCLIENT_ERROR x\r\nSERVER_ERROR out of memory writing get response\r\n')
})

test('with nothing forbidden, what cannot be framed is passed on unread', async () => {
  const t = await transcript({ commands: openAll })
  t.client(1).sends('get a\r\nset b 0 0 -1\r\nfoo\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  const own = await t.private(1)
  await own.sees('set b 0 0 -1\r\nfoo\r\n')
  own.says('whatever it says')
  await t.client(1).gets('END\r\nwhatever it says')
  t.client(1).sends('get a')
  await own.sees('get a')
  t.client(1).end()
  await own.endsWith()
  own.says('the rest')
  own.end()
  await t.client(1).endsWith('the rest')
})

test('a watch that memcached refuses is over with its line', async () => {
  const t = await transcript({ commands: '[watch, read]' })
  t.client(1).sends('watch foo\r\nbogus\r\nget a\r\n')
  const own = await t.private(1)
  await own.sees('watch foo\r\nget a\r\n')
  own.says('ERROR\r\n')
  await t.client(1).gets('ERROR\r\nERROR\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('a watcher that asks for more and leaves is gone, and so is its connection', async () => {
  const t = await transcript({ commands: '[watch, read]', limits: { in_flight: 2 } })
  t.client(1).sends('watch fetchers\r\n')
  const own = await t.private(1)
  await own.sees('watch fetchers\r\n')
  own.says('OK\r\n')
  await t.client(1).gets('OK\r\n')
  t.client(1).sends('get a\r\nget b\r\n')
  await own.sees('get a\r\n')
  t.client(1).end()
  expect(await t.reason(1)).toBe('client-closed')
  expect(t.service.measure().now.privateConnections).toBe(0)
})

test('a watcher gets each line at once', async () => {
  const t = await transcript({ commands: '[watch, read]' })
  t.client(1).sends('watch fetchers\r\n')
  const own = await t.private(1)
  await own.sees('watch fetchers\r\n')
  own.says('OK\r\n')
  await t.client(1).gets('OK\r\n')
  own.says('ts=1 gid=1 type=item_get\n')
  await t.client(1).gets('ts=1 gid=1 type=item_get\n')
  t.client(1).end()
  await own.readToEnd()
  await t.client(1).endsWith()
})

test('request_size: at the limit a request is shared, one byte past it goes to a connection of its own as it comes', async () => {
  const t = await transcript({ limits: { request_size: '1KiB' } })
  const fits = `set a 0 0 1006\r\n${'x'.repeat(1006)}\r\n`
  expect(fits).toHaveLength(1024)
  t.client(1).sends(fits)
  await t.backend.sees(fits)
  t.backend.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  const past = `set a 0 0 1007\r\n${'x'.repeat(1007)}\r\n`
  expect(past).toHaveLength(1025)
  const value = 'y'.repeat(2000)
  t.client(1).sends(past)
  const own = await t.private(1)
  await own.sees(past)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  t.client(1).sends(`set b 0 0 2000\r\n${value.slice(0, 500)}`)
  await own.sees(`set b 0 0 2000\r\n${value.slice(0, 500)}`)
  t.client(1).sends(`${value.slice(500)}\r\nget c\r\n`)
  await own.sees(`${value.slice(500)}\r\nget c\r\n`)
  own.says('STORED\r\nEND\r\n')
  await t.client(1).gets('STORED\r\nEND\r\n')
})

test('no fence gets into the data block of a quiet request that comes in pieces', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('mg x q\r\nms b 10 q\r\n12345')
  const own = await t.private(1)
  // One before it: what is asked before an upload is answered before its end.
  await own.sees('mg x q\r\nmn\r\nms b 10 q\r\n12345')
  own.says('MN\r\n')
  t.client(1).sends('678')
  await own.sees('678')
  t.client(1).sends('90\r\n')
  await own.sees('90\r\nmn\r\n')
  own.says('MN\r\n')
  t.client(1).sends('get a\r\n')
  await own.sees('get a\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('memcached is asked for the replies that it owes before an upload, and nobody gets the answer to that', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nmg b\r\nset c 0 0 5\r\n12')
  const own = await t.private(1)
  await own.sees('get a\r\nmg b\r\nmn\r\nset c 0 0 5\r\n12')
  own.says('END\r\nEN\r\nMN\r\n')
  await t.client(1).gets('END\r\nEN\r\n')
  t.client(1).sends('345\r\n')
  await own.sees('345\r\n')
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  // Nothing is owed here.
  t.client(1).sends('set c 0 0 5\r\n12')
  await own.sees('set c 0 0 5\r\n12')
})

test('a release that does not know mn says ERROR to it, and nobody gets that either', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nset c 0 0 5\r\n12')
  const own = await t.private(1)
  await own.sees('get a\r\nmn\r\nset c 0 0 5\r\n12')
  own.says('END\r\nERROR\r\n')
  await t.client(1).gets('END\r\n')
  t.client(1).sends('345\r\n')
  await own.sees('345\r\n')
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
})

test('a release that a lane knows to have no mn is not asked', async () => {
  const t = await transcript({ greeting: 'VERSION 1.4.39\r\n', limits: { request_size: '1KiB' } })
  await t.logged('backend-ready')
  t.client(1).sends('stats\r\nset c 0 0 2000\r\n12')
  const own = await t.private(1)
  await own.sees('stats\r\nset c 0 0 2000\r\n12')
})

test('an upload may take longer than reply_timeout; its reply may not', async () => {
  const t = await transcript({ backend: { sharing: 'private', reply_timeout: '5s' } })
  t.client(1).sends('set a 0 0 5\r\n12')
  const own = await t.private(1)
  await own.sees('set a 0 0 5\r\n12')
  t.passes(20_000)
  t.client(1).sends('345\r\n')
  await own.sees('345\r\n')
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  t.client(1).sends('set a 0 0 1\r\nx\r\n')
  await own.sees('set a 0 0 1\r\nx\r\n')
  t.passes(4_000)
  await t.client(1).getsNothing()
  t.passes(2_000)
  await t.client(1).gets('SERVER_ERROR memseal: no reply within 5000 ms\r\n')
})

test('noreply of a request that comes in pieces is cut off', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('set b 0 0 10 noreply\r\n12345')
  const own = await t.private(1)
  await own.sees('set b 0 0 10\r\n12345')
  t.client(1).sends('67890\r\nget a\r\n')
  await own.sees('67890\r\nget a\r\n')
  own.says('STORED\r\nEND\r\n')
  await t.client(1).gets('END\r\n')
})

const full = async () => {
  const t = await transcript({ clients: 4, limits: { private_connections: 2 }, backend: { reply_timeout: '5s' } })
  for (const n of [1, 2]) {
    t.client(n).sends('stats\r\n')
    const own = await t.private(n)
    await own.sees('stats\r\n')
    own.says('END\r\n')
    await t.client(n).gets('END\r\n')
  }
  return t
}

test('private_connections: at the limit one more client waits for a place, first come, first served', async () => {
  const t = await full()
  t.client(4).sends('stats\r\n')
  await t.settle()
  t.client(3).sends('stats settings\r\n')
  await t.client(3).getsNothing()
  await t.client(4).getsNothing()
  expect(t.service.measure().now).toMatchObject({ privateConnections: 2, privateWaiting: 2 })
  expect(await t.logged('private-connections-full')).toMatchObject({ level: 'warn', connections: 2 })
  t.client(1).leaves()
  const first = await t.private(3)
  await first.sees('stats\r\n')
  await t.client(3).getsNothing()
  t.client(2).leaves()
  await (await t.private(4)).sees('stats settings\r\n')
  expect(t.service.measure().now.privateWaiting).toBe(0)
})

test('private_connections: who waits for reply_timeout gets an error in its turn, and goes on', async () => {
  const t = await full()
  t.client(3).sends('get a\r\nstats\r\nget b\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(3).gets('END\r\n')
  t.passes(5000)
  await t.client(3).getsNothing()
  t.passes(1)
  // What is behind it needs a place as well, and does not wait as long again.
  const refused = 'SERVER_ERROR memseal: too many private connections\r\n'
  await t.client(3).gets(refused, refused)
  expect(t.service.traffic.privatesRefused).toBe(2)
  t.passes(5000)
  t.client(3).sends('get c\r\n')
  await t.client(3).getsNothing()
  t.client(1).leaves()
  const own = await t.private(3)
  await own.sees('get c\r\n')
  own.says('END\r\n')
  await t.client(3).gets('END\r\n')
})

test('private_connections: who leaves while it waits gives its turn to the next', async () => {
  const t = await full()
  for (const n of [3, 4]) {
    t.client(n).sends('stats\r\n')
    await t.settle()
  }
  t.client(3).leaves()
  await t.reason(3)
  expect(t.service.measure().now.privateWaiting).toBe(1)
  t.client(1).leaves()
  const own = await t.private(3)
  await own.sees('stats\r\n')
  own.says('END\r\n')
  await t.client(4).gets('END\r\n')
})

test('private_connections: a reload that raises it lets those in that wait', async () => {
  const t = await full()
  t.client(3).sends('stats\r\n')
  await t.client(3).getsNothing()
  t.service.prepare({ ...t.config, limits: { ...t.config.limits, private_connections: 3 } }, undefined)()
  await (await t.private(3)).sees('stats\r\n')
})

test('private_connections: what passes unread from a request on that cannot be skipped waits too, and is closed behind the error', async () => {
  const t = await transcript({ clients: 2, limits: { private_connections: 1 }, commands: openAll })
  t.client(1).sends('stats\r\n')
  await (await t.private(1)).sees('stats\r\n')
  t.client(2).sends('set b 0 0 -1\r\n')
  await t.client(2).getsNothing()
  t.passes(5001)
  await t.client(2).endsWith('SERVER_ERROR memseal: too many private connections\r\n')
  t.client(2).end()
  expect(await t.reason(2)).toBe('private-limit')
})

test('memcached closes the private connection: an error for each, and a new one for the next request', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nget b\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\nget b\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
  own.end()
  await t.client(1).gets('SERVER_ERROR memseal: the backend closed the connection\r\n')
  t.client(1).sends('get c\r\n')
  const next = await t.private(2)
  await next.sees('get c\r\n')
  next.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('a private connection out of step closes its client alone', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('stats\r\nget a\r\n')
  const own = await t.private(1)
  await own.sees('stats\r\nget a\r\n')
  own.says('END\r\nVALUE b 0 1\r\nx\r\nEND\r\n')
  expect(await t.reason(1)).toBe('backend-out-of-step')
  expect(await t.logged('private-backend-lost')).toMatchObject({
    level: 'warn', reason: 'out-of-step', client: 'c1', asked: 'get a\\r\\n', answered: 'VALUE b 0 1\\r\\nx\\r\\nEND\\r\\n', clients: 1,
  })
  expect(t.service.traffic.backendClosed['out-of-step']).toBe(1)
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\n')
  await t.client(2).gets('END\r\n')
})

test('refusals wait for their turn on a private connection too', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('get a\r\nverbosity 1\r\nget b\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\nget b\r\n')
  own.says('END\r\nEND\r\n')
  await t.client(1).gets('END\r\nCLIENT_ERROR memseal: command not allowed\r\nEND\r\n')
})

test('private connections that are lost while something is owed are told of once a minute for each reason, however many they are', async () => {
  const t = await transcript({ clients: 3, backend: { sharing: 'private' } })
  for (const n of [1, 2, 3]) {
    t.client(n).sends('get a\r\n')
    const own = await t.private(n)
    await own.sees('get a\r\n')
  }
  for (const n of [1, 2]) {
    (await t.private(n)).end()
    await t.client(n).gets('SERVER_ERROR memseal: the backend closed the connection\r\n')
  }
  // Nothing is owed here, so nobody has noticed.
  const idle = await t.private(3)
  idle.says('END\r\n')
  await t.client(3).gets('END\r\n')
  idle.end()
  await idle.readToEnd()
  expect(t.lines.filter(line => line.event === 'private-backend-lost')).toMatchObject([
    { level: 'warn', reason: 'closed-by-backend', client: 'c1', address: '127.0.0.1', suppressed: 0 },
  ])
  expect(t.service.traffic.backendClosed['closed-by-backend']).toBe(3)
})

test('a private connection whose memory is too much closes the client it is for, and is not left behind', async () => {
  const t = await transcript()
  const [session] = t.service.sessions
  t.client(1).socket.pause()
  // Not so large that the client would get its own connection for it.
  const value = `VALUE a 0 ${24 * 1024}\r\n${'x'.repeat(24 * 1024)}\r\nEND\r\n`
  while (session.outbox.backlog === 0) {
    t.client(1).sends('get a\r\n')
    await t.backend.sees('get a\r\n')
    t.backend.says(value)
    await t.settle()
  }
  // From now on one slab more is one too many.
  t.service.prepare({ ...t.config, limits: { ...t.config.limits, reply_memory: 1 } }, undefined)()
  t.client(1).sends('stats\r\n')
  expect(await t.reason(1)).toBe('reply-memory')
  await t.settle()
  expect(t.service.measure().now.privateConnections).toBe(0)
})
