import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Handshakes, type Handshake } from '../../src/admission/handshakes.ts'

function many(handshakes: Handshakes, count: number) {
  const begun: number[] = []
  const made = Array.from({ length: count }, (_, at) => ({ begin: () => { begun.push(at) }, isGone: false }))
  for (const handshake of made) handshakes.add(handshake)
  return { begun, made: made as (Handshake & { isGone: boolean })[] }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

test('one starts per turn of the loop, and no more than there are slots', async () => {
  const handshakes = new Handshakes({ slots: 3, slotMs: 60_000 })
  const { begun, made } = many(handshakes, 10)
  expect(begun).toEqual([])
  let before = 0
  for (let i = 0; i < 8; i++) {
    await turn()
    expect(begun.length - before).toBeLessThanOrEqual(1)
    before = begun.length
  }
  expect(begun).toEqual([0, 1, 2])
  expect([handshakes.running, handshakes.waiting]).toEqual([3, 7])
  handshakes.finished(made[1])
  handshakes.finished(made[1])
  await turns(4)
  expect(begun).toEqual([0, 1, 2, 3])
  for (const handshake of made) handshakes.finished(handshake)
  await turns(4)
  for (const handshake of made) handshakes.finished(handshake)
})

test('one that is gone while it waits is passed over without using a turn', async () => {
  const handshakes = new Handshakes({ slots: 1, slotMs: 60_000 })
  const { begun, made } = many(handshakes, 5)
  for (const at of [0, 1, 2, 3]) made[at].isGone = true
  await turns(2)
  expect(begun).toEqual([4])
  handshakes.finished(made[4])
  expect([handshakes.running, handshakes.waiting]).toEqual([0, 0])
})

test('one that waits for its peer gives its slot back and goes on', async () => {
  const handshakes = new Handshakes({ slots: 2, slotMs: 20 })
  const { begun, made } = many(handshakes, 4)
  await turns(5)
  expect(begun).toEqual([0, 1])
  while (begun.length < 4) await sleep(5)
  expect(handshakes.running).toBe(4)
  for (const handshake of made) handshakes.finished(handshake)
  expect(handshakes.running).toBe(0)
  // Finished after its slot was given back: the slot is not given back twice.
  const again = many(handshakes, 5)
  await turns(8)
  expect(again.begun).toEqual([0, 1])
  for (const handshake of again.made) handshakes.finished(handshake)
})

test('the queue is full at its bound, and a long one keeps its order', async () => {
  const handshakes = new Handshakes({ slots: 1, queue: 3_000, slotMs: 60_000 })
  const { begun, made } = many(handshakes, 2_999)
  expect(handshakes.isFull).toBe(false)
  handshakes.add({ begin: () => {}, isGone: true })
  expect(handshakes.isFull).toBe(true)
  for (let at = 0; at < 2_999; at++) {
    while (begun.length <= at) await turn()
    handshakes.finished(made[at])
  }
  expect(begun).toEqual(made.map((_, at) => at))
})
