import { expect, test } from 'vitest'
import { ConnectRate, OpenPerClient } from '../../src/admission/client-limits.ts'

test('a client that has left leaves no entry', () => {
  const open = new OpenPerClient()
  open.add('10.0.0.1')
  open.add('10.0.0.1')
  open.remove('10.0.0.1')
  expect([open.of('10.0.0.1'), open.clients]).toEqual([1, 1])
  open.remove('10.0.0.1')
  expect([open.of('10.0.0.1'), open.clients]).toEqual([0, 0])
})

test('the table of rates stays within its bound, whoever comes', () => {
  let now = 0
  const rate = new ConnectRate(() => now, 100)
  for (let i = 0; i < 10_000; i++) {
    now += 1
    rate.take(`10.0.${i >> 8}.${i & 255}`, 1)
    expect(rate.size).toBeLessThanOrEqual(100)
  }
})

test('cleaning forgets those that may connect anyway before those that may not', () => {
  let now = 0
  const rate = new ConnectRate(() => now, 4)
  for (const client of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) rate.take(client, 1)
  now = 1000
  rate.take('10.0.0.4', 1)
  expect(rate.take('10.0.0.5', 1)).toBe(true)     // past the bound: 1 to 3 are full again and go
  expect(rate.size).toBe(2)
  expect(rate.take('10.0.0.4', 1)).toBe(false)
})

test('a client of another rate is held to its own, and one whose rate is another now holds no more than a second of that', () => {
  let now = 0
  const rate = new ConnectRate(() => now)
  const taken = (client: string, perSecond: number) => { let count = 0; while (count < 100 && rate.take(client, perSecond)) count += 1; return count }
  expect([taken('a', 5), taken('b', 2), taken('c', 0)]).toEqual([5, 2, 100])
  now = 1000
  expect([taken('a', 3), taken('b', 2)]).toEqual([3, 2])
  expect(rate.size).toBe(2)
})
