import { expect, test } from 'vitest'
import { certificateOf } from '../support/names.ts'
import { transcript } from './transcript.ts'

// Rules of `access` on the way of requests: what is refused, and that nobody else notices.

const web = { name: 'web', match: { cn: 'web-*' }, keys: ['web:*', 'common'], deny_keys: ['web:secret:*'] }
const everyone = { name: 'others', match: 'everyone', commands: ['read'] }

async function webClient(access: readonly object[] = [web, everyone], setting: object = {}) {
  const t = await transcript({ clients: 1, access, ...setting })   // the first one has no certificate
  return { t, other: t.client(1), client: await t.connect(certificateOf({ cn: 'web-1' })) }
}

const NO_KEY = 'CLIENT_ERROR memseal: key not allowed\r\n'

test('a key that the rule does not name is refused, in its turn, and its data block is skipped', async () => {
  const { t, client } = await webClient()
  client.sends('get web:a\r\nset other 0 0 2\r\nhi\r\nget web:b\r\n')
  await t.backend.sees('get web:a\r\nget web:b\r\n')
  t.backend.says('END\r\nVALUE web:b 0 1\r\nx\r\nEND\r\n')
  await client.gets('END\r\n', NO_KEY, 'VALUE web:b 0 1\r\nx\r\nEND\r\n')
  const line = await t.logged('command-refused')
  expect(line).toMatchObject({ rule: 'web', command: 'set', reason: 'key', msg: 'refused set: its key is not among those of the rule web' })
  expect(line).not.toHaveProperty('also')
})

test('deny_keys wins over keys', async () => {
  const { t, client } = await webClient()
  client.sends('get web:secret:1\r\nget common\r\n')
  await t.backend.sees('get common\r\n')
  t.backend.says('END\r\n')
  await client.gets(NO_KEY, 'END\r\n')
})

test('a get of several keys with one that is not allowed is refused whole', async () => {
  const { t, client } = await webClient()
  client.sends('get web:a web:b other\r\ngets other web:a\r\ngat 0 web:a  other\r\n')
  await client.gets(NO_KEY, NO_KEY, NO_KEY)
  await t.backend.seesNothing()
})

test('a get that goes out in parts is refused before the first of them, wherever the forbidden key stands', async () => {
  const { t, client } = await webClient()
  const keys = Array.from({ length: 2000 }, (_, n) => `web:${n}`)
  client.sends(`get ${keys.join(' ')} other\r\n`)
  await client.gets(NO_KEY)
  await t.backend.seesNothing()
})

test('another rule decides for another client, and neither is in the way of the other', async () => {
  const { t, client, other } = await webClient()
  other.sends('get other\r\nset web:a 0 0 1\r\nx\r\n')
  client.sends('set web:a 0 0 1\r\nx\r\n')
  await t.backend.sees('get other\r\nset web:a 0 0 1\r\nx\r\n')
  t.backend.says('END\r\nSTORED\r\n')
  await other.gets('END\r\nCLIENT_ERROR memseal: command not allowed\r\n')
  await client.gets('STORED\r\n')
})

test('a key in base64 counts as it reads', async () => {
  const { t, client } = await webClient()
  const base64 = (key: string) => Buffer.from(key).toString('base64')
  client.sends(`mg ${base64('other')} b v\r\nmg ${base64('web:a')} b v\r\nmg ${base64('web:secret:1')} b\r\n`)
  await t.backend.sees(`mg ${base64('web:a')} b v\r\nmn\r\n`)
  t.backend.says('EN\r\nMN\r\n')
  await client.gets(NO_KEY, 'EN\r\n', NO_KEY)
})

test('nobody is a client for whom there is no rule', async () => {
  const { t } = await webClient([web], { clients: 0 })
  expect(t.service.refusalOf({ id: 'c1', service: 'cache', listener: 'test', address: '127.0.0.1', countedAs: '127.0.0.1', port: 1 })).toBe('no-rule')
})

test('commands that show the keys of all are refused where there are keys, unless they are named', async () => {
  const { client } = await webClient([{ ...web, commands: ['all'] }], { clients: 0 })
  client.sends('lru_crawler metadump all\r\nwatch\r\nstats cachedump 1 0\r\nstats detail dump\r\nwhatever x\r\nshutdownx\r\n')
  await client.gets('key=memseal:command_not_allowed exp=-1 la=0 cas=0 fetch=no cls=0 size=0\r\nEND\r\n', 'CLIENT_ERROR memseal: command not allowed\r\n'.repeat(3), 'ERROR\r\nERROR\r\n')
  const named = await webClient([{ ...web, commands: ['all', 'lru_crawler metadump'] }], { clients: 0 })
  named.client.sends('lru_crawler metadump all\r\n')
  await (await named.t.private(1)).sees('lru_crawler metadump all\r\n')
})

const limited = (limits: object) => [{ name: 'web', match: { cn: 'web-*' }, limits }]
const alone = { clients: 0 }

