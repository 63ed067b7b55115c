import { digits, format, measures } from '../measures.ts'
import { entryOf, isOfRecord, type Results } from '../results.ts'
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
  const ours = workload?.reference === 'memseal' ? entryOf(workload, 'memseal') : undefined
  const theirs = target.peer && workload ? entryOf(workload, target.peer) : ours
  const measured = target.peer ? theirs?.ratios[target.measure] : ours?.figures[target.measure]
  if (!ours || !theirs || !measured) return undefined
  const show = (value: number) => target.peer ? digits(value) : format(target.measure, value)
  const limit = target.atMost ?? target.atLeast!
  const isMet = target.atMost ? measured.median <= limit : measured.median >= limit
  return [
    target.workload, measures[target.measure].title, target.peer ?? '(absolute)',
    `${target.atMost ? '<=' : '>='} ${show(limit)}`, target.stretch ? show(target.stretch) : '',
    target.peer ? showRatio(measured) : show(measured.median),
    (isMet ? 'met' : 'MISSED') + (isOfRecord(ours) && isOfRecord(theirs) ? '' : ' *'),
  ]
}
