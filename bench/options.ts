import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { contestantsOn } from './contestants/all.ts'
import type { Contestant } from './contestants/contestant.ts'
import { memcachedAt } from './contestants/memcached.ts'
import { memsealBefore } from './contestants/memseal.ts'
import type { DialectName } from './load/dialects/dialect.ts'
import { MOST_OTHERS } from './rounds.ts'
import { workloads, type Workload } from './workloads.ts'

export interface Options {
  contestants: Contestant[]
  /** contestants were named, so workloads do not choose their own */
  isChosen: boolean
  /** what stands behind all of them */
  memcached: Contestant
  workloads: Workload[]
  /** how often all processes are started */
  starts: number
  /** slices of each contestant in each start */
  rounds: number
  sliceMs: number
  /** of the machine, what others may use during a slice that is kept, 0 to 1 */
  mostOthers: number
  loadProcesses: number
  isQuick: boolean
  /** a full run, whose results are kept */
  isRecord: boolean
  action: 'run' | 'show-configs' | 'install' | 'list' | 'help' | 'report'
  /** where the results go as JSON, whatever was chosen or changed */
  saveFile?: string
}

export const HELP = `npm run bench -- [options]
  --only a,b           workloads (default: all; --list shows them)
  --contestants x,y    who takes part in each of them, in every round (default: memseal twice, nginx, and in every
                       third round others that the workload names)
  --before FOLDER      another checkout of memseal takes part too, as "before": what did a change do?
  --memcached PATH     the memcached behind all (default: the one that is installed)
  --quick              the essential workloads in two minutes, for use while tuning; nothing is written
  --starts N           how often all processes are started (3); each start plays all workloads
  --rounds N           rounds of slices in each start (6)
  --slice MS           how long a slice is (200)
  --others SHARE       a slice is thrown away when others used more than this share of the machine (0.05)
  --loaders N          load processes (default: half as many as the machine has cores; a second one
                       on two cores only takes turns with the measured process)
  --no-record          write nothing
  --save FILE.json     keep the results of this run there, partial or changed as it may be
  --report             write RESULTS.md, its charts and the README's table again from the results of record
  --show-configs       print how each contestant is set up
  --install            install the peers that Debian packages
Changes to the chosen workloads (nothing is written then):
  --clients N --depth N --value-bytes N --keys N --keys-per-get N --sets SHARE --hits SHARE --dialect text|meta|binary
  --rate N             open loop: N requests per second in all, latency from when each was due`

/** Options that make a run another than the one of record. */
const CHANGES = [
  'clients', 'depth', 'value-bytes', 'keys', 'keys-per-get', 'sets', 'hits', 'dialect', 'rate',
  'only', 'contestants', 'before', 'quick', 'starts', 'rounds', 'slice', 'others', 'loaders', 'no-record',
] as const

/** @throws UsageError */
export function readOptions(argv: string[]): Options {
  const { values: given } = parse(argv)
  const isQuick = given.quick ?? false
  const program = given.memcached ?? 'memcached'
  return {
    contestants: [...choose('contestant', contestantsOn(program), given.contestants), ...given.before ? [memsealBefore(given.before)] : []],
    isChosen: given.contestants !== undefined,
    memcached: memcachedAt(program),
    workloads: choose('workload', workloads, given.only)
      .filter(workload => given.only !== undefined || !isQuick || workload.isEssential)
      .map(workload => changed(workload, given)),
    starts: number('starts', given.starts, isQuick ? 1 : 3),
    rounds: number('rounds', given.rounds, 6),
    sliceMs: number('slice', given.slice, 200),
    mostOthers: number('others', given.others, MOST_OTHERS),
    loadProcesses: number('loaders', given.loaders, Math.max(1, availableParallelism() >> 1)),
    isQuick,
    isRecord: !CHANGES.some(name => name in given),
    action: actionOf(given),
    saveFile: given.save,
  }
}

export class UsageError extends Error {}

function parse(argv: string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: argv,
      options: {
        only: text, contestants: text, before: text, memcached: text, starts: text, rounds: text, slice: text, others: text,
        loaders: text, save: text, quick: flag, report: flag, install: flag, list: flag, help: flag, 'show-configs': flag,
        'no-record': flag,
        clients: text, depth: text, 'value-bytes': text, keys: text, 'keys-per-get': text, sets: text, hits: text,
        dialect: text, rate: text,
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

type Given = ReturnType<typeof parse>['values']

function actionOf(given: Given): Options['action'] {
  if (given.help) return 'help'
  if (given.list) return 'list'
  if (given.install) return 'install'
  if (given['show-configs']) return 'show-configs'
  return given.report ? 'report' : 'run'
}

function choose<T extends { name: string }>(what: string, all: T[], names: string | undefined): T[] {
  if (names === undefined) return all
  return names.split(',').map(name => {
    const found = all.find(each => each.name === name)
    if (!found) throw new UsageError(`no ${what} "${name}"; there are ${all.map(each => each.name).join(', ')}`)
    return found
  })
}

function changed(workload: Workload, given: Given): Workload {
  const { shape } = workload
  if (shape.kind === 'idle') return { ...workload, shape: { ...shape, connections: number('clients', given.clients, shape.connections) } }
  const traffic = {
    dialect: dialect(given.dialect) ?? shape.traffic.dialect,
    keys: number('keys', given.keys, shape.traffic.keys),
    valueBytes: number('value-bytes', given['value-bytes'], shape.traffic.valueBytes),
    sets: number('sets', given.sets, shape.traffic.sets),
    hits: number('hits', given.hits, shape.traffic.hits),
    keysPerGet: number('keys-per-get', given['keys-per-get'], shape.traffic.keysPerGet),
  }
  switch (shape.kind) {
    case 'steady':
      return {
        ...workload,
        shape: {
          ...shape, traffic,
          clients: number('clients', given.clients, shape.clients),
          depth: number('depth', given.depth, shape.depth),
          requestsPerSecond: number('rate', given.rate, shape.requestsPerSecond ?? 0) || undefined,
        },
      }
    case 'reconnecting':
      return { ...workload, shape: { ...shape, traffic, atOnce: number('clients', given.clients, shape.atOnce) } }
    case 'storm':
      return { ...workload, shape: { ...shape, traffic, newcomers: number('clients', given.clients, shape.newcomers) } }
    default:
      return shape satisfies never
  }
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new UsageError(`--${name} ${text}: not a number of 0 or more`)
  return value
}

function dialect(name: string | undefined): DialectName | undefined {
  if (name === undefined || name === 'text' || name === 'meta' || name === 'binary') return name
  throw new UsageError(`--dialect ${name}: text, meta or binary`)
}