test('a value at the limit is stored, and one byte more is refused: whole, and when its data block is still to come', async () => {
  const { t, client } = await webClient(limited({ value_size: '10B' }), alone)
  client.sends('set a 0 0 10\r\n0123456789\r\nms b 10\r\n0123456789\r\n')
  await t.backend.sees('set a 0 0 10\r\n0123456789\r\nms b 10\r\n0123456789\r\nmn\r\n')
  t.backend.says('STORED\r\nHD\r\nMN\r\n')
  await client.gets('STORED\r\nHD\r\n')
  const TOO_LARGE = 'CLIENT_ERROR memseal: value too large\r\n'
  client.sends('set a 0 0 11\r\n01234567890\r\nms b 11\r\n')
  await client.gets(TOO_LARGE, TOO_LARGE)
  client.sends('01234567890\r\nget a\r\n')
  await t.backend.sees('get a\r\n')
})

test('a get of as many keys as it may is asked, and one more key is refused', async () => {
  const { t, client } = await webClient(limited({ keys_per_get: 2 }), alone)
  client.sends('get a b\r\nget a b c\r\ngat 0 a b c\r\n')
  await t.backend.sees('get a b\r\n')
  t.backend.says('END\r\n')
  await client.gets('END\r\n', 'CLIENT_ERROR memseal: too many keys in one get\r\n'.repeat(2))
})

test('requests past the rate wait until there are tokens again, whoever of the same certificate asked before', async () => {
  const { t, client } = await webClient(limited({ requests_per_second: 3 }), { ...alone, backend: { join_gets: 'off' } })
  const twin = await t.connect(certificateOf({ cn: 'web-1' }))
  client.sends('get a\r\n'.repeat(2))
  await t.backend.sees('get a\r\n'.repeat(2))
  twin.sends('get b\r\n'.repeat(4))
  await t.backend.sees('get b\r\n')
  await t.backend.seesNothing()
  t.passes(333)
  await t.backend.seesNothing()
  t.passes(1)
  await t.backend.sees('get b\r\n')
  await t.backend.seesNothing()
  t.backend.says('END\r\n'.repeat(4))
  await client.gets('END\r\n'.repeat(2))
  await twin.gets('END\r\n'.repeat(2))
  t.passes(4000)
  await t.backend.sees('get b\r\n'.repeat(2))
  t.backend.says('END\r\n'.repeat(2))
  await twin.gets('END\r\n'.repeat(2))
})

test.each([{ connections: 2 }, { requests_per_second: 3 }, { bytes_per_second: '1MiB' }])('a tick at the very time at which a client came leaves it what %o lets it', async limits => {
  const { t, client } = await webClient(limited(limits), alone)
  t.passes(0)
  client.sends('get a\r\n')
  await t.backend.sees('get a\r\n')
})

test('of several connections that wait each gets its share', async () => {
  const { t, client } = await webClient(limited({ requests_per_second: 10 }), { ...alone, backend: { join_gets: 'off' } })
  const twin = await t.connect(certificateOf({ cn: 'web-1' }))
  client.sends('get a\r\n'.repeat(30))
  await t.backend.sees('get a\r\n'.repeat(10))
  twin.sends('get b\r\n'.repeat(30))
  await t.backend.seesNothing()
  t.passes(1000)
  await t.backend.sees('get a\r\n'.repeat(5), 'get b\r\n'.repeat(5))
})

test('a client that has had more bytes than its rate lets it waits for the next request', async () => {
  const { t, client } = await webClient(limited({ bytes_per_second: '1KiB' }), alone)
  client.sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  const value = `VALUE a 0 2000\r\n${'x'.repeat(2000)}\r\nEND\r\n`
  t.backend.says(value)
  await client.gets(value)
  client.sends('get b\r\n')
  await t.backend.sees('get b\r\n')   // what has passed is charged with this one
  t.backend.says('END\r\n')
  await client.gets('END\r\n')
  client.sends('get c\r\n')
  await t.backend.seesNothing()
  t.passes(2000)
  await t.backend.sees('get c\r\n')
})

test('as many connections of a certificate as its rule lets it have, from whatever addresses, and no more', async () => {
  const { t, client } = await webClient(limited({ connections: 2 }), alone)
  await t.connect(certificateOf({ cn: 'web-1' }))
  const peer = (names: object, address: string) => ({ id: 'c9', service: 'cache', listener: 'test', address, countedAs: address, port: 1, names: certificateOf(names) })
  expect(t.service.refusalOf(peer({ cn: 'web-1' }, '10.0.0.1'))).toBe('rule-full')
  expect(t.service.refusalOf(peer({ cn: 'web-2', fingerprint: 'CC' }, '127.0.0.1'))).toBeUndefined()
  client.sends('version\r\n')
  await t.backend.sees('version\r\n')
  client.leaves()
  await t.reason(1)
  expect(t.service.refusalOf(peer({ cn: 'web-1' }, '10.0.0.1'))).toBeUndefined()
})

