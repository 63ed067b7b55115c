// The cache host goes away in every way it can while clients ask: no client hangs past reply_timeout, others take over, nothing
// is mixed up and nothing is written twice.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { LoadClient, until } from '../soak/load-client.ts'
import { askOnce } from '../soak/scene.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect, type Wire } from '../support/wire.ts'
import { CacheHost, ready, startCacheHost, startSidecar, type Sidecar } from './support/sidecar.ts'

/** Long enough for a host that is there, on a machine that is busy. */
const quick = { reply_timeout: '3s', connect_timeout: '1s', probe_interval: '100ms', return_after: '500ms' }
const noReply = 'SERVER_ERROR memseal: no reply within 3000 ms'

/** Which cache host answers: each has the same key with its own value. */
async function mark(host: CacheHost, value: string): Promise<void> {
  await askOnce(host.memcached.port, `set who 0 0 ${value.length}\r\n${value}`)
}

async function eventually(isSo: () => Promise<boolean>, what: () => string): Promise<void> {
  const deadline = Date.now() + 150_000
  while (!await isSo()) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

async function ask(wire: Wire, request: string): Promise<string> {
  void wire.write(request)
  const first = await wire.readLine()
  if (!first.startsWith('VALUE')) return first
  const value = await wire.readLine()
  await wire.readLine()
  return value
}

/** Counts up until it is told to stop. Each reply that says a number was written exactly once. */
class Counting {
  counted = 0
  failed = 0
  #isOver = false
  #running: Promise<void>

  constructor(wire: Wire, key: string) {
    this.#running = this.#run(wire, key)
    this.#running.catch(() => {})
  }

  async #run(wire: Wire, key: string): Promise<void> {
    while (!this.#isOver) {
      const reply = await ask(wire, `incr ${key} 1\r\n`)
      if (/^\d+$/.test(reply)) this.counted++
      else if (reply.startsWith('SERVER_ERROR memseal: ')) this.failed++
      else throw new Error(`unexpected: ${reply}`)
      if (!/^\d+$/.test(reply)) await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }
}

/** Increments of many clients, whose sum memcached must have to the last one: more would be one that was sent twice. */
async function counting(sidecar: Sidecar, host: CacheHost, clients = 20): Promise<Counting[]> {
  await askOnce(host.memcached.port, 'set sum 0 0 1\r\n0')
  const all: Counting[] = []
  for (let n = 0; n < clients; n++) all.push(new Counting(await sidecar.connect(), 'sum'))
  await until(() => all.every(({ counted }) => counted > 3), () => 'everybody counts')
  return all
}

async function readers(sidecar: Sidecar, host: CacheHost, count = 12): Promise<LoadClient[]> {
  const value = 'v'.repeat(100)
  await askOnce(host.memcached.port, `set k 0 0 100\r\n${value}`)
  const clients: LoadClient[] = []
  for (let n = 0; n < count; n++) {
    clients.push(new LoadClient(await sidecar.open(), { key: 'k', dialect: n % 3 === 2 ? 'binary' : 'text', depth: 4 }))
  }
  for (const client of clients) client.start()
  onTestFinished(() => { for (const client of clients) client.socket.destroy() })
  await more(clients, 'answered', 10)
  return clients
}

async function more(clients: LoadClient[], of: 'answered' | 'errors', count: number): Promise<void> {
  const wanted = clients.map(client => client[of] + count)
  await until(() => clients.every((client, n) => client[of] >= wanted[n] || client.hasEnded || client.error !== undefined),
    () => `${count} ${of} more for each`)
  expect(clients.filter(client => client.hasEnded || client.error !== undefined).map(({ told }) => told)).toEqual([])
}

test.each(['killed', 'frozen'] as const)('the only cache host is %s and comes back: errors in time meanwhile, nobody is lost, nothing counted twice', async how => {
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, backend: quick })
  const all = await counting(sidecar, cache)
  const reading = await readers(sidecar, cache)

  if (how === 'killed') await cache.kill()
  else cache.daemon.kill('SIGSTOP')
  await more(reading, 'errors', 5)
  await until(() => all.every(({ failed }) => failed > 2), () => 'everybody has errors')
  await sidecar.daemon.waitForLog('not-ready')
  const done = all.map(({ counted }) => counted)

  if (how === 'killed') await cache.start()
  else cache.daemon.kill('SIGCONT')
  await until(() => all.every(({ counted }, n) => counted > done[n] + 2), () => 'everybody counts again')
  await more(reading, 'answered', 10)

  for (const each of all) await each.stop()
  const sum = Number(await askOnce(cache.memcached.port, 'incr sum 0'))
  const answered = all.reduce((total, { counted }) => total + counted, 0)
  const unsure = all.length   // each had at most one request in flight whose answer was lost
  expect(sum).toBeGreaterThanOrEqual(answered)
  expect(sum).toBeLessThanOrEqual(answered + unsure)
})

