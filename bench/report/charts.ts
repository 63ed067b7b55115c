import { format, measures, type MeasureName } from '../measures.ts'
import { titleOf, type Results, type WorkloadResult } from '../results.ts'
import { barChart } from './bar-chart.ts'

/** Charts of a workload: name of the file: SVG. */
export function chartsOf(results: Results, workload: WorkloadResult): Map<string, string> {
  const charts = new Map<string, string>()
  for (const measure of charted(workload)) {
    const svg = draw(results, workload, measure)
    if (svg) charts.set(`${workload.name}-${fileNames[measure] ?? measure}.svg`, svg)
  }
  return charts
}

const fileNames: Partial<Record<MeasureName, string>> = {
  proxyUs: 'cpu', requestsPerSecond: 'rate', p50Us: 'p50', p99Us: 'p99', bytesPerConnection: 'memory',
}

function charted(workload: WorkloadResult): MeasureName[] {
  const wanted: MeasureName[] = [workload.judge, 'requestsPerSecond']
  return [...new Set(wanted)].filter(name => workload.measures.includes(name))
}

function draw(results: Results, workload: WorkloadResult, measure: MeasureName): string | undefined {
  const isStacked = measure === 'proxyUs' && workload.measures.includes('memcachedUs')
  const bars = workload.entries.flatMap(entry => {
    const value = entry.figures[measure]?.median
    if (value === undefined) return []
    const behind = isStacked ? entry.figures.memcachedUs?.median : undefined
    return [{
      label: titleOf(results, entry.contestant),
      values: behind === undefined ? [value] : [value, behind],
      shown: format(measure, value) + (behind === undefined ? '' : ` + ${format('memcachedUs', behind)}`),
      isOurs: entry.contestant === 'memseal',
    }]
  })
  if (bars.length === 0) return undefined
  const { title, about, better } = measures[measure]
  return barChart({
    title: `${workload.name}: ${workload.about}`,
    subtitle: `${title}: ${about}; ${better} is better`,
    parts: isStacked ? ['the contestant', 'memcached behind it'] : [title],
    bars,
  })
}
