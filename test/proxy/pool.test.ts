import { expect, test } from 'vitest'
import { mostLanes } from '../../src/proxy/pool.ts'

const places = (count: number) => Array.from({ length: count }, (_, n) => ({ kind: 'tcp' as const, host: '127.0.0.1', port: n + 1 }))

test('the connections that a service may have at once: two dialects, and spare ones, each lane with a successor on its way', () => {
  expect(mostLanes({ connect: places(1), connections: 'auto', policy: 'failover' })).toBe(12)
  expect(mostLanes({ connect: places(1), connections: 3, policy: 'failover' })).toBe(20)
  expect(mostLanes({ connect: places(3), connections: 3, policy: 'failover' })).toBe(44)   // the others are warm by one
  expect(mostLanes({ connect: places(3), connections: 3, policy: 'rotate' })).toBe(60)
})
