import { expect, test } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import { isUp, noop, servesBinaryAlone, state } from './binary-alone.ts'
import { transcript } from './transcript.ts'

// A memcached that wants a login, or speaks one protocol alone, is there all the same.

test('one that is silent about the question in text is asked in binary: ready, and binary clients share a lane', async () => {
  const t = await transcript({ greeting: '', dialect: 'binary', backend: { connect_timeout: '1s' } })
  await t.settle()
  expect(t.service.readiness()).toEqual([expect.stringContaining('no connection to its backend')])
  expect([state(t), isUp(t)]).toEqual([['down'], [false]])
  t.passes(1001)
  const lane = await t.lanes(1)
  expect((await t.logged('backend-ready')).dialect).toBe('binary')
  expect(t.service.readiness()).toEqual([])
  await servesBinaryAlone(t, lane)
})

test('one that wants a login (-Y) is reachable; each client gets its own connection, and stays there', async () => {
  const t = await transcript({ greeting: 'CLIENT_ERROR unauthenticated\r\n', clients: 2 })
  expect(await t.logged('backend-wants-login')).toMatchObject({ level: 'info', dialect: 'text' })
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['wants-login'], [true]])
  expect(t.service.remarks()).toEqual([expect.stringMatching(/^memcached of service cache wants a login \(127.*\), and each client logs in by itself$/)])
  t.client(1).sends('get a\r\n')
  await t.client(1).gets('CLIENT_ERROR unauthenticated\r\n')
  await (await t.lanes(2)).seesNothing()
  t.client(2).sends('set auth 0 0 3\r\nu p\r\n')
  const other = await t.lanes(3)
  await other.sees('set auth 0 0 3\r\nu p\r\n')
  other.says('STORED\r\n')
  await t.client(2).gets('STORED\r\n')
  expect(t.service.traffic.privates.login).toBe(2)
  expect(t.service.traffic.backendClosed['login-wanted']).toBe(1)
})

test('one that wants a login (-S) tells its version all the same, and nothing else', async () => {
  const t = await transcript({ greeting: '', loginWanted: true, dialect: 'binary', commands: '[read, write, auth]', backend: { connect_timeout: '1s' } })
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

// A login belongs to a connection, so a client does not outlive the one that it logged in on.

const login = 'set auth 0 0 3\r\nu p\r\n'

test('a login on a memcached that is known to want one: when the connection breaks, its client is closed too', async () => {
  const t = await transcript({ greeting: 'CLIENT_ERROR unauthenticated\r\n' })
  await t.logged('backend-wants-login')
  t.client(1).sends(login)
  const own = await t.lanes(2)
  await own.sees(login)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  t.client(1).sends('get a\r\n')
  await own.sees('get a\r\n')
  own.end()
  await t.client(1).endsWith('SERVER_ERROR memseal: the backend closed the connection\r\n')
  t.client(1).end()
  expect(await t.reason(1)).toBe('login-lost')
})

test('a login that was asked for on the same connection likewise, between two requests', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('version\r\n')
  const own = await t.private(1)
  await own.sees('version\r\n')
  own.says('CLIENT_ERROR unauthenticated\r\n')
  await t.client(1).gets('CLIENT_ERROR unauthenticated\r\n')
  t.client(1).sends(login)
  await own.sees(login)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  own.end()
  await t.client(1).endsWith()
  t.client(1).end()
  expect(await t.reason(1)).toBe('login-lost')
})

test('where nobody knows whether the first set was a login, the next connection tells: a stranger there is closed', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends(login)
  const own = await t.private(1)
  await own.sees(login)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  own.end()
  await own.readToEnd()
  t.client(1).sends('get a\r\nget b\r\n')
  const next = await t.private(2)
  await next.sees('get a\r\nget b\r\n')
  next.says('CLIENT_ERROR unauthenticated\r\n')
  await t.client(1).endsWith()
  expect(await t.reason(1)).toBe('login-lost')
})

