import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { endOf } from '../support/child.ts'
import { commandHere } from '../support/command.ts'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { v1, v2, v4Addresses } from '../support/proxy-header.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect, type Wire } from '../support/wire.ts'

// Clients that come by a load balancer: the real HAProxy with both versions of the PROXY protocol, over TCP and unix sockets, and its
// health checks. HAProxy connects from 127.0.8.8, the client from 127.0.7.1.

const haproxy = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(existsSync)
const BALANCER = '127.0.8.8'
const CLIENT = '127.0.7.1'

async function startMemseal(more: Record<string, unknown> = {}): Promise<{ daemon: Daemon, path: string }> {
  const memcached = await startMemcached()
  const { server, ca } = await pki()
  let path = ''
  const daemon = await startDaemon(folder => {
    path = join(folder, 'cache.sock')
    const service = {
      allow: ['127.0.7.0/24', BALANCER], proxy_protocol: { from: [BALANCER] }, backend: { connect: `127.0.0.1:${memcached.port}` }, log: { connections: 'all' }, ...more,
    }
    return {
      admin: { listen: `unix:${join(folder, 'admin.sock')}` },
      services: {
        plain: { ...service, listen: '127.0.0.1:0' },
        sealed: { ...service, listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile } },
        local: { ...service, listen: `unix:${path}`, proxy_protocol: { from: 'unix' } },
      },
    }
  })
  return { daemon, path }
}

interface Balanced { port: number, statistics(): Promise<string> }

/** @param server what stands behind its address: `send-proxy check` */
async function startHaproxy(address: string, server: string): Promise<Balanced> {
  const folder = tempFolder()
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const file = join(folder, `haproxy-${attempt}.cfg`)
    const socket = join(folder, `stats-${attempt}.sock`)
    writeFileSync(file, `
global
  stats socket ${socket} level admin
defaults
  mode tcp
  timeout connect 60s
  timeout client 600s
  timeout server 600s
listen cache
  bind 127.0.0.1:${port}
  server memseal ${address} ${server}
`)
    const child = spawn(haproxy!, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    let told = ''
    child.stderr.on('data', chunk => { told += chunk })
    const ended = endOf(child)
    await atEndOfTest(async () => { child.kill('SIGKILL'); await ended })
    // It has bound all its sockets before it answers on this one.
    for (let isUp = false; !isUp && child.exitCode === null; await new Promise(resolve => setTimeout(resolve, 20))) {
      isUp = await ask(socket, 'show info').then(answer => answer.includes('Pid'), () => false)
      if (isUp) return { port, statistics: () => ask(socket, 'show stat') }
    }
    if (attempt === 5) throw new Error(told)
  }
}

function ask(path: string, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    connectPlain({ path }).on('error', reject).on('data', chunk => { answer += chunk }).on('end', () => resolve(answer)).end(`${question}\n`)
  })
}

async function setsAndGets(wire: Wire): Promise<void> {
  expect(await wire.ask('set k 0 0 5\r\nhello\r\n', 8)).toBe('STORED\r\n')
  expect(await wire.ask('get k\r\n', 'VALUE k 0 5\r\nhello\r\nEND\r\n'.length)).toBe('VALUE k 0 5\r\nhello\r\nEND\r\n')
}