test('restarted with a new certificate: whole handshakes again, nobody is lost', async () => {
  const { serverRenewed } = await pki()
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, backend: quick })
  const reading = await readers(sidecar, cache)
  await cache.daemon.stop()
  await cache.start(serverRenewed)
  await more(reading, 'answered', 20)
  await sidecar.daemon.stop()
  await until(() => cache.connections.length > 0, () => 'the lanes have ended')
  // The first of the lanes; the other may resume what that one got.
  expect(cache.connections.some(({ resumed }) => !resumed)).toBe(true)
})

test('the first of two is frozen: clients go to the second within reply_timeout, and back when the first has been healthy for long enough', async () => {
  const [first, second] = [await startCacheHost(), await startCacheHost()]
  await mark(first, 'first')
  await mark(second, 'second')
  const sidecar = await startSidecar({ connect: [first.address, second.address], backend: quick })
  await ready(sidecar)
  const wire = await sidecar.connect()
  await until(() => sidecar.told('backend-ready').length === 2, () => 'both targets are warm')
  expect(await ask(wire, 'get who\r\n')).toBe('first')

  first.daemon.kill('SIGSTOP')
  // From a host that is frozen nothing ever comes: whoever is answered was not left to it.
  expect(['second', noReply]).toContain(await ask(wire, 'get who\r\n'))
  expect(await ask(wire, 'get who\r\n')).toBe('second')
  const line = await sidecar.daemon.waitForLog('failover')
  expect(line).toMatchObject({ from: first.address, to: second.address })

  first.daemon.kill('SIGCONT')
  await sidecar.daemon.waitForLog(({ event, to }) => event === 'failover' && to === first.address)
  expect(await ask(wire, 'get who\r\n')).toBe('first')
})

test('the first of two is killed under load: reads go on at the second, nothing is counted twice', async () => {
  const [first, second] = [await startCacheHost(), await startCacheHost()]
  const sidecar = await startSidecar({ connect: [first.address, second.address], backend: { ...quick, return_after: '1h' } })
  await until(() => sidecar.told('backend-ready').length === 2, () => 'both targets are warm')
  await askOnce(second.memcached.port, 'set sum 0 0 1\r\n0')
  const all = await counting(sidecar, first)
  await askOnce(second.memcached.port, `set k 0 0 100\r\n${'v'.repeat(100)}`)
  const reading = await readers(sidecar, first)
  await first.kill()
  await more(reading, 'answered', 20)
  await until(() => all.every(({ counted }) => counted > 20), () => 'everybody counts')
  for (const each of all) await each.stop()
  const sums = await Promise.all([first, second].map(async host => Number(await askOnce(host.memcached.port, 'incr sum 0'))))
  const answered = all.reduce((total, { counted }) => total + counted, 0)
  expect(sums[1]).toBeGreaterThan(0)
  expect(sums[0] + sums[1]).toBeGreaterThanOrEqual(answered)
  expect(sums[0] + sums[1]).toBeLessThanOrEqual(answered + all.length)
})

