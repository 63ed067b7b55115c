// Where not every command is allowed, what is not is refused in the client's dialect and in its turn, and nothing gets
// past: whole and byte by byte, on shared and on private connections.
//
// Phases: a canary for each attempt is put into memcached directly; all attempts; then memcached itself is asked whether
// the canaries live, whether anything was set that must not be, and whether it was flushed or its settings changed.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached, type Memcached } from '../support/memcached.ts'
import { Rounds } from '../support/rounds.ts'
import { connect, type Wire } from '../support/wire.ts'
import { allowed, attempts, type Attempt } from './commands-corpus.ts'
import { converse, shown, textBytes } from './support/conversation.ts'
import { Neighbours } from './support/neighbours.ts'

const AT_ONCE = 20
const sharings = ['shared', 'private'] as const
const ways = sharings.flatMap(sharing => (['whole', 'bytes'] as const).map(cut => ({ sharing, cut })))
const memcacheds = new Map<string, Memcached>()
let daemon: Daemon

beforeAll(async () => {
  const services: Record<string, unknown> = {}
  for (const [name, commands] of Object.entries(allowed)) {
    for (const sharing of sharings) {
      const memcached = await startMemcached({ args: ['-t', '1', '-A'] })
      memcacheds.set(`${name}-${sharing}`, memcached)
      services[`${name}-${sharing}`] = { listen: '127.0.0.1:0', backend: { connect: memcached.address, sharing }, ...commands && { commands } }
    }
  }
  daemon = await startDaemon({ services })
})

afterAll(async () => {
  await daemon?.stop()
  for (const memcached of memcacheds.values()) await memcached.stop()
})

test.each(ways)('refusals on $sharing connections, $cut', async ({ sharing, cut }) => {
  const settings = await each(memcached => ask(memcached, 'stats settings\r\n', 'END\r\n'))
  const mine = attempts.map((attempt, index) => ({ attempt, k: `${sharing[0]}${cut[0]}${index}x` }))
  const memcachedOf = ({ at }: Attempt) => memcacheds.get(`${at}-${sharing}`) as Memcached
  await Promise.all(mine.map(({ attempt, k }) => ask(memcachedOf(attempt), `set canary-${k} 0 0 6\r\ncanary\r\n`, 'STORED\r\n')))
  const neighbours = new Neighbours({ port: daemon.port(`usual-${sharing}`) })
  neighbours.start()

  const told: Record<string, string> = {}
  const wanted: Record<string, string> = {}
  const queue = [...mine]
  const next = async () => {
    for (let one = queue.shift(); one; one = queue.shift()) {
      const { attempt, k } = one
      const name = `${attempt.at}: ${attempt.name}`
      wanted[name] = expected(attempt, k)
      const place = { port: daemon.port(`${attempt.at}-${sharing}`) }
      const reply = await converse(place, rounds.get(attempt.at)!, attempt, k, cut, { shown: wanted[name], answered: [] })
      told[name] = shown(reply, attempt, k)
    }
  }
  const names = Object.keys(allowed) as Attempt['at'][]
  const rounds = new Map(await Promise.all(names.map(async at => [at, await Rounds.of({ port: daemon.port(`${at}-${sharing}`) })] as const)))
  await Promise.all(Array.from({ length: AT_ONCE }, next))
  for (const each of rounds.values()) each.end()
  await neighbours.stop()

  const different = Object.keys(wanted).filter(name => told[name] !== wanted[name])
  const show = (from: Record<string, string>) => Object.fromEntries(different.map(name => [name, from[name]]))
  expect(show(told)).toEqual(show(wanted))

  for (const { attempt, k } of mine) {
    const found = await ask(memcachedOf(attempt), `get evil-${k} canary-${k}\r\n`, 'END\r\n')
    expect({ attempt: attempt.name, found }).toEqual({ attempt: attempt.name, found: `VALUE canary-${k} 0 6\r\ncanary\r\nEND\r\n` })
  }
  expect(await each(memcached => ask(memcached, 'stats settings\r\n', 'END\r\n'))).toEqual(settings)
  for (const stats of await each(memcached => ask(memcached, 'stats\r\n', 'END\r\n'))) {
    expect(stats).toContain('STAT cmd_flush 0\r\n')
    expect(stats).toContain('STAT log_watchers 0\r\n')
  }
})

test.each(sharings)('what a service allows passes, on %s connections', async sharing => {
  const wire = await connect({ port: daemon.port(`some-${sharing}`) })
  void wire.write('stats settings\r\nget a\r\n')
  expect((await wire.readUntil('END\r\n')).toString()).toMatch(/^STAT maxbytes /)
  expect(await wire.ask('', 5)).toBe('END\r\n')
  expect(await wire.ask('set all-w 0 0 1\r\nx\r\nmg all-w v N30 T30\r\ngat 0 all-w\r\n', 42)).toBe('STORED\r\nVA 1\r\nx\r\nVALUE all-w 0 1\r\nx\r\nEND\r\n')
  wire.destroy()

  const few = await connect({ port: daemon.port(`few-${sharing}`) })
  expect(await few.ask('version\r\n', 8)).toBe('VERSION ')
  few.destroy()
})

test('a refusal is told in the log once per client, command and minute', () => {
  const lines = daemon.logs('command-refused').filter(line => line.service === 'usual-shared' && line.command === 'stats reset')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ address: '127.0.0.1', msg: 'refused stats reset: not among the commands of this service' })
})

test('a request that needs a second command says which one is missing', () => {
  const lines = daemon.logs('command-refused').filter(line => line.service === 'counting-shared')
  expect(lines.map(({ command, also }) => `${String(command)} ${String(also)}`).sort()).toEqual(['decr add', 'incr add', 'ma ms', 'ma touch', 'md ms', 'md touch'])
  expect(lines.find(({ command }) => command === 'ma')).toMatchObject({
    msg: 'refused ma: as it was sent it needs ms as well, which is not among the commands of this service',
  })
})

function expected(attempt: Attempt, k: string): string {
  const told = attempt.told(k)
  const bytes = Buffer.concat([told].flat().map(textBytes))
  const isClosed = bytes.toString('latin1').endsWith('[closed]')
  return shown({ bytes: isClosed ? bytes.subarray(0, -'[closed]'.length) : bytes, isClosed, answered: [] }, attempt, k)
}

function each<T>(of: (memcached: Memcached) => Promise<T>): Promise<T[]> {
  return Promise.all([...memcacheds.values()].map(of))
}

async function ask(memcached: Memcached, request: string, end: string): Promise<string> {
  const wire: Wire = await connect({ port: memcached.port })
  void wire.write(request)
  const reply = (await wire.readUntil(end)).toString('latin1')
  wire.destroy()
  return reply
}
