import { expect, test } from 'vitest'
import { cases } from '../../../bench/micro/cases.ts'

test.each(cases)('$name: what is timed is what the framers take', ({ run, requests }) => {
  expect(requests).toBeGreaterThan(0)
  expect(run).not.toThrow()
})
