import { expect, test } from 'vitest'
import { Login } from '../../src/proto/login.ts'
import { packet, reply } from '../proto/binary.ts'
import { isUp, noop, servesBinaryAlone, state, type T } from './binary-alone.ts'
import { transcript } from './transcript.ts'

// memseal logs in its own connections (`backend.auth`), to a memcached with -Y or -S.

const login = new Login('cache', Buffer.from('s3cret'))
const shown = 'set auth 0 0 12\r\ncache s3cret\r\n'
const WANTED = 'CLIENT_ERROR unauthenticated\r\n'
/** Nothing that was logged holds any of it. */
const tellsNothing = (t: T) => expect(JSON.stringify([t.lines, t.service.readiness()])).not.toContain('s3cret')

async function loggedIn(t: T, nth = 1) {
  const lane = await t.lanes(nth)
  await lane.sees(shown)
  lane.says('STORED\r\n')
  await lane.sees('version\r\n')
  lane.says('VERSION 1.6.45\r\n')
  return lane
}

test('-Y: a lane logs in when it is asked to, and clients that know nothing of it share it', async () => {
  const t = await transcript({ greeting: WANTED, login, clients: 2 })
  t.client(1).sends('get a\r\n')
  const lane = await t.lanes(1)
  await lane.sees(shown)
  expect(t.service.readiness()).not.toEqual([])
  lane.says('STORED\r\n')
  await lane.sees('version\r\n')
  lane.says('VERSION 1.6.45\r\n')
  await lane.sees('get a\r\n')
  lane.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  lane.says('END\r\n')
  await t.client(2).gets('END\r\n')
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['up'], [true]])
  tellsNothing(t)
})

test('the answer to the login may come byte by byte', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const lane = await t.lanes(1)
  await lane.sees(shown)
  await lane.saysByteByByte('STORED\r\n')
  await lane.sees('version\r\n')
  await lane.saysByteByByte('VERSION 1.6.45\r\n')
  await t.logged('backend-ready')
})

test('a memcached that asks for no login is shown none: it would store it', async () => {
  const t = await transcript({ login })
  expect(await t.logged('backend-login-needless')).toMatchObject({ level: 'warn' })
  await t.backend.seesNothing()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

const refusals = {
  'authentication failure': 'CLIENT_ERROR authentication failure\r\n',
  'bad format': 'CLIENT_ERROR bad authentication token format\r\n',
  'a server error': 'SERVER_ERROR out of memory\r\n',
  'NOT_STORED': 'NOT_STORED\r\n',
  'something else': 'HTTP/1.1 400 Bad Request\r\n',
}
for (const [name, answer] of Object.entries(refusals)) {
  test(`refused (${name}): told once with what to do, and shown again with longer pauses; clients get an error`, async () => {
    const t = await transcript({ greeting: WANTED, login })
    const lane = await t.lanes(1)
    await lane.sees(shown)
    lane.says(answer)
    expect(await t.logged('backend-login-refused')).toMatchObject({
      level: 'error', username: 'cache', words: expect.stringContaining(answer.trim()), advice: expect.stringContaining('password_file'),
    })
    expect(t.service.readiness()).toEqual([expect.stringMatching(/refuses the login of memseal as "cache".*password_file/)])
    expect([state(t), isUp(t)]).toEqual([['login-refused'], [false]])
    t.client(1).sends('get a\r\n')
    await t.client(1).gets('SERVER_ERROR memseal: memcached refuses the login of memseal\r\n')
    expect(t.service.traffic.backendClosed['login-refused']).toBe(1)
    expect(t.service.traffic.backendClosed['out-of-step']).toBe(0)
    tellsNothing(t)
  })
}

test('a login that is taken, and then asked for again, is refused', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const lane = await t.lanes(1)
  await lane.sees(shown)
  lane.says('STORED\r\n')
  await lane.sees('version\r\n')
  lane.says(WANTED)
  expect(await t.logged('backend-login-refused')).toMatchObject({ words: expect.stringContaining('took the login') })
})

test('a connection that is closed instead of an answer is a lost one', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const lane = await t.lanes(1)
  await lane.sees(shown)
  lane.end()
  expect(await t.logged('backend-lost')).toMatchObject({ reason: 'connect-failed' })
  await loggedIn(t, 2)
  await t.logged('backend-ready')
  tellsNothing(t)
})

test('no answer to the login within connect_timeout: given up, and tried again', async () => {
  const t = await transcript({ greeting: WANTED, login, backend: { connect_timeout: '1s' } })
  const lane = await t.lanes(1)
  await lane.sees(shown)
  t.passes(1001)
  expect(await t.logged('backend-lost')).toMatchObject({ reason: 'connect-timeout' })
  lane.says('STORED\r\n')
  await loggedIn(t, 2)
})

