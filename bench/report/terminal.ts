import { digits, measures, type MeasureName } from '../measures.ts'
import { isOfRecord, MOST_NOISE, noise, type Results } from '../results.ts'
import { spreadOf } from '../statistics.ts'
import { grid } from './grid.ts'
import { VERDICT_HEADER, verdicts } from './verdicts.ts'
import { workloadTable } from './workload-rows.ts'

/** The whole run as text for a terminal. */
export function terminalReport(results: Results): string {
  return [
    ...results.workloads.flatMap(workload => {
      const { header, rows, left } = workloadTable(results, workload)
      return [
        '', `${workload.name}: ${workload.about}`,
        ...(rows.length > 0 ? grid(header, rows) : []),
        ...left.map(line => `  no figures for ${line}`),
      ]
    }),
    '', ...targetLines(results),
    ...machineLines(results),
  ].join('\n')
}

/** Where and how the numbers were made, and how far to trust them. */
export function machineLines(results: Results): string[] {
  const { machine } = results
  return [
    `memcached ${results.memcached}; ${results.date}, commit ${machine.commit}; ${machine.cores} cores of ${machine.cpu}, `
      + `${machine.memoryMiB} MiB, ${machine.system}, Linux ${machine.kernel}, load ${machine.loadAtStart} at the start`,
    `Node ${machine.node} (V8 ${machine.v8}, OpenSSL ${machine.openssl}); `
      + results.contestants.filter(each => !each.absent && each.name !== 'again').map(each => `${each.name} ${each.version}`).join(', '),
    `medians of slices of ${results.sliceMs} ms that contestants take in turns, all of them connected, over ${results.starts} `
      + `starts of all processes; ${results.loadProcesses} load process${results.loadProcesses === 1 ? '' : 'es'}; `
      + 'a ratio is taken slice by slice and shown with its quartiles',
    ...keptLines(results),
    ...noiseLines(results),
    ...results.contestants.filter(each => each.absent).map(each => `left out: ${each.title}: ${each.absent}`),
  ]
}

function keptLines(results: Results): string[] {
  const entries = results.workloads.flatMap(workload => workload.entries)
  const kept = entries.reduce((sum, entry) => sum + entry.kept, 0)
  const thrown = entries.reduce((sum, entry) => sum + entry.thrown, 0)
  const short = entries.filter(entry => entry.kept > 0 && !isOfRecord(entry)).length
  return [
    `${kept} slices kept; ${thrown} thrown away, in which others used more than ${percent(results.mostOthers)} of the machine`,
    ...(short > 0 ? [`* ${short} rows have fewer slices than wanted and are NOT OF RECORD: measure again on a quiet machine`] : []),
  ]
}

function noiseLines(results: Results): string[] {
  const line = (measure: MeasureName) => {
    const all = noise(results, measure).toSorted((a, b) => b.share - a.share)
    if (all.length === 0) return []
    const [worst] = all
    return [`noise of ${measures[measure].title}, memseal against itself: ${percent(spreadOf(all.map(each => each.share))!.median)} `
      + `(median of the workloads), at most ${percent(worst.share)} (${worst.workload})`
      + (worst.share > MOST_NOISE ? `; MORE THAN ${percent(MOST_NOISE)}: ${
        all.filter(each => each.share > MOST_NOISE).map(each => each.workload).join(', ')}` : '')]
  }
  return [...line('proxyUs'), ...line('requestsPerSecond')]
}

function percent(share: number): string {
  return `${digits(share * 100)} %`
}

function targetLines(results: Results): string[] {
  const rows = verdicts(results)
  return rows.length > 0 ? ['targets', ...grid(VERDICT_HEADER, rows), ''] : []
}
