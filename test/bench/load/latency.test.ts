import { expect, test } from 'vitest'
import { halfAt, HalvesTally, joinLatencies, LatencyTally, percentile } from '../../../bench/load/latency.ts'

test('percentiles of two processes join as if one had measured', () => {
  const fast = tallyOf(900, 1)
  const slow = tallyOf(100, 50)
  const joined = joinLatencies([fast, slow])
  expect(joined.count).toBe(1000)
  expect(percentile(joined, 50)).toBeCloseTo(1000, -1)
  expect(percentile(joined, 89.5)).toBeCloseTo(1000, -1)
  expect(percentile(joined, 91)! / 50_000).toBeCloseTo(1, 2)
  expect(joined.meanUs / 5900).toBeCloseTo(1, 2)
  expect(joined.maxUs / 50_000).toBeCloseTo(1, 2)
})

test('the halves of a second are told apart by when replies came', () => {
  const tally = new HalvesTally()
  const second = Math.ceil((performance.timeOrigin + performance.now()) / 1000) * 1000 - performance.timeOrigin
  for (const [ms, tookMs] of [[0.5, 1], [499, 1], [501, 7], [999, 7], [1001, 1]]) tally.answered(second + ms - tookMs, second + ms)
  const [first, last] = tally.readHalves()
  expect([halfAt(second + 1), halfAt(second + 499), halfAt(second + 501), halfAt(second + 999)]).toEqual([0, 0, 1, 1])
  expect([tally.read().count, first.count, last.count]).toEqual([5, 3, 2])
  expect(percentile(first, 99)).toBeCloseTo(1000, -1)
  expect(percentile(last, 50)).toBeCloseTo(7000, -1)
  tally.reset()
  expect(tally.readHalves().map(half => half.count)).toEqual([0, 0])
})

test('a window without replies has no percentiles', () => {
  expect(percentile(joinLatencies([new LatencyTally().read()]), 99)).toBeUndefined()
})

test('a reset forgets what came before', () => {
  const tally = new LatencyTally()
  tally.answered(0, 500)
  tally.reset()
  tally.answered(0, 1)
  expect(tally.read().maxUs).toBeLessThan(2000)
})

function tallyOf(count: number, milliseconds: number) {
  const tally = new LatencyTally()
  for (let i = 0; i < count; i++) tally.answered(0, milliseconds)
  return tally.read()
}
