// backend.when_down: what clients meet while memcached is away, over TCP, TLS and a unix socket.
//   1 clients are served   2 memcached is killed   3 it is started again, and they are served anew
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { startDaemon, toYaml, type Daemon } from '../support/daemon.ts'
import { startMemcached, type Memcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { as, connect, type Wire, type WireOptions } from '../support/wire.ts'

interface Scene { memcached: Memcached, daemon: Daemon, ways: WireOptions[], reload: (whenDown: string) => Promise<string> }

async function scene(whenDown: string, backend: Record<string, unknown> = {}): Promise<Scene> {
  const memcached = await startMemcached()
  const { ca, server, client } = await pki()
  let folder = ''
  const config = (when: string) => ({
    admin: { listen: `unix:${join(folder, 'admin.sock')}` },
    services: {
      plain: { listen: ['127.0.0.1:0', `unix:${join(folder, 'client.sock')}`], backend: { connect: memcached.address, when_down: when, ...backend } },
      sealed: {
        listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
        backend: { connect: memcached.address, when_down: when, ...backend },
      },
    },
  })
  const daemon = await startDaemon(where => {
    folder = where
    return config(whenDown)
  })
  for (const service of ['plain', 'sealed']) await daemon.waitForLog(line => line.event === 'backend-ready' && line.service === service)
  return {
    memcached, daemon,
    ways: [{ port: daemon.port('plain') }, { path: join(folder, 'client.sock') }, { port: daemon.port('sealed'), tls: as(client, ca) }],
    async reload(when) {
      writeFileSync(daemon.configFile, toYaml(config(when)))
      return (await askAdmin(join(folder, 'admin.sock'), '/reload', 'POST')).body
    },
  }
}

const services = ['plain', 'sealed']
const serves = async (wire: Wire): Promise<void> => { expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n') }
const ended = async (wire: Wire): Promise<string | undefined> => (await wire.closed)?.code
/** The log has so many lines of the event. */
async function times(daemon: Daemon, event: string, count: number): Promise<void> {
  await daemon.waitForLog(() => daemon.logs(event).length >= count)
}

/** How a new client fares: `refused` and the like, or the code with which it is reset. */
async function fares(way: WireOptions): Promise<string | undefined> {
  const wire = await connect(way).catch((error: NodeJS.ErrnoException) => error)
  return wire instanceof Error ? wire.code : await ended(wire)
}

async function awayAndBack({ memcached, daemon, ways }: Scene, isShut: boolean): Promise<void> {
  const clients = await Promise.all(ways.map(way => connect(way)))
  for (const client of clients) await serves(client)
  await memcached.kill9()
  // Those that are there are reset; a unix socket knows no reset.
  expect(await Promise.all(clients.map(ended))).toEqual(['ECONNRESET', undefined, 'ECONNRESET'])
  for (const service of services) await daemon.waitForLog(line => line.event === 'backend-away' && line.service === service)
  if (isShut) await times(daemon, 'listener-shut', ways.length)
  expect(await Promise.all(ways.map(fares))).toEqual(isShut ? ['ECONNREFUSED', 'ENOENT', 'ECONNREFUSED'] : ['ECONNRESET', undefined, 'ECONNRESET'])
  const { status, body } = await askAdmin(join(daemon.folder, 'admin.sock'), '/readyz')
  expect([status, body]).toEqual([503, expect.stringContaining(isShut ? 'clients are refused meanwhile' : 'clients are reset meanwhile')])
  expect((await askAdmin(join(daemon.folder, 'admin.sock'), '/status')).body.includes('"isShut":true')).toBe(isShut)
  const metrics = await readMetrics(join(daemon.folder, 'admin.sock'))
  expect(metrics.get('memseal_connections_closed_total{service="sealed",reason="backend-down"}')).toBe(1)
  expect(metrics.get('memseal_connections_refused_total{service="sealed",reason="backend-down"}')).toBe(isShut ? 0 : 1)
  await memcached.start()
  await eachIsServed(daemon, ways, isShut)
}

async function eachIsServed(daemon: Daemon, ways: WireOptions[], wasShut: boolean): Promise<void> {
  for (const service of services) await daemon.waitForLog(line => line.event === 'backend-back' && line.service === service)
  if (wasShut) await times(daemon, 'listening', 2 * ways.length)
  for (const way of ways) await serves(await connect(way))
}

test.each(['shared', 'private'])('close, %s: clients are reset, new ones too, until memcached is back', async sharing => {
  await awayAndBack(await scene('close', { sharing }), false)
})

test.each(['shared', 'private'])('refuse, %s: the listeners are closed as well, and open again in their places', async sharing => {
  await awayAndBack(await scene('refuse', { sharing }), true)
})

test('a reload turns from one to the other while memcached is away', async () => {
  const s = await scene('answer')
  const { memcached, daemon, ways } = s
  const client = await connect(ways[2])
  await serves(client)
  await memcached.kill9()
  await daemon.waitForLog(line => line.event === 'not-ready' && line.service === 'sealed')
  await daemon.waitForLog(line => line.event === 'not-ready' && line.service === 'plain')
  await client.write('get a\r\n')
  expect(await client.readLine()).toBe('SERVER_ERROR memseal: backend unavailable')
  expect(await s.reload('close')).toContain('services.sealed.backend.when_down: answer is now close')
  expect(await ended(client)).toBe('ECONNRESET')
  expect(await Promise.all(ways.map(fares))).toEqual(['ECONNRESET', undefined, 'ECONNRESET'])
  await s.reload('refuse')
  await times(daemon, 'listener-shut', ways.length)
  expect(await Promise.all(ways.map(fares))).toEqual(['ECONNREFUSED', 'ENOENT', 'ECONNREFUSED'])
  await s.reload('answer')
  await times(daemon, 'listening', 2 * ways.length)
  const late = await connect(ways[2])
  await late.write('get a\r\n')
  expect(await late.readLine()).toBe('SERVER_ERROR memseal: backend unavailable')
  await memcached.start()
  // It serves again as soon as a lane of its dialect stands; until then each request has its error.
  for (let line = ''; line !== 'MN';) {
    await late.write('mn\r\n')
    line = await late.readLine()
    if (line !== 'MN') expect(line).toBe('SERVER_ERROR memseal: backend unavailable')
  }
})

test('one of two backends is enough', async () => {
  const second = await startMemcached()
  const memcached = await startMemcached()
  const daemon = await startDaemon({
    services: { memcached: { listen: '127.0.0.1:0', backend: { connect: [memcached.address, second.address], when_down: 'refuse' } } },
  })
  await times(daemon, 'backend-ready', 2)
  const client = await connect({ port: daemon.port() })
  await serves(client)
  await memcached.kill9()
  await daemon.waitForLog('failover')
  await serves(client)
  await second.kill9()
  expect(await ended(client)).toBe('ECONNRESET')
})
