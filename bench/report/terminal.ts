import { foreignShare, noise, type Results } from '../results.ts'
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
  const foreign = foreignShare(results)
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`
  return [
    `${results.date}, commit ${machine.commit}; ${machine.cores} cores of ${machine.cpu}, ${machine.memoryMiB} MiB, `
      + `${machine.system}, Linux ${machine.kernel}, load ${machine.loadAtStart} at the start`,
    `Node ${machine.node} (V8 ${machine.v8}, OpenSSL ${machine.openssl}); `
      + results.contestants.filter(each => !each.absent).map(each => `${each.name} ${each.version}`).join(', '),
    `medians of ${results.rounds} rounds of ${results.seconds} s, contestants alternating, ${results.loadProcesses} load `
      + 'processes; a ratio is taken round by round and shown with its least and its largest',
    `noise: the figure a workload is judged by moved +-${percent(noise(results))} between rounds (median of all)`
      + (foreign ? `; other work used ${percent(foreign.median)} of the machine, at worst ${percent(foreign.max)}` : ''),
    ...results.contestants.filter(each => each.absent).map(each => `left out: ${each.title}: ${each.absent}`),
  ]
}

function targetLines(results: Results): string[] {
  const rows = verdicts(results)
  return rows.length > 0 ? ['targets', ...grid(VERDICT_HEADER, rows), ''] : []
}
