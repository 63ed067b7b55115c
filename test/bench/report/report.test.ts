import { expect, test } from 'vitest'
import { barChart } from '../../../bench/report/bar-chart.ts'
import { readmeTable } from '../../../bench/report/readme-table.ts'
import { readingOf, resultsPage } from '../../../bench/report/results-page.ts'
import { verdicts } from '../../../bench/report/verdicts.ts'
import { workloadTable } from '../../../bench/report/workload-rows.ts'
import { noise, ratio, type Results } from '../../../bench/results.ts'

test('a ratio is taken round by round', () => {
  const [memseal, nginx] = results().workloads[0].entries
  expect(ratio(memseal, nginx, 'proxyUs')).toEqual({ median: 0.9, min: 0.8, max: 1 })
})

test('a round that failed on one side does not shift the others', () => {
  const [memseal, nginx] = results().workloads[0].entries
  nginx.samples[0] = null
  expect(ratio(memseal, nginx, 'proxyUs')).toEqual({ median: 0.95, min: 0.9, max: 1 })
})

test('targets are met or missed by medians; those without both sides are left out', () => {
  const told = verdicts(results())
  expect(told.map(row => [row[1], row[2], row.at(-1)])).toEqual([['CPU us/req', 'nginx', 'met'], ['req/s', 'nginx', 'MISSED']])
})

test('a target without a peer is held against the figure itself', () => {
  const told = results()
  told.workloads = [{
    name: 'admin-scrape', about: 'x', judge: 'scrapedP99Ratio', measures: ['scrapedP99Ratio'],
    entries: [{ contestant: 'memseal', samples: [1.2, 1.04, 1].map(scrapedP99Ratio => ({ scrapedP99Ratio })) }],
  }]
  expect(verdicts(told)).toEqual([['admin-scrape', 'p99 scraped/else', '(absolute)', '<= 1.05', '', '1.04', 'met']])
})

test('tables show medians, ratios with their spread, and why somebody is left out', () => {
  const table = workloadTable(results(), results().workloads[0])
  expect(table.rows[1]).toEqual(['nginx stream', '10.0', '1 000', '0.90 (0.80..1.00)', '1.00 (1.00..1.00)'])
  expect(table.left).toEqual(['stunnel: it fell over'])
  expect(readmeTable(results())).toContain('| **memseal** |')
})

test('what was written by hand into the page of results outlives the next run', () => {
  const reading = 'memseal loses here.\n'
  const page = resultsPage(results(), 'charts', reading)
  expect(page).toContain('## Reading the figures')
  expect(readingOf(page)).toBe(reading)
  expect(resultsPage(results(), 'charts', readingOf(page))).toBe(page)
  expect(resultsPage(results(), 'charts')).not.toContain('## Reading the figures')
  expect(readingOf('# Results\n')).toBe('')
})

test('noise is half the width between rounds', () => {
  expect(noise(results())).toBeCloseTo(0.055, 2)
})

test('a chart escapes what it shows', () => {
  const svg = barChart({
    title: '<a> & "b"', subtitle: '', parts: ['one'], bars: [{ label: '<x>', values: [0], shown: '0', isOurs: true }],
  })
  expect(svg).toContain('&lt;a> &amp; &quot;b&quot;')
  expect(svg).not.toMatch(/NaN|<x>/)
})

function results(): Results {
  const sample = (proxyUs: number) => ({ proxyUs, requestsPerSecond: 1000 })
  return {
    date: '2026-01-01T00:00:00.000Z', rounds: 3, seconds: 1, loadProcesses: 1,
    machine: {
      cpu: 'x', cores: 2, memoryMiB: 1, kernel: '6', system: 'Debian', node: '26', v8: '14', openssl: '3',
      commit: 'abc', loadAtStart: 0,
    },
    contestants: [
      { name: 'memseal', title: 'memseal', version: '1' }, { name: 'nginx', title: 'nginx stream', version: '1' },
      { name: 'stunnel', title: 'stunnel', version: '1' },
    ],
    workloads: [{
      name: 'pingpong', about: 'x', judge: 'proxyUs', measures: ['proxyUs', 'requestsPerSecond'],
      entries: [
        { contestant: 'memseal', samples: [sample(8), sample(9), sample(10)] },
        { contestant: 'nginx', samples: [sample(10), sample(10), sample(10)] },
        { contestant: 'stunnel', samples: [null, null, null], failed: 'it fell over' },
      ],
    }],
  }
}
