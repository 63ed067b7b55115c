import { digits, format, measures, type MeasureName } from '../measures.ts'
import { entryOf, isOfRecord, MOST_NOISE, titleOf, type Results } from '../results.ts'
import type { Spread } from '../statistics.ts'
import { markdownGrid } from './grid.ts'
import { machineLines } from './terminal.ts'

const rows = [
  { workload: 'pingpong', title: '50 clients, 1 request in flight' },
  { workload: 'pipeline', title: '16 in flight, text' },
  { workload: 'pipeline-meta', title: '16 in flight, meta' },
  { workload: 'pipeline-binary', title: '16 in flight, binary' },
  { workload: 'multiget', title: 'gets of 100 keys' },
  { workload: 'large-100k', title: 'values of 100 KB' },
  { workload: 'handshakes-full', title: 'a new connection per request' },
]
const peers = ['nginx', 'haproxy', 'stunnel']
const tables: { measure: MeasureName, title: string }[] = [
  { measure: 'proxyUs', title: 'CPU time per request (above 1: memseal costs more)' },
  { measure: 'requestsPerSecond', title: 'Requests per second (below 1: memseal is slower)' },
]

/** The tables of the README: memseal's figure divided by that of each peer, with each release of memcached, and where
 *  memseal loses by more than the noise.   @param all the oldest release first */
export function readmeTables(all: Results[]): string {
  const shown = rows.filter(({ workload }) => all.some(results => ratioOf(results, workload, peers[0], 'proxyUs')))
  const newest = all[all.length - 1]
  return [
    ...tables.flatMap(({ measure, title }) => [
      `${title}:`, '',
      ...markdownGrid(
        ['', ...[`memseal, ${measures[measure].title.replace('CPU ', '')}`, ...peers.map(peer => `/ ${titleOf(newest, peer)}`)]
          .flatMap(column => all.map(results => `${column}, ${results.memcached}`))],
        shown.map(row => [
          row.title,
          ...all.map(results => format(measure, memsealOf(results, row.workload, measure)?.median)),
          ...peers.flatMap(peer => all.map(results => cell(results, row.workload, peer, measure))),
        ])), '',
    ]),
    'Bold: memseal loses. *: fewer slices than wanted were undisturbed. ' + all.flatMap(results => ['nginx', 'haproxy'].map(peer => losses(results, peer))).join(' '), '',
    ...all.flatMap(results => [`${machineLines(results)[0]}.`, '']),
  ].join('\n')
}

/** @param readme a page with the marks between which the tables stand */
export function withTables(readme: string, text: string): string {
  const [start, end] = ['<!-- bench -->\n', '<!-- /bench -->']
  const from = readme.indexOf(start) + start.length
  const to = readme.indexOf(end)
  if (from < start.length || to < from) throw new Error(`README.md has no ${start.trim()} … ${end}`)
  return readme.slice(0, from) + text + readme.slice(to)
}

function losses(results: Results, peer: string): string {
  const lost = rows.flatMap(row => {
    const told = tables.flatMap(({ measure }) => {
      const ratio = ratioOf(results, row.workload, peer, measure)
      return isLost(ratio, measure) ? [`${measure === 'proxyUs' ? 'CPU' : 'rate'} ${digits(ratio!.median)}`] : []
    })
    return told.length > 0 ? [`${row.title} (${told.join(', ')})`] : []
  })
  return `To ${titleOf(results, peer)}, memcached ${results.memcached}: ${lost.join('; ') || 'nowhere here'}.`
}

function cell(results: Results, workload: string, peer: string, measure: MeasureName): string {
  const ratio = ratioOf(results, workload, peer, measure)
  if (!ratio) return '-'
  const mark = hasEnough(results, workload, peer) && hasEnough(results, workload, 'memseal') ? '' : ' *'
  return (isLost(ratio, measure) ? `**${digits(ratio.median)}**` : digits(ratio.median)) + mark
}

function hasEnough(results: Results, name: string, contestant: string): boolean {
  const entry = results.workloads.find(each => each.name === name)?.entries.find(each => each.contestant === contestant)
  return entry !== undefined && isOfRecord(entry)
}

function isLost(ratio: Spread | undefined, measure: MeasureName): boolean {
  if (!ratio) return false
  return measures[measure].better === 'less' ? ratio.median > 1 + MOST_NOISE : ratio.median < 1 - MOST_NOISE
}

function memsealOf(results: Results, name: string, measure: MeasureName): Spread | undefined {
  const workload = results.workloads.find(each => each.name === name)
  return workload && entryOf(workload, 'memseal')?.figures[measure]
}

function ratioOf(results: Results, name: string, peer: string, measure: MeasureName): Spread | undefined {
  const workload = results.workloads.find(each => each.name === name)
  return workload?.reference === 'memseal' ? entryOf(workload, peer)?.ratios[measure] : undefined
}
