import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runMemseal, startDaemon, type ConfigText, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

async function running(backend?: string): Promise<{ daemon: Daemon, socket: string, ask: (...args: string[]) => ReturnType<typeof runMemseal> }> {
  const { server, ca } = await pki()
  const connectTo = backend ?? `127.0.0.1:${(await startMemcached()).port}`
  const daemon = await startDaemon(folder => ({
    admin: { listen: `unix:${join(folder, 'admin.sock')}` },
    services: { cache: {
      listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, backend: { connect: connectTo },
    } },
  }) as ConfigText)
  await daemon.waitForLog('admin-listening')
  if (backend === undefined) await daemon.waitForLog('ready')
  return {
    daemon, socket: `unix:${join(daemon.folder, 'admin.sock')}`,
    ask: (command, ...args) => runMemseal([command, '--config', daemon.configFile, ...args]),
  }
}

test('status says what runs, and its exit status whether it is ready', async () => {
  const { ask } = await running()
  const { code, stdout } = await ask('status')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^memseal \d+\.\d+\.\d+ on Node v\d+.*: ready\n/)
  for (const line of [/listens on +127\.0\.0\.1:\d+ \(TLS\)/, /certificate +O=memseal tests, CN=localhost; /, /SHA-256 [0-9A-F:]{95}/, /server\.crt, good until \d{4}-/, /client CA +O=memseal tests, CN=memseal test CA, good until .*, SHA-256 [0-9A-F:]{95}/, /backend +127\.0\.0\.1:\d+: up/]) {
    expect(stdout).toMatch(line)
  }
  expect(JSON.parse((await ask('status', '--json')).stdout)).toMatchObject({ notReady: [], services: [{ name: 'cache' }] })
})

test('status fails when memcached is away, and says so', async () => {
  const { ask } = await running(`127.0.0.1:${await freePort()}`)
  const { code, stdout } = await ask('status')
  expect(code).toBe(1)
  expect(stdout).toMatch(/NOT READY\n {2}service cache has no connection to its backend/)
  expect(stdout).toMatch(/backend +127\.0\.0\.1:\d+: DOWN/)
})

test('status --alive is for health checks that restart: it fails only when nobody answers', async () => {
  const { daemon, ask } = await running(`127.0.0.1:${await freePort()}`)
  expect(await ask('status', '--alive')).toMatchObject({ code: 0, stdout: expect.stringContaining('NOT READY') })
  await daemon.stop()
  expect(await ask('status', '--alive')).toMatchObject({ code: 1, stderr: expect.stringContaining('nobody answers on') })
})

test('connections are a table, and kill closes one of them', async () => {
  const { daemon, ask } = await running()
  const { client, ca } = await pki()
  expect((await ask('connections')).stdout).toBe('No client is connected.\n')
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  await wire.ask('mn\r\n', 4)
  const { stdout } = await ask('connections')
  expect(stdout.split('\n')[0]).toMatch(/^id +service +client +certificate +tls +age +idle +requests/)
  expect(stdout.split('\n')[1]).toMatch(/^c1 +cache +127\.0\.0\.1:\d+ +O=memseal tests, OU=web, CN=client +TLSv1\.3 +\d+s +\d+s +1 /)
  const kill = (id: string, ...more: string[]) => runMemseal(['kill', id, '--config', daemon.configFile, ...more])
  expect(await kill('c1')).toMatchObject({ code: 0, stdout: 'c1 is closed.\n' })
  await wire.closed
  expect(await kill('c1')).toMatchObject({ code: 1, stderr: 'memseal kill: there is no connection c1; it may have left.\n' })
  expect(await kill('17')).toMatchObject({ code: 2, stderr: expect.stringContaining('"17" is no connection.') })
})

test('reload prints what changed, or every reason why not', async () => {
  const { daemon, ask } = await running()
  const text = readFileSync(daemon.configFile, 'utf8')
  expect(await ask('reload')).toMatchObject({ code: 0, stdout: 'Nothing has changed.\n', stderr: '' })
  writeFileSync(daemon.configFile, text.replace('services:', 'drain_timeout: 5s\nservices:'))
  expect(await ask('reload')).toMatchObject({ code: 0, stdout: 'drain_timeout: 30s is now 5s\n' })
  writeFileSync(daemon.configFile, `${text}workers: 1\ndrain_timeout: 7\n`)
  const line = text.split('\n').length
  const { code, stdout, stderr } = await ask('reload')
  expect([code, stdout]).toEqual([78, ''])
  expect(stderr.split('\n')).toEqual([
    expect.stringContaining(`${daemon.configFile}:${line}:1 workers: there is no key "workers" here.`),
    expect.stringContaining(`${daemon.configFile}:${line + 1}:16 drain_timeout: "7" is not a duration`),
    'Nothing was changed: memseal goes on with what it had.', '',
  ])
  expect((await ask('status')).stdout).toContain('REFUSED, and nothing was changed:')
  expect(JSON.parse((await ask('reload', '--json')).stdout)).toMatchObject({ result: 'refused' })
})

test('drain waits until memseal has ended', async () => {
  const { daemon, ask } = await running()
  expect(await ask('drain')).toMatchObject({ code: 0, stdout: 'Draining 0 connections, 30s at the most.\nmemseal has ended.\n' })
  expect((await daemon.exited()).code).toBe(0)
})

test.each(['status', 'connections', 'reload', 'drain'])('%s says that nobody is there', async command => {
  const socket = `unix:${join(tempFolder(), 'admin.sock')}`
  const { code, stdout, stderr } = await runMemseal([command, '--admin', socket])
  expect([code, stdout, stderr]).toEqual([1, '',
    `memseal ${command}: nobody answers on ${socket}: memseal is not running, or its admin listener is elsewhere.\nStart it, or give --admin unix:/PATH.\n`])
})

test('where to ask: --admin, then MEMSEAL_ADMIN, then the configuration', async () => {
  const { socket } = await running()
  const nowhere = `unix:${join(tempFolder(), 'no.sock')}`
  const file = join(tempFolder(), 'memseal.yaml')
  writeFileSync(file, `admin: { listen: "${nowhere}" }\nservices: { cache: { listen: 127.0.0.1:0 } }\n`)
  const code = async (args: string[], env: Record<string, string>) => (await runMemseal(['status', ...args], { env })).code
  expect(await code(['--admin', socket, '--config', file], { MEMSEAL_ADMIN: nowhere })).toBe(0)
  expect(await code(['--config', file], { MEMSEAL_ADMIN: socket })).toBe(0)
  expect(await code([], { MEMSEAL_CONFIG: file })).toBe(1)
  writeFileSync(file, 'services: { cache: { listen: 127.0.0.1:0 } }\n')
  expect(await runMemseal(['status', '--config', file])).toMatchObject({ code: 1, stderr: expect.stringContaining(`${file} names no admin listener.`) })
  expect(await runMemseal(['status', '--admin', 'somewhere'])).toMatchObject({ code: 2 })
})
