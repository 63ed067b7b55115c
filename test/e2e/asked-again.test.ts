// A read whose lane dies before a byte of its answer came is asked once more on another lane, in its client's order. A write
// never is. The backend here is a stand-in that dies when it is told to and keeps all that it was asked.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startDaemon } from '../support/daemon.ts'
import { prng } from '../support/prng.ts'
import { connect, type Wire } from '../support/wire.ts'
import { until } from '../soak/load-client.ts'
import { op, packet } from './support/binary.ts'

type Behaviour = (lane: Lane, request: string) => void

class Lane {
  readonly socket: Socket
  asked = ''
  constructor(socket: Socket) {
    this.socket = socket
  }
}

/** Lanes in the order in which clients' first bytes came to them. */
class Backend {
  readonly used: Lane[] = []
  connections = 0

  async start(behaviours: Behaviour[]): Promise<number> {
    const server = createServer(socket => {
      const lane = new Lane(socket)
      this.connections++
      socket.on('error', () => {})
      onTestFinished(() => void socket.destroy())
      socket.on('data', (bytes: Buffer) => {
        let text = bytes.toString('latin1')
        if (text.startsWith('version\r\n')) {
          socket.write('VERSION 1.6.31\r\n')
          text = text.slice('version\r\n'.length)
        } else if (bytes[0] === 0x80 && bytes[1] === op.version) {
          const reply = Buffer.concat([bytes.subarray(0, 24), Buffer.from('1.6.31')])
          reply[0] = 0x81
          reply.writeUInt32BE(6, 8)
          socket.write(reply)
          // A new lane's NOOP is behind it.
          const noop = Buffer.from(bytes.subarray(24))
          if (noop.length > 0) noop[0] = 0x81
          socket.write(noop)
          return
        }
        if (text === '') return
        if (!this.used.includes(lane)) this.used.push(lane)
        lane.asked += text
        behaviours[Math.min(this.used.indexOf(lane), behaviours.length - 1)](lane, text)
      })
    })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    onTestFinished(() => void server.close())
    return (server.address() as AddressInfo).port
  }
}

const dies: Behaviour = lane => lane.socket.destroy()

/** As memcached with every key as its own value. */
const answers: Behaviour = (lane, request) => {
  let reply = ''
  for (const line of request.split('\r\n')) {
    const [verb, ...words] = line.split(' ')
    if (verb === 'get') reply += words.map(key => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`).join('') + 'END\r\n'
    else if (verb === 'gets') reply += words.map(key => `VALUE ${key} 0 ${key.length} 7\r\n${key}\r\n`).join('') + 'END\r\n'
    else if (verb === 'mg') {
      const [key, ...flags] = words
      const shown = flags.filter(flag => /^[kO]/.test(flag)).map(flag => ` ${flag === 'k' ? `k${key}` : flag}`).join('')
      reply += `VA ${key.length}${shown}\r\n${key}\r\n`
    }
    else if (verb === 'mn') reply += 'MN\r\n'
    else if (verb === 'incr') reply += '5\r\n'
  }
  lane.socket.write(reply)
}

interface Scene { backend: Backend, wire: Wire }

async function scene(behaviours: Behaviour[], backendKeys: Record<string, unknown> = {}): Promise<Scene> {
  return (await scenes(1, behaviours, backendKeys))[0]
}

/** Services of one memseal, each with a backend of its own that behaves so. */
async function scenes(count: number, behaviours: Behaviour[], backendKeys: Record<string, unknown> = {}): Promise<Scene[]> {
  const backends = Array.from({ length: count }, () => new Backend())
  const services: Record<string, unknown> = {}
  for (const [at, backend] of backends.entries()) {
    const port = await backend.start(behaviours)
    services[`s${at}`] = { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}`, connections: 2, probe_interval: 'off', reply_timeout: '1m', ...backendKeys } }
  }
  const daemon = await startDaemon({ services })
  await until(() => daemon.logs('backend-ready').length === 2 * count, () => 'both lanes are ready')
  return Promise.all(backends.map(async (backend, at) => ({ backend, wire: await connect({ port: daemon.port(`s${at}`) }) })))
}