test('another password: lanes are replaced, each when its successor has logged in, and nothing is lost', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const first = await loggedIn(t)
  await t.logged('backend-ready')
  t.client(1).sends('get a\r\n')
  await first.sees('get a\r\n')
  t.service.prepare(t.config, undefined, new Login('cache', Buffer.from('other')))()
  t.passes(500)
  const second = await t.lanes(2)
  await second.sees('set auth 0 0 11\r\ncache other\r\n')
  second.says('STORED\r\n')
  await second.sees('version\r\n')
  second.says('VERSION 1.6.45\r\n')
  await t.logged('backend-replaced')
  first.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.client(1).sends('get b\r\n')
  await second.sees('get b\r\n')
  second.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('another password that is refused: the lane that stands goes on', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const first = await loggedIn(t)
  await t.logged('backend-ready')
  t.service.prepare(t.config, undefined, new Login('cache', Buffer.from('other')))()
  t.passes(500)
  const second = await t.lanes(2)
  await second.sees('set auth 0 0 11\r\ncache other\r\n')
  second.says('CLIENT_ERROR authentication failure\r\n')
  await t.logged('backend-login-refused')
  expect(t.service.readiness()).toEqual([])
  expect([state(t), isUp(t)]).toEqual([['up-login-refused'], [true]])
  t.client(1).sends('get b\r\n')
  await first.sees('get b\r\n')
  first.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.service.prepare(t.config, undefined, login)()
  expect(state(t)).toEqual(['up'])
  t.passes(500)
  await loggedIn(t, 3)
  await t.logged('backend-replaced')
  expect([state(t), isUp(t)]).toEqual([['up'], [true]])
})

test('the right password after a wrong one is shown at once', async () => {
  const t = await transcript({ greeting: WANTED, login: new Login('cache', Buffer.from('wrong')) })
  const lane = await t.lanes(1)
  await lane.sees('set auth 0 0 11\r\ncache wrong\r\n')
  lane.says('CLIENT_ERROR authentication failure\r\n')
  await t.logged('backend-login-refused')
  t.service.prepare(t.config, undefined, login)()
  await loggedIn(t, 2)
  await t.logged('backend-ready')
  expect(t.service.readiness()).toEqual([])
})

