import { expect, test } from 'vitest'
import { LONGEST_JOIN_BYTES, MOST_JOINED } from '../../src/proxy/get-join.ts'
import { transcript, type Setting } from './transcript.ts'

// Single gets that are there together leave as one get of several keys, to a memcached that answers that sooner.

const old = (setting: Setting = {}) => transcript({ version: '1.6.34', ...setting })
const value = (key: string, text: string) => `VALUE ${key} 0 ${text.length}\r\n${text}\r\n`

test('the gets of two clients leave as one, and each gets the reply it would have got', async () => {
  const t = await old({ clients: 2 })
  await t.inOneTurn(() => {
    t.client(1).sends('get a\r\nget b\r\n')
    t.client(2).sends('get c\r\n')
  })
  const [line] = await linesWith(t, 3)
  // Whose bytes are read first is the kernel's affair.
  expect(['get a b c', 'get c a b']).toContain(line)
  t.backend.says(line.startsWith('get a') ? value('a', '1') + value('c', '3') : value('c', '3') + value('a', '1'), 'END\r\n')
  await t.client(1).gets(value('a', '1') + 'END\r\nEND\r\n')
  await t.client(2).gets(value('c', '3') + 'END\r\n')
})

type T = Awaited<ReturnType<typeof transcript>>

/** Whole lines, until as many keys have come, and with them nothing else. */
async function linesWith(t: T, keys: number): Promise<string[]> {
  const lines: string[] = []
  while (lines.reduce((sum, line) => sum + line.split(' ').length - 1, 0) < keys) lines.push(await t.backend.readLine())
  expect(t.backend.received).toHaveLength(0)
  return lines
}

test('many clients at once: all of them on one line, and each gets its own value', async () => {
  const clients = 20
  const t = await old({ clients })
  await t.inOneTurn(() => { for (let n = 1; n <= clients; n++) t.client(n).sends(`get k${n}\r\n`) })
  const lines = await linesWith(t, clients)
  expect(lines).toHaveLength(1)
  t.backend.says(lines.map(line => line.split(' ').slice(1).map(key => (key.endsWith('3') ? '' : value(key, `<${key}>`))).join('') + 'END\r\n').join(''))
  for (let n = 1; n <= clients; n++) await t.client(n).gets((n % 10 === 3 ? '' : value(`k${n}`, `<k${n}>`)) + 'END\r\n')
})

test.each([
  ['another command between them', 'get a\r\nset s 0 0 1\r\nx\r\nget b\r\n'],
  ['gets, which brings the cas', 'get a\r\ngets b\r\nget c\r\n'],
  ['a get of two keys', 'get a\r\nget b c\r\nget d\r\n'],
  ['a get of two keys in front', 'get a b\r\nget c\r\n'],
  ['the same key once more', 'get a\r\nget a\r\nget a\r\n'],
  ['meta gets', 'get a\r\nmg b v\r\nget c\r\n'],
])('not joined: %s', async (_, text) => {
  const t = await old()
  t.client(1).sends(text)
  await t.backend.sees(text)
})

test('joined again behind what was not', async () => {
  const t = await old()
  t.client(1).sends('get a\r\nget b\r\nget a\r\nget c\r\ndelete d\r\nget e\r\nget f\r\n')
  await t.backend.sees('get a b\r\nget a c\r\ndelete d\r\nget e f\r\n')
  t.backend.says('END\r\n', value('a', '1'), 'END\r\nDELETED\r\n', value('f', '2'), 'END\r\n')
  await t.client(1).gets('END\r\nEND\r\n', value('a', '1'), 'END\r\nEND\r\nDELETED\r\nEND\r\n', value('f', '2'), 'END\r\n')
})

test('a run of quiet requests is closed before a get', async () => {
  const t = await old()
  t.client(1).sends('mg q v q\r\nget a\r\nget b\r\nmg r v q\r\n')
  await t.backend.sees('mg q v q\r\nmn\r\nget a b\r\nmg r v q\r\nmn\r\n')
  t.backend.says('MN\r\n', value('b', '1'), 'END\r\nVA 1\r\nr\r\nMN\r\n')
  await t.client(1).gets('END\r\n', value('b', '1'), 'END\r\nVA 1\r\nr\r\n')
})

