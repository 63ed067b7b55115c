import { digits, format, measures } from '../measures.ts'
import { entryOf, ratio, spread, type Results } from '../results.ts'
import { targets, type Target } from '../targets.ts'
import { showRatio } from './workload-rows.ts'

export const VERDICT_HEADER = ['workload', 'measure', 'memseal against', 'limit', 'stretch', 'measured', '']

/** What memseal promises and whether this run kept it; targets whose two sides were not both measured are left out. */
export function verdicts(results: Results): string[][] {
  return targets.flatMap(target => {
    const judged = judge(results, target)
    return judged ? [judged] : []
  })
}

function judge(results: Results, target: Target): string[] | undefined {
  const workload = results.workloads.find(each => each.name === target.workload)
  const ours = workload && entryOf(workload, 'memseal')
  const theirs = target.peer && workload ? entryOf(workload, target.peer) : undefined
  if (!ours || (target.peer && !theirs)) return undefined
  const measured = theirs ? ratio(ours, theirs, target.measure) : spread(ours, target.measure)
  if (!measured) return undefined
  const show = (value: number) => theirs ? digits(value) : format(target.measure, value)
  const limit = target.atMost ?? target.atLeast!
  const isMet = target.atMost ? measured.median <= limit : measured.median >= limit
  return [
    target.workload, measures[target.measure].title, target.peer ?? '(absolute)',
    `${target.atMost ? '<=' : '>='} ${show(limit)}`, target.stretch ? show(target.stretch) : '',
    theirs ? showRatio(measured) : show(measured.median), isMet ? 'met' : 'MISSED',
  ]
}
