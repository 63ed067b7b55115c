import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { contestants } from './contestants/all.ts'
import type { Contestant } from './contestants/contestant.ts'
import { memsealBefore } from './contestants/memseal.ts'
import type { DialectName } from './load/dialects/dialect.ts'
import { workloads, type Workload } from './workloads.ts'

export interface Options {
  contestants: Contestant[]
  /** contestants were named, so workloads do not choose their own */
  isChosen: boolean
  workloads: Workload[]
  rounds: number
  seconds: number
  /** load before each window */
  warmSeconds: number
  /** load of each contestant at the start of the run; those that need warming get no less than WARMING_SECONDS */
  openingSeconds: number
  /** least load before each window of those that need warming: while others had their turns, V8 let go of code */
  rewarmingSeconds: number
  loadProcesses: number
  /** a full run, whose results are kept */
  isRecord: boolean
  action: 'run' | 'show-configs' | 'install' | 'list' | 'help' | 'report'
  reportFile?: string
  /** where the results go as JSON, whatever was chosen or changed */
  saveFile?: string
  readme: boolean
}

export const HELP = `npm run bench -- [options]
  --only a,b           workloads (default: all; --list shows them)
  --contestants x,y    peers (default: all that are installed)
  --before FOLDER      another checkout of memseal takes part too, as "before": what did a change do?
  --quick              the essential workloads in under two minutes, for use while tuning; nothing is written
  --rounds N --seconds S --warm S    rounds, length of a window, load before each window (memseal: 2 s or more)
  --loaders N          load processes (default: half as many as the machine has cores; a second one
                       on two cores only takes turns with the measured process)
  --no-record          write neither JSON nor RESULTS.md
  --save FILE.json     keep the results of this run there, partial or changed as it may be
  --readme             print the README's table at the end
  --report FILE.json   write RESULTS.md, charts and the README's table again from an earlier run
  --show-configs       print how each contestant is set up
  --install            install the peers that Debian packages
Changes to the chosen workloads (nothing is written then):
  --clients N --depth N --value-bytes N --keys N --keys-per-get N --sets SHARE --hits SHARE --dialect text|meta|binary
  --rate N             open loop: N requests per second in all, latency from when each was due`

/** Load at the start of a run: V8 needs a second or two of it. */
export const WARMING_SECONDS = 2

/** @throws UsageError */
export function readOptions(argv: string[]): Options {
  const { values: given } = parse(argv)
  const isQuick = given.quick ?? false
  const isChanged = ['clients', 'depth', 'value-bytes', 'keys', 'keys-per-get', 'sets', 'hits', 'dialect', 'rate']
    .some(name => name in given)
  return {
    contestants: [...choose('contestant', contestants, given.contestants), ...given.before ? [memsealBefore(given.before)] : []],
    isChosen: given.contestants !== undefined || given.before !== undefined,
    workloads: choose('workload', workloads, given.only)
      .filter(workload => given.only !== undefined || !isQuick || workload.isEssential)
      .map(workload => changed(workload, given)),
    rounds: number('rounds', given.rounds, isQuick ? 2 : 5),
    seconds: number('seconds', given.seconds, isQuick ? 0.6 : 2),
    warmSeconds: number('warm', given.warm, isQuick ? 0.2 : 0.5),
    openingSeconds: isQuick ? 0.2 : WARMING_SECONDS,
    rewarmingSeconds: isQuick ? 0 : WARMING_SECONDS,
    loadProcesses: number('loaders', given.loaders, Math.max(1, availableParallelism() >> 1)),
    isRecord: !isQuick && !isChanged && !given['no-record'] && !given.only && !given.contestants && !given.before,
    action: actionOf(given),
    reportFile: given.report,
    saveFile: given.save,
    readme: given.readme ?? false,
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
        only: text, contestants: text, before: text, rounds: text, seconds: text, warm: text, loaders: text, report: text, save: text,
        quick: flag, readme: flag, install: flag, list: flag, help: flag, 'show-configs': flag, 'no-record': flag,
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
