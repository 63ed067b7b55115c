import { expect, test } from 'vitest'
import { Histogram } from '../../src/lib/histogram.ts'

test('a bucket holds what is at most its bound, and the last one the rest', () => {
  const histogram = new Histogram([1, 2])
  for (const value of [0.5, 1, 1.5, 2, 2.5, 100]) histogram.observe(value)
  expect([...histogram.counts]).toEqual([2, 2, 2])
  expect([histogram.count, histogram.sum]).toEqual([6, 107.5])
})
