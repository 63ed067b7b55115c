// memcached has no memory for the replies to a get of many keys (-o read_buf_mem_limit), and with them it drops what it owes to
// others on the lane. Only who asked for so much gets the error; reads of its neighbours are asked again, and no client is lost.
import { expect, test } from 'vitest'
import { until } from '../soak/load-client.ts'
import { readMetrics } from '../support/admin.ts'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached, type Memcached } from '../support/memcached.ts'
import { connect, type Wire } from '../support/wire.ts'

const many = Array.from({ length: 250 }, (_, n) => `many${n}`).join(' ')
const NO_MEMORY = 'SERVER_ERROR out of memory writing get response\r\n'

/** With room for the replies to some 180 keys in each of its threads. */
async function scene(backend: Record<string, unknown> = {}): Promise<{ memcached: Memcached, daemon: Daemon }> {
  const memcached = await startMemcached({ args: ['-t', '4', '-o', 'read_buf_mem_limit=1'] })
  const daemon = await startDaemon(folder => ({
    admin: { listen: `unix:${folder}/admin.sock` },
    services: { s: { listen: '127.0.0.1:0', backend: { connect: memcached.address, probe_interval: 'off', reply_timeout: '1m', ...backend } } },
  }))
  return { memcached, daemon }
}

/** A client whose values are known to be small, so that it may ask for all of them in one get. */
async function greedyClient(daemon: Daemon): Promise<Wire> {
  const wire = await connect({ port: daemon.port() })
  const hit = 'VALUE small 0 1\r\nx\r\nEND\r\n'
  expect(await wire.ask('set small 0 0 1\r\nx\r\nget small\r\n', `STORED\r\n${hit}`.length)).toBe(`STORED\r\n${hit}`)
  return wire
}

interface Neighbour { name: string, wire: Wire, counted: number }

const valueOf = (name: string): string => `${name} END\r\nVALUE x 0 1\r\n`

async function neighbour(daemon: Daemon, name: string): Promise<Neighbour> {
  const wire = await connect({ port: daemon.port() })
  const value = valueOf(name)
  const first = `set ${name} 5 0 ${value.length}\r\n${value}\r\nset ${name}-n 0 0 1\r\n0\r\n`
  expect(await wire.ask(first, 'STORED\r\n'.length * 2)).toBe('STORED\r\nSTORED\r\n')
  return { name, wire, counted: 0 }
}

/** What it asks in one write: reads of each kind, and writes between them. */
function asks({ name }: Neighbour): string {
  return `mg ${name} v k Oabc\r\nincr ${name}-n 1\r\nget ${name}\r\nget none ${name} none-${name}\r\nset ${name}-w 0 0 2\r\nok\r\n`
}

/** Its replies in their order: what it asked for, or an error of memseal's. @returns the requests that got errors */
async function refused(of: Neighbour): Promise<string[]> {
  const { name, wire } = of
  const value = valueOf(name)
  const hit = `VALUE ${name} 5 ${value.length}\r\n${value}\r\nEND\r\n`
  const errors: string[] = []
  for (const [request, reply] of [['mg', `VA ${value.length} k${name} Oabc\r\n${value}\r\n`], ['incr'], ['get', hit], ['get of three', hit], ['set', 'STORED\r\n']]) {
    const line = `${await wire.readLine()}\r\n`
    if (line.startsWith('SERVER_ERROR memseal: ')) errors.push(request)
    else if (reply !== undefined) expect(line + (await wire.readExactly(reply.length - line.length)).toString('latin1')).toBe(reply)
    else {
      // One whose reply was dropped has counted all the same.
      expect(Number(line)).toBeGreaterThan(of.counted)
      of.counted = Number(line)
    }
  }
  return errors
}

test('a get of too many keys costs nobody else a read, and no connection', async () => {
  const { memcached, daemon } = await scene({ connections: 2 })
  await until(() => daemon.logs('backend-ready').length === 2, () => 'both lanes are ready')
  const neighbours = await Promise.all(['ann', 'bob', 'cid'].map(name => neighbour(daemon, name)))
  const greedy = await greedyClient(daemon)
  // It reads all of a lane in one go, with the greedy one in the middle.
  await memcached.freeze()
  const inFlight = async (count: number) => {
    while ((await readMetrics(`${daemon.folder}/admin.sock`)).get('memseal_in_flight{service="s"}') !== count) await new Promise(resolve => setTimeout(resolve, 10))
  }
  for (const each of neighbours) void each.wire.write(asks(each))
  await inFlight(15)
  void greedy.write(`get ${many}\r\n`)
  await inFlight(16)
  for (const each of neighbours) void each.wire.write(asks(each))
  await inFlight(31)
  memcached.thaw()
  expect(await greedy.ask('', NO_MEMORY.length)).toBe(NO_MEMORY)
  for (let round = 0; round < 2; round++) {
    for (const each of neighbours) expect(['incr', 'set']).toEqual(expect.arrayContaining(await refused(each)))
  }
  expect(await daemon.waitForLog('backend-lost')).toMatchObject({ reason: 'replies-lost', advice: expect.stringContaining('read_buf_mem_limit') })
  expect(daemon.logs('backend-lost')).toHaveLength(1)

  // Everybody is still there.
  expect(await greedy.ask('get many1 many2\r\n', 5)).toBe('END\r\n')
  for (const each of neighbours) {
    void each.wire.write(asks(each))
    expect(await refused(each)).toEqual([])
  }
})

test('whoever goes on asking for too much: every neighbour gets its own replies or errors, and nobody is closed', async () => {
  const { daemon } = await scene({ connections: 4 })
  const neighbours = await Promise.all(Array.from({ length: 8 }, (_, n) => neighbour(daemon, `name${n}`)))
  const greedy = await greedyClient(daemon)
  let isOver = false
  const floods = (async () => {
    let errors = 0
    for (; !isOver; errors++) {
      void greedy.write(`get ${many}\r\n`)
      // Behind what others have asked it may also be that the backend is not there.
      expect(await greedy.readLine()).toMatch(/^SERVER_ERROR (out of memory writing get response$|memseal: )/)
    }
    return errors
  })()
  await Promise.all(neighbours.map(async each => {
    for (let round = 0; round < 200; round++) {
      void each.wire.write(asks(each))
      await refused(each)
    }
  }))
  isOver = true
  expect(await floods).toBeGreaterThan(0)
})
