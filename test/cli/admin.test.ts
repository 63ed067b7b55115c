import { once } from 'node:events'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { commandHere } from '../support/command.ts'
import { runMemseal, startDaemon, type ConfigText, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

async function running(backend?: string): Promise<{ daemon: Daemon, socket: string, ask: (...args: string[]) => ReturnType<typeof commandHere> }> {
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
    ask: (command, ...args) => commandHere([command, '--config', daemon.configFile, ...args]),
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
  expect(await ask('status', '--alive')).toMatchObject({ code: 1, stderr: expect.stringMatching(/nobody answers on .*\n.*if admin\.listen was changed since its start, give --admin with the old place/) })
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
  const kill = (id: string, ...more: string[]) => commandHere(['kill', id, '--config', daemon.configFile, ...more])
  expect(await kill('c1')).toMatchObject({ code: 0, stdout: 'c1 is closed.\n' })
  await wire.closed
  expect(await kill('c1')).toMatchObject({ code: 1, stderr: 'memseal kill: there is no connection c1; it may have left.\n' })
  expect(await kill('17')).toMatchObject({ code: 2, stderr: expect.stringContaining('"17" is not a connection.') })
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
  const { code, stdout, stderr } = await commandHere([command, '--admin', socket])
  expect([code, stdout, stderr]).toEqual([1, '',
    `memseal ${command}: nobody answers on ${socket}: memseal is not running, or its admin listener is elsewhere.\nStart it; or, if admin.listen was changed since its start, give --admin with the old place: the new one needs a restart.\n`])
})

test('where to ask: --admin, then --config, then MEMSEAL_ADMIN, then the configuration that is found', async () => {
  const { socket, daemon } = await running()
  const nowhere = `unix:${join(tempFolder(), 'no.sock')}`
  const file = join(tempFolder(), 'memseal.yaml')
  writeFileSync(file, `admin: { listen: "${nowhere}" }\nservices: { cache: { listen: 127.0.0.1:0 } }\n`)
  const code = async (args: string[], env: Record<string, string>) => (await commandHere(['status', ...args], { env })).code
  expect(await code(['--admin', socket], { MEMSEAL_ADMIN: nowhere })).toBe(0)
  expect(await code([], { MEMSEAL_ADMIN: socket })).toBe(0)
  expect(await code(['--config', daemon.configFile], { MEMSEAL_ADMIN: nowhere, MEMSEAL_CONFIG: file })).toBe(0)
  expect(await code(['--config', file], { MEMSEAL_ADMIN: socket })).toBe(1)
  expect(await code([], { MEMSEAL_CONFIG: file })).toBe(1)
  expect(await code([], { MEMSEAL_CONFIG: daemon.configFile })).toBe(0)
  writeFileSync(file, 'services: { cache: { listen: 127.0.0.1:0 } }\n')
  expect(await commandHere(['status', '--config', file])).toMatchObject({ code: 1, stderr: expect.stringContaining(`${file} names no admin listener.`) })
  expect(await commandHere(['status', '--admin', 'somewhere'])).toMatchObject({ code: 2 })
})

const orders = [['status'], ['connections'], ['reload'], ['drain'], ['kill', 'c1']]

test('orders that are meant for another configuration are refused, by whatever way they come, and nothing is done', async () => {
  const { socket, daemon } = await running()
  const client = await connect({ port: daemon.port(), tls: as((await pki()).client, (await pki()).ca) })
  await client.ask('mn\r\n', 4)
  const other = join(tempFolder(), 'web.yaml')
  // Another file with the same socket, as copies have; and another file beside a socket that was given.
  writeFileSync(other, readFileSync(daemon.configFile, 'utf8'))
  for (const order of orders) {
    for (const [args, env] of [[['--config', other], {}], [['--config', other, '--admin', socket], {}], [[], { MEMSEAL_CONFIG: other, MEMSEAL_ADMIN: socket }]] as const) {
      const { code, stdout, stderr } = await commandHere([...order, ...args], { env })
      expect([code, stdout]).toEqual([1, ''])
      expect(stderr).toBe(`memseal ${order[0]}: ${socket} belongs to another instance: this is memseal of ${daemon.configFile}\n`
        + `This was meant for ${other}. Nothing was done. Give --config with that file, or --admin alone to ask whoever answers there.\n`)
    }
  }
  expect(await client.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect([daemon.logs('draining'), daemon.logs('reloaded'), daemon.logs('killed')]).toEqual([[], [], []])
})

test('the same file by another name is the same', async () => {
  const { daemon } = await running()
  const link = join(tempFolder(), 'link.yaml')
  symlinkSync(daemon.configFile, link)
  expect((await commandHere(['status', '--config', link])).code).toBe(0)
  const { code, stdout } = await runMemseal(['reload', '--json', '--config', 'memseal.yaml'], { cwd: daemon.folder })
  expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ result: 'unchanged', configuration: daemon.configFile })])
})