for (const version of ['send-proxy', 'send-proxy-v2'] as const) {
  for (const service of ['plain', 'sealed', 'local'] as const) {
    test.skipIf(haproxy === undefined)(`HAProxy with ${version}: the ${service} service sees its client`, async () => {
      const { daemon, path } = await startMemseal()
      const to: [string, string] = service === 'local' ? [path, version] : [`127.0.0.1:${daemon.port(service)}`, `source ${BALANCER} ${version}`]
      const { port } = await startHaproxy(...to)
      const { ca, client } = await pki()
      const wire = await connect({ port, localAddress: CLIENT, tls: service === 'sealed' ? as(client, ca) : undefined })
      await setsAndGets(wire)
      const { connections } = JSON.parse((await askAdmin(join(daemon.folder, 'admin.sock'), '/connections')).body) as { connections: object[] }
      expect(connections).toMatchObject([{ service, address: CLIENT, port: wire.socket.localPort, via: service === 'local' ? 'unix' : BALANCER }])
      expect((await commandHere(['connections', '--config', daemon.configFile])).stdout).toContain(`${CLIENT}:${wire.socket.localPort} via ${service === 'local' ? 'unix' : BALANCER} `)
      wire.destroy()
      expect(await daemon.waitForLog('closed')).toMatchObject({ service, address: CLIENT, via: service === 'local' ? 'unix' : BALANCER, requests: 2 })

      // One that is not allowed is refused by its own address, though HAProxy's is allowed.
      const stranger = await connect({ port, localAddress: '127.0.6.6' })
      stranger.write('get k\r\n')
      expect((await stranger.readToEnd()).length).toBe(0)
      expect(await daemon.waitForLog('refused')).toMatchObject({ service, address: '127.0.6.6', reason: 'not-allowed' })
    })
  }

  test.skipIf(haproxy === undefined)(`HAProxy with ${version}: its health checks pass, and are counted as silent`, async () => {
    const { daemon } = await startMemseal()
    const { statistics } = await startHaproxy(`127.0.0.1:${daemon.port('plain')}`, `source ${BALANCER} ${version} check inter 100ms rise 1`)
    const silent = 'memseal_connections_silent_total{service="plain"}'
    for (let count = 0; count < 3; await new Promise(resolve => setTimeout(resolve, 20))) count = (await readMetrics(join(daemon.folder, 'admin.sock'))).get(silent)!
    expect(await statistics()).toMatch(/^cache,memseal,.*,UP,/m)
    expect([daemon.logs('refused'), daemon.logs('closed')]).toEqual([[], []])
  })
}

test('a header from elsewhere ends a plain connection before a request of it is taken, and never is a client of its own making', async () => {
  const { daemon } = await startMemseal({ commands: ['all'] })
  const header = [v1(`TCP4 127.0.7.9 10.0.0.1 1 2`), v2(0x21, 0x11, v4Addresses('127.0.7.9', 1))]
  for (const bytes of header) {
    const wire = await connect({ port: daemon.port('plain'), localAddress: CLIENT })
    wire.write(Buffer.concat([bytes, Buffer.from('set k 0 0 1\r\nx\r\n')]))
    expect((await wire.readToEnd()).toString()).toBe('')
  }
  const closed = 'memseal_connections_closed_total{service="plain",reason="proxy-header"}'
  for (let count = 0; count < 2; await new Promise(resolve => setTimeout(resolve, 20))) count = (await readMetrics(join(daemon.folder, 'admin.sock'))).get(closed)!
  expect(await daemon.waitForLog('closed')).toMatchObject({ address: CLIENT, reason: 'proxy-header', requests: 0 })
  expect(await daemon.waitForLog('refused')).toMatchObject({ level: 'warn', service: 'plain', address: CLIENT, reason: 'proxy-header', msg: expect.stringContaining('add its address to proxy_protocol.from') })
  expect((await readMetrics(join(daemon.folder, 'admin.sock'))).get('memseal_connections_refused_total{service="plain",reason="proxy-header"}')).toBe(2)
  const wire = await connect({ port: daemon.port('plain'), localAddress: CLIENT })
  expect(await wire.ask('get k\r\n', 5)).toBe('END\r\n')
})

test('rules of access and refused commands see the client behind the balancer', async () => {
  const { daemon } = await startMemseal({ access: [{ name: 'web', match: { source: '127.0.7.1' }, commands: ['read'] }, { name: 'other', match: { source: '127.0.7.0/24' } }] })
  const of = async (client: string) => {
    const wire = await connect({ port: daemon.port('plain'), localAddress: BALANCER })
    void wire.write(v1(`TCP4 ${client} 10.0.0.1 1 2`))
    return wire
  }
  const web = await of('127.0.7.1')
  const refusal = 'CLIENT_ERROR memseal: command not allowed\r\n'
  expect(await web.ask('set k 0 0 1\r\nx\r\n', refusal.length)).toBe(refusal)
  expect(await web.ask('get k\r\n', 5)).toBe('END\r\n')
  expect(await (await of('127.0.7.2')).ask('set k 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  expect(await daemon.waitForLog('command-refused')).toMatchObject({ rule: 'web', command: 'set', address: '127.0.7.1', via: BALANCER })
  // The balancer itself is allowed to connect, and no rule is for it.
  const own = await connect({ port: daemon.port('plain'), localAddress: BALANCER })
  own.write(v1('UNKNOWN'))
  await own.closed
  expect(await daemon.waitForLog('refused')).toMatchObject({ reason: 'no-rule', address: BALANCER })
})
