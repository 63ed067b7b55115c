// Client library > sidecar > TLS > memseal on the cache host > memcached: everything a client does works as it does directly.
import { execFile } from 'node:child_process'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { find, memccapable, php, python, ruby } from '../setup/programs.mjs'
import { runCrowd } from '../soak/crowd.ts'
import { askOnce } from '../soak/scene.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { connect } from '../support/wire.ts'
import { ready, startCacheHost, startSidecar } from './support/sidecar.ts'

const run = promisify(execFile)

test.each([
  ['one lane at both ends', 1, {}],
  ['three lanes here, replaced all the time', 3, { max_age: '200ms' }],
])('clients that check every byte, %s', async (_, connections, backend) => {
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, backend: { connections, probe_interval: '50ms', reply_timeout: '1m', connect_timeout: '30s', ...backend } })
  const report = await runCrowd({
    open: sidecar.open, askMemcached: line => askOnce(cache.memcached.port, line), clients: 40, seconds: 1, seed: 4000 + connections,
    isEnough: () => connections === 1 || sidecar.told('backend-replaced').length > 10,
  })
  expect(report.findings).toEqual([])
  expect(sidecar.told('backend-lost')).toEqual([])
})

test('connections of the clients\' own go over TLS too, and to the target that is healthy', async () => {
  const [first, second] = [await startCacheHost(), await startCacheHost()]
  const sidecar = await startSidecar({
    connect: [first.address, second.address],
    backend: { sharing: 'private', connect_timeout: '2s', probe_interval: '100ms', return_after: '1h' },
  })
  await ready(sidecar)
  const report = await runCrowd({
    open: sidecar.open, askMemcached: line => askOnce(first.memcached.port, line), clients: 20, seconds: 1, seed: 4700,
  })
  expect(report.findings).toEqual([])
  await first.kill()
  await sidecar.daemon.waitForLog('failover')
  const wire = await sidecar.connect()
  expect(await wire.ask('set k 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  expect(await askOnce(second.memcached.port, 'touch k 0')).toBe('TOUCHED')
})

test('a connection for each request costs no handshake: 200 of them go over the lanes that stand', async () => {
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address })
  await ready(sidecar)
  for (let n = 0; n < 200; n++) {
    const wire = await sidecar.connect()
    expect(await wire.ask(`set k${n} 0 0 1\r\nx\r\n`, 8)).toBe('STORED\r\n')
    wire.end()
    await wire.readToEnd()
  }
  await sidecar.daemon.stop()
  await cache.daemon.waitForLog('closed')
  expect(cache.connections).toEqual([{ resumed: false }])
})

test('lanes that are replaced resume their sessions', async () => {
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, backend: { max_age: '100ms' } })
  await sidecar.daemon.waitForLog('backend-replaced')
  await cache.daemon.waitForLog(({ event, tls }) => event === 'closed' && (tls as { resumed: boolean }).resumed)
})

test('ten services in one process: one that is down disturbs no other', async () => {
  const cache = await startCacheHost()
  const { ca, client } = await pki()
  const tls = { ca: ca.certFile, cert: client.certFile, key: client.keyFile, server_name: 'localhost' }
  const down = await startCacheHost()
  await down.kill()
  const service = (address: string) => ({ listen: '127.0.0.1:0', backend: { connect: address, tls, reply_timeout: '1m' } })
  const names = Array.from({ length: 10 }, (_, n) => `cache-${n}`)
  const daemon = await startDaemon({
    services: Object.fromEntries(names.map((name, n) => [name, service(n === 3 ? down.address : cache.address)])),
  })
  const ask = async (name: string) => {
    const wire = await connect({ port: daemon.port(name) })
    await wire.write(`set ${name} 0 0 1\r\nx\r\n`)
    return wire.readLine()
  }
  for (let round = 0; round < 5; round++) {
    const replies = await Promise.all(names.map(ask))
    expect(replies).toEqual(names.map((_, n) => n === 3 ? 'SERVER_ERROR memseal: backend unavailable' : 'STORED'))
  }
  expect(daemon.logs('backend-lost').every(({ service: name }) => name === 'cache-3')).toBe(true)
  expect(await daemon.waitForLog('not-ready')).toMatchObject({ service: 'cache-3' })
})

