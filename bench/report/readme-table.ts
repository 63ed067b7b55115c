import { format, type MeasureName } from '../measures.ts'
import { entryOf, spread, type Results } from '../results.ts'
import { markdownGrid } from './grid.ts'
import { machineLines } from './terminal.ts'

const columns: { workload: string, measure: MeasureName, title: string }[] = [
  { workload: 'pingpong', measure: 'proxyUs', title: '50 clients: CPU us/req' },
  { workload: 'pingpong', measure: 'requestsPerSecond', title: 'req/s' },
  { workload: 'pingpong', measure: 'p99Us', title: 'p99 ms' },
  { workload: 'pipeline', measure: 'proxyUs', title: '16 in flight: CPU us/req' },
  { workload: 'large-100k', measure: 'megabytesPerCpuSecond', title: '100 KB: MB/CPU s' },
  { workload: 'handshakes-full', measure: 'handshakesPerCpuSecond', title: 'handshakes/CPU s' },
  { workload: 'idle', measure: 'bytesPerConnection', title: 'KB/idle connection' },
]

/** The table of the README: a row a contestant, a column a figure, medians. */
export function readmeTable(results: Results): string {
  const shown = columns.filter(({ workload }) => results.workloads.some(each => each.name === workload))
  const rows = results.contestants.filter(each => !each.absent).map(({ name, title }) => [
    name === 'memseal' ? `**${title}**` : title,
    ...shown.map(column => {
      const workload = results.workloads.find(each => each.name === column.workload)!
      const entry = entryOf(workload, name)
      return format(column.measure, entry && spread(entry, column.measure)?.median)
    }),
  ])
  return [
    ...markdownGrid(['', ...shown.map(column => column.title)], rows), '',
    `${machineLines(results)[0]}.`, '',
  ].join('\n')
}