test('a private connection logs in before its client is heard', async () => {
  const t = await transcript({ greeting: WANTED, login })
  const lane = await loggedIn(t)
  t.client(1).sends('stats\r\n')
  const own = await loggedIn(t, 2)
  await own.sees('stats\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
  await lane.seesNothing()
})

test('a private connection whose login is refused: its client gets an error', async () => {
  const t = await transcript({ greeting: WANTED, login })
  await loggedIn(t)
  t.client(1).sends('stats\r\n')
  const own = await t.lanes(2)
  await own.sees(shown)
  own.says('CLIENT_ERROR authentication failure\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: memcached refuses the login of memseal\r\n')
  expect(await t.logged('private-backend-lost')).toMatchObject({ reason: 'login-refused', advice: expect.stringContaining('password_file') })
  // The next one is not tried at once; what locks out who fails too often would lock out memseal.
  t.client(1).sends('stats\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: memcached refuses the login of memseal\r\n')
  expect(t.service.traffic.privates.command).toBe(1)
  t.passes(1001)
  t.client(1).sends('stats\r\n')
  await loggedIn(t, 3)
})

test('a client with the same name and password: answered, and never stored', async () => {
  const t = await transcript({ greeting: WANTED, login, commands: '[read, auth]' })
  const lane = await loggedIn(t)
  for (const byte of 'set any 0 0 12\r\ncache s3cret\r\n') {
    t.client(1).sends(byte)
    await new Promise(setImmediate)
  }
  await t.client(1).gets('STORED\r\n')
  t.client(1).sends('get any\r\n')
  await lane.sees('get any\r\n')
  lane.says('END\r\n')
  await t.client(1).gets('END\r\n')
  // Another value of the same length is a value.
  t.client(1).sends('set any 0 0 12\r\ncache s3creT\r\n')
  await t.client(1).gets('CLIENT_ERROR memseal: command not allowed\r\n')
  await lane.seesNothing()
  tellsNothing(t)
})

test('where neither logins nor writes are allowed it is refused', async () => {
  const t = await transcript({ greeting: WANTED, login, commands: '[read]' })
  await loggedIn(t)
  t.client(1).sends('set any 0 0 12\r\ncache s3cret\r\n')
  await t.client(1).gets('CLIENT_ERROR memseal: command not allowed\r\n')
})

const sasl = packet({ opcode: 0x21, key: 'PLAIN', value: '\0cache\0s3cret', opaque: 0 })

test('-S: the binary lane logs in with SASL PLAIN, and binary clients share it', async () => {
  const t = await transcript({ greeting: '', dialect: 'binary', login, backend: { connect_timeout: '1s' } })
  await t.settle()
  t.passes(1001)
  const lane = await t.private(1)
  const asked = await lane.readExactly(sasl.length)
  expect(Buffer.concat([asked.subarray(0, 12), Buffer.alloc(4), asked.subarray(16)])).toEqual(sasl)
  lane.says(reply({ opcode: 0x21, value: 'Authenticated', opaque: asked.readUInt32BE(12) }))
  const [version, fence] = await lane.seesPackets(0x0b, 0x0a)
  lane.says(reply({ opcode: 0x0b, value: '1.6.45', opaque: version }), reply({ opcode: 0x0a, opaque: fence }))
  await t.logged('backend-ready')
  await servesBinaryAlone(t, lane)
  tellsNothing(t)
})

for (const [name, status, value] of [['refused', 0x20, 'Auth failure.'], ['to be continued', 0x21, 'challenge']] as const) {
  test(`-S: ${name}: told with what to do`, async () => {
    const t = await transcript({ greeting: '', dialect: 'binary', login, backend: { connect_timeout: '1s' } })
    await t.settle()
    t.passes(1001)
    const lane = await t.private(1)
    const [opaque] = await lane.seesPackets(0x21)
    lane.says(reply({ opcode: 0x21, status, value, opaque }))
    expect(await t.logged('backend-login-refused')).toMatchObject({ dialect: 'binary', words: `it answered "${value}"`, advice: expect.stringContaining('mech_list') })
    expect(t.service.readiness()).toEqual([expect.stringContaining('refuses the login of memseal as "cache"')])
    expect(state(t)).toEqual(['login-refused'])
    t.client(1).sends(noop(7))
    await t.client(1).gets(reply({ opcode: 0x0a, status: 0x86, value: 'memseal: memcached refuses the login of memseal', opaque: 7 }))
    tellsNothing(t)
  })
}

test('-S: a client that logs in by itself does so on a connection of its own, where memseal has not', async () => {
  const t = await transcript({ greeting: '', dialect: 'binary', login, backend: { connect_timeout: '1s' } })
  await t.settle()
  t.passes(1001)
  const lane = await t.private(1)
  const [opaque] = await lane.seesPackets(0x21)
  lane.says(reply({ opcode: 0x21, opaque }))
  const [version, fence] = await lane.seesPackets(0x0b, 0x0a)
  lane.says(reply({ opcode: 0x0b, value: '1.6.45', opaque: version }), reply({ opcode: 0x0a, opaque: fence }))
  await t.logged('backend-ready')
  // It has had a connection of its own before, which memseal has logged in.
  t.client(1).sends(packet({ opcode: 0x10, opaque: 3 }))
  const first = await t.private(2)
  const [ours] = await first.seesPackets(0x21)
  first.says(reply({ opcode: 0x21, opaque: ours }))
  const [statistics] = await first.seesPackets(0x10)
  t.client(1).sends(packet({ opcode: 0x21, key: 'PLAIN', value: '\0u\0p', opaque: 5 }), noop(6))
  await t.settle()
  expect(t.privates).toBe(2)
  first.says(reply({ opcode: 0x10, opaque: statistics }))
  await t.client(1).gets(reply({ opcode: 0x10, opaque: 3 }))
  const own = await t.private(3)
  await first.endsWith()
  const [auth, asked] = await own.seesPackets(0x21, 0x0a)
  own.says(reply({ opcode: 0x21, opaque: auth }), reply({ opcode: 0x0a, opaque: asked }))
  await t.client(1).gets(reply({ opcode: 0x21, opaque: 5 }), reply({ opcode: 0x0a, opaque: 6 }))
  own.end()
  await t.client(1).endsWith()
  t.client(1).end()
  expect(await t.reason(1)).toBe('login-lost')
})

test('binary, and memcached knows no SASL: it is used, and that is told', async () => {
  const t = await transcript({ greeting: '', dialect: 'binary', login, backend: { connect_timeout: '1s' } })
  await t.settle()
  t.passes(1001)
  const lane = await t.private(1)
  const [opaque] = await lane.seesPackets(0x21)
  lane.says(reply({ opcode: 0x21, status: 0x81, value: 'Unknown command', opaque }))
  const [version, fence] = await lane.seesPackets(0x0b, 0x0a)
  lane.says(reply({ opcode: 0x0b, value: '1.6.45', opaque: version }), reply({ opcode: 0x0a, opaque: fence }))
  await t.logged('backend-ready')
  await t.logged('backend-login-needless')
})