const lost = 'SERVER_ERROR memseal: the backend closed the connection\r\n'
const value = (key: string) => `VALUE ${key} 0 1\r\n${key}\r\nEND\r\n`

test('reads are asked again, writes get their errors, and all stay in their order', async () => {
  const { backend, wire } = await scene([dies, answers])
  await wire.write('get a\r\nincr n 1\r\nget b c\r\nget\r\nset x 0 0 1 noreply\r\nx\r\ndelete x\r\ngat 0 a\r\ngets d\r\nmn\r\n')
  const expected = [
    value('a'), lost, 'VALUE b 0 1\r\nb\r\nVALUE c 0 1\r\nc\r\nEND\r\n', 'ERROR\r\n', lost, lost, 'VALUE d 0 1 7\r\nd\r\nEND\r\n', 'MN\r\n',
  ].join('')
  expect((await wire.readExactly(expected.length)).toString('latin1')).toBe(expected)
  expect(backend.used[1].asked).toBe('get a\r\nget b c\r\ngets d\r\n')
  // What it asks next comes behind, on the lane where its reads went on.
  expect(await wire.ask('get e\r\n', value('e').length)).toBe(value('e'))
})

test('a lone mg that changes nothing is asked again; with other flags, or among others, it is not', async () => {
  const cases = [
    ['mg k v\r\n', true], ['mg k s v t k O123\r\n', true], ['mg k v T30\r\n', false], ['mg k v N30\r\n', false], ['mg k v R30\r\n', false],
    ['mg a v\r\nmg b v\r\n', false], ['mg a v q\r\nmn\r\n', false], ['md k\r\n', false], ['ma k\r\n', false], ['me k\r\n', false],
  ] as const
  const places = await scenes(cases.length, [dies, answers])
  for (const [at, [request, isAskedAgain]] of cases.entries()) {
    const { backend, wire } = places[at]
    await wire.write(request)
    const line = await wire.readLine()
    expect(`${request} ${line}`).toBe(`${request} ${isAskedAgain ? / k O123/.test(request) ? 'VA 1 kk O123' : 'VA 1' : lost.trim()}`)
    // What shows neither key nor opaque in its answer has a fence behind it.
    const fence = / [kO]/.test(request.slice('mg k'.length)) ? '' : 'mn\r\n'
    expect(backend.used[1]?.asked).toBe(isAskedAgain ? request + fence : undefined)
  }
})

test('never a third time', async () => {
  const { backend, wire } = await scene([dies, dies, answers])
  expect(await wire.ask('get a\r\n', lost.length)).toBe(lost)
  expect(backend.used.map(({ asked }) => asked)).toEqual(['get a\r\n', 'get a\r\n'])
})

test('not when a byte of the answer has come: a part that was held becomes an error, what lies behind it is asked again', async () => {
  const { backend, wire } = await scene([lane => { lane.socket.end('VALUE a 0 1\r\n') }, answers])
  expect(await wire.ask('get a\r\nget b\r\n', (lost + value('b')).length)).toBe(lost + value('b'))
  expect(backend.used[1].asked).toBe('get b\r\n')
})

