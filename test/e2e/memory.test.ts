// Memory is bounded by what the configuration says, however clients behave, and the others are served meanwhile.
import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { LoadClient, until } from '../soak/load-client.ts'
import { residentBytes } from '../soak/memory.ts'
import { startScene, type Scene } from '../soak/scene.ts'
import { Rounds } from '../support/rounds.ts'
import { connect } from '../support/wire.ts'

const MIB = 1024 * 1024
/** What stands in no limit: TLS state and buffers of each connection (measured: 70-73 KB, of which a bare TLS server of
 *  Node has 68-72), and what waits for V8, which lets 64 MiB of dead buffers gather before it collects them. */
const PER_CONNECTION = 72 * 1024
const SLACK = (64 + 64) * MIB

/** Opens many connections, some at a time. */
async function openMany(scene: Scene, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  onTestFinished(() => { for (const socket of sockets) socket.destroy() })
  while (sockets.length < count) {
    const some = await Promise.all(Array.from({ length: Math.min(25, count - sockets.length) }, () => scene.open()))
    for (const socket of some) socket.on('error', () => {})
    sockets.push(...some)
  }
  return sockets
}

async function neighbour(scene: Scene): Promise<LoadClient> {
  await scene.askMemcached('set near 0 0 2\r\nhi')
  const client = new LoadClient(await scene.open(), { key: 'near', dialect: 'text', depth: 4 }).start()
  onTestFinished(() => { client.socket.destroy() })
  return client
}

async function isServed(client: LoadClient): Promise<void> {
  const wanted = client.answered + 200
  await until(() => client.answered >= wanted || client.hasEnded, () => client.told)
  expect({ told: client.told, hasEnded: client.hasEnded, errors: client.errors }).toEqual({ told: client.told, hasEnded: false, errors: 0 })
}

describe.skipIf(process.platform !== 'linux')('resident memory (skipped where there is no /proc)', () => {
  test('1,000 clients that stop in the middle of a set of 1 MiB', async () => {
    const limits = { request_memory: '64MiB', reply_memory: '64MiB', reply_backlog: '16MiB', request_timeout: '10s' }
    const scene = await startScene({ limits })
    const near = await neighbour(scene)
    const before = residentBytes(scene.daemon.pid)
    const stalled = await openMany(scene, 1000)
    const half = Buffer.concat([Buffer.from('set stalled 0 0 1048576\r\n'), Buffer.alloc(MIB / 2, 'v')])
    let peak = 0
    for (let at = 0; at < stalled.length; at += 50) {
      for (const socket of stalled.slice(at, at + 50)) if (socket.writable) socket.write(half)
      await isServed(near)
      peak = Math.max(peak, residentBytes(scene.daemon.pid))
    }
    // A whole request of that size is still taken.
    const value = Buffer.concat([Buffer.from('set whole 0 0 1000000\r\n'), Buffer.alloc(1_000_000, 'w'), Buffer.from('\r\n')])
    const whole = await connect({ port: scene.plainPort })
    expect(await whole.ask(value, 8)).toBe('STORED\r\n')

    await until(() => scene.daemon.logs('closed').length === 1000, () => `all 1,000 closed, not ${scene.daemon.logs('closed').length}`)
    const reasons = new Set(scene.daemon.logs('closed').map(line => line.reason))
    expect(reasons).toEqual(new Set(['request-memory', 'request-timeout']))
    await isServed(near)
    peak = Math.max(peak, residentBytes(scene.daemon.pid))
    expect((peak - before) / MIB).toBeLessThan((64 * MIB + 1000 * PER_CONNECTION + SLACK) / MIB)
  })

  test('100 clients that ask for values of 1 MiB and never read', async () => {
    const limits = { request_memory: '64MiB', reply_memory: '64MiB', reply_backlog: '16MiB' }
    // A gigabyte stands before the neighbour's replies, and a busy machine takes its time over that.
    const scene = await startScene({ limits, backend: { reply_timeout: '2m' } })
    await scene.askMemcached(`set k 0 0 ${MIB}\r\n${'v'.repeat(MIB)}`)
    const near = await neighbour(scene)
    const before = residentBytes(scene.daemon.pid)
    const deaf = await openMany(scene, 100)
    let peak = 0
    for (const socket of deaf) socket.pause()
    for (let round = 0; round < 4; round++) {
      for (const socket of deaf) if (socket.writable) socket.write('get k\r\n'.repeat(8))
      for (let n = 0; n < 5; n++) {
        await isServed(near)
        peak = Math.max(peak, residentBytes(scene.daemon.pid))
      }
    }
    // Beside the reply memory, each client's last write waits once more, encrypted, in its socket.
    expect((peak - before) / MIB).toBeLessThan((64 * MIB + 100 * (PER_CONNECTION + 256 * 1024) + SLACK) / MIB)
    await scene.daemon.waitForLog(line => line.reason === 'reply-memory')
    expect(scene.daemon.logs('backend-lost')).toEqual([])
  })

  test('one byte at a time: a value that arrives in small pieces takes no more than its size', async () => {
    const scene = await startScene({ limits: { request_memory: '64MiB' } })
    const before = residentBytes(scene.daemon.pid)
    const sockets = await Promise.all(Array.from({ length: 8 }, () => scene.open()))
    onTestFinished(() => { for (const socket of sockets) socket.destroy() })
    const bytes = 15_000
    for (const socket of sockets) socket.write(`set a 0 0 ${bytes}\r\n`)
    for (let n = 0; n < bytes; n++) {
      // Each as a record of its own: a write that waits would be joined with the next.
      await Promise.all(sockets.map(socket => new Promise(resolve => { socket.write('v', resolve) })))
    }
    const grown = residentBytes(scene.daemon.pid) - before
    const stored = sockets.map(socket => new Promise(resolve => { socket.once('data', resolve) }))
    for (const socket of sockets) socket.write('\r\n')
    await Promise.all(stored)
    expect(grown / MIB).toBeLessThan(SLACK / MIB)
  })
})

