import { digits, format, measures } from '../measures.ts'
import { entryOf, measuresWithFigures, ratio, referenceOf, spread, titleOf, type Results, type WorkloadResult } from '../results.ts'
import type { Spread } from '../statistics.ts'

export interface Table {
  header: string[]
  rows: string[][]
  /** contestants without figures, and why */
  left: string[]
}

/** A workload as a table: medians, and the reference's figure divided by each row's with its spread over the rounds. */
export function workloadTable(results: Results, workload: WorkloadResult): Table {
  const names = measuresWithFigures(workload)
  const reference = referenceOf(results)
  const ours = entryOf(workload, reference)
  const told = workload.entries.filter(entry => entry.samples.some(Boolean))
  const compared = [...new Set([workload.judge, 'requestsPerSecond' as const])].filter(name => names.includes(name))
  return {
    header: ['', ...names.map(name => measures[name].title),
      ...compared.map(name => `${reference} / this: ${measures[name].title.replace(/ .*/, '')}`)],
    rows: told.map(entry => [
      titleOf(results, entry.contestant),
      ...names.map(name => format(name, spread(entry, name)?.median)),
      ...compared.map(name => entry === ours ? '1' : showRatio(ours && ratio(ours, entry, name))),
    ]),
    left: workload.entries.filter(entry => entry.failed).map(entry =>
      `${titleOf(results, entry.contestant)}: ${entry.failed}${entry.samples.some(Boolean) ? ' (in some rounds)' : ''}`),
  }
}

export function showRatio(spread: Spread | undefined): string {
  if (!spread) return '-'
  return `${digits(spread.median)} (${digits(spread.min)}..${digits(spread.max)})`
}