test.each(orders)('a file that does not say where to ask, since it has faults, is told with all of them, and nobody is asked: %s', async (...order) => {
  const { daemon } = await running()
  const text = readFileSync(daemon.configFile, 'utf8')
  writeFileSync(daemon.configFile, text.replace(/listen: unix:\S+/, 'listen: nowhere').concat('drain_timeout: 7\n'))
  const semantic = await commandHere([...order, '--config', daemon.configFile])
  expect(semantic.code).toBe(78)
  expect(semantic.stderr).toMatch(/memseal\.yaml:2:\d+ {2}admin\.listen: [^]*memseal\.yaml:\d+:\d+ {2}drain_timeout: "7"/)
  expect(semantic.stderr).toContain(`memseal ${order[0]}: ${daemon.configFile} has faults and does not say where to ask.`)
  writeFileSync(daemon.configFile, `${text}\tx: [\n`)
  const broken = await commandHere([...order, '--config', daemon.configFile, '--json'])
  expect([broken.code, broken.stderr]).toEqual([78, ''])
  expect(JSON.parse(broken.stdout)).toMatchObject({ error: expect.stringContaining('has faults'), reasons: expect.arrayContaining([expect.stringMatching(/memseal\.yaml:\d+:\d+ this is not YAML/)]) })
  expect(daemon.isRunning).toBe(true)
  expect(daemon.logs('draining')).toEqual([])
})

test('reload of a broken file says why, whoever answers on whatever socket', async () => {
  const { daemon, socket } = await running()
  const nobody = `unix:${join(tempFolder(), 'no.sock')}`
  writeFileSync(daemon.configFile, `${readFileSync(daemon.configFile, 'utf8')}\tx: [\n`)
  for (const admin of [socket, nobody]) {
    const { code, stderr } = await commandHere(['reload', '--config', daemon.configFile, '--admin', admin])
    expect(code).toBe(78)
    expect(stderr).toMatch(/memseal\.yaml:\d+:\d+ +this is not YAML/)
  }
  const missing = join(tempFolder(), 'nowhere.yaml')
  expect(await commandHere(['reload', '--config', missing])).toMatchObject({ code: 78, stderr: expect.stringContaining(`${missing}:1:1  there is no such file.`) })
})

test('who is not memseal is told as that, and never by a stack trace', async () => {
  const page = createHttpServer((_, response) => { response.end('<html>') }).listen(0, '127.0.0.1')
  const talker = createServer(socket => { socket.on('error', () => {}).end('ERROR\r\n') }).listen(0, '127.0.0.1')
  onTestFinished(() => { page.close(); talker.close() })
  await Promise.all([once(page, 'listening'), once(talker, 'listening')])
  for (const server of [page, talker]) {
    const admin = `127.0.0.1:${(server.address() as AddressInfo).port}`
    for (const order of [['status'], ['reload']]) {
      const { code, stderr } = await commandHere([...order, '--admin', admin])
      expect([code, stderr]).toEqual([1, `memseal ${order[0]}: who answers on ${admin} is not memseal.\nGive --admin unix:/PATH.\n`])
    }
  }
})

test('with --json every answer is one object on standard output, also of what went wrong', async () => {
  const { ask, daemon } = await running()
  const json = async (command: string, ...args: string[]) => JSON.parse((await ask(command, ...args, '--json')).stdout) as Record<string, unknown>
  expect(await json('status')).toMatchObject({ configuration: daemon.configFile })
  expect(await json('connections')).toEqual({ total: 0, connections: [] })
  expect(await json('reload')).toMatchObject({ result: 'unchanged', configuration: daemon.configFile })
  expect(JSON.parse((await commandHere(['kill', 'c9', '--json', '--config', daemon.configFile])).stdout)).toEqual({ error: 'there is no connection c9; it may have left.' })
  expect(await json('drain')).toEqual({ clients: 0, drained: true, configuration: daemon.configFile })
  await daemon.exited()
  expect(await json('status')).toMatchObject({ error: expect.stringContaining('nobody answers on') })
})
