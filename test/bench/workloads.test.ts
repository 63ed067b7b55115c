import { expect, test } from 'vitest'
import { targets } from '../../bench/targets.ts'
import { workloads } from '../../bench/workloads.ts'

test('every target speaks of a workload and of a measure that it tells', () => {
  for (const { workload, measure } of targets) {
    const found = workloads.find(each => each.name === workload)
    expect(found?.measures, workload).toContain(measure)
  }
})
