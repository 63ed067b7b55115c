// Clients that know every byte they must be sent share one backend connection, then three. `npm run soak` does the same
// for longer, with 200 of them.
import { expect, test } from 'vitest'
import { runCrowd } from '../soak/crowd.ts'
import { startScene, statOf } from '../soak/scene.ts'

test.each([[1, 'TLS'], [3, 'TLS'], [1, 'plain']] as const)('%i shared connections, %s: no byte is another client\'s', async (connections, way) => {
  // Some of their values are large. With one place for a reader of those, all others of them go on sharing.
  const scene = await startScene({ connections, limits: { private_connections: 1 } })
  const open = way === 'TLS' ? scene.open : scene.openPlain
  const report = await runCrowd({ open, askMemcached: scene.askMemcached, clients: 40, seconds: 1, seed: 11 + connections })
  expect(report.findings).toEqual([])
  expect(report.sharedCounter.found).toBe(report.sharedCounter.expected)
  expect(Math.min(...Object.values(report.byDialect))).toBeGreaterThan(100)
  expect(Math.min(...Object.values(report.left))).toBeGreaterThan(0)
  // What is not shared, or was evicted, would show nothing.
  const closed = scene.daemon.logs('closed')
  expect(closed.filter(line => line.isPrivate).length).toBeLessThan(closed.length / 4)
  expect(scene.daemon.logs('backend-lost')).toEqual([])
  expect(await statOf(scene.memcached.port, 'evictions')).toBe(0)
})

test('each client on a connection of its own', async () => {
  const scene = await startScene({ sharing: 'private' })
  const report = await runCrowd({ open: scene.open, askMemcached: scene.askMemcached, clients: 20, seconds: 1, seed: 21 })
  expect(report.findings).toEqual([])
  expect(report.sharedCounter.found).toBe(report.sharedCounter.expected)
})

test('each client unread on a connection of its own', async () => {
  const scene = await startScene({ sharing: 'private', commands: ['all'] })
  const report = await runCrowd({ open: scene.openPlain, askMemcached: scene.askMemcached, clients: 20, seconds: 1, seed: 22 })
  expect(report.findings).toEqual([])
})
