import { expect, test } from 'vitest'
import { targets } from '../../bench/targets.ts'
import { variantsOf, workloads } from '../../bench/workloads.ts'

test('a contestant whose metrics are scraped is also measured without', () => {
  const scraped = workloads.find(each => each.name === 'admin-scrape')!
  const [as, without] = variantsOf(scraped, 'memseal')
  expect(as).toEqual({ entry: 'memseal', workload: scraped })
  expect(without.entry).toBe('memseal, not scraped')
  expect(without.workload.shape).toEqual({ ...scraped.shape, scrapesPerSecond: undefined })
})

test('any other workload has one entry a contestant', () => {
  for (const workload of workloads.filter(each => each.name !== 'admin-scrape')) {
    expect(variantsOf(workload, 'nginx')).toEqual([{ entry: 'nginx', workload }])
  }
})

test('every target speaks of a workload and of a measure that it tells', () => {
  for (const { workload, measure } of targets) {
    const found = workloads.find(each => each.name === workload)
    expect(found?.measures, workload).toContain(measure)
  }
})