test('request_memory: a request of that size is held, one byte more is refused, and the connection goes on', async () => {
  const scene = await startScene({ limits: { request_memory: '1MiB', request_size: '2MiB' } })
  const set = (valueBytes: number): Buffer[] => [
    Buffer.from(`set a 0 0 ${valueBytes}\r\n`), Buffer.concat([Buffer.alloc(valueBytes, 'v'), Buffer.from('\r\n')]),
  ]
  const lineBytes = 'set a 0 0 1000000\r\n'.length
  const wire = await connect({ port: scene.plainPort })
  const rounds = await Rounds.of({ port: scene.plainPort })
  for (const [valueBytes, reply] of [
    [MIB - lineBytes - 2, 'STORED'],
    [MIB - lineBytes - 1, 'SERVER_ERROR memseal: out of memory holding the request'],
    [10, 'STORED'],
  ] as const) {
    for (const piece of set(valueBytes)) {
      await wire.write(piece)
      await rounds.pass(1)
    }
    expect(await wire.readLine()).toBe(reply)
  }
})

test('request_memory: above it the request that was begun first goes', async () => {
  const scene = await startScene({ limits: { request_memory: '1MiB', request_size: '2MiB' } })
  const rounds = await Rounds.of({ port: scene.plainPort })
  const begin = async (valueBytes: number): ReturnType<typeof connect> => {
    const wire = await connect({ port: scene.plainPort })
    await wire.write(`set a 0 0 1000000\r\n${'v'.repeat(valueBytes)}`)
    await rounds.pass(3)
    return wire
  }
  const first = await begin(400_000)
  const second = await begin(400_000)
  expect(first.hasEnded).toBe(false)
  const third = await begin(400_000)
  await first.readToEnd()
  await scene.daemon.waitForLog('closed')
  expect([second.hasEnded, third.hasEnded]).toEqual([false, false])
  expect(scene.daemon.logs('closed').map(line => line.reason)).toEqual(['request-memory'])
})

test('reply_backlog: for clients that leave much unread nothing more is asked, and each gets all when it reads', async () => {
  const scene = await startScene({ limits: { reply_backlog: '12MiB' } })
  await scene.askMemcached(`set k 0 0 ${MIB}\r\n${'v'.repeat(MIB)}`)
  const ask = async (count: number): Promise<Socket> => {
    const socket = await scene.openPlain()
    onTestFinished(() => { socket.destroy() })
    socket.pause()
    socket.write('get k\r\n'.repeat(count))
    return socket
  }
  for (const [count, socket] of [[8, await ask(8)], [60, await ask(60)]] as const) {
    const whole = count * (`VALUE k 0 ${MIB}\r\n`.length + MIB + '\r\nEND\r\n'.length)
    let received = 0
    socket.on('data', chunk => { received += chunk.length })
    socket.resume()
    await until(() => received === whole, () => `${received} of ${whole} bytes`)
  }
  expect(scene.daemon.logs('closed')).toEqual([])
})

test('request_timeout: a request that stops is closed, a client that never stops storing is not', async () => {
  const scene = await startScene({ limits: { request_timeout: '3s' } })
  const stalled = await connect({ port: scene.plainPort })
  void stalled.write('set a 0 0 100\r\nvvv')
  const busy = await connect({ port: scene.plainPort })
  // Each write ends in the middle of a request.
  const request = `set b 0 0 10 noreply\r\n${'v'.repeat(10)}\r\n`
  void busy.write(request.slice(0, 30))
  while (!stalled.hasEnded) {
    void busy.write(request.slice(30) + request.slice(0, 30))
    await new Promise(resolve => { setTimeout(resolve, 50) })
  }
  void busy.write(request.slice(30) + 'get b\r\n')
  expect(await busy.readLine()).toBe('VALUE b 0 10')
  await scene.daemon.waitForLog('closed')
  expect(scene.daemon.logs('closed').map(line => line.reason)).toEqual(['request-timeout'])
})
