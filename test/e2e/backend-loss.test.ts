// memcached is killed, frozen or not there while clients ask. What was in flight gets an error and no client is lost,
// but for those that hold a part of a reply, which nothing else may follow.
import { createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { askOnce, startScene, type Scene } from '../soak/scene.ts'
import { LoadClient, until } from '../soak/load-client.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { freePort } from '../support/ports.ts'
import { Rounds } from '../support/rounds.ts'
import { connect } from '../support/wire.ts'

async function load(scene: Scene, count: number, valueBytes: number, depth: number): Promise<LoadClient[]> {
  await scene.askMemcached(`set k 0 0 ${valueBytes}\r\n${'v'.repeat(valueBytes)}`)
  const clients: LoadClient[] = []
  for (let i = 0; i < count; i++) {
    const socket = await (i % 2 === 0 ? scene.open() : scene.openPlain())
    clients.push(new LoadClient(socket, { key: 'k', dialect: i % 3 === 2 ? 'binary' : 'text', depth }))
  }
  for (const client of clients) client.start()
  return clients
}

const isBroken = (client: LoadClient): boolean => client.hasEnded || client.error !== undefined
/** In words, since a socket prints long. */
const broken = (clients: LoadClient[]): string[] => clients.filter(isBroken).map(client => client.told)

/** Each has had another `count` replies or errors, as told by `of`. */
async function eachHasMore(clients: LoadClient[], of: 'answered' | 'errors', count: number): Promise<void> {
  const wanted = new Map(clients.map(client => [client, client[of] + count]))
  const late = (): LoadClient[] => clients.filter(client => client[of] < wanted.get(client)! && !isBroken(client))
  await until(() => late().length === 0, () => `${late().length} of ${clients.length} clients have not had ${count} ${of} more`)
}

function close(clients: LoadClient[]): void {
  for (const client of clients) client.socket.destroy()
}

test.each(['shared', 'private'] as const)('killed under load and started again, %s: errors meanwhile, nobody is lost', async sharing => {
  const scene = await startScene({ sharing, connections: sharing === 'shared' ? 2 : 'auto' })
  const clients = await load(scene, 30, 100, 8)
  await eachHasMore(clients, 'answered', 20)

  await scene.memcached.kill9()
  await eachHasMore(clients, 'errors', 8)
  expect(broken(clients)).toEqual([])

  await scene.memcached.start()
  await eachHasMore(clients, 'answered', 20)
  expect(broken(clients)).toEqual([])
  for (const client of clients) {
    expect(client.firstError).toMatch(/^(SERVER_ERROR|0x86) memseal: /)
  }
  expect(scene.daemon.logs('closed')).toEqual([])
  close(clients)
})

test('killed under replies of 1 MiB: only who holds half a reply is closed, and the log says so', async () => {
  const scene = await startScene({ connections: 2 })
  const clients = await load(scene, 18, 1024 * 1024, 2)
  await eachHasMore(clients, 'answered', 2)
  await scene.memcached.kill9()
  await eachHasMore(clients, 'errors', 2)

  const lost = clients.filter(isBroken)
  await until(() => scene.daemon.logs('closed').length === lost.length, () => 'as many log lines as lost connections')
  expect(scene.daemon.logs('closed').map(line => line.reason)).toEqual(lost.map(() => 'backend-lost-mid-reply'))
  for (const client of lost) expect(client.isAtBoundary).toBe(false)
  for (const client of clients) if (!lost.includes(client)) expect(client.firstError).toContain('memseal: ')
  // One reply at a time is under way on each of two connections in two services and two dialects.
  expect(lost.length).toBeLessThanOrEqual(8)

  await scene.memcached.start()
  await eachHasMore(clients, 'answered', 2)
  close(clients)
})

test('a backend that leaves in the middle of a reply: its client is closed, the others get errors', async () => {
  let asked = 0
  const backend = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', chunk => {
      if (chunk.includes('version')) socket.write('VERSION 1.6.18\r\n')
      // Keys, not lines: gets of two clients that come together leave as one line.
      asked += chunk.toString('latin1').split(' k').length - 1
      if (asked === 6) socket.end(Buffer.concat([Buffer.from('VALUE k 0 100000\r\n'), Buffer.alloc(50_000, 'v')]))
    })
  })
  await new Promise<void>(resolve => { backend.listen(0, '127.0.0.1', resolve) })
  onTestFinished(() => { backend.close() })
  const { port } = backend.address() as AddressInfo
  const daemon = await startDaemon({ services: { plain: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}` } } } })
  await daemon.waitForLog('backend-ready')
  const first = await connect({ port: daemon.port() })
  void first.write('get k\r\nget k\r\n')
  await until(() => asked === 2, () => 'the first client is in front')
  const others = [await connect({ port: daemon.port() }), await connect({ port: daemon.port() })]
  for (const other of others) void other.write('get k\r\nget k\r\n')

  const received = await first.readToEnd()
  expect(received.toString('latin1')).toMatch(/^VALUE k 0 100000\r\nv+$/)
  for (const other of others) {
    const error = 'SERVER_ERROR memseal: the backend closed the connection'
    expect([await other.readLine(), await other.readLine()]).toEqual([error, error])
    expect(other.hasEnded).toBe(false)
  }
  await daemon.waitForLog('closed')
  expect(daemon.logs('closed').map(line => line.reason)).toEqual(['backend-lost-mid-reply'])
})

test('frozen: what is in flight gets an error after reply_timeout, and service goes on after the thaw', async () => {
  const scene = await startScene({ backend: { reply_timeout: '2s', connect_timeout: '1s' } })
  const clients = await load(scene, 20, 100, 8)
  await eachHasMore(clients, 'answered', 20)
  await scene.memcached.freeze()
  await eachHasMore(clients, 'errors', 20)
  expect(broken(clients)).toEqual([])
  await scene.daemon.waitForLog(({ event, reason }) => event === 'backend-lost' && reason === 'reply-timeout')
  expect(clients.map(client => client.firstError).join()).toContain('no reply within 2000 ms')
  scene.memcached.thaw()
  await eachHasMore(clients, 'answered', 20)
  expect(broken(clients)).toEqual([])
  expect(scene.daemon.logs('closed')).toEqual([])
  close(clients)
})

test('not there at the start: errors in both dialects, and service when it comes', async () => {
  const port = await freePort()
  const daemon = await startDaemon({ services: { plain: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}` } } } })
  const text = await connect({ port: daemon.port() })
  void text.write('get a b\r\nset a 0 0 2 noreply\r\nhi\r\nmn\r\n')
  expect(await text.readLine()).toBe('SERVER_ERROR memseal: backend unavailable')
  const binary = await connect({ port: daemon.port() })
  const get = Buffer.from('800000010000000000000001deadbeef000000000000000061', 'hex')
  void binary.write(get)
  const header = await binary.readExactly(24)
  expect(header.readUInt16BE(6)).toBe(0x86)
  expect(header.toString('hex', 12, 16)).toBe('deadbeef')
  expect((await binary.readExactly(header.readUInt32BE(8))).toString()).toBe('memseal: backend unavailable')

  await startMemcached({ port })
  await until(() => daemon.logs('backend-ready').length >= 2, () => 'both dialects have a connection')
  expect(await text.readLine()).toMatch(/SERVER_ERROR/)
  expect(await text.ask('get a\r\n', 5)).toBe('END\r\n')
  void binary.write(get)
  expect((await binary.readExactly(24)).readUInt16BE(6)).toBe(1)
  expect(await askOnce(daemon.port(), 'version')).toMatch(/^VERSION /)
})

test('memseal itself stands still for longer than reply_timeout: the answers that wait for it are not lost', async () => {
  const scene = await startScene({ backend: { reply_timeout: '8s' } })
  const wire = await connect({ port: scene.plainPort })
  const rounds = await Rounds.ofItself({ port: scene.plainPort })
  const ofMemcached = await Rounds.of({ port: scene.memcached.port })
  await scene.memcached.freeze()
  await wire.write('set a 0 0 1\r\nx\r\nget a\r\n')
  await rounds.pass(1)
  scene.daemon.kill('SIGSTOP')
  scene.memcached.thaw()
  await ofMemcached.pass(10)
  await new Promise(resolve => { setTimeout(resolve, 8500) })
  scene.daemon.kill('SIGCONT')
  expect([await wire.readLine(), await wire.readLine()]).toEqual(['STORED', 'VALUE a 0 1'])
  await rounds.pass(3)
  expect(scene.daemon.logs('backend-lost')).toEqual([])
})
