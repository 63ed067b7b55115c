import { expect, test } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// Long replies on a shared connection: the others go on at another one, and memcached waits for a client that reads slowly.

const MiB = 2 ** 20
const LONG = 128 * 1024
const REPLY_TIMEOUT_MS = 5000
const head = (key: string, bytes: number): string => `VALUE ${key} 0 ${bytes}\r\n`
const value = (key: string, bytes = 1): string => `${head(key, bytes)}${'x'.repeat(bytes)}\r\n`

test('others go on at another connection at once, where they ask once more; the late answer is nobody\'s', async () => {
  const t = await transcript({ clients: 2 })
  const lane = t.backend
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('get b\r\nget c\r\n')
  await lane.sees('get b\r\nget c\r\n')
  lane.says(head('a', MiB), 'x'.repeat(1000))
  const spare = await t.lanes(2)
  await spare.sees('get b\r\nget c\r\n')
  spare.says(value('b'), 'END\r\nEND\r\n')
  await t.client(2).gets(value('b'), 'END\r\nEND\r\n')
  t.client(2).sends('get d\r\n')
  await spare.sees('get d\r\n')
  lane.says('x'.repeat(MiB - 1000), '\r\nEND\r\n', value('b', 9), 'END\r\nEND\r\n')
  await t.client(1).gets(value('a', MiB), 'END\r\n')
  spare.says('END\r\n')
  await t.client(2).gets('END\r\n')
  await t.client(2).getsNothing()
  expect(t.service.measure().traffic).toMatchObject({ hits: 2, misses: 2, moved: 2 })
})

test.each([['at the bound they wait', 0], ['one byte past it they go', 1]])('%s', async (_, more) => {
  const t = await transcript({ clients: 2 })
  const lane = t.backend
  const bytes = LONG - head('a', LONG).length - 2 + more
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  lane.says(head('a', bytes), 'x'.repeat(bytes - 1))
  await t.settle()
  expect(t.service.lanes()).toHaveLength(1 + more)
  lane.says('x\r\nEND\r\n', value('b'), 'END\r\n')
  await t.client(1).gets(value('a', bytes), 'END\r\n')
  if (more > 0) t.backend.says(value('b'), 'END\r\n')
  await t.client(2).gets(value('b'), 'END\r\n')
})

test('many values are a long reply too', async () => {
  const t = await transcript({ clients: 2 })
  const lane = t.backend
  const keys = Array.from({ length: 60 }, (_, n) => `k${n}`)
  t.client(1).sends(`get ${keys.join(' ')}\r\n`)
  await lane.sees(`get ${keys.join(' ')}\r\n`)
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  const [last, ...first] = keys.map(key => value(key, 10_000)).reverse()
  lane.says(...first.reverse())
  const spare = await t.lanes(2)
  await spare.sees('get b\r\n')
  spare.says('END\r\n')
  await t.client(2).gets('END\r\n')
  lane.says(last, 'END\r\nEND\r\n')
  await t.client(1).gets(...first, last, 'END\r\n')
})

test('a client with a write in flight stays with all that it has asked; what it asks next goes to the other connection', async () => {
  const t = await transcript({ clients: 3 })
  const lane = t.backend
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('get b\r\nset b 0 0 1\r\nx\r\nget b\r\n')
  await lane.sees('get b\r\nset b 0 0 1\r\nx\r\nget b\r\n')
  t.client(3).sends('get c\r\n')
  await lane.sees('get c\r\n')
  lane.says(head('a', MiB))
  const spare = await t.lanes(2)
  await spare.sees('get c\r\n')
  spare.says('END\r\n')
  await t.client(3).gets('END\r\n')
  t.client(2).sends('get d\r\n')
  await spare.seesNothing()
  await lane.seesNothing()
  lane.says('x'.repeat(MiB), '\r\nEND\r\n', 'END\r\nSTORED\r\n', value('b'), 'END\r\n', 'END\r\n')
  await t.client(2).gets('END\r\nSTORED\r\n', value('b'), 'END\r\n')
  await spare.sees('get d\r\n')
  spare.says('END\r\n')
  await t.client(2).gets('END\r\n')
  await t.client(1).gets(value('a', MiB), 'END\r\n')
})

