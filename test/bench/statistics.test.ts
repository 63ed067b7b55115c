import { expect, test } from 'vitest'
import { spreadOf } from '../../bench/statistics.ts'

test('the median of an even number lies between the two in the middle, quartiles between their neighbours', () => {
  expect(spreadOf([4, 1, 3, 2])).toEqual({ low: 1.75, median: 2.5, high: 3.25, count: 4 })
})

test('of five, the quartiles are the second and the fourth', () => {
  expect(spreadOf([50, 10, 40, 20, 30])).toEqual({ low: 20, median: 30, high: 40, count: 5 })
})

test('one slice that went wild moves no median', () => {
  expect(spreadOf([1, 1, 1, 1000, 1])).toEqual({ low: 1, median: 1, high: 1, count: 5 })
})

test('one figure is its own quartiles, and none has no spread', () => {
  expect(spreadOf([7])).toEqual({ low: 7, median: 7, high: 7, count: 1 })
  expect(spreadOf([])).toBeUndefined()
})
