import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Results } from '../results.ts'
import { chartsOf } from './charts.ts'
import { readmeTables, withTables } from './readme-table.ts'
import { readingOf, resultsPage } from './results-page.ts'

const BENCH = dirname(import.meta.dirname)
const RESULTS = join(BENCH, 'results')
const CHARTS = join(RESULTS, 'charts')
const PAGE = join(BENCH, 'RESULTS.md')
const README = join(dirname(BENCH), 'README.md')

/** The results of record: the last run of each release of memcached, the oldest release first. */
export function readAllResults(): Results[] {
  return readdirSync(RESULTS).filter(name => name.endsWith('.json'))
    .map(name => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')) as Results)
    .sort((a, b) => a.memcached.localeCompare(b.memcached, 'en', { numeric: true }))
}

/** Takes the place of an earlier run with this release.   @returns path of the file */
export function writeJson(results: Results): string {
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, `memcached-${results.memcached}.json`)
  writeFileSync(file, JSON.stringify(results, rounded, 1) + '\n')
  return file
}

function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}

/** RESULTS.md and the README's tables, from all releases, and charts of the newest.   @returns paths of the pages */
export function writePages(all: Results[]): string[] {
  mkdirSync(CHARTS, { recursive: true })
  for (const workload of all[all.length - 1].workloads) {
    for (const [file, svg] of chartsOf(all[all.length - 1], workload)) writeFileSync(join(CHARTS, file), svg)
  }
  const reading = existsSync(PAGE) ? readingOf(readFileSync(PAGE, 'utf8')) : ''
  writeFileSync(PAGE, resultsPage(all, 'results/charts', reading))
  writeFileSync(README, withTables(readFileSync(README, 'utf8'), readmeTables(all)))
  return [PAGE, README]
}