test('blanks around keys go as they came', async () => {
  const t = await old()
  t.client(1).sends('get  a \r\nget   b  \r\nget c\r\n')
  await t.backend.sees('get  a b c\r\n')
  t.backend.says(value('c', '1'), 'END\r\n')
  await t.client(1).gets('END\r\nEND\r\n', value('c', '1'), 'END\r\n')
})

test('a refusal between two gets keeps its place', async () => {
  const t = await old({ commands: '[read]' })
  t.client(1).sends('get a\r\ndelete b\r\nget c\r\n')
  // It is said by memseal itself, and no lane hears of it.
  await t.backend.sees('get a c\r\n')
  t.backend.says(value('a', '1'), value('c', '2'), 'END\r\n')
  await t.client(1).gets(value('a', '1'), 'END\r\nCLIENT_ERROR memseal: command not allowed\r\n', value('c', '2'), 'END\r\n')
})

test('a line of 1024 bytes is joined, one of 1025 is not', async () => {
  const t = await old()
  const first = 'a'.repeat(250)
  const others = ['b', 'c', 'd'].map(letter => letter.repeat(250))
  const fits = LONGEST_JOIN_BYTES - 'get '.length - 4 * 251 - '\r\n'.length
  for (const [length, isJoined] of [[fits, true], [fits + 1, false]] as const) {
    const last = 'e'.repeat(length)
    t.client(1).sends([first, ...others, last].map(key => `get ${key}\r\n`).join(''))
    const line = `get ${[first, ...others].join(' ')}`
    await t.backend.sees(isJoined ? `${line} ${last}\r\n` : `${line}\r\nget ${last}\r\n`)
    t.backend.says(isJoined ? 'END\r\n' : 'END\r\nEND\r\n')
    await t.client(1).gets('END\r\n'.repeat(5))
  }
})

test('64 gets are joined, the next begins a line of its own', async () => {
  const t = await old()
  const keys = Array.from({ length: MOST_JOINED + 1 }, (_, n) => `k${n}`)
  // So many at once are for those whose values are known to be small.
  t.client(1).sends('get small\r\n')
  await t.backend.sees('get small\r\n')
  t.backend.says(value('small', '1'), 'END\r\n')
  await t.client(1).gets(value('small', '1'), 'END\r\n')
  t.client(1).sends(keys.map(key => `get ${key}\r\n`).join(''))
  await t.backend.sees(`get ${keys.slice(0, MOST_JOINED).join(' ')}\r\nget ${keys.at(-1)}\r\n`)
  t.backend.says(value('k63', '1'), 'END\r\n', value('k64', '2'), 'END\r\n')
  await t.client(1).gets('END\r\n'.repeat(63), value('k63', '1'), 'END\r\n', value('k64', '2'), 'END\r\n')
})

test('while values are large each get goes by itself', async () => {
  const t = await old()
  const large = value('a', 'x'.repeat(4096))
  const small = value('a', 'x'.repeat(4000))
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a b\r\n')
  t.backend.says(large, 'END\r\n')
  await t.client(1).gets(large, 'END\r\nEND\r\n')
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says(large, 'END\r\n')
  await t.client(1).gets(large, 'END\r\n')
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.backend.says('END\r\n', small.replace(' a ', ' b '), 'END\r\n')
  await t.client(1).gets('END\r\n', small.replace(' a ', ' b '), 'END\r\n')
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a b\r\n')
})

test('a large value among joined ones flows as it comes, and has its END', async () => {
  const t = await old({ clients: 1 })
  const body = 'y'.repeat(300_000)
  t.client(1).sends('get a\r\nget b\r\nget c\r\n')
  await t.backend.sees('get a b c\r\n')
  t.backend.says(`VALUE b 0 ${body.length}\r\n${body.slice(0, 100_000)}`)
  expect((await t.client(1).readExactly(60_000)).toString('latin1').startsWith(`END\r\nVALUE b 0 ${body.length}\r\nyyy`)).toBe(true)
  t.backend.says(`${body.slice(100_000)}\r\n`, value('c', 'C'), 'END\r\n')
  const whole = `END\r\n${value('b', body)}END\r\n${value('c', 'C')}END\r\n`
  await t.client(1).gets(whole.slice(60_000))
})

