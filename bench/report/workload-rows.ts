import { digits, format, measures } from '../measures.ts'
import { entryOf, isOfRecord, measuresWithFigures, titleOf, type Results, type WorkloadResult } from '../results.ts'
import type { Spread } from '../statistics.ts'

export interface Table {
  header: string[]
  rows: string[][]
  /** contestants without figures, and why */
  left: string[]
}

/** A workload as a table: medians, and the reference's figure divided by each row's with its quartiles over the slices. */
export function workloadTable(results: Results, workload: WorkloadResult): Table {
  const names = measuresWithFigures(workload)
  const { reference, judge } = workload
  const told = workload.entries.filter(entry => entry.kept > 0)
  const compared = [...new Set([judge, 'requestsPerSecond' as const])].filter(name => names.includes(name))
  return {
    header: ['', ...names.map(name => measures[name].title), 'slices',
      ...compared.map(name => `${reference} / this: ${measures[name].title.replace(/ .*/, '')}`)],
    rows: told.map(entry => [
      titleOf(results, entry.contestant),
      ...names.map(name => format(name, entry.figures[name]?.median)),
      `${entry.kept}${isOfRecord(entry) ? '' : ` of ${entry.wanted} *`}`,
      ...compared.map(name => entry.contestant === reference ? '1' : showRatio(entry.ratios[name])),
    ]),
    left: workload.entries.filter(entry => entry.failed || entry.kept === 0).map(entry =>
      `${titleOf(results, entry.contestant)}: ${entry.failed ?? `all ${entry.thrown} slices were thrown away`}`
      + (entryOf(workload, entry.contestant) ? ' (in some slices)' : '')),
  }
}

export function showRatio(spread: Spread | undefined): string {
  if (!spread) return '-'
  return `${digits(spread.median)} (${digits(spread.low)}..${digits(spread.high)})`
}
