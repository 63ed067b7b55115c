// Phases of each: a listener in the place of the admin one, a scraping load on it, its window.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { halfAt } from '../../../../bench/load/latency.ts'
import { Scraping } from '../../../../bench/load/loads/scraping.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

test('pages are asked for over and over, each on a connection of its own, and counted', async () => {
  const { url, asked, ports, halves } = await listener(200)
  const faults: string[] = []
  const scraping = new Scraping({ kind: 'scraping', url, elsewhere: `${url}?elsewhere`, requestsPerSecond: 4 }, reason => faults.push(reason))
  scraping.run()
  await scraping.prepare()
  await asked(12, 8)
  const window = await scraping.pause()
  scraping.finish()
  // A busy machine makes a scrape late, which is told and spoils a measurement, but not this test.
  expect(faults.filter(fault => !fault.includes('in the wrong half'))).toEqual([])
  expect(ports.size).toBe(8)
  expect(halves).toEqual({ '/metrics': 0, '/metrics?elsewhere': 1 })
  expect(window.requests).toBeGreaterThanOrEqual(4)
  expect(window.latency.count).toBe(window.requests)
})

test('an answer that is no metrics fails the load', async () => {
  const { url } = await listener(503)
  const { promise, resolve } = Promise.withResolvers<string>()
  const scraping = new Scraping({ kind: 'scraping', url, elsewhere: url, requestsPerSecond: 1 }, resolve)
  await scraping.prepare()
  expect(await promise).toBe(`${url} answered 503`)
  scraping.finish()
})

async function listener(status: number) {
  const ports = new Set<number>()
  const halves: Record<string, number> = {}
  let count = 0
  server = createServer((request, response) => {
    ports.add(request.socket.remotePort!)
    halves[request.url!] ??= halfAt(performance.now())
    count++
    response.writeHead(status).end('metrics\n')
    server!.emit('asked')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`
  const asked = async (times: number, connections: number) => { while (count < times || ports.size < connections) await once(server!, 'asked') }
  return { url, asked, ports, halves }
}
