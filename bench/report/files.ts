import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Results } from '../results.ts'
import { chartsOf } from './charts.ts'
import { readmeTable } from './readme-table.ts'
import { readingOf, resultsPage } from './results-page.ts'

const BENCH = dirname(import.meta.dirname)
const RESULTS = join(BENCH, 'results')
const CHARTS = join(RESULTS, 'charts')

export function readResults(file: string): Results {
  return JSON.parse(readFileSync(file, 'utf8')) as Results
}

/** @returns path of the file */
export function writeJson(results: Results): string {
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, `${results.date.replace(/[:.]/g, '-').replace(/-\d+Z$/, 'Z')}.json`)
  writeFileSync(file, JSON.stringify(results, undefined, 1) + '\n')
  return file
}

/** RESULTS.md, its charts and the README's table.   @returns path of RESULTS.md */
export function writePages(results: Results): string {
  mkdirSync(CHARTS, { recursive: true })
  for (const workload of results.workloads) {
    for (const [file, svg] of chartsOf(results, workload)) writeFileSync(join(CHARTS, file), svg)
  }
  writeFileSync(join(RESULTS, 'readme-table.md'), readmeTable(results))
  const page = join(BENCH, 'RESULTS.md')
  const reading = existsSync(page) ? readingOf(readFileSync(page, 'utf8')) : ''
  writeFileSync(page, resultsPage(results, `${basename(RESULTS)}/${basename(CHARTS)}`, reading))
  return page
}