test('rotate: clients are spread over the targets, and one that is killed hands its clients to the others', async () => {
  const hosts = [await startCacheHost(), await startCacheHost(), await startCacheHost()]
  for (const [n, host] of hosts.entries()) await mark(host, `host-${n}`)
  const sidecar = await startSidecar({ connect: hosts.map(({ address }) => address), backend: { ...quick, policy: 'rotate' } })
  await until(() => sidecar.told('backend-ready').length === 3, () => 'all targets are ready')
  const wires = await Promise.all(Array.from({ length: 9 }, () => sidecar.connect()))
  const said = async () => {
    const who = []
    for (const wire of wires) who.push(await ask(wire, 'get who\r\n'))
    return who.sort()
  }
  expect(new Set(await said())).toEqual(new Set(['host-0', 'host-1', 'host-2']))
  await hosts[1].kill()
  await sidecar.daemon.waitForLog('backend-lost')
  const left = await said()
  expect(new Set(left.filter(who => !who.startsWith('SERVER_ERROR')))).toEqual(new Set(['host-0', 'host-2']))
  expect(new Set(await said())).toEqual(new Set(['host-0', 'host-2']))
})

test('lanes are replaced under load, and nobody notices', async () => {
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, backend: { ...quick, reply_timeout: '1m', connect_timeout: '30s', max_age: '150ms', connections: 2 } })
  const all = await counting(sidecar, cache)
  const reading = await readers(sidecar, cache)
  await until(() => sidecar.told('backend-replaced').length >= 12, () => 'lanes were replaced')
  await more(reading, 'answered', 20)
  for (const each of all) await each.stop()
  expect(all.reduce((total, { failed }) => total + failed, 0)).toBe(0)
  expect(reading.reduce((total, { errors }) => total + errors, 0)).toBe(0)
  expect(sidecar.told('backend-lost')).toEqual([])
  expect(Number(await askOnce(cache.memcached.port, 'incr sum 0'))).toBe(all.reduce((total, { counted }) => total + counted, 0))
})

test('started while the cache host is down: errors at once, service as soon as it is there', async () => {
  const memcached = await startMemcached()
  const cache = new CacheHost(memcached, await freePort(), '127.0.0.1', {})
  const sidecar = await startSidecar({ connect: cache.address, backend: quick })
  await sidecar.daemon.waitForLog('not-ready')
  const wire = await sidecar.connect()
  expect(await ask(wire, 'get who\r\n')).toBe('SERVER_ERROR memseal: backend unavailable')
  await cache.start()
  await ready(sidecar)
  await mark(cache, 'here')
  expect(await ask(wire, 'get who\r\n')).toBe('here')
})

const isRoot = process.getuid?.() === 0
const mayUnshare = isRoot && spawnSync('unshare', ['-m', 'mount', '--bind', '/etc/hosts', '/etc/hosts']).status === 0

test.skipIf(!mayUnshare)('moved by DNS: the name is looked up again, on a timer and after failures (skipped without root and unshare)', async () => {
  const port = await freePort('127.0.7.1')
  const old = await startCacheHost({ host: '127.0.7.1', port })
  const moved = await startCacheHost({ host: '127.0.7.2', port })
  await mark(old, 'old')
  await mark(moved, 'moved')
  const hosts = join(tempFolder(), 'hosts')
  writeFileSync(hosts, '')
  const sidecar = await startSidecar({
    connect: `cache.memseal.test:${port}`, backend: { ...quick, resolve_interval: '100ms', max_age: '400ms' },
    wrapper: ['unshare', '-m', 'sh', '-c', `mount --bind ${hosts} /etc/hosts && exec "$0" "$@"`],
  })
  // The name is not there yet.
  expect(await sidecar.daemon.waitForLog('backend-lost')).toMatchObject({ reason: 'lookup-failed', words: expect.stringContaining('cache.memseal.test') })
  const wire = await sidecar.connect()
  expect(await ask(wire, 'get who\r\n')).toBe('SERVER_ERROR memseal: backend unavailable')

  writeFileSync(hosts, '127.0.7.1 cache.memseal.test\n')
  await ready(sidecar)
  expect(await ask(wire, 'get who\r\n')).toBe('old')

  // Both are up: at `max_age` the new address takes hold, and nothing is lost.
  writeFileSync(hosts, '127.0.7.2 cache.memseal.test\n')
  await eventually(async () => await ask(wire, 'get who\r\n') === 'moved', () => 'the new address is in use')
  expect(sidecar.told('backend-lost')).toHaveLength(1)

  // DNS is down, and the host stays where it is known to be.
  writeFileSync(hosts, '')
  const replaced = sidecar.told('backend-replaced').length
  await until(() => sidecar.told('backend-replaced').length >= replaced + 2, () => 'other connections to the same address')
  expect(await ask(wire, 'get who\r\n')).toBe('moved')

  // Two addresses, the first of which nobody listens on.
  writeFileSync(hosts, '127.0.7.3 cache.memseal.test\n127.0.7.1 cache.memseal.test\n')
  await moved.kill()
  await eventually(async () => await ask(wire, 'get who\r\n') === 'old', () => 'the second address is in use')
})

