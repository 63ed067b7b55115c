import { expect, test } from 'vitest'
import { ReplyMemory, SlabPool, type Slab } from '../../src/proxy/slab.ts'

function poolOf(most = 2 ** 30): { pool: SlabPool, memory: ReplyMemory, pressures: () => number } {
  let pressures = 0
  const memory = new ReplyMemory(most, () => { pressures++ })
  return { pool: new SlabPool(64 * 1024, memory), memory, pressures: () => pressures }
}

/** Whatever is taken next, as many as could be kept. */
const takeAll = (pool: SlabPool): Slab[] => Array.from({ length: 100 }, () => pool.take())

test('a slab is used again once nobody looks at it', () => {
  const { pool, memory } = poolOf()
  const slab = pool.take()
  slab.retain()
  slab.retain()
  slab.release()
  slab.release()
  expect(takeAll(pool)).not.toContain(slab)
  slab.release()
  expect(pool.take()).toBe(slab)
  expect(memory.liveBytes).toBe(101 * 64 * 1024)
})

test('a slab of which a write failed is never used again', () => {
  for (const order of [['spoil', 'release', 'release'], ['release', 'spoil', 'release'], ['release', 'release', 'spoil']] as const) {
    const { pool, memory } = poolOf()
    const slab = pool.take()
    slab.retain()
    slab.retain()
    for (const end of order) slab[end]()
    expect(takeAll(pool)).not.toContain(slab)
    expect(memory.liveBytes).toBe(100 * 64 * 1024)
  }
})

test('its reader may begin anew only when it is alone and nothing failed', () => {
  const { pool } = poolOf()
  const slab = pool.take()
  expect(slab.isUnshared).toBe(true)
  slab.retain()
  expect(slab.isUnshared).toBe(false)
  slab.release()
  expect(slab.isUnshared).toBe(true)
  slab.retain()
  slab.spoil()
  expect(slab.isUnshared).toBe(false)
})

test('4 MiB of free slabs are kept, no more', () => {
  const { pool } = poolOf()
  const slabs = takeAll(pool)
  for (const slab of slabs) slab.release()
  const again = new Set(takeAll(pool))
  expect(slabs.filter(slab => again.has(slab))).toHaveLength(64)
})

test('live bytes at the limit are no pressure, one slab past it is', () => {
  const { pool, memory, pressures } = poolOf(2 * 64 * 1024)
  const first = pool.take()
  pool.take()
  expect(pressures()).toBe(0)
  pool.take()
  expect(pressures()).toBe(1)
  first.release()
  pool.take().release()
  expect(pressures()).toBe(2)
  expect(memory.liveBytes).toBe(2 * 64 * 1024)
})
