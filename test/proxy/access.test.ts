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