const hasNamespaces = isRoot && spawnSync('ip', ['netns', 'list']).status === 0 && canMakeNamespace()

function canMakeNamespace(): boolean {
  const name = `mst-${process.pid}`
  const isMade = spawnSync('ip', ['netns', 'add', name]).status === 0
  if (isMade) spawnSync('ip', ['netns', 'delete', name])
  return isMade
}

test.skipIf(!hasNamespaces)('cut off, all packets dropped: no client hangs past reply_timeout, the second takes over (skipped without root and network namespaces)', async () => {
  const name = `mst-${process.pid}`
  const ip = (...args: string[]) => {
    const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
  }
  ip('netns', 'add', name)
  onTestFinished(() => void spawnSync('ip', ['netns', 'delete', name]))
  const subnet = `10.253.${process.pid % 250}`
  const [farAddress, nearAddress, here] = [1, 2, 3].map(last => `${subnet}.${last}`)
  ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`)
  onTestFinished(() => void spawnSync('ip', ['link', 'delete', `${name}a`]))
  ip('link', 'set', `${name}b`, 'netns', name)
  for (const address of [farAddress, nearAddress]) ip('address', 'add', `${address}/29`, 'dev', `${name}a`)
  ip('link', 'set', `${name}a`, 'up')
  ip('-n', name, 'address', 'add', `${here}/29`, 'dev', `${name}b`)
  ip('-n', name, 'link', 'set', `${name}b`, 'up')
  ip('-n', name, 'link', 'set', 'lo', 'up')

  // The cache hosts are on this side of the wire, the sidecar is on the other.
  const allow = [`${subnet}.0/29`]
  const far = await startCacheHost({ host: farAddress, service: { allow } })
  const near = await startCacheHost({ host: nearAddress, service: { allow } })
  await mark(far, 'far')
  await mark(near, 'near')
  const sidecar = await startSidecar({ connect: [far.address, near.address], backend: quick, wrapper: ['ip', 'netns', 'exec', name] })
  await until(() => sidecar.told('backend-ready').length === 2, () => 'both targets are warm')
  const wire = await connect({ path: sidecar.socket })
  expect(await ask(wire, 'get who\r\n')).toBe('far')

  // Frames to the far host go to an address that nobody has: they are dropped without a word.
  ip('-n', name, 'neigh', 'replace', farAddress, 'lladdr', '02:00:00:00:00:99', 'dev', `${name}b`, 'nud', 'permanent')
  expect(['near', noReply]).toContain(await ask(wire, 'get who\r\n'))
  expect(await ask(wire, 'get who\r\n')).toBe('near')
  ip('-n', name, 'neigh', 'delete', farAddress, 'dev', `${name}b`)
  await sidecar.daemon.waitForLog(({ event, to }) => event === 'failover' && to === far.address)
  expect(await ask(wire, 'get who\r\n')).toBe('far')
})
