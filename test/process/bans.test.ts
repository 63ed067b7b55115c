import { renameSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { commandHere } from '../support/command.ts'
import { startDaemon, toYaml, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { as, connect, type Wire } from '../support/wire.ts'

// Bans of a running daemon: what brings them about, what those who are banned meet, orders, and what a reload does to them. A daemon never
// bans loopback for failures, so those who are to be banned come by way of a PROXY header, as 192.0.2.x.

async function setup(more: Record<string, unknown> = {}, ban: Record<string, unknown> | 'none' = { after: 3, within: '10m', for: '1h' }) {
  const memcached = await startMemcached()
  const { server, ca } = await pki()
  const service = { listen: '127.0.0.1:0', allow: ['127.0.0.1', '192.0.2.0/25'], proxy_protocol: { from: '127.0.8.8' }, backend: { connect: `127.0.0.1:${memcached.port}` }, ...more }
  const config: Record<string, any> = {
    admin: { listen: '' }, ...ban === 'none' ? {} : { ban },
    services: { plain: service, sealed: { ...service, tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile } } },
  }
  const daemon = await startDaemon(folder => {
    config['admin'].listen = `unix:${join(folder, 'admin.sock')}`
    return config
  })
  const admin = join(daemon.folder, 'admin.sock')
  const reload = async () => {
    writeFileSync(`${daemon.configFile}.new`, toYaml(config))
    renameSync(`${daemon.configFile}.new`, daemon.configFile)
    return JSON.parse((await askAdmin(admin, '/reload', 'POST')).body) as { result: string, changes: string[] }
  }
  const order = (...args: string[]) => commandHere(['ban', ...args, '--config', daemon.configFile])
  return { daemon, config, admin, reload, order }
}

/** A connection by way of the load balancer, for this client. */
async function behind(daemon: Daemon, client: string, service = 'plain'): Promise<Wire> {
  const wire = await connect({ port: daemon.port(service), localAddress: '127.0.8.8' })
  void wire.write(`PROXY TCP4 ${client} 10.0.0.1 1 2\r\n`)
  return wire
}

async function getsIn(daemon: Daemon, client: string): Promise<boolean> {
  const wire = await behind(daemon, client)
  try {
    return await wire.ask('mn\r\n', 4) === 'MN\r\n'
  } catch {
    return false
  } finally {
    wire.destroy()
  }
}

const banned = (daemon: Daemon, client: string) => daemon.waitForLog(line => line.event === 'banned' && line.address === client)

test('refused addresses are banned, and from then on reset without a line', async () => {
  const { daemon, admin } = await setup()
  for (let i = 0; i < 3; i++) await (await behind(daemon, '192.0.2.200')).closed
  expect(await banned(daemon, '192.0.2.200')).toMatchObject({ cause: 'failures', reason: 'not-allowed', failures: 3, forMs: 3_600_000 })
  for (let i = 0; i < 4; i++) await (await behind(daemon, '192.0.2.200')).closed
  const metrics = await readMetrics(admin)
  expect(metrics.get('memseal_connections_refused_total{service="plain",reason="banned"}')).toBe(4)
  expect([metrics.get('memseal_bans'), metrics.get('memseal_bans_total{cause="failures"}')]).toEqual([1, 1])
  expect(daemon.logs('refused').map(({ reason }) => reason)).toEqual(['not-allowed'])
  expect(await getsIn(daemon, '192.0.2.1')).toBe(true)
})

test('failed handshakes are banned, of all services at once', async () => {
  const { daemon, admin } = await setup()
  for (let i = 0; i < 3; i++) {
    const wire = await behind(daemon, '192.0.2.1', 'sealed')
    void wire.write('get a\r\n')
    await wire.closed
  }
  expect(await banned(daemon, '192.0.2.1')).toMatchObject({ reason: 'plain-text' })
  expect(await getsIn(daemon, '192.0.2.1')).toBe(false)
  const before = await readMetrics(admin)
  await (await behind(daemon, '192.0.2.1', 'sealed')).closed
  const after = await readMetrics(admin)
  expect(after.get('memseal_connections_refused_total{service="sealed",reason="banned"}')).toBe(1)
  // No crypto: no handshake was begun, nor failed.
  for (const name of [...after.keys()].filter(key => key.startsWith('memseal_handshakes_total{service="sealed"'))) expect(after.get(name)).toBe(before.get(name))
})

test('refused commands are banned, and the connections of whoever is banned are ended, his alone', async () => {
  const { daemon } = await setup({ commands: ['read'] })
  const [first, idle, other] = await Promise.all(['192.0.2.1', '192.0.2.1', '192.0.2.2'].map(client => behind(daemon, client)))
  for (const wire of [idle, other]) expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  const refusal = 'CLIENT_ERROR memseal: command not allowed\r\n'
  for (let i = 0; i < 2; i++) expect(await first.ask('flush_all\r\n', refusal.length)).toBe(refusal)
  // A line end too many is a slip of a library.
  expect(await first.ask('\r\n'.repeat(5), 5 * 'ERROR\r\n'.length)).toBe('ERROR\r\n'.repeat(5))
  expect(await other.ask('flush_all\r\n', refusal.length)).toBe(refusal)
  expect(daemon.logs('banned')).toEqual([])
  void first.write('flush_all\r\n')
  await Promise.all([first.closed, idle.closed])
  expect(await banned(daemon, '192.0.2.1')).toMatchObject({ reason: 'command-refused' })
  expect((await daemon.waitForLog('closed'))['reason']).toBe('banned')
  expect(await other.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect(await getsIn(daemon, '192.0.2.1')).toBe(false)
})

test('this host is never banned for what it does', async () => {
  const { daemon } = await setup({ commands: ['read'] })
  const wire = await connect({ port: daemon.port('plain') })
  const refusal = 'CLIENT_ERROR memseal: command not allowed\r\n'
  for (let i = 0; i < 10; i++) expect(await wire.ask('flush_all\r\n', refusal.length)).toBe(refusal)
  expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect(daemon.logs('banned')).toEqual([])
})

test('by order: shut out at once, with what is open and what is shaking hands; listed; let in again', async () => {
  const { daemon, order, admin } = await setup({}, 'none')
  expect(await order('list')).toEqual({ code: 0, stdout: 'Nobody is banned.\n', stderr: '' })
  const served = await behind(daemon, '192.0.2.1')
  const other = await behind(daemon, '192.0.2.65')
  for (const wire of [served, other]) expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  const halfway = await behind(daemon, '192.0.2.2', 'sealed')
  void halfway.write('\x16\x03\x01')
  for (let open = 0; open < 1; await new Promise(resolve => setTimeout(resolve, 10))) open = (await readMetrics(admin)).get('memseal_clients{service="sealed"}')!
  expect(await order('add', '192.0.2.0/26', '--for', '2h')).toEqual({ code: 0, stdout: '192.0.2.0/26 is banned for 2h, and its connections are ended.\n', stderr: '' })
  await Promise.all([served.closed, halfway.closed])
  expect(await daemon.waitForLog('handshake-failed')).toMatchObject({ reason: 'banned', address: '192.0.2.2' })
  expect(await getsIn(daemon, '192.0.2.1')).toBe(false)
  expect(await other.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect((await order('list')).stdout).toMatch(/^banned +since +left +why\n192\.0\.2\.0\/26 +\ds +(2h|1h 59m) +by order\n$/)
  expect((await commandHere(['status', '--config', daemon.configFile])).stdout).toContain('1 client or range; memseal ban list says who')

  const within = await order('remove', '192.0.2.1')
  expect([within.code, within.stderr]).toEqual([1, 'memseal ban remove: 192.0.2.1 is not banned by itself, and it lies within 192.0.2.0/26, which is.\nRemove 192.0.2.0/26, and ban the rest of it anew if need be.\n'])
  const unknown = await order('remove', '198.51.100.1', '--json')
  expect([unknown.code, JSON.parse(unknown.stdout)]).toEqual([1, { error: '198.51.100.1 is not banned.\nmemseal ban list lists who is.' }])
  expect(await order('remove', '192.0.2.0/26')).toEqual({ code: 0, stdout: 'No longer banned: 192.0.2.0/26.\n', stderr: '' })
  expect(await getsIn(daemon, '192.0.2.1')).toBe(true)
  await daemon.waitForLog('ban-lifted')
  expect(daemon.logs().filter(({ event }) => event === 'banned' || event === 'ban-lifted').map(({ event, address }) => [event, address])).toEqual([['banned', '192.0.2.0/26'], ['ban-lifted', '192.0.2.0/26']])
  expect((await readMetrics(admin)).get('memseal_bans_total{cause="order"}')).toBe(1)
})

test('this host is shut out by order, and its admin socket goes on', async () => {
  const { daemon, order } = await setup({}, 'none')
  expect((await order('add', '127.0.0.1')).stdout).toBe('127.0.0.1 is banned for 10m, and its connections are ended.\n')
  const socket = connectPlain({ port: daemon.port('plain'), host: '127.0.0.1' })
  const [error] = await once(socket, 'error') as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNRESET')
  expect((await order('remove', '127.0.0.1')).code).toBe(0)
  const wire = await connect({ port: daemon.port('plain') })
  expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
})

test('bans outlive a reload; a changed section holds for what comes, and a removed one lifts those for failures', async () => {
  const { daemon, reload, config, order } = await setup()
  for (const client of ['192.0.2.200', '192.0.2.201']) for (let i = 0; i < 3; i++) await (await behind(daemon, client)).closed
  config['services'].plain.allow = config['services'].sealed.allow = ['127.0.0.1', '192.0.2.0/24']
  expect((await reload()).result).toBe('applied')
  for (const client of ['192.0.2.200', '192.0.2.201']) expect(await getsIn(daemon, client)).toBe(false)
  config['groups'] = { office: ['192.0.2.201'] }
  config['ban'].never = ['office']
  expect((await reload()).changes).toEqual(['groups: is new', 'ban.never: [] is now [office]'])
  expect([await getsIn(daemon, '192.0.2.200'), await getsIn(daemon, '192.0.2.201')]).toEqual([false, true])
  expect((await order('add', '192.0.2.201')).code).toBe(0)
  delete config['ban']
  delete config['groups']
  await reload()
  expect([await getsIn(daemon, '192.0.2.200'), await getsIn(daemon, '192.0.2.201')]).toEqual([true, false])
  await daemon.waitForLog(line => line.event === 'ban-lifted' && String(line.msg).endsWith('192.0.2.200'))
  expect(daemon.logs('ban-lifted').map(({ cause, msg }) => [cause, msg])).toEqual(['192.0.2.201', '192.0.2.200'].map(client => ['configuration', `no longer banned, by the configuration: ${client}`]))
})

test.each([
  [['add', 'example.com'], '"example.com" is not an address range.'], [['add', '10.0.0.1/8'], 'has bits set beyond its /8.'], [['add'], 'ADDRESS is missing.'],
  [['add', '10.0.0.1', '--for', '10'], '"10" is not a time for a ban.'], [['add', '10.0.0.1', '--for', '999ms'], '"999ms" is not a time for a ban.'],
  [['add', '10.0.0.1', '--for', '366d'], '"366d" is not a time for a ban.'], [['remove', 'unix'], '"unix" is not an address range.'], [['list', 'x'], 'is one word too many'],
])('memseal ban %j is refused with what to write', async (args, words) => {
  const { code, stderr } = await commandHere(['ban', ...args])
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)])
})

