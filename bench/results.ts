import type { Machine } from './measure/machine.ts'
import { measures, type MeasureName, type Sample } from './measures.ts'
import { spreadOf, type Spread } from './statistics.ts'
import type { Workload } from './workloads.ts'

/** A whole run, as it is kept in bench/results: one file for each release of memcached. */
export interface Results {
  date: string
  machine: Machine
  /** release of the memcached behind all */
  memcached: string
  starts: number
  sliceMs: number
  mostOthers: number
  loadProcesses: number
  contestants: { name: string, title: string, version: string, absent?: string }[]
  workloads: WorkloadResult[]
}

export interface WorkloadResult {
  name: string
  about: string
  judge: MeasureName
  measures: MeasureName[]
  /** whom the ratios of all entries speak of: memseal, or the first that took part where it did not */
  reference?: string
  entries: Entry[]
}

/** What one contestant did, over all its slices that were kept. */
export interface Entry {
  /** its name */
  contestant: string
  kept: number
  wanted: number
  thrown: number
  failed?: string
  figures: Partial<Record<MeasureName, Spread>>
  /** the reference's figure divided by this one's, slice by slice: what moves both at once falls out. Where memseal takes
   *  part twice, the mean of both is the reference of all others, which halves what chance adds to it */
  ratios: Partial<Record<MeasureName, Spread>>
}

/** The slices behind an entry: one a round over all starts, null where none was kept. */
export interface Score {
  contestant: string
  samples: (Sample | null)[]
  wanted: number
  thrown: number
  failed?: string
}

export function resultOf({ name, about, judge, measures }: Workload, scores: Score[]): WorkloadResult {
  const played = scores.filter(score => score.samples.some(Boolean))
  const reference = ['memseal', 'nginx'].map(wanted => played.find(score => score.contestant === wanted)).find(Boolean) ?? played[0]
  const again = reference?.contestant === 'memseal' ? played.find(score => score.contestant === 'again') : undefined
  const references = [reference, again].filter(score => score !== undefined)
  return {
    name, about, judge, measures, reference: reference?.contestant,
    entries: scores.map(score => ({
      contestant: score.contestant, kept: score.samples.filter(Boolean).length, wanted: score.wanted, thrown: score.thrown,
      failed: score.failed,
      figures: spreadsOf(measures, measure => score.samples.flatMap(sample => sample?.[measure] ?? [])),
      ratios: spreadsOf(measures, measure => ratios(score === again ? [reference!] : references, score, measure)),
    })),
  }
}

function spreadsOf(names: MeasureName[], values: (name: MeasureName) => number[]): Partial<Record<MeasureName, Spread>> {
  return Object.fromEntries(names.flatMap(name => {
    const spread = spreadOf(values(name))
    return spread ? [[name, spread]] : []
  }))
}

function ratios(references: Score[], theirs: Score, measure: MeasureName): number[] {
  return theirs.samples.flatMap((sample, round) => {
    const below = sample?.[measure]
    const above = references.flatMap(each => each.samples[round]?.[measure] ?? [])
    return above.length < references.length || !below ? [] : [above.reduce((sum, value) => sum + value, 0) / above.length / below]
  })
}

export function entryOf(workload: WorkloadResult, contestant: string): Entry | undefined {
  return workload.entries.find(entry => entry.contestant === contestant && entry.kept > 0)
}

/** As many slices were kept as were wanted: a figure that may be told elsewhere. */
export function isOfRecord(entry: Entry): boolean {
  return entry.kept === entry.wanted
}

/** Most by which memseal may differ from itself in a run of record. */
export const MOST_NOISE = 0.03

/** How far memseal's figures lie from those of memseal once more: |ratio - 1| for each workload. */
export function noise(results: Results, measure: MeasureName): { workload: string, share: number }[] {
  return results.workloads.flatMap(workload => {
    const ratio = workload.reference === 'memseal' ? entryOf(workload, 'again')?.ratios[measure] : undefined
    return ratio ? [{ workload: workload.name, share: Math.abs(ratio.median - 1) }] : []
  })
}

export function titleOf(results: Results, contestant: string): string {
  return results.contestants.find(each => each.name === contestant)?.title ?? contestant
}

/** The measures of a workload for which anybody has a figure. */
export function measuresWithFigures(workload: WorkloadResult): MeasureName[] {
  return workload.measures.filter(name => name in measures && workload.entries.some(entry => entry.figures[name]))
}
