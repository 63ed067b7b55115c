import { measures } from '../measures.ts'
import { measuresWithFigures, type Results } from '../results.ts'
import { chartsOf } from './charts.ts'
import { markdownGrid } from './grid.ts'
import { machineLines } from './terminal.ts'
import { VERDICT_HEADER, verdicts } from './verdicts.ts'
import { workloadTable } from './workload-rows.ts'

/** bench/RESULTS.md.   @param all the oldest release of memcached first   @param chartFolder where its pictures lie, as seen
 *  from it   @param reading what was written by hand, see `readingOf` */
export function resultsPage(all: Results[], chartFolder: string, reading = ''): string {
  return [
    '# Results', '',
    '`npm run bench` writes this page, but for the section "Reading the figures". Only ratios within one run mean anything: the '
      + 'same run moves from minute to minute with what else the machine does.', '',
    ...(reading === '' ? [] : ['## Reading the figures', '', `${readingStart}\n${reading}${readingEnd}`, '']),
    ...all.flatMap((results, index) => releasePart(results, index === all.length - 1 ? chartFolder : undefined)),
    '## What the columns say', '',
    ...[...new Set(all.flatMap(results => results.workloads).flatMap(measuresWithFigures))]
      .map(name => `* ${measures[name].title}: ${measures[name].about}`), '',
  ].join('\n')
}

/** @param chartFolder left out: without pictures */
function releasePart(results: Results, chartFolder: string | undefined): string[] {
  const judged = verdicts(results)
  return [
    `## With memcached ${results.memcached}`, '',
    ...machineLines(results).map(line => `* ${line}`), '',
    ...(judged.length > 0 ? [...markdownGrid(VERDICT_HEADER, judged), ''] : []),
    ...results.workloads.flatMap(workload => {
      const { header, rows, left } = workloadTable(results, workload)
      const charts = chartFolder === undefined ? [] : [...chartsOf(results, workload).keys()]
      return [
        `### ${workload.name}, memcached ${results.memcached}`, '', `${workload.about}.`, '',
        ...(rows.length > 0 ? [...markdownGrid(header, rows), ''] : []),
        ...left.map(line => `* No figures for ${line}`), ...(left.length > 0 ? [''] : []),
        ...charts.flatMap(file => [`![${workload.name}](${chartFolder}/${file})`, '']),
      ]
    }),
  ]
}

const [readingStart, readingEnd] = ['<!-- by hand -->', '<!-- /by hand -->']

/** What people wrote into an earlier page of results, which a new one keeps. */
export function readingOf(page: string): string {
  const start = page.indexOf(`${readingStart}\n`)
  const end = page.indexOf(readingEnd)
  return start === -1 || end < start ? '' : page.slice(start + readingStart.length + 1, end)
}
