import { expect, test } from 'vitest'
import { barChart } from '../../../bench/report/bar-chart.ts'
import { readmeTables, withTables } from '../../../bench/report/readme-table.ts'
import { readingOf, resultsPage } from '../../../bench/report/results-page.ts'
import { machineLines } from '../../../bench/report/terminal.ts'
import { verdicts } from '../../../bench/report/verdicts.ts'
import { workloadTable } from '../../../bench/report/workload-rows.ts'
import { resultOf, type Results, type Score } from '../../../bench/results.ts'
import { workloads } from '../../../bench/workloads.ts'

test('targets are met or missed by medians; those without both sides are left out', () => {
  const told = verdicts(results()).filter(([, measure]) => measure !== 'together us')
  expect(told.map(row => [row[1], row[2], row.at(-1)])).toEqual([['CPU us/req', 'nginx', 'met'], ['req/s', 'nginx', 'MISSED']])
})

test('a target without a peer is held against the figure itself', () => {
  const told = results()
  const workload = workloads.find(({ name }) => name === 'admin-scrape')!
  told.workloads = [resultOf(workload, [{ ...score('memseal', []), samples: [1.2, 1.04, 1].map(scrapedP99Ratio => ({ scrapedP99Ratio })), wanted: 3 }])]
  expect(verdicts(told)).toEqual([['admin-scrape', 'p99 scraped/else', '(absolute)', '<= 1.05', '', '1.04', 'met']])
})

test('tables show medians, ratios with their quartiles, and why somebody is left out', () => {
  const { header, rows, left } = workloadTable(results(), results().workloads[0])
  expect(header).toEqual(['', 'CPU us/req', 'req/s', 'slices', 'memseal / this: CPU', 'memseal / this: req/s'])
  expect(rows[2]).toEqual(['nginx stream', '10.0', '1 000', '3', '0.90 (0.85..0.95)', '1.00 (1.00..1.00)'])
  expect(left).toEqual(['stunnel: it fell over'])
})

test('a figure from fewer slices than wanted is marked wherever it is told', () => {
  const told = results()
  const [nginx] = told.workloads[0].entries.filter(entry => entry.contestant === 'nginx')
  nginx.wanted = 12
  nginx.thrown = 33
  expect(workloadTable(told, told.workloads[0]).rows[2][3]).toBe('3 of 12 *')
  expect(verdicts(told)[0].at(-1)).toBe('met *')
  expect(readmeTables([told])).toContain('| 50 clients, 1 request in flight | 9.00 | 0.90 * | - | - |')
  expect(machineLines(told).join('\n')).toContain('33 thrown away, in which others used more than 5.00 % of the machine')
  expect(machineLines(told).join('\n')).toContain('* 1 rows have fewer slices than wanted and are NOT OF RECORD')
  expect(machineLines(results()).join('\n')).not.toContain('NOT OF RECORD')
})

test('one whose slices were all thrown away is named', () => {
  const told = results()
  told.workloads = [resultOf(workloads[0], [score('memseal', [8]), { ...score('nginx', []), samples: [null], wanted: 1, thrown: 3 }])]
  expect(workloadTable(told, told.workloads[0]).left).toEqual(['nginx stream: all 3 slices were thrown away'])
})

test('the noise is what memseal differs from itself by, and more than 3 % is said', () => {
  expect(machineLines(results()).find(line => line.startsWith('noise of CPU'))).toBe(
    'noise of CPU us/req, memseal against itself: 0.00 % (median of the workloads), at most 0.00 % (pingpong)')
  expect(machineLines(results([8, 9, 10], [8.4, 9.36, 10.3])).find(line => line.startsWith('noise of CPU'))).toMatch(
    /at most 3\.85 % \(pingpong\); MORE THAN 3\.00 %: pingpong$/)
})

test('the README has both releases side by side, and says where memseal loses', () => {
  const old = { ...results(), memcached: '1.6.18' }
  const page = readmeTables([old, { ...results([12, 12, 12], [12, 12, 12]), memcached: '1.6.45' }])
  expect(page).toContain('| 50 clients, 1 request in flight | 9.00 | 12.0 | 0.90 | **1.20** | - | - | - | - |')
  expect(page).toContain('| memseal, us/req, 1.6.18 | memseal, us/req, 1.6.45 | / nginx stream, 1.6.18 | / nginx stream, 1.6.45 |')
  expect(page).toContain('To nginx stream, memcached 1.6.18: nowhere here.')
  expect(page).toContain('To nginx stream, memcached 1.6.45: 50 clients, 1 request in flight (CPU 1.20).')
})

test('the tables take the place of those between the marks, and nothing else changes', () => {
  expect(withTables('a\n<!-- bench -->\nold\n<!-- /bench -->\nz', 'new\n')).toBe('a\n<!-- bench -->\nnew\n<!-- /bench -->\nz')
  expect(() => withTables('a', 'new')).toThrow('README.md has no <!-- bench -->')
})

test('what was written by hand into the page of results outlives the next run', () => {
  const reading = 'memseal loses here.\n'
  const page = resultsPage([results()], 'charts', reading)
  expect(page).toContain('## Reading the figures')
  expect(readingOf(page)).toBe(reading)
  expect(resultsPage([results()], 'charts', readingOf(page))).toBe(page)
  expect(resultsPage([results()], 'charts')).not.toContain('## Reading the figures')
  expect(readingOf('# Results\n')).toBe('')
})

test('a chart escapes what it shows', () => {
  const svg = barChart({
    title: '<a> & "b"', subtitle: '', parts: ['one'], bars: [{ label: '<x>', values: [0], shown: '0', isOurs: true }],
  })
  expect(svg).toContain('&lt;a> &amp; &quot;b&quot;')
  expect(svg).not.toMatch(/NaN|<x>/)
})

function results(memseal = [8, 9, 10], again = memseal): Results {
  const contestants = ['memseal', 'again', 'nginx', 'stunnel']
  const titles = ['memseal', 'memseal again', 'nginx stream', 'stunnel']
  return {
    date: '2026-01-01T00:00:00.000Z', memcached: '1.6.18', starts: 1, sliceMs: 250, mostOthers: 0.05, loadProcesses: 1,
    machine: {
      cpu: 'x', cores: 2, memoryMiB: 1, kernel: '6', system: 'Debian', node: '26', v8: '14', openssl: '3',
      commit: 'abc', loadAtStart: 0,
    },
    contestants: contestants.map((name, i) => ({ name, title: titles[i], version: '1' })),
    workloads: [resultOf(workloads[0], [
      score('memseal', memseal), score('again', again), score('nginx', [10, 10, 10]),
      { ...score('stunnel', []), samples: [null, null, null], wanted: 3, failed: 'it fell over' },
    ])],
  }
}

function score(contestant: string, proxyUs: number[]): Score {
  return {
    contestant, wanted: proxyUs.length, thrown: 0,
    samples: proxyUs.map(each => ({ proxyUs: each, requestsPerSecond: 1000 })),
  }
}
