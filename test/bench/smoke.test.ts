// Phases: memcached alone in slices of each kind; then a server that answers one byte wrong, and one that is not there.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { memcachedAt } from '../../bench/contestants/memcached.ts'
import { LoadWorker } from '../../bench/load/load-worker.ts'
import { workloads } from '../../bench/workloads.ts'
import { readOptions } from '../../bench/options.ts'
import { terminalReport } from '../../bench/report/terminal.ts'
import { resultsPage } from '../../bench/report/results-page.ts'
import { runBench } from '../../bench/run.ts'

let worker: LoadWorker
beforeAll(() => { worker = new LoadWorker() })
afterAll(() => worker.stop())

const absent = memcachedAt('memcached').absent()

test.skipIf(absent)('plain memcached, from start to report', async () => {
  const options = readOptions('--only pingpong,handshakes-full,many --clients 5 --contestants memcached --starts 2 --rounds 2 --slice 50 --others 1'.split(' '))
  const results = await runBench(options, () => {})
  const [pingpong, , many] = results.workloads
  expect(pingpong.entries).toHaveLength(1)
  expect(pingpong.entries[0]).toMatchObject({ kept: 4, wanted: 4, thrown: 0 })
  expect(many.entries[0]).toMatchObject({ kept: 4, wanted: 4 })   // all in the first start
  expect(pingpong.entries[0].failed).toBeUndefined()
  expect(pingpong.entries[0].figures.requestsPerSecond!.low).toBeGreaterThan(0)
  expect(pingpong.entries[0].ratios.proxyUs).toEqual({ low: 1, median: 1, high: 1, count: 4 })
  expect(results.memcached).toMatch(/^1\./)
  expect(terminalReport(results)).toContain('memcached, no TLS')
  expect(terminalReport(results)).toContain(`memcached ${results.memcached}; `)
  expect(resultsPage([results], 'charts')).toContain('![pingpong](charts/pingpong-cpu.svg)')
})

test.skipIf(absent)('an open loop and a storm check their replies and come to rest', async () => {
  const storm = readOptions('--only storm --contestants memcached --starts 1 --rounds 2 --others 1 --clients 40'.split(' '))
  const stormed = await runBench(storm, () => {})
  expect(stormed.workloads[0].entries[0].failed).toBeUndefined()
  expect(stormed.workloads[0].entries[0].figures.stormSeconds!.count).toBe(2)
  const paced = readOptions('--only pingpong --contestants memcached --starts 1 --rounds 2 --slice 100 --others 1 --rate 1000'.split(' '))
  const results = await runBench(paced, () => {})
  expect(results.workloads[0].entries[0].failed).toBeUndefined()
  expect(results.workloads[0].entries[0].kept).toBe(2)
})

test('a wrong byte from a server fails the load', async () => {
  const { shape } = workloads[0]
  if (shape.kind !== 'steady') throw new Error('pingpong is a steady load')
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('VALUE bench:100:000000 0 100\r\n'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const target = { port: (server.address() as AddressInfo).port }
  // Its own, since the second client may tell of its wrong byte when the test is over.
  const worker = new LoadWorker()
  try {
    await worker.prepare('x', { kind: 'steady', target, traffic: shape.traffic, clients: 2, depth: 1, share: { index: 0, of: 1 }, tellsHalves: false })
    await worker.run('x')
    await expect(worker.pause('x')).rejects.toThrow('wrong byte in a reply')
    await worker.finish('x')
  } finally {
    worker.stop()
    server.close()
  }
})

test('a port nothing listens on refuses the load before it starts', async () => {
  const { shape } = workloads[0]
  if (shape.kind !== 'steady') throw new Error('pingpong is a steady load')
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await expect(worker.prepare('x', {
    kind: 'steady', target: { port }, traffic: shape.traffic, clients: 2, depth: 1, share: { index: 0, of: 1 }, tellsHalves: false,
  })).rejects.toThrow('ECONNREFUSED')
  await expect(worker.run('x')).rejects.toThrow('ECONNREFUSED')
  await worker.finish('x')
})
