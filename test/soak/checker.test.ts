// A checker that cannot fail shows nothing: behind a proxy that mixes, changes, drops or repeats bytes it must say so.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startMemcached } from '../support/memcached.ts'
import { runCrowd, type CrowdOptions, type CrowdReport } from './crowd.ts'
import { ReplyChecker } from './expected.ts'
import { askOnce } from './scene.ts'

/** Hands a reply chunk on, to whom it likes. `clients` are all that are connected. */
type Passing = (chunk: Buffer, client: Socket, clients: Socket[]) => void

const honest: Passing = (chunk, client) => { client.write(chunk) }

/** Does `trick` with the first chunk that fits it after `others` others, and again after as many more: whom it hits may be about to
 *  leave without looking. */
function nowAndThen(others: number, fits: (chunk: Buffer) => boolean, trick: Passing): Passing {
  let seen = 0
  return (chunk, client, clients) => {
    if (++seen <= others || !fits(chunk)) return honest(chunk, client, clients)
    seen = 0
    trick(chunk, client, clients)
  }
}

function swapping(): Passing {
  let held: { chunk: Buffer, client: Socket } | undefined
  let seen = 0
  return (chunk, client, clients) => {
    if (held === undefined) {
      if (++seen < 50) return honest(chunk, client, clients)
      held = { chunk, client }
      return
    }
    if (held.client === client || held.chunk.equals(chunk)) return honest(chunk, client, clients)
    held.client.write(chunk)
    client.write(held.chunk)
    held = undefined
    seen = 0
  }
}

async function behind(pass: Passing, more: Pick<CrowdOptions, 'patienceMs' | 'isEnough'> = {}): Promise<CrowdReport> {
  const memcached = await startMemcached({ args: ['-m', '256', '-I', '2m'] })
  const clients: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, client => {
    const backend = connect({ port: memcached.port, host: '127.0.0.1', allowHalfOpen: true })
    clients.push(client)
    client.on('data', chunk => backend.write(chunk))
    client.on('end', () => backend.end())
    client.on('error', () => backend.destroy())
    client.on('close', () => backend.destroy())
    backend.on('data', chunk => pass(chunk as Buffer, client, clients))
    backend.on('end', () => client.end())
    backend.on('error', () => client.destroy())
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  onTestFinished(() => {
    for (const client of clients) client.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const open = (): Promise<Socket> => new Promise(resolve => {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => resolve(socket))
  })
  return runCrowd({ open, askMemcached: line => askOnce(memcached.port, line), clients: 10, seconds: 1, seed: 5, batches: 20, ...more })
}

test('nothing is found behind an honest proxy', async () => {
  const report = await behind(honest)
  expect(report.findings).toEqual([])
  expect(report.replies).toBeGreaterThan(100)
})

const long = (chunk: Buffer): boolean => chunk.length > 100

test.each<[string, () => Passing]>([
  ['two replies change places', swapping],
  ['one byte is another', () => nowAndThen(50, long, (chunk, client) => {
    const changed = Buffer.from(chunk)
    changed[60] ^= 1
    client.write(changed)
  })],
  ['one byte is missing', () => nowAndThen(50, long, (chunk, client) => { client.write(Buffer.concat([chunk.subarray(0, 50), chunk.subarray(51)])) })],
  ['one byte is too many', () => nowAndThen(50, long, (chunk, client) => { client.write(Buffer.concat([chunk, Buffer.from('\n')])) })],
  ['a reply does not come', () => nowAndThen(50, () => true, () => {})],
  ['a reply comes twice', () => nowAndThen(50, () => true, (chunk, client) => { client.write(Buffer.concat([chunk, chunk])) })],
  ['a connection is cut off', () => nowAndThen(50, long, (chunk, client) => { client.end(chunk.subarray(0, 40)) })],
])('found out: %s', async (_name, pass) => {
  expect((await behind(pass(), { patienceMs: 1000, isEnough: ({ findings }) => findings.length > 0 })).findings).not.toEqual([])
})

test('a counter that lost an addition is found out', async () => {
  const memcached = await startMemcached({ args: ['-m', '256', '-I', '2m'] })
  const open = (): Promise<Socket> => new Promise(resolve => {
    const socket: Socket = connect({ port: memcached.port, host: '127.0.0.1', allowHalfOpen: true }, () => resolve(socket))
  })
  const askMemcached = async (line: string): Promise<string> => {
    if (line.startsWith('incr')) await askOnce(memcached.port, line.replace(/ 0$/, ' 1').replace('incr', 'decr'))
    return askOnce(memcached.port, line)
  }
  const report = await runCrowd({ open, askMemcached, clients: 3, seconds: 1, seed: 6, dialects: ['text'], batches: 20 })
  expect(report.findings).toEqual([expect.stringContaining('shared counter')])
})

test('replies are compared wherever they are cut', () => {
  for (const cut of [1, 4, 9, 12, 18]) {
    const checker = new ReplyChecker()
    const heard: string[] = []
    checker.expect('gets', [Buffer.from('VALUE a 0 1 '), { digits: text => heard.push(text) }, Buffer.from('\r\nx\r\nEND\r\n')])
    const reply = Buffer.from('VALUE a 0 1 1234\r\nx\r\nEND\r\n')
    checker.push(reply.subarray(0, cut))
    expect(checker.isInside).toBe(true)
    checker.push(reply.subarray(cut))
    expect(heard).toEqual(['1234'])
    expect(checker.awaited).toBe(0)
    expect(() => checker.push(Buffer.from('E'))).toThrow('nobody asked for')
  }
})
