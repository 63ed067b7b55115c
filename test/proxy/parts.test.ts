import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// Gets of more keys than a client may have outstanding: they go out in parts, and their client gets one reply.

const LOST = 'SERVER_ERROR memseal: the backend closed the connection\r\n'
const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `k${from + n}`)
const asks = (from: number, to: number, verb = 'get'): string => `${verb} ${names(from, to).join(' ')}\r\n`
const value = (key: string, bytes = 1, cas = ''): string => `VALUE ${key} 0 ${bytes}${cas}\r\n${'x'.repeat(bytes)}\r\n`
const values = (from: number, to: number): string => names(from, to).map(key => value(key)).join('')

type T = Awaited<ReturnType<typeof transcript>>

/** Client `n` gets a value of so many bytes through `lane`. */
async function read(t: T, lane: T['backend'], bytes: number, n = 1): Promise<void> {
  t.client(n).sends('get a\r\n')
  await lane.sees('get a\r\n')
  lane.says(value('a', bytes), 'END\r\n')
  await t.client(n).gets(value('a', bytes), 'END\r\n')
}

/** Of a client that has read nothing yet, 2 KiB are supposed for each value: 64 of them are 128 KiB. */
const FIRST = 64
/** A client that reads little may have so many keys outstanding, and a line has so many at the most. */
const MOST = 512
const LINE = 256

test('64 keys of a client that has read nothing go out as one get; of 65 the last comes when the others are answered', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends(asks(0, FIRST))
  await t.backend.sees(asks(0, FIRST))
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
  t.client(2).sends(asks(0, FIRST + 1))
  await t.backend.sees(asks(0, FIRST))
  await t.backend.seesNothing()
  t.backend.says(values(3, 5), 'END\r\n')
  await t.client(2).gets(values(3, 5))
  await t.backend.sees(asks(FIRST, FIRST + 1))
  t.backend.says(value('k64'), 'END\r\n')
  await t.client(2).gets(value('k64'), 'END\r\n')
})

test('a client of small values may have 512 keys outstanding, in lines of 256; others come in between', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says(value('a'), 'END\r\n')
  await t.client(1).gets(value('a'), 'END\r\n')
  t.client(1).sends(asks(0, MOST + 1))
  await t.backend.sees(asks(0, LINE), asks(LINE, MOST))
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('END\r\n', value('k300'), 'END\r\n', value('b'), 'END\r\n')
  await t.client(2).gets(value('b'), 'END\r\n')
  await t.backend.sees(asks(MOST, MOST + 1))
  t.backend.says(value('k512'), 'END\r\n')
  await t.client(1).gets(value('k300'), value('k512'), 'END\r\n')
})

test('every part has the verb, the exptime and the cas numbers of the whole', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, FIRST + 2, 'gats 60'), 'get after\r\n')
  await t.backend.sees(asks(0, FIRST, 'gats 60'))
  t.backend.says(value('k1', 1, ' 7'), 'END\r\n')
  await t.backend.sees(asks(FIRST, FIRST + 2, 'gats 60'), 'get after\r\n')
  t.backend.says(value('k65', 1, ' 8'), 'END\r\nEND\r\n')
  await t.client(1).gets(value('k1', 1, ' 7'), value('k65', 1, ' 8'), 'END\r\nEND\r\n')
})

test('what is counted is one get and its keys', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, 100))
  await t.backend.sees(asks(0, FIRST))
  t.backend.says(values(0, 10), 'END\r\n')
  await t.backend.sees(asks(FIRST, 100))
  t.backend.says('END\r\n')
  await t.client(1).gets(values(0, 10), 'END\r\n')
  expect(t.service.measure().traffic).toMatchObject({ hits: 10, misses: 90 })
  expect([...t.service.sessions][0].record.requests).toBe(1)
})

test('for a client that does not read nothing more is asked', async () => {
  const t = await transcript()
  const lane = t.backend
  t.client(1).socket.pause()
  t.client(1).sends(asks(0, 70))
  await lane.sees(asks(0, FIRST))
  const large = names(0, FIRST).map(key => value(key, 500_000)).join('')
  lane.says(large, 'END\r\n')
  await lane.seesNothing()
  t.client(1).socket.resume()
  await t.client(1).gets(large)
  // Now it is known what its values weigh: one at a time, and none before the last one is here.
  for (let n = FIRST; n < 70; n++) {
    await lane.sees(asks(n, n + 1))
    lane.says(value(`k${n}`, 500_000), 'END\r\n')
    await t.client(1).gets(value(`k${n}`, 500_000), n === 69 ? 'END\r\n' : '')
  }
})

