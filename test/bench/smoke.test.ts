// Phases: memcached alone under a short closed loop, then an open loop; then a server that answers one byte wrong.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { memcached } from '../../bench/contestants/memcached.ts'
import { LoadWorker } from '../../bench/load/load-worker.ts'
import { workloads } from '../../bench/workloads.ts'
import { readOptions } from '../../bench/options.ts'
import { terminalReport } from '../../bench/report/terminal.ts'
import { resultsPage } from '../../bench/report/results-page.ts'
import { runBench } from '../../bench/run.ts'

let worker: LoadWorker
beforeAll(() => { worker = new LoadWorker() })
afterAll(() => worker.stop())

test.skipIf(memcached.absent())('plain memcached, from start to report', async () => {
  const options = readOptions('--only pingpong,handshakes-full --contestants memcached --rounds 2 --seconds 0.2 --warm 0'.split(' '))
  const results = await runBench({ ...options, openingSeconds: 0.1 }, () => {})
  const [pingpong] = results.workloads
  expect(pingpong.entries).toHaveLength(1)
  expect(pingpong.entries[0].failed).toBeUndefined()
  expect(pingpong.entries[0].samples).toHaveLength(2)
  expect(pingpong.entries[0].samples[0]!.requestsPerSecond).toBeGreaterThan(0)
  expect(terminalReport(results)).toContain('memcached, no TLS')
  expect(resultsPage(results, 'charts')).toContain('![pingpong](charts/pingpong-cpu.svg)')
})

test.skipIf(memcached.absent())('an open loop runs beside its clock and checks its replies', async () => {
  const options = readOptions('--only pingpong --contestants memcached --rounds 1 --seconds 0.5 --warm 0 --rate 1000'.split(' '))
  const results = await runBench({ ...options, openingSeconds: 0.1 }, () => {})
  expect(results.workloads[0].entries[0].failed).toBeUndefined()
  expect(results.workloads[0].entries[0].samples[0]!.requestsPerSecond).toBeGreaterThan(0)
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
    // The wrong byte may come while the load is still being prepared.
    const load = worker.prepare({ kind: 'steady', target, traffic: shape.traffic, clients: 2, depth: 1, share: { index: 0, of: 1 }, tellsHalves: false })
    await expect(load.then(() => worker.finishOnceFailed())).rejects.toThrow('wrong byte in a reply')
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
  await expect(worker.prepare({
    kind: 'steady', target: { port }, traffic: shape.traffic, clients: 2, depth: 1, share: { index: 0, of: 1 }, tellsHalves: false,
  })).rejects.toThrow('ECONNREFUSED')
  await expect(worker.finish()).rejects.toThrow('ECONNREFUSED')
})