test('not when there is no other lane', async () => {
  const single = new Backend()
  const port = await single.start([dies, answers])
  const daemon = await startDaemon({ services: { s: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}` } } } })
  await daemon.waitForLog('backend-ready')
  const alone = await connect({ port: daemon.port() })
  expect(await alone.ask('get a\r\n', lost.length)).toBe(lost)
  expect(single.used).toHaveLength(1)
})

test('after reply_timeout a client has waited long enough', async () => {
  const { backend, wire } = await scene([() => {}, answers], { reply_timeout: '300ms' })
  await wire.write('get a\r\n')
  expect(await wire.readLine()).toBe('SERVER_ERROR memseal: no reply within 300 ms')
  expect(backend.used).toHaveLength(1)
})

test('binary: GET and GETK are asked again under their own opaques, the others get their errors, in order', async () => {
  const seen: number[][] = []
  const backend = new Backend()
  const answersBinary: Behaviour = (lane, request) => {
    const bytes = Buffer.from(request, 'latin1')
    for (let at = 0; at < bytes.length; at += 24 + bytes.readUInt32BE(at + 8)) {
      seen.push([bytes[at + 1]])
      const key = bytes[at + 1] === op.getk ? bytes.subarray(at + 24, at + 24 + bytes.readUInt16BE(at + 2)) : Buffer.alloc(0)
      const reply = Buffer.concat([bytes.subarray(at, at + 24), Buffer.alloc(4), key, Buffer.from('v')])
      reply[0] = 0x81
      reply.writeUInt16BE(key.length, 2)
      reply[4] = 4
      reply.writeUInt16BE(0, 6)
      reply.writeUInt32BE(5 + key.length, 8)
      lane.socket.write(reply)
    }
  }
  const port = await backend.start([dies, answersBinary])
  const daemon = await startDaemon({
    services: { s: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}`, connections: 2, probe_interval: 'off', reply_timeout: '1m' } } },
  })
  const wire = await connect({ port: daemon.port() })
  // The first binary client opens the lanes.
  await wire.write(packet(op.version, { opaque: 1 }))
  await until(() => daemon.logs('backend-ready').filter(({ dialect }) => dialect === 'binary').length === 2, () => 'both binary lanes are ready')
  await wire.readExactly(30)

  await wire.write(Buffer.concat([
    packet(op.get, { key: 'a', opaque: 11 }), packet(op.delete, { key: 'a', opaque: 12 }), packet(op.getk, { key: 'b', opaque: 13 }),
  ]))
  const got = []
  for (let n = 0; n < 3; n++) {
    const header = await wire.readExactly(24)
    await wire.readExactly(header.readUInt32BE(8))
    got.push([header[1], header.readUInt16BE(6), header.readUInt32BE(12)])
  }
  expect(got).toEqual([[op.get, 0, 11], [op.delete, 0x86, 12], [op.getk, 0, 13]])
  expect(seen).toEqual([[op.get], [op.getk]])
})

test('lanes that die at random under pipelines of many clients: every reply is its request\'s own, no write reaches the backend twice', async () => {
  const random = prng(4321)
  const increments = new Map<string, number>()
  const mayDie: Behaviour = (lane, request) => {
    for (const line of request.split('\r\n').slice(0, -1)) {
      // Some are carried out and never answered: that is when a second sending would show.
      const [verb, key] = line.split(' ')
      if (verb === 'incr') increments.set(key, (increments.get(key) ?? 0) + 1)
      if (random.chance(0.02)) return void lane.socket.destroy()
      answers(lane, `${line}\r\n`)
    }
  }
  const backend = new Backend()
  const port = await backend.start([mayDie])
  const daemon = await startDaemon({
    services: { s: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${port}`, connections: 4, longest_retry: '10ms' } } },
  })
  let errors = 0
  const client = async (name: number) => {
    const wire = await connect({ port: daemon.port() })
    for (let batch = 0; batch < 60; batch++) {
      const asked = Array.from({ length: random.between(1, 20) }, (_, n) => ({ verb: random.pick(['get', 'get', 'gets', 'mg', 'incr', 'get ']), key: `k${name}.${batch}.${n}` }))
      void wire.write(asked.map(({ verb, key }) => verb === 'get ' ? 'get\r\n' : `${verb} ${key}${verb === 'incr' ? ' 1' : verb === 'mg' ? ' v' : ''}\r\n`).join(''))
      for (const { verb, key } of asked) {
        const line = await wire.readLine()
        if (verb === 'get ') expect(line).toBe('ERROR')
        else if (line.startsWith('SERVER_ERROR memseal: ')) errors++
        else if (verb === 'incr') expect(line).toBe('5')
        else if (verb === 'mg') expect([line, await wire.readLine()]).toEqual([`VA ${key.length}`, key])
        else {
          expect(line).toBe(`VALUE ${key} 0 ${key.length}${verb === 'gets' ? ' 7' : ''}`)
          expect([await wire.readLine(), await wire.readLine()]).toEqual([key, 'END'])
        }
      }
    }
  }
  await Promise.all(Array.from({ length: 16 }, (_, name) => client(name)))
  expect(errors).toBeGreaterThan(0)
  expect(daemon.logs('backend-lost').length).toBeGreaterThan(5)
  expect([...increments.values()].filter(times => times > 1)).toEqual([])
})