test('an error in the place of the first part answers the whole get, and the connection goes on', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, 100), 'get after\r\n')
  await t.backend.sees(asks(0, FIRST))
  t.backend.says('SERVER_ERROR out of memory\r\n')
  await t.client(1).gets('SERVER_ERROR out of memory\r\n')
  await t.backend.sees('get after\r\n')
  t.backend.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('an error in the place of a later part closes its client: values are out, and nothing else may stand behind them', async () => {
  const t = await transcript({ clients: 2 })
  t.client(1).sends(asks(0, 100))
  await t.backend.sees(asks(0, FIRST))
  t.backend.says(values(0, 1), 'END\r\n')
  await t.backend.sees(asks(FIRST, 100))
  t.client(2).sends('get b\r\n')
  await t.backend.sees('get b\r\n')
  t.backend.says('SERVER_ERROR out of memory\r\nEND\r\n')
  expect(await t.reason(1)).toBe('backend-lost-mid-reply')
  await t.client(2).gets('END\r\n')
})

test('a lane that is lost: the part in flight is asked again at another, and the rest there too', async () => {
  const t = await transcript({ backend: { connections: 2 } })
  await t.lanes(2)
  t.client(1).sends(asks(0, 200))
  const lane = await t.seer(asks(0, FIRST))
  lane.says(values(0, 1), 'END\r\n')
  await t.client(1).gets(values(0, 1))
  await lane.sees(asks(FIRST, 200))
  lane.end()
  const heir = await t.seer(asks(FIRST, 200))
  heir.says(values(150, 151), 'END\r\n')
  await t.client(1).gets(values(150, 151), 'END\r\n')
})

test('a lane that is lost with the first part, and no other: one error, and the rest is not asked for', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, 100), 'get after\r\n')
  await t.backend.sees(asks(0, FIRST))
  t.backend.end()
  await t.client(1).gets(LOST)
  const lane = await t.lanes(2)
  await lane.sees('get after\r\n')
  lane.says('END\r\n')
  await t.client(1).gets('END\r\n')
})

test('a lane that is lost behind the first part, and no other: its client is closed', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, 100))
  await t.backend.sees(asks(0, FIRST))
  t.backend.says(values(0, 1), 'END\r\n')
  await t.backend.sees(asks(FIRST, 100))
  t.backend.end()
  expect(await t.reason(1)).toBe('backend-lost-mid-reply')
})

test('a drain waits for the last part', async () => {
  const t = await transcript()
  t.client(1).sends(asks(0, 100))
  await t.backend.sees(asks(0, FIRST))
  const drained = t.service.drain()
  t.backend.says(values(0, 1), 'END\r\n')
  await t.backend.sees(asks(FIRST, 100))
  t.backend.says(values(99, 100), 'END\r\n')
  await t.client(1).endsWith(values(0, 1) + values(99, 100) + 'END\r\n')
  t.client(1).destroy()
  await drained
})

test('who reads values above 32 KiB gets a connection of its own, and comes back after 64 reads below 8 KiB', async () => {
  const t = await transcript()
  const head = value('a', 10_000).length - 10_000 + 'END\r\n'.length
  await read(t, t.backend, 32 * 1024 - head)
  await read(t, t.backend, 33 * 1024)
  t.client(1).sends('get a\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\n')
  own.says('END\r\n')
  await t.client(1).gets('END\r\n')
  for (let n = 0; n < 64; n++) await read(t, own, 8 * 1024 - head)
  await read(t, t.backend, 1)
  expect(t.service.traffic.privates.heavy).toBe(1)
})

test('a reader of very large values comes back once, however much its latest ones weighed', async () => {
  const t = await transcript()
  const lane = t.backend
  await read(t, lane, 100_000)
  t.client(1).sends('get a\r\n')
  const own = await t.private(1)
  await own.sees('get a\r\n')
  own.says(`${value('a', 900_000)}END\r\n`)
  await t.client(1).gets(value('a', 900_000), 'END\r\n')
  for (let n = 0; n < 64; n++) await read(t, own, 1)
  await read(t, lane, 1)
  await read(t, lane, 1)
  expect(t.service.traffic.privates.heavy).toBe(1)
})

test('heavy readers that find no place for a connection of their own go on sharing', async () => {
  const t = await transcript({ clients: 2, limits: { private_connections: 1 } })
  for (const n of [1, 2]) await read(t, t.backend, 100_000, n)
  t.client(1).sends('get b\r\n')
  await (await t.private(1)).sees('get b\r\n')
  t.client(2).sends('get c\r\n')
  await t.backend.sees('get c\r\n')
})
