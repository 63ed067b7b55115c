import { expect, test } from 'vitest'
import { isOfRecord, resultOf, type Score } from '../../bench/results.ts'
import { workloads } from '../../bench/workloads.ts'

test('a ratio is taken slice by slice, and what moves both at once falls out', () => {
  const { reference, entries } = resultOf(workloads[0], [score('memseal', [7.5, 10, 5]), score('nginx', [10, 20, 5])])
  expect(reference).toBe('memseal')
  expect(entries[1].ratios.proxyUs).toEqual({ low: 0.625, median: 0.75, high: 0.875, count: 3 })
  expect(entries[1].figures.proxyUs!.median).toBe(10)
})

test('a slice that was thrown away on one side does not shift the others', () => {
  const [memseal, nginx] = [score('memseal', [8, 18, 5]), score('nginx', [10, 20, 5])]
  nginx.samples[0] = null
  const { entries } = resultOf(workloads[0], [memseal, nginx])
  expect(entries[1].ratios.proxyUs).toMatchObject({ median: 0.95, count: 2 })
  expect(entries.map(isOfRecord)).toEqual([true, false])
})

test('where memseal takes part twice, others are held against the mean of both, and both against each other', () => {
  const { reference, entries } = resultOf(workloads[0], [score('memseal', [8, 9]), score('again', [10, 9]), score('nginx', [10, 10])])
  expect(reference).toBe('memseal')
  expect(entries[1].ratios.proxyUs).toMatchObject({ median: 0.9, count: 2 })
  expect(entries[2].ratios.proxyUs).toMatchObject({ median: 0.9, low: 0.9, high: 0.9, count: 2 })
})

test('a slice that one of both memseals lost is nobody\'s reference', () => {
  const again = score('again', [10, 9])
  again.samples[1] = null
  const { entries } = resultOf(workloads[0], [score('memseal', [8, 90]), again, score('nginx', [10, 10])])
  expect(entries[2].ratios.proxyUs).toMatchObject({ median: 0.9, count: 1 })
})

test('ratios speak of the first that took part where memseal has no slice', () => {
  const { reference, entries } = resultOf(workloads[0], [score('memseal', []), score('hitch', [4]), score('stunnel', [8])])
  expect(reference).toBe('hitch')
  expect(entries[2].ratios.proxyUs!.median).toBe(0.5)
})

function score(contestant: string, proxyUs: number[]): Score {
  return { contestant, samples: proxyUs.map(each => ({ proxyUs: each })), wanted: proxyUs.length, thrown: 0 }
}