test('orders are taken over the unix socket alone, of what can be read as one', async () => {
  const { daemon, admin, config, reload } = await setup()
  expect(config['admin'].listen).toContain('unix:')
  expect((await reload()).result).toBe('unchanged')
  for (const path of ['/ban', '/ban?who=x', '/ban?who=10.0.0.1&for=999', '/ban?who=10.0.0.1&for=1e99', '/ban?who=10.0.0.1&for=', '/unban?who=']) {
    expect([path, (await askAdmin(admin, path, 'POST')).status]).toEqual([path, 400])
  }
  expect(JSON.parse((await askAdmin(admin, '/bans')).body)).toEqual({ bans: [], configuration: daemon.configFile })
  const other = await askAdmin(admin, '/ban?who=10.0.0.1', 'POST', { 'memseal-configuration': encodeURIComponent('/etc/other.yaml') })
  expect(other.status).toBe(421)
  expect(JSON.parse((await askAdmin(admin, '/ban?who=10.0.0.1&for=1000', 'POST')).body)).toMatchObject({ who: '10.0.0.1', secondsLeft: 1 })
})

test('a client of a good certificate is not among those who fail', async () => {
  const { daemon } = await setup({}, { after: 1 })
  const { ca, client } = await pki()
  for (let i = 0; i < 3; i++) {
    const wire = await connect({ port: daemon.port('sealed'), tls: as(client, ca) })
    expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
    wire.destroy()
  }
  expect(daemon.logs('banned')).toEqual([])
})