test('services may stand in files of their own, and their unix sockets have the permissions that were asked for', async () => {
  const cache = await startCacheHost()
  const { ca, client } = await pki()
  const daemon = await startDaemon(folder => {
    for (const name of ['one', 'two']) {
      writeFileSync(join(folder, `${name}.service.yaml`), `services:
  ${name}:
    listen: unix:${join(folder, name)}
    socket: { mode: "${name === 'one' ? '0600' : '0666'}", group: "${process.getgid!()}" }
    backend:
      connect: ${cache.address}
      tls: { ca: ${ca.certFile}, cert: ${client.certFile}, key: ${client.keyFile}, server_name: localhost }
`)
    }
    return { include: join(folder, '*.service.yaml') }
  }, { listeners: 2 })
  for (const [name, mode] of [['one', 0o600], ['two', 0o666]] as const) {
    expect(statSync(join(daemon.folder, name)).mode & 0o777).toBe(mode)
    const wire = await connect({ path: join(daemon.folder, name) })
    expect(await wire.ask('set k 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  }
})

describe('clients that other people wrote, unchanged', () => {
  const place = async () => {
    const cache = await startCacheHost({ service: { commands: ['all'] } })
    const sidecar = await startSidecar({ connect: cache.address, service: { commands: ['all'] } })
    await ready(sidecar)
    return sidecar
  }
  const passes = async (program: string | undefined, script: string, args: string[]) => {
    const file = fileURLToPath(new URL(`clients/${script}`, import.meta.url))
    expect((await run(program!, [file, ...args], { timeout: 150_000 })).stdout).toMatch(/^\d+ checks passed\n$/)
  }

  for (const protocol of ['text', 'binary']) {
    test.skipIf(!php())(`php-memcached without persistent connections, ${protocol} (skipped when it is not installed)`, async () => {
      const sidecar = await place()
      for (let n = 0; n < 3; n++) await passes(php(), 'php_memcached_round_trip.php', [protocol, '127.0.0.1', String(sidecar.port)])
      await passes(php(), 'php_memcached_round_trip.php', [protocol, sidecar.socket, '0'])
    })
  }

  test.skipIf(!ruby())('ruby-dalli (skipped when it is not installed)', async () => {
    const sidecar = await place()
    await passes(ruby(), 'dalli_round_trip.rb', ['binary', `127.0.0.1:${sidecar.port}`])
    await passes(ruby(), 'dalli_round_trip.rb', ['binary', sidecar.socket])
  })

  test.skipIf(!python())('pymemcache (skipped when it is not installed)', async () => {
    const sidecar = await place()
    await passes(python(), 'pymemcache_round_trip.py', ['127.0.0.1', String(sidecar.port)])
  })

  test.skipIf(!find('memccp') || !find('memccat'))('memccp and memccat (skipped when they are not installed)', async () => {
    const sidecar = await place()
    const file = join(sidecar.daemon.folder, 'value.txt')
    writeFileSync(file, 'carried by libmemcached')
    await run('memccp', [`--servers=127.0.0.1:${sidecar.port}`, file])
    expect((await run('memccat', [`--servers=127.0.0.1:${sidecar.port}`, 'value.txt'])).stdout.trim()).toBe('carried by libmemcached')
  })

  test.skipIf(!memccapable())('libmemcached\'s own checks have the same results as directly (skipped when it is not installed)', async () => {
    // They flush and wait for what they stored to expire, so each has a memcached to itself, and all wait at once.
    await Promise.all(['-a', '-b'].map(async flag => {
      const results = async (port: number) => {
        const { stdout } = await run(memccapable()!, ['-h', '127.0.0.1', '-p', String(port), flag], { timeout: 150_000 })
          .catch((error: { stdout: string }) => error)
        return stdout.split('\n').filter(line => line.endsWith(']'))
      }
      const [direct, carried] = await Promise.all([results((await startMemcached()).port), results((await place()).port)])
      expect(direct.length).toBeGreaterThan(20)
      expect(carried).toEqual(direct)
    }))
  })
})