test('a first set that was no login: its client goes on over another connection', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends('set a 0 0 1\r\nx\r\n')
  const own = await t.private(1)
  await own.sees('set a 0 0 1\r\nx\r\n')
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
  own.end()
  await own.readToEnd()
  t.client(1).sends('get a\r\n')
  const next = await t.private(2)
  await next.sees('get a\r\n')
  next.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('a login that memcached turned down is none to lose', async () => {
  const t = await transcript({ backend: { sharing: 'private' } })
  t.client(1).sends(login)
  const own = await t.private(1)
  await own.sees(login)
  own.says('CLIENT_ERROR authentication failure\r\n')
  await t.client(1).gets('CLIENT_ERROR authentication failure\r\n')
  own.end()
  await own.readToEnd()
  t.client(1).sends('get a\r\n')
  const next = await t.private(2)
  await next.sees('get a\r\n')
  next.says('CLIENT_ERROR unauthenticated\r\n')
  await t.client(1).gets('CLIENT_ERROR unauthenticated\r\n')
})

const WANTED = 'CLIENT_ERROR unauthenticated\r\n'
const notAllowed = 'CLIENT_ERROR memseal: command not allowed\r\n'

test('a login is no write: it reaches memcached where write is not allowed, and what follows it does not', async () => {
  const t = await transcript({ greeting: WANTED, commands: '[read, auth]' })
  await t.logged('backend-wants-login')
  t.client(1).sends(login, 'set a 0 0 1\r\nx\r\n', 'get a\r\n')
  const own = await t.lanes(2)
  await own.sees(login)
  await own.seesNothing()
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n', notAllowed)
  await own.sees('get a\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.client(1).sends(login)
  await t.client(1).gets(notAllowed)
  await own.seesNothing()
})

test('the same byte by byte, and where nobody knows yet what memcached wants', async () => {
  const t = await transcript({ greeting: WANTED, commands: '[read, auth]', backend: { sharing: 'private' } })
  for (const byte of login) {
    t.client(1).sends(byte)
    await new Promise(setImmediate)
  }
  const own = await t.private(1)
  await own.sees('version\r\n')
  own.says(WANTED)
  await own.sees(login)
  await own.saysByteByByte('STORED\r\n')
  await t.client(1).gets('STORED\r\n')
})

test('a login that was turned down may be tried again', async () => {
  const t = await transcript({ greeting: WANTED, commands: '[read, auth]' })
  await t.logged('backend-wants-login')
  t.client(1).sends(login, login)
  const own = await t.lanes(2)
  await own.sees(login)
  own.says('CLIENT_ERROR authentication failure\r\n')
  await own.sees(login)
  own.says('STORED\r\n')
  await t.client(1).gets('CLIENT_ERROR authentication failure\r\n', 'STORED\r\n')
})

test('a login is no key either: a rule that names others does not keep it out', async () => {
  const t = await transcript({ greeting: WANTED, access: [{ name: 'web', match: 'everyone', keys: ['web:*'] }] })
  await t.logged('backend-wants-login')
  t.client(1).sends(login, login)
  const own = await t.lanes(2)
  await own.sees(login)
  own.says('STORED\r\n')
  await t.client(1).gets('STORED\r\n', 'CLIENT_ERROR memseal: key not allowed\r\n')
})

test('passwords cannot be guessed faster than a rule lets its clients ask', async () => {
  const t = await transcript({ greeting: WANTED, access: [{ name: 'web', match: 'everyone', commands: ['read', 'auth'], limits: { requests_per_second: 1 } }] })
  await t.logged('backend-wants-login')
  t.client(1).sends(login, login)
  const own = await t.lanes(2)
  await own.sees(login)
  own.says('CLIENT_ERROR authentication failure\r\n')
  await t.client(1).gets('CLIENT_ERROR authentication failure\r\n')
  await own.seesNothing()
  t.passes(2000)
  await own.sees(login)
})

test('what wants no login gets no set that is not allowed', async () => {
  const t = await transcript({ clients: 2, commands: '[read, auth]' })
  t.client(1).sends(login, 'get a\r\n')
  await t.client(1).gets(notAllowed)
  await t.backend.sees('get a\r\n')
})

test('nor on a connection of the client\'s own, whose memcached was asked first', async () => {
  const t = await transcript({ commands: '[read, auth]', backend: { sharing: 'private' } })
  t.client(1).sends(login, 'get a\r\n')
  const own = await t.private(1)
  await own.sees('version\r\n')
  own.says('VERSION 1.6.45\r\n')
  await t.client(1).gets(notAllowed)
  await own.sees('get a\r\n')
})

test('nor before anybody knows: it waits for the first lane', async () => {
  const t = await transcript({ greeting: '', commands: '[read, auth]' })
  t.client(1).sends(login)
  const lane = await t.lanes(1)
  await t.client(1).getsNothing()
  lane.says('VERSION 1.6.45\r\n')
  await t.client(1).gets(notAllowed)
  await lane.seesNothing()
})

test('without auth among the commands, and with a value that is too long for a login, it is refused', async () => {
  const t = await transcript({ greeting: WANTED, clients: 2, commands: '[read]' })
  await t.logged('backend-wants-login')
  t.client(1).sends(login)
  await t.client(1).gets(notAllowed)
  const long = await transcript({ greeting: WANTED, commands: '[read, auth]' })
  await long.logged('backend-wants-login')
  const sized = (total: number) => `set auth 0 0 ${total - 21}\r\n${'x'.repeat(total - 21)}\r\n`
  long.client(1).sends(sized(4097))
  await long.client(1).gets(notAllowed)
  long.client(1).sends(sized(4096))
  await (await long.lanes(2)).sees(sized(4096))
})

test('before a login memcached is asked for nothing else: it would say less often that it wants one', async () => {
  const t = await transcript({ greeting: WANTED })
  await t.logged('backend-wants-login')
  t.client(1).sends('get a\r\nadd b 0 0 1\r\nx\r\nmg c v\r\nstats\r\n', login, 'get a\r\n')
  const own = await t.lanes(2)
  await own.sees(login)
  await t.client(1).gets(WANTED, WANTED, WANTED, WANTED)
  own.says('STORED\r\n')
  await own.sees('get a\r\n')
  await t.client(1).gets('STORED\r\n')
})

for (const [name, opcode] of [['auth', 0x21], ['step', 0x22]] as const) {
  test(`SASL, ${name}: answered with status 0 it is a login, with another it is none`, async () => {
    const t = await transcript({ clients: 2, dialect: 'binary', backend: { sharing: 'private' }, commands: '[read, sasl]' })
    for (const [n, status] of [[1, 0x20], [2, 0]] as const) {
      t.client(n).sends(packet({ opcode, key: 'PLAIN', value: '\0u\0p', opaque: n }))
      const own = await t.private(n)
      const [opaque] = await own.seesPackets(opcode)
      own.says(reply({ opcode, status, opaque }))
      await t.client(n).gets(reply({ opcode, status, opaque: n }))
      own.end()
      await own.readToEnd()
    }
    await t.client(2).endsWith()
    t.client(2).end()
    expect(await t.reason(2)).toBe('login-lost')
    t.client(1).sends(noop(7))
    await (await t.private(3)).seesPackets(0x0a)
  })
}

test('what passes unread is closed with its connection, logged in or not', async () => {
  const t = await transcript({ commands: '[all]', backend: { sharing: 'private' } })
  t.client(1).sends('foo\r\n')
  const own = await t.private(1)
  await own.sees('foo\r\n')
  own.end()
  await t.client(1).endsWith()
  t.client(1).end()
  expect(await t.reason(1)).toBe('backend-closed')
})

// What is told of them.

/** Each of them; the log folds those of one outcome. */
function loginsOf({ service }: Awaited<ReturnType<typeof transcript>>): (readonly [user: string, outcome: string])[] {
  const told: (readonly [string, string])[] = []
  const tell = service.clientLogin.bind(service)
  service.clientLogin = (peer, user, outcome) => {
    told.push([user, outcome])
    tell(peer, user, outcome)
  }
  return told
}

test('a login in text is told with its user and its outcome, and nothing of the password', async () => {
  const t = await transcript({ greeting: WANTED })
  const told = loginsOf(t)
  await t.logged('backend-wants-login')
  const shows = (value: string) => `set auth 0 0 ${value.length}\r\n${value}\r\n`
  t.client(1).sends(shows('anna wrong'), shows('no-blank-in-it'), shows('anna right pass'))
  const own = await t.lanes(2)
  for (const [value, answer] of [['anna wrong', 'CLIENT_ERROR authentication failure\r\n'], ['no-blank-in-it', 'CLIENT_ERROR bad authentication token format\r\n'], ['anna right pass', 'STORED\r\n']] as const) {
    await own.sees(shows(value))
    own.says(answer)
    await t.client(1).gets(answer)
  }
  expect(await t.logged('login')).toMatchObject({ user: 'anna', outcome: 'refused', address: '127.0.0.1' })
  expect(told).toEqual([['anna', 'refused'], ['', 'refused'], ['anna', 'accepted']])
  expect(JSON.stringify(t.lines)).not.toMatch(/wrong|no-blank|right/)
})

test('a login with SASL likewise, also byte by byte; one after the other, so that each outcome has its user', async () => {
  const t = await transcript({ dialect: 'binary', backend: { sharing: 'private' } })
  const told = loginsOf(t)
  const plain = (user: string, opaque: number, key = 'PLAIN') => packet({ opcode: 0x21, key, value: `\0${user}\0secret`, opaque })
  const all = Buffer.concat([plain('anna', 1), plain('otto', 2), plain('ida', 3, 'OTHER'), packet({ opcode: 0x21, key: 'PLAIN', value: 'secret', opaque: 4 })])
  for (const byte of all) {
    t.client(1).sends(Buffer.of(byte))
    await new Promise(setImmediate)
  }
  const own = await t.private(1)
  for (const [at, status] of [0, 0x20, 0x20, 0x20].entries()) {
    const [opaque] = await own.seesPackets(0x21)
    own.says(reply({ opcode: 0x21, status, opaque }))
    await t.client(1).gets(reply({ opcode: 0x21, status, opaque: at + 1 }))
  }
  expect(told).toEqual([['anna', 'accepted'], ['otto', 'refused'], ['', 'refused'], ['', 'refused']])
  expect(JSON.stringify(t.lines)).not.toContain('secret')
})
