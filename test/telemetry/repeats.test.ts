import { expect, test } from 'vitest'
import { Repeats } from '../../src/telemetry/repeats.ts'

test('a key is told once a minute, with how many were left out', () => {
  let now = 0
  const repeats = new Repeats(() => now)
  expect([repeats.tell('a'), repeats.tell('a'), repeats.tell('a', 'b'), repeats.tell('a')]).toEqual([0, undefined, 0, undefined])
  now = 59_999
  expect(repeats.tell('a')).toBeUndefined()
  now = 60_000
  expect(repeats.tell('a')).toBe(3)
  expect(repeats.tell('a')).toBeUndefined()
})

test('the table is bounded; the oldest key is forgotten first', () => {
  let now = 0
  const repeats = new Repeats(() => now++, 3)
  for (const key of ['a', 'b', 'c', 'd']) repeats.tell(key)
  expect(repeats.size).toBe(3)
  expect(repeats.tell('d')).toBeUndefined()
  expect(repeats.tell('a')).toBe(0)
})

test('a reason is told so often a minute and no more, by whomever; what was left out stands in the next line', () => {
  let now = 0
  const repeats = new Repeats(() => now, 100, 3)
  const clients = ['a', 'b', 'c', 'd', 'e', 'a']
  expect(clients.map(client => repeats.tell('denied', client))).toEqual([0, 0, 0, undefined, undefined, undefined])
  expect(repeats.tell('too-fast', 'a')).toBe(0)
  now = 60_000
  expect(repeats.tell('denied', 'e')).toBe(2)
  expect(repeats.tell('denied', 'a')).toBe(1)
  expect(repeats.size).toBe(5)
})

test('reasons that somebody chose are bounded too', () => {
  const repeats = new Repeats(() => 0, 3)
  for (let i = 0; i < 10; i++) repeats.tell(`user ${i}`)
  expect(repeats.size).toBe(3)
})
