import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { Agent, createServer as createHttpServer, get } from 'node:http'
import { connect as connectSocket, createServer, type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { metrics } from '../../src/telemetry/metrics.ts'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { startDaemon, type ConfigText, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { as, connect } from '../support/wire.ts'

const hasIPv6 = Object.values(networkInterfaces()).flat().some(each => each?.address === '::1')

interface Running { daemon: Daemon, admin: string, tcp: number }

async function running(more: Record<string, unknown> = {}, backend?: string): Promise<Running> {
  const { server, ca } = await pki()
  const connectTo = backend ?? `127.0.0.1:${(await startMemcached()).port}`
  const tcp = await freePort()
  const daemon = await startDaemon(folder => ({
    admin: { listen: [`unix:${join(folder, 'admin.sock')}`, `127.0.0.1:${tcp}`] },
    services: { cache: {
      listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, backend: { connect: connectTo }, ...more,
    } },
  }) as ConfigText)
  await daemon.waitForLog(line => line.event === 'admin-listening' && line['listener'] === `127.0.0.1:${tcp}`)
  return { daemon, admin: join(daemon.folder, 'admin.sock'), tcp }
}

/** For tests that ask and change nothing. */
let idle: Running
beforeAll(async () => { idle = await running() })
afterAll(() => idle.daemon.stop())

async function client(daemon: Daemon) {
  const { client, ca } = await pki()
  return await connect({ port: daemon.port(), tls: as(client, ca) })
}

test('the socket is open to its owner and group, and to nobody else', async () => {
  const { admin } = idle
  expect((statSync(admin).mode & 0o777).toString(8)).toBe('660')
})

test('ready when memcached answers, and not ready in words when it does not', async () => {
  const { daemon, admin } = await running()
  await daemon.waitForLog('ready')
  expect(await askAdmin(admin, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' })
  expect(await askAdmin(admin, '/readyz')).toMatchObject({ status: 200, body: 'ready\n' })
  const { admin: other } = await running({}, `127.0.0.1:${await freePort()}`)
  expect(await askAdmin(other, '/readyz')).toMatchObject({ status: 503, body: expect.stringMatching(/^service cache has no connection to its backend \(.*ECONNREFUSED.*\)\n$/) })
  expect(await askAdmin(other, '/healthz')).toMatchObject({ status: 200 })
})

test('while it drains it is not ready, and ends when its clients have left', async () => {
  const { daemon, admin } = await running()
  const busy = await client(daemon)
  void busy.write('set a 0 0 5\r\nab')   // not whole: this client is not idle
  await new Promise(resolve => setTimeout(resolve, 100))
  const asked = askAdmin(admin, '/drain', 'POST')
  expect(await asked).toMatchObject({ status: 202, body: expect.stringContaining('"clients":1') })
  expect((await daemon.exited()).code).toBe(0)
  expect(daemon.logs('draining')).toMatchObject([{ cause: 'admin', clients: 1 }])
})

test('over TCP there is reading and nothing else', async () => {
  const { daemon, tcp } = idle
  for (const path of ['/', '/healthz', '/readyz', '/metrics', '/status', '/connections']) expect((await askAdmin(tcp, path)).status).toBe(200)
  for (const path of ['/reload', '/drain', '/kill/c1']) {
    expect(await askAdmin(tcp, path, 'POST')).toMatchObject({ status: 403, body: expect.stringContaining('unix socket') })
  }
  expect(daemon.isRunning).toBe(true)
})

test('a page in a browser that came by another name learns nothing', async () => {
  const { tcp } = idle
  expect((await askAdmin(tcp, '/status', 'GET', { host: 'attacker.example' })).status).toBe(403)
  for (const host of ['localhost', `127.0.0.1:${tcp}`, '[::1]:1']) expect((await askAdmin(tcp, '/status', 'GET', { host })).status).toBe(200)
})

test('whoever sends no Host is no browser: checks of HTTP/1.0 are answered', async () => {
  const { tcp } = idle
  expect(await raw(tcp, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 [^]*ok\n$/)
})

/** All that comes back, to the end. */
function raw(port: number, text: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connectSocket(port, '127.0.0.1', () => socket.write(text))
    let reply = ''
    socket.on('data', (bytes: Buffer) => { reply += bytes }).on('error', () => {}).on('close', () => resolve(reply))
  })
}

test.each(['/metrics', '/status', '/connections', '/healthz'])('whoever sends requests before he has an answer gets the first answer, and is closed: %s', async path => {
  const { tcp } = idle
  const reply = await raw(tcp, `GET ${path} HTTP/1.1\r\nhost: localhost\r\ncache-control: no-cache\r\n\r\n`.repeat(2_000))
  expect(reply.match(/^HTTP\/1\.1 200 /gm)).toHaveLength(1)
  expect(reply).toMatch(/^connection: close\r$/m)
})

test('one after the other they are answered on one socket, and what each is told is no older than his question', async () => {
  const { daemon, admin } = await running()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (path: string) => new Promise<string>((resolve, reject) => {
    get({ socketPath: admin, path, agent, headers: { 'cache-control': 'no-cache' } }, response => {
      let body = ''
      response.on('data', (bytes: Buffer) => { body += bytes }).on('end', () => resolve(body))
    }).on('error', reject)
  })
  for (let count = 1; count <= 3; count++) {
    const wire = await client(daemon)
    await wire.ask('mn\r\n', 4)
    expect(JSON.parse(await ask('/connections?limit=2'))).toMatchObject({ total: count, connections: { length: Math.min(count, 2) } })
    expect(JSON.parse(await ask('/status'))).toMatchObject({ services: [{ now: { connections: count } }] })
    expect(await ask('/metrics')).toContain(`memseal_connections{service="cache"} ${count}\n`)
  }
  agent.destroy()
})

test('what is no path is answered with 400, and the log has no line of it', async () => {
  const { daemon, tcp } = idle
  for (const target of ['//', '//x/status', '/\\\\x', 'http://[/', '//[']) {
    expect(await raw(tcp, `GET ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
  }
  expect(await raw(tcp, 'GET http://localhost/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  expect(daemon.logs('admin-error')).toEqual([])
})

/** Whoever may not read is reset; undefined then. */
function statusFrom(port: number, localAddress: string | undefined, host: string): Promise<number | undefined> {
  const target = localAddress === undefined ? { host: '127.0.0.1' } : { host: localAddress, localAddress }
  return new Promise(resolve => {
    get({ ...target, port, path: '/healthz', headers: { host }, agent: false }, response => { response.resume(); resolve(response.statusCode) })
      .on('error', () => resolve(undefined))
  })
}

const outside = Object.values(networkInterfaces()).flat().find(each => each?.family === 'IPv4' && !each.internal)?.address

test.skipIf(outside === undefined)('on another address those in `allow` read, by whatever name, and a reload names others; this host reads by its own address', async () => {
  const tcp = await freePort()
  const text = (allow: string) => `admin: { listen: "0.0.0.0:${tcp}", allow: [${allow}] }\nservices: { cache: { listen: "127.0.0.1:0" } }\n`
  const daemon = await startDaemon(text(outside!))
  await daemon.waitForLog('admin-listening')
  expect(await statusFrom(tcp, outside, 'cache-7.example')).toBe(200)
  expect(await statusFrom(tcp, undefined, 'localhost')).toBe(200)
  expect(await statusFrom(tcp, undefined, 'attacker.example')).toBe(403)
  expect(await raw(tcp, 'POST /drain HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /)
  writeFileSync(daemon.configFile, text('192.0.2.1'))
  daemon.kill('SIGHUP')
  await daemon.waitForLog('reloaded')
  expect(await statusFrom(tcp, outside, `${outside}:${tcp}`)).toBe(200)
  expect(await statusFrom(tcp, outside, 'cache-7.example')).toBe(403)   // a page in a browser of this host may have led there
  expect(await statusFrom(tcp, undefined, 'localhost')).toBe(200)
  expect(daemon.logs('admin-refused')).toEqual([])
})

const ownNetwork = ['unshare', '-n', 'sh', '-c', 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo ' +
  '&& ip route add local 198.51.100.0/24 dev lo && exec "$0" "$@"']
const mayUnshare = spawnSync(ownNetwork[0], [...ownNetwork.slice(1), 'true']).status === 0

test.skipIf(!mayUnshare)('this host reads by any of its own addresses, strangers are reset and told of once (skipped without root and unshare)', async () => {
  const daemon = await startDaemon('admin: { listen: "0.0.0.0:11213", allow: 203.0.113.1 }\nservices: { cache: { listen: "127.0.0.1:0" } }\n', { wrapper: ownNetwork })
  await daemon.waitForLog('admin-listening')
  const statusFrom = (localAddress: string, host: string): string => spawnSync('nsenter', ['-t', String(daemon.pid), '-n', process.execPath, '-e', `
    require('http').get({ host: '${host}', port: 11213, path: '/healthz', localAddress: '${localAddress}' }, response => console.log(response.statusCode))
      .on('error', error => console.log(error.code))`], { encoding: 'utf8' }).stdout.trim()
  expect(statusFrom('192.0.2.1', '192.0.2.1')).toBe('200')
  expect(statusFrom('192.0.2.2', '192.0.2.1')).toBe('200')
  for (let i = 0; i < 2; i++) expect(statusFrom('198.51.100.7', '192.0.2.1')).toBe('ECONNRESET')
  await daemon.waitForLog('admin-refused')
  expect(daemon.logs('admin-refused')).toMatchObject([{ address: '198.51.100.7', suppressed: 0 }])
})

test('silent and slow sockets are dropped, and until then a scraper gets in all the same', async () => {
  const { daemon, tcp } = await running()
  // A server with the same limits that looks every 25 s, a little before memseal would at Node's own pace of 30 s from its start.
  const rival = createHttpServer({ headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 25_000 }).listen(0, '127.0.0.1')
  onTestFinished(() => { rival.close() })
  await once(rival, 'listening')
  const silent = connectSocket((rival.address() as AddressInfo).port, '127.0.0.1').on('error', () => {}).resume()
  onTestFinished(() => { silent.destroy() })
  const dial = async (text: string): Promise<{ closed: Promise<unknown> }> => {
    const socket = connectSocket(tcp, '127.0.0.1').on('error', () => {}).resume()
    const closed = once(socket, 'close')
    await once(socket, 'connect')
    socket.write(text)
    return { closed }
  }
  const sockets = []
  for (let i = 0; i < 64; i++) sockets.push(await dial(i % 2 === 0 ? '' : 'GET /metrics HTTP/1.1\r\nhost: loc'))
  const keepAlive = new Agent({ keepAlive: true, maxSockets: 1 })
  const scrape = () => new Promise<number | undefined>((resolve, reject) => {
    get({ port: tcp, host: '127.0.0.1', path: '/metrics', agent: keepAlive }, response => { response.resume().on('end', () => resolve(response.statusCode)) }).on('error', reject)
  })
  expect(await scrape()).toBe(200)
  await sockets[0].closed   // the one that was there longest
  // One that was answered a moment ago is not the one to go.
  await Promise.all(Array.from({ length: 32 }, () => dial('')))
  expect(await scrape()).toBe(200)
  await Promise.all(sockets.map(({ closed }) => closed))
  expect(silent.closed).toBe(false)
  keepAlive.destroy()
  expect(daemon.logs('admin-error')).toEqual([])
})

test.each([['GET', '/nothing', 404], ['POST', '/nothing', 404], ['POST', '/kill/x', 404], ['PUT', '/reload', 405], ['GET', '/reload', 404]])(
  '%s %s is answered with %d', async (method, path, status) => {
    const { admin } = idle
    expect((await askAdmin(admin, path, method)).status).toBe(status)
  })

test('headers without end are cut off', async () => {
  const { tcp } = idle
  const socket = connectSocket(tcp, '127.0.0.1')
  let reply = ''
  socket.on('data', (bytes: Buffer) => { reply += bytes })
  socket.write(`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)
  await new Promise(resolve => socket.on('close', resolve))
  expect(reply).toMatch(/^HTTP\/1\.1 431 /)
})

test('a connection can be found and closed, and only that one', async () => {
  const { daemon, admin } = await running()
  const [first, second] = [await client(daemon), await client(daemon)]
  for (const wire of [first, second]) expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  const { total, connections } = JSON.parse((await askAdmin(admin, '/connections')).body)
  expect(total).toBe(2)
  expect(connections).toMatchObject([{ id: 'c1', service: 'cache', address: '127.0.0.1', tls: { subject: 'O=memseal tests, OU=web, CN=client' }, requests: 1 }, { id: 'c2' }])
  expect((await askAdmin(admin, '/kill/c1', 'POST')).status).toBe(200)
  await first.closed
  expect(await second.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect((await askAdmin(admin, '/kill/c1', 'POST')).status).toBe(404)
  expect(await daemon.waitForLog(line => line.event === 'closed' && line['client'] === 'c1')).toMatchObject({ reason: 'killed' })
})

test('only as many connections are shown as are asked for', async () => {
  const { daemon, admin } = await running()
  for (let i = 0; i < 3; i++) await client(daemon)
  const shown = async (query: string) => JSON.parse((await askAdmin(admin, `/connections${query}`)).body).connections.length
  expect([await shown('?limit=2'), await shown(''), await shown('?limit=x')]).toEqual([2, 3, 3])
})

test('every metric that is declared is on the page, with its help and its kind, and none that is not', async () => {
  const { daemon, admin } = await running({ access: [{ name: 'all', match: 'everyone' }] })
  await daemon.waitForLog('ready')
  const { body, headers } = await askAdmin(admin, '/metrics')
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
  for (const [name, { help, kind }] of Object.entries(metrics)) {
    expect(body).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${name}`)
  }
  const shown = new Set([...(await readMetrics(admin)).keys()].map(sample => sample.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '')))
  expect([...shown].sort()).toEqual(Object.keys(metrics).sort())
})

test('each sample has the labels that are declared and no other, and each line stands once', async () => {
  const { daemon, admin } = await running()
  await daemon.waitForLog('ready')
  const lines = (await askAdmin(admin, '/metrics')).body.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  const names = lines.map(line => line.slice(0, line.lastIndexOf(' ')))
  expect(new Set(names).size).toBe(names.length)
  for (const line of lines) {
    const [, sample, labels = ''] = /^(\w+)(?:\{(.*)\})? (?:[-\d.e+]+)$/.exec(line) ?? []
    expect(sample, line).toBeDefined()
    const name = (sample in metrics ? sample : sample.replace(/_(bucket|sum|count)$/, '')) as keyof typeof metrics
    const used = [...labels.matchAll(/(\w+)="/g)].map(match => match[1]).filter(label => label !== 'le')
    // An empty label (a reason where there is none) is left out.
    for (const label of used) expect(metrics[name].labels, line).toContain(label)
  }
})

test('a page of metrics is given out for a second, unless a new one is asked for', async () => {
  const { daemon, admin } = await running()
  const wire = await client(daemon)
  const plain = async () => (await askAdmin(admin, '/metrics')).body
  const madeAt = performance.now()
  const first = await plain()
  await wire.ask('mn\r\n', 4)
  const second = await plain()
  // Not on a machine that took a second for this.
  if (performance.now() - madeAt < 900) expect(second).toBe(first)
  const bytes = (page: string) => Number(/^memseal_received_bytes_total\{.*\} (\d+)$/m.exec(page)![1])
  expect(bytes((await askAdmin(admin, '/metrics', 'GET', { 'cache-control': 'no-cache' })).body)).toBe(bytes(first) + 4)
  // What was made for one is good for all.
  expect(bytes(await plain())).toBe(bytes(first) + 4)
  await wire.ask('mn\r\n', 4)
  await new Promise(done => setTimeout(done, 1100))
  expect(bytes(await plain())).toBe(bytes(first) + 8)
})

test('what clients do is counted', async () => {
  const { daemon, admin } = await running({ commands: ['read', 'write', 'stats'] })
  const { ca } = await pki()
  const wire = await client(daemon)
  await wire.ask('set a 0 0 1\r\nx\r\n', 8)
  for (let i = 0; i < 40; i++) await wire.ask('get a b\r\n', 21)
  await wire.ask('flush_all\r\n', 43)
  void wire.write('stats\r\n')
  await wire.readUntil('END\r\n')
  await expect(connect({ port: daemon.port(), tls: as(undefined, ca) }).then(wire => wire.ask('mn\r\n', 4))).rejects.toThrow()
  const read = await readMetrics(admin)
  const value = (text: string) => read.get(`memseal_${text}`)
  expect({
    connections: value('connections{service="cache"}'), accepted: value('connections_accepted_total{service="cache"}'),
    full: value('handshakes_total{service="cache",result="full"}'), none: value('handshakes_total{service="cache",result="failed",reason="no-certificate"}'),
    version: value('handshakes_by_version_total{service="cache",version="TLSv1.3"}'), timed: value('handshake_seconds_count{service="cache"}'),
    reads: value('requests_total{service="cache",group="read"}'), writes: value('requests_total{service="cache",group="write"}'),
    forbidden: value('requests_refused_total{service="cache",group="flush"}'),
    hits: value('keys_total{service="cache",result="hit"}'), misses: value('keys_total{service="cache",result="miss"}'),
    private: value('private_connections{service="cache"}'), why: value('private_connections_total{service="cache",reason="command"}'),
  }).toEqual({
    connections: 1, accepted: 2, full: 1, none: 1, version: 1, timed: 1, reads: 40, writes: 1, forbidden: 1, hits: 40, misses: 40, private: 1, why: 1,
  })
  expect(value('received_bytes_total{service="cache"}')).toBe(16 + 40 * 9 + 11 + 7)
  expect(value('request_backend_seconds_count{service="cache"}')).toBeGreaterThan(0)
  expect(value('request_own_seconds_count{service="cache"}')).toBe(value('request_backend_seconds_count{service="cache"}'))
  wire.end()
  await daemon.waitForLog('closed')
  const after = await readMetrics(admin)
  expect(after.get('memseal_requests_total{service="cache",group="read"}')).toBe(40)
  expect(after.get('memseal_connections_closed_total{service="cache",reason="client-closed"}')).toBe(1)
})

test('an admin listener that cannot be had is told and had later, and clients are served meanwhile', async () => {
  const memcached = await startMemcached()
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const held = `127.0.0.1:${(taken.address() as AddressInfo).port}`
  const daemon = await startDaemon(folder => ({
    admin: { listen: [`unix:${join(folder, 'late', 'admin.sock')}`, held, `unix:${join(folder, 'admin.sock')}`] },
    services: { cache: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` } } },
  }))
  const late = `unix:${join(daemon.folder, 'late', 'admin.sock')}`
  const missing = await Promise.all([late, held].map(each => daemon.waitForLog(line => line.event === 'admin-unavailable' && line['listener'] === each)))
  expect(missing.map(({ level, msg }) => ({ level, msg }))).toEqual([
    { level: 'error', msg: `the admin listener cannot listen on ${late}: there is no folder ${join(daemon.folder, 'late')}. Create it, owned by the user of memseal. memseal serves its clients without it, takes no orders there meanwhile, and tries again.` },
    { level: 'error', msg: expect.stringContaining(`cannot listen on ${held}: another process listens there.`) },
  ])
  await daemon.waitForLog('ready')
  const wire = await connect({ port: daemon.port() })
  void wire.write('version\r\n')
  expect(await wire.readLine()).toMatch(/^VERSION /)
  expect(await askAdmin(join(daemon.folder, 'admin.sock'), '/readyz')).toMatchObject({ status: 200 })

  mkdirSync(join(daemon.folder, 'late'))
  await new Promise(resolve => taken.close(resolve))
  for (const each of [late, held]) await daemon.waitForLog(line => line.event === 'admin-listening' && line['listener'] === each)
  expect(await askAdmin(join(daemon.folder, 'late', 'admin.sock'), '/healthz')).toMatchObject({ status: 200 })
  expect(daemon.logs('admin-unavailable')).toHaveLength(2)
})

test('a socket that a killed process left behind is taken over', async () => {
  const { daemon, admin } = await running()
  daemon.kill('SIGKILL')
  await daemon.exited()
  const memcached = await startMemcached()
  const again = await startDaemon({ admin: { listen: `unix:${admin}` }, services: { cache: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` } } } })
  await again.waitForLog('admin-listening')
  expect((await askAdmin(admin, '/healthz')).status).toBe(200)
})

test('a file that lies where the socket should be stays as it is, and the log says so', async () => {
  const daemon = await startDaemon(folder => {
    writeFileSync(join(folder, 'notes.txt'), 'precious')
    return { admin: { listen: `unix:${join(folder, 'notes.txt')}` }, services: { cache: { listen: '127.0.0.1:0' } } }
  })
  await daemon.waitForLog(({ msg }) => msg?.includes('notes.txt: a file lies there') ?? false)
  expect(readFileSync(join(daemon.folder, 'notes.txt'), 'utf8')).toBe('precious')
})

test.skipIf(!hasIPv6)('localhost is both addresses of loopback here, too', async () => {
  const port = await freePort()
  const daemon = await startDaemon({ admin: { listen: `localhost:${port}` }, services: { cache: { listen: '127.0.0.1:0' } } })
  await daemon.waitForLog('admin-listening')
  for (const host of ['127.0.0.1', '[::1]']) expect((await fetch(`http://${host}:${port}/healthz`)).status).toBe(200)
})