test('gets that went as one: those behind the long value are asked again, and the rest of the line is nobody\'s', async () => {
  const t = await transcript({ clients: 3 })
  const lane = t.backend
  await t.inOneTurn(() => {
    for (const n of [1, 2, 3]) t.client(n).sends(`get k${n}\r\n`)
  })
  await lane.sees('get k1 k2 k3\r\n')
  lane.says(head('k1', MiB))
  const spare = await t.lanes(2)
  await spare.sees('get k2\r\nget k3\r\n')
  lane.says('x'.repeat(MiB), '\r\n', value('k2'), 'END\r\n')
  await t.client(1).gets(value('k1', MiB), 'END\r\n')
  spare.says('END\r\n', value('k3'), 'END\r\n')
  await t.client(2).gets('END\r\n')
  await t.client(3).gets(value('k3'), 'END\r\n')
})

test('an answer of ours keeps its place among what is asked again', async () => {
  const t = await transcript({ clients: 2, commands: '[read]' })
  const lane = t.backend
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('get b\r\ndelete x\r\nmg c v\r\n')
  await lane.sees('get b\r\nmg c v\r\nmn\r\n')
  lane.says(head('a', MiB))
  const spare = await t.lanes(2)
  await spare.sees('get b\r\nmg c v\r\nmn\r\n')
  spare.says(value('b'), 'END\r\nVA 1\r\nC\r\nMN\r\n')
  await t.client(2).gets(value('b'), 'END\r\nCLIENT_ERROR memseal: command not allowed\r\nVA 1\r\nC\r\n')
  lane.says('x'.repeat(MiB), '\r\nEND\r\n', 'END\r\nEN\r\nMN\r\n')
  await t.client(1).gets(value('a', MiB), 'END\r\n')
  await t.client(2).getsNothing()
})

test('the two connections change places, and no other is opened', async () => {
  const t = await transcript()
  for (let n = 0; n < 4; n++) {
    const busy = await t.lanes(1 + n % 2)
    // Another each time: who has read such a value gets a connection of its own.
    const reader = await t.connect()
    reader.sends('get k\r\n')
    await busy.sees('get k\r\n')
    t.client(1).sends('get b\r\n')
    await busy.sees('get b\r\n')
    busy.says(head('k', MiB))
    const other = await t.lanes(2 - n % 2)
    await other.sees('get b\r\n')
    other.says('END\r\n')
    await t.client(1).gets('END\r\n')
    busy.says('x'.repeat(MiB), '\r\nEND\r\n', 'END\r\n')
    await reader.gets(value('k', MiB), 'END\r\n')
  }
  expect(t.service.lanes()).toHaveLength(2)
})

test('a client that is alone has no need of another connection', async () => {
  const t = await transcript()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says(value('a', MiB), 'END\r\n')
  await t.client(1).gets(value('a', MiB), 'END\r\n')
  await t.settle()
  expect(t.service.lanes()).toHaveLength(1)
})

test('a client that has gone in the midst of its long reply holds up nobody', async () => {
  const t = await transcript({ clients: 2 })
  const lane = t.backend
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(1).leaves()
  await t.reason(1)
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  await t.connect()
  t.client(3).sends('get c\r\n')
  await lane.sees('get c\r\n')
  lane.says(head('a', MiB))
  const spare = await t.lanes(2)
  await spare.sees('get b\r\nget c\r\n')
  spare.says('END\r\nEND\r\n')
  await t.client(2).gets('END\r\n')
  await t.client(3).gets('END\r\n')
})

test('a connection that is lost in the midst of a long reply takes nobody along who has gone on', async () => {
  const t = await transcript({ clients: 2 })
  const lane = t.backend
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('get b\r\n')
  await lane.sees('get b\r\n')
  lane.says(head('a', MiB), 'x'.repeat(100_000))
  const spare = await t.lanes(2)
  await spare.sees('get b\r\n')
  lane.end()
  expect(await t.reason(1)).toBe('backend-lost-mid-reply')
  spare.says(value('b'), 'END\r\n')
  await t.client(2).gets(value('b'), 'END\r\n')
})

