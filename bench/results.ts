import type { Machine } from './measure/machine.ts'
import { measures, type MeasureName, type Sample } from './measures.ts'
import { noiseOf, spreadOf, type Spread } from './statistics.ts'

/** A whole run, as it is kept in bench/results/*.json. */
export interface Results {
  date: string
  machine: Machine
  rounds: number
  seconds: number
  loadProcesses: number
  contestants: { name: string, title: string, version: string, absent?: string }[]
  workloads: WorkloadResult[]
}

export interface WorkloadResult {
  name: string
  about: string
  judge: MeasureName
  measures: MeasureName[]
  entries: Entry[]
}

/** What one contestant did: a sample a round, or why there is none. A round that failed is null, so that rounds of
 *  different contestants can be set side by side. */
export interface Entry {
  /** its name */
  contestant: string
  samples: (Sample | null)[]
  failed?: string
}

export function spread(entry: Entry, measure: MeasureName): Spread | undefined {
  return spreadOf(entry.samples.flatMap(sample => sample?.[measure] ?? []))
}

/** `ours` divided by `theirs`, round by round: what moves both at once falls out. */
export function ratio(ours: Entry, theirs: Entry, measure: MeasureName): Spread | undefined {
  return spreadOf(ours.samples.flatMap((sample, round) => {
    const above = sample?.[measure]
    const below = theirs.samples[round]?.[measure]
    return above === undefined || !below ? [] : [above / below]
  }))
}

export function entryOf(workload: WorkloadResult, contestant: string): Entry | undefined {
  return workload.entries.find(entry => entry.contestant === contestant && entry.samples.some(Boolean))
}

/** Whom ratios speak of: memseal, or the first that took part where it did not. */
export function referenceOf(results: Results): string {
  const names = new Set(results.workloads.flatMap(each => each.entries.filter(e => e.samples.some(Boolean)).map(e => e.contestant)))
  return ['memseal', 'nginx', ...names].find(name => names.has(name)) ?? 'memseal'
}

/** How much the same figure of the same contestant moved between rounds: the median over all, as a share. */
export function noise(results: Results): number {
  const widths = results.workloads.flatMap(workload => workload.entries.flatMap(entry => {
    const s = entry.samples.length > 1 ? spread(entry, workload.judge) : undefined
    return s ? [noiseOf(s)] : []
  }))
  return spreadOf(widths)?.median ?? 0
}

/** The largest share of the machine that anything beside the bench used during a window, and the median. */
export function foreignShare(results: Results): Spread | undefined {
  return spreadOf(results.workloads.flatMap(workload => workload.entries.flatMap(entry =>
    entry.samples.flatMap(sample => sample?.foreignShare ?? []))))
}

export function titleOf(results: Results, contestant: string): string {
  return results.contestants.find(each => each.name === contestant)?.title ?? contestant
}

/** The measures of a workload for which anybody has a figure. */
export function measuresWithFigures(workload: WorkloadResult): MeasureName[] {
  return workload.measures.filter(name => name in measures && workload.entries.some(entry => spread(entry, name)))
}