test('however the reply is cut, nothing is lost', async () => {
  const t = await old()
  t.client(1).sends('get a\r\nget b\r\nget c\r\nget d\r\n')
  await t.backend.sees('get a b c d\r\n')
  await t.backend.saysByteByByte(`${value('b', '\r\nEND\r\n')}${value('d', '')}END\r\n`)
  await t.client(1).gets('END\r\n', value('b', '\r\nEND\r\n'), 'END\r\nEND\r\n', value('d', ''), 'END\r\n')
})

test('an error in place of the values is told to each', async () => {
  const t = await old()
  t.client(1).sends('get a\r\nget b\r\nincr n 1\r\n')
  await t.backend.sees('get a b\r\nincr n 1\r\n')
  t.backend.says('SERVER_ERROR memseal: backend unavailable\r\n7\r\n')
  await t.client(1).gets('SERVER_ERROR memseal: backend unavailable\r\n'.repeat(2), '7\r\n')
})

test('a value for a key that nobody asked for closes the client, which gets none of it', async () => {
  const t = await old()
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a b\r\n')
  t.backend.says(value('x', 'secret'), 'END\r\n')
  expect(await t.reason(1)).toBe('backend-out-of-step')
  expect(t.client(1).received.toString('latin1')).not.toContain('secret')
})

test('a client that leaves between joined gets does not shift the replies of the other', async () => {
  const t = await old({ clients: 2 })
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a b\r\n')
  t.client(2).sends('get a\r\nget c\r\n')
  await t.backend.sees('get a c\r\n')
  t.client(1).leaves()
  await t.reason(1)
  t.backend.says(value('a', '1'), value('b', '2'), 'END\r\n', value('a', '3'), 'END\r\n')
  await t.client(2).gets(value('a', '3'), 'END\r\nEND\r\n')
})

test('a lane that dies under joined gets: those without an answer are asked again, each by itself, in their order', async () => {
  const t = await old({ backend: { connections: 2 } })
  await t.lanes(2)
  t.client(1).sends('get a\r\nget b\r\nget c\r\n')
  const [first, second] = [await t.lanes(1), await t.lanes(2)]
  const isFirst = await Promise.race([first.readExactly(11).then(() => true), second.readExactly(11).then(() => false)])
  const [used, other] = isFirst ? [first, second] : [second, first]
  used.says(value('a', '1'))
  await t.client(1).gets(value('a', '1'), 'END\r\n')
  used.destroy()
  await other.sees('get b\r\nget c\r\n')
  other.says(value('b', '2'), 'END\r\nEND\r\n')
  await t.client(1).gets(value('b', '2'), 'END\r\nEND\r\n')
})

test.each([
  ['one that does not say its release', { version: 'unknown' }],
  ['join_gets: off', { backend: { join_gets: 'off' } }],
  ['reply_coalescing: off', { coalescing: 'off' }],
] as [string, Setting][])('nothing is joined for %s', async (_, setting) => {
  const t = await old(setting)
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
})

test('from 1.6.35 on only gets of different clients are joined', async () => {
  const clients = 20
  const t = await old({ version: '1.6.35', clients })
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.backend.says('END\r\nEND\r\n')
  await t.client(1).gets('END\r\nEND\r\n')
  await t.inOneTurn(() => { for (let n = 1; n <= clients; n++) t.client(n).sends(`get k${n}\r\n`) })
  const lines = await linesWith(t, clients)
  expect(lines).toHaveLength(1)
  t.backend.says(lines.map(line => line.split(' ').slice(1).map(key => value(key, key)).join('') + 'END\r\n').join(''))
  for (let n = 1; n <= clients; n++) await t.client(n).gets(value(`k${n}`, `k${n}`), 'END\r\n')
})

test('misses and hits are counted as without', async () => {
  const t = await old()
  t.client(1).sends('get a\r\nget b\r\nget c\r\n')
  await t.backend.sees('get a b c\r\n')
  t.backend.says(value('b', '1'), 'END\r\n')
  await t.client(1).gets('END\r\n', value('b', '1'), 'END\r\nEND\r\n')
  const { traffic } = t.service.measure()
  expect([traffic.hits, traffic.misses]).toEqual([1, 2])
})
