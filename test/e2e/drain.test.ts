// SIGTERM under load: every client gets the replies that it is owed, whole, then the end of its connection. Nobody new
// gets in, and a second SIGTERM or drain_timeout ends what still waits.
import { connect as connectPlain, createServer, type AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { LoadClient, until } from '../soak/load-client.ts'
import { startScene, type Scene } from '../soak/scene.ts'
import { Rounds } from '../support/rounds.ts'
import { as, connect as connectWire } from '../support/wire.ts'

async function load(scene: Scene, count: number, valueBytes: number): Promise<LoadClient[]> {
  await scene.askMemcached(`set k 0 0 ${valueBytes}\r\n${'v'.repeat(valueBytes)}`)
  const clients: LoadClient[] = []
  for (let i = 0; i < count; i++) {
    const socket = await (i % 4 === 3 ? scene.openPlain() : scene.open())
    clients.push(new LoadClient(socket, { key: 'k', dialect: i % 3 === 2 ? 'binary' : 'text', depth: 1 + i % 16 }))
  }
  for (const client of clients) client.start()
  await until(() => clients.every(client => client.answered >= 20), () => 'each client is served')
  return clients
}

test.each([
  ['shared', 100], ['shared', 100_000], ['private', 20_000],
] as const)('under load, %s, values of %i bytes: each client\'s bytes end with a whole reply', async (sharing, valueBytes) => {
  const scene = await startScene({ sharing })
  const clients = await load(scene, 30, valueBytes)
  scene.daemon.kill('SIGTERM')
  await Promise.all(clients.map(client => client.closed))
  const cutOff = clients.filter(client => !client.isAtBoundary || !client.hasEnded || client.error !== undefined || client.errors > 0)
  expect(cutOff.map(client => client.told)).toEqual([])
  expect((await scene.daemon.exited()).code).toBe(0)
  expect(new Set(scene.daemon.logs('closed').map(line => line.reason))).toEqual(new Set(['drain']))
})

test('what was asked before is answered, idle clients leave at once, and nobody new gets in', async () => {
  const scene = await startScene({ backend: { reply_timeout: '10m', probe_interval: 'off' } })
  const idle = await connectWire({ port: scene.plainPort })
  expect(await idle.ask('get a\r\n', 5)).toBe('END\r\n')
  const busy = await connectWire({ port: scene.plainPort })
  expect(await busy.ask('get a\r\n', 5)).toBe('END\r\n')
  const rounds = await Rounds.ofItself({ port: scene.plainPort })
  await scene.memcached.freeze()
  await busy.write('get a\r\nset b 0 0 2\r\nhi\r\nget b\r\n')
  await rounds.pass(1)
  scene.daemon.kill('SIGTERM')
  expect((await idle.readToEnd()).length).toBe(0)
  expect(busy.hasEnded).toBe(false)

  const late = connectPlain({ port: scene.plainPort, host: '127.0.0.1' })
  const code = await new Promise(resolve => { late.on('error', (error: NodeJS.ErrnoException) => resolve(error.code)) })
  expect(code).toBe('ECONNREFUSED')

  scene.memcached.thaw()
  expect((await busy.readToEnd()).toString()).toBe('END\r\nSTORED\r\nVALUE b 0 2\r\nhi\r\nEND\r\n')
  expect((await scene.daemon.exited()).code).toBe(0)
})

test('a value that is still on its way to a private connection is taken whole', async () => {
  const scene = await startScene({ sharing: 'private' })
  const wire = await connectWire({ port: scene.plainPort })
  const rounds = await Rounds.ofItself({ port: scene.plainPort })
  await wire.write('get a\r\nset b 0 0 100000\r\n' + 'v'.repeat(40_000))
  await rounds.pass(2)
  scene.daemon.kill('SIGTERM')
  // An idle client goes; who was to go with it has gone by then.
  await rounds.ended
  void wire.write('v'.repeat(60_000) + '\r\n')
  expect((await wire.readToEnd()).toString()).toBe('END\r\nSTORED\r\n')
  expect((await scene.daemon.exited()).code).toBe(0)
})

test('TLS ends with close_notify', async () => {
  const scene = await startScene()
  const { ca, client } = scene.certificates
  // TLS 1.2, where the type of a record can be seen from outside.
  const records: Buffer[] = []
  const relay = createServer({ allowHalfOpen: true }, near => {
    const far = connectPlain({ port: scene.tlsPort, host: '127.0.0.1', allowHalfOpen: true })
    near.on('data', chunk => far.write(chunk))
    near.on('end', () => far.end())
    far.on('data', chunk => { records.push(chunk as Buffer); near.write(chunk) })
    far.on('end', () => near.end())
    near.on('error', () => {})
    far.on('error', () => {})
  })
  await new Promise<void>(resolve => { relay.listen(0, '127.0.0.1', resolve) })
  onTestFinished(() => { relay.close() })
  const socket = connectTls({ port: (relay.address() as AddressInfo).port, host: '127.0.0.1', maxVersion: 'TLSv1.2', ...as(client, ca) })
  const ended = new Promise<string>(resolve => {
    socket.on('end', () => resolve('end'))
    socket.on('error', error => resolve(error.message))
  })
  socket.write('get a\r\n')
  await new Promise(resolve => { socket.on('data', resolve) })
  scene.daemon.kill('SIGTERM')
  expect(await ended).toBe('end')
  expect(lastRecordType(Buffer.concat(records))).toBe(21)
})

/** Type of the last TLS record: 21 is an alert, such as close_notify. */
function lastRecordType(bytes: Buffer): number {
  let type = 0
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) type = bytes[at]
  return type
}

/** A client that asks for much and reads nothing. */
async function deafClient(scene: Scene): Promise<void> {
  await scene.askMemcached(`set k 0 0 1000000\r\n${'v'.repeat(1_000_000)}`)
  const socket = await scene.openPlain()
  onTestFinished(() => { socket.destroy() })
  socket.on('error', () => {})
  socket.pause()
  await new Promise(resolve => { socket.write('get k\r\n'.repeat(20), resolve) })
  // On the one connection to memcached this comes behind the replies that it is owed.
  const rounds = await Rounds.of({ port: scene.plainPort })
  await rounds.pass(2)
  rounds.end()
}

test('a second SIGTERM ends at once', async () => {
  const scene = await startScene({ drainTimeout: '1h' })
  await deafClient(scene)
  scene.daemon.kill('SIGTERM')
  await scene.daemon.waitForLog('draining')
  expect(scene.daemon.isRunning).toBe(true)
  scene.daemon.kill('SIGTERM')
  expect((await scene.daemon.exited()).code).toBe(0)
})

test('drain_timeout ends a client that never takes its replies', async () => {
  const scene = await startScene({ drainTimeout: '500ms' })
  await deafClient(scene)
  scene.daemon.kill('SIGTERM')
  expect((await scene.daemon.exited()).code).toBe(0)
  expect(scene.daemon.logs('closed').at(-1)).toMatchObject({ requests: 20, reason: 'drain-timeout' })
})