test('rules that are observed refuse nobody, and say what they would have refused', async () => {
  const { t, client, other } = await webClient([{ ...web, commands: ['read'] }], { accessMode: 'observe' })
  client.sends('get other\r\nset web:a 0 0 1\r\nx\r\nget web:a\r\n')
  await t.backend.sees('get other\r\nset web:a 0 0 1\r\nx\r\nget web:a\r\n')
  t.backend.says('END\r\nSTORED\r\nEND\r\n')
  await client.gets('END\r\nSTORED\r\nEND\r\n')
  other.sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  expect(t.service.access.rules(t.service.sessions)).toMatchObject({ 'web': { connections: 1, open: 1, observed: { key: 1, command: 1 } }, '': { observed: { 'no-rule': 1 } } })
  expect(t.lines.filter(line => line.event === 'access-observed').map(({ msg }) => msg)).toEqual([
    'would refuse this client: no rule of access is for it', 'would refuse get: its key is not among those of the rule web',
    'would refuse set: not among the commands of the rule web',
  ])
})

test('what service `commands` forbid stays forbidden while rules are observed', async () => {
  const { client } = await webClient([{ ...web, commands: ['all'] }], { accessMode: 'observe' })
  client.sends('shutdown\r\n')
  await client.gets('CLIENT_ERROR memseal: command not allowed\r\n')
})

// A reload.

test('after a reload other rules hold for those who are in, from their next request on', async () => {
  const { t, client, other } = await webClient()
  client.sends('get web:a\r\n')
  await t.backend.sees('get web:a\r\n')
  t.reload({ access: [{ name: 'nobody', match: { cn: 'x' } }, { name: 'rest', match: 'everyone', commands: ['write'] }] })
  client.sends('get web:a\r\n')
  other.sends('get a\r\nset a 0 0 1\r\nx\r\n')
  await t.backend.sees('set a 0 0 1\r\nx\r\n')
  t.backend.says('END\r\nSTORED\r\n')
  const NO = 'CLIENT_ERROR memseal: command not allowed\r\n'
  await client.gets('END\r\n', NO)
  await other.gets(NO, 'STORED\r\n')
})

test('a client for whom there is no rule any more gets what it is owed, and nothing that it asks from then on is carried out', async () => {
  const { t, client, other } = await webClient()
  other.sends('shutdown\r\n')
  await other.gets('CLIENT_ERROR memseal: command not allowed\r\n')
  client.sends('get web:a\r\n')
  await t.backend.sees('get web:a\r\n')
  t.reload({ access: [everyone, web].slice(0, 1).map(rule => ({ ...rule, match: { source: 'unix' } })) })
  client.sends('set web:a 0 0 1\r\nx\r\n')
  await other.endsWith('')
  await t.backend.seesNothing()
  t.backend.says('VALUE web:a 0 1\r\nx\r\nEND\r\n')
  await client.endsWith('VALUE web:a 0 1\r\nx\r\nEND\r\n')
  t.passes(6000)   // they do not end their side
  expect([await t.reason(1), await t.reason(2)]).toEqual(['access-changed', 'access-changed'])
  expect(await t.logged('expelled')).toMatchObject({ reason: 'access-changed', words: 'no rule of access is for it any more' })
})

test('one that does not take what it is owed is closed after a while', async () => {
  const { t, client } = await webClient()
  client.sends('get web:a\r\n')
  await t.backend.sees('get web:a\r\n')
  t.reload({ access: [{ name: 'nobody', match: { cn: 'x' } }] })
  t.passes(10_001)
  await client.endsWith('')
})

test('a value of which memcached has a part is stored before its client has to go', async () => {
  const { t, client } = await webClient([{ name: 'web', match: { cn: 'web-*' } }], { ...alone, limits: { request_size: '1KiB' } })
  client.sends('set web:a 0 0 3000\r\n', 'x'.repeat(1000))
  const own = await t.private(1)
  await own.sees('set web:a 0 0 3000\r\n', 'x'.repeat(1000))
  t.reload({ access: [{ name: 'nobody', match: { cn: 'x' } }] })
  client.sends('x'.repeat(2000), '\r\nget web:a\r\n')
  await own.sees('x'.repeat(2000), '\r\n')
  own.says('STORED\r\n')
  await client.endsWith('STORED\r\n')
})

test('with revoked: keep they stay, with what they may do', async () => {
  const { t, client } = await webClient()
  t.reload({ access: [{ name: 'nobody', match: { cn: 'x' } }], revoked: 'keep' })
  client.sends('get web:a\r\nget other\r\n')
  await t.backend.sees('get web:a\r\n')
  t.backend.says('END\r\n')
  await client.gets('END\r\n', NO_KEY)
})

test('the rest of a get that goes out in parts is not asked for when a reload has ended the right to one of its keys', async () => {
  const { t, client } = await webClient()
  const keys = Array.from({ length: 65 }, (_, n) => `web:${n}`)
  client.sends(`get ${keys.join(' ')}\r\n`)
  await t.backend.sees(`get ${keys.slice(0, 64).join(' ')}\r\n`)
  t.reload({ access: [{ ...web, deny_keys: ['web:64'] }, everyone] })
  expect(await t.reason(2)).toBe('access-changed')
  await client.endsWith('')
  t.backend.says('END\r\n')
  await t.backend.seesNothing()
})