test('binary clients go on likewise', async () => {
  const t = await transcript({ clients: 2, dialect: 'binary' })
  const get = (key: string, opaque: number): Buffer => packet({ opcode: 0, key, opaque })
  const answer = (text: string, opaque: number): Buffer => reply({ opcode: 0, opaque, extras: 4, value: text })
  t.client(1).sends(get('a', 1))
  const lane = await t.lanes(1)
  const [a] = await lane.seesPackets(0)
  t.client(2).sends(get('b', 2))
  const [b] = await lane.seesPackets(0)
  const large = answer('x'.repeat(MiB), a)
  lane.says(large.subarray(0, 100))
  const spare = await t.lanes(2)
  const [again] = await spare.seesPackets(0)
  spare.says(answer('B', again))
  await t.client(2).gets(answer('B', 2))
  lane.says(large.subarray(100), answer('late', b))
  await t.client(1).gets(answer('x'.repeat(MiB), 1))
  await t.client(2).getsNothing()
})

// A client that does not keep up.

/** Time passes in steps, so that what flows is seen to flow.   @returns how much until there are fewer clients */
async function untilOneGoes(t: Awaited<ReturnType<typeof transcript>>, clients: number): Promise<number> {
  let ms = 0
  for (; t.service.clients === clients; ms += 1000) {
    await t.settle()
    t.passes(1000)
  }
  return ms
}

test('a value of more than reply_backlog comes whole to a client that reads late, and others go on meanwhile', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '12MiB' } })
  const lane = t.backend
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  lane.says(value('a', 40 * MiB), 'END\r\n')
  const spare = await t.lanes(2)
  await t.settle()
  t.client(2).sends('get b\r\n')
  await spare.sees('get b\r\n')
  spare.says('END\r\n')
  await t.client(2).gets('END\r\n')
  const { replyBacklogBytes } = t.service.measure().now
  // Nobody waits behind it: it is waited for from 4 MiB on, down to half of that.
  expect(replyBacklogBytes).toBeGreaterThanOrEqual(2 * MiB)
  expect(replyBacklogBytes).toBeLessThan(5 * MiB)
  t.client(1).socket.resume()
  await t.client(1).gets(value('a', 40 * MiB), 'END\r\n')
})

test('while a write of another waits behind it, so much is read ahead for a client as it may leave unread at once: half of reply_backlog', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '40MiB' } })
  const lane = t.backend
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('set b 0 0 1\r\nx\r\n')
  await lane.sees('set b 0 0 1\r\nx\r\n')
  lane.says(value('a', 15 * MiB), 'END\r\nSTORED\r\n')
  await t.client(2).gets('STORED\r\n')
  t.client(1).socket.resume()
  await t.client(1).gets(value('a', 15 * MiB), 'END\r\n')
})

test('a client that is alone is waited for too, and who comes then gets another connection', async () => {
  const t = await transcript({ limits: { reply_backlog: '2MiB' } })
  const lane = t.backend
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  lane.says(value('a', 20 * MiB), 'END\r\n')
  const spare = await t.lanes(2)
  await t.settle()
  await t.connect()
  t.client(2).sends('set b 0 0 1\r\nx\r\n')
  await spare.sees('set b 0 0 1\r\nx\r\n')
  spare.says('STORED\r\n')
  await t.client(2).gets('STORED\r\n')
  t.client(1).socket.resume()
  await t.client(1).gets(value('a', 20 * MiB), 'END\r\n')
})

test('a client that takes nothing for reply_timeout, while a write of another waits behind it, is closed; the write is answered', async () => {
  const t = await transcript({ clients: 2, limits: { reply_backlog: '2MiB' } })
  const lane = t.backend
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await lane.sees('get a\r\n')
  t.client(2).sends('set b 0 0 1\r\nx\r\n')
  await lane.sees('set b 0 0 1\r\nx\r\n')
  lane.says(value('a', 40 * MiB), 'END\r\nSTORED\r\n')
  await t.lanes(2)
  expect(await untilOneGoes(t, 2)).toBeGreaterThan(REPLY_TIMEOUT_MS)
  expect(await t.reason(1)).toBe('reply-backlog')
  await t.client(2).gets('STORED\r\n')
})

test('when nobody waits behind it, it is closed after ten times as long', async () => {
  const t = await transcript({ limits: { reply_backlog: '2MiB' } })
  t.client(1).socket.pause()
  t.client(1).sends('get a\r\n')
  await t.backend.sees('get a\r\n')
  t.backend.says(value('a', 40 * MiB), 'END\r\n')
  await t.lanes(2)
  expect(await untilOneGoes(t, 1)).toBeGreaterThan(10 * REPLY_TIMEOUT_MS)
  expect(await t.reason(1)).toBe('reply-backlog')
})
