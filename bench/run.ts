import type { Contestant } from './contestants/contestant.ts'
import { Field, type Entrant } from './field.ts'
import { LoadWorker } from './load/load-worker.ts'
import { describeMachine } from './measure/machine.ts'
import { format } from './measures.ts'
import { WARMING_SECONDS, type Options } from './options.ts'
import type { Entry, Results, WorkloadResult } from './results.ts'
import { runTrial, type Loaders } from './trial.ts'
import { workloads, type Workload } from './workloads.ts'

const STORM_NICENESS = 10

/** Runs everything that was asked for. Progress goes to `tell`, one short line at a time. */
export async function runBench(options: Options, tell: (line: string) => void): Promise<Results> {
  const results = emptyResults(options)
  const present = options.contestants.filter(contestant => !contestant.absent())
  const field = new Field()
  const loaders: Loaders = {
    measuring: Array.from({ length: options.loadProcesses }, () => new LoadWorker()),
    disturbing: new LoadWorker(STORM_NICENESS),
  }
  const end = async () => {
    for (const worker of [...loaders.measuring, loaders.disturbing]) worker.stop()
    await field.close()
  }
  const interrupted = () => void end().finally(() => process.exit(1))
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.once(signal, interrupted)
  try {
    await field.open()
    await warmUp(field, present, loaders, options, tell)
    for (const workload of options.workloads) {
      results.workloads.push(await runWorkload(field, workload, present, loaders, options, tell))
    }
  } finally {
    for (const signal of signals) process.off(signal, interrupted)
    await end()
  }
  return results
}

// V8 optimises what has run for a while: memseal's first seconds under load cost two to three times what follows. In a
// full run all get the same; --quick spares the C programs, which have no use for it.
async function warmUp(
  field: Field, present: Contestant[], loaders: Loaders, options: Options, tell: (line: string) => void,
): Promise<void> {
  const pingpong = workloads[0]
  for (const contestant of present) {
    tell(`warming up ${contestant.name}`)
    const seconds = contestant.needsWarming ? Math.max(options.openingSeconds, WARMING_SECONDS) : options.openingSeconds
    try {
      await fill(field, pingpong, contestant, loaders)
      await runTrial(field, pingpong, await field.server(contestant), loaders, { warmSeconds: 0, seconds })
    } catch (error) {
      tell(`${contestant.name}: ${(error as Error).message}`)   // told again in each of its workloads
    }
  }
}

/** All rounds of one workload. Contestants take turns within a round, and each round begins with another one, so that
 *  what the machine does in a minute meets all of them alike. */
async function runWorkload(
  field: Field, workload: Workload, present: Contestant[], loaders: Loaders, options: Options, tell: (line: string) => void,
): Promise<WorkloadResult> {
  const { name, about, judge, measures } = workload
  const entrants = await prepare(field, workload, present, loaders, options)
  const entries: Entry[] = entrants.map(({ contestant, failed }) => ({ contestant: contestant.name, samples: [], failed }))
  const rounds = Math.min(options.rounds, workload.maxRounds ?? options.rounds)
  for (let round = 0; round < rounds; round++) {
    const seconds = options.seconds * (workload.windowFactor ?? 1)
    for (let turn = 0; turn < entrants.length; turn++) {
      const index = (turn + round) % entrants.length
      const { contestant, failed } = entrants[index]
      if (failed) continue
      const entry = entries[index]
      try {
        const entrant = await entrantOf(field, workload, contestant)
        const warmSeconds = round === 0 ? 2 * options.warmSeconds : options.warmSeconds
        const atLeast = contestant.needsWarming ? options.rewarmingSeconds : 0
        const sample = await runTrial(field, workload, entrant, loaders, { seconds, warmSeconds: Math.max(warmSeconds, atLeast) })
        entry.samples[round] = sample
        tell(`${name} ${round + 1}/${rounds} ${entry.contestant} ${format(judge, sample[judge])}`)
      } catch (error) {
        entry.samples[round] = null
        entry.failed = (error as Error).message
        tell(`${name} ${round + 1}/${rounds} ${entry.contestant}: ${entry.failed}`)
      }
    }
  }
  return { name, about, judge, measures, entries }
}

interface Prepared {
  contestant: Contestant
  /** why it does not take part */
  failed?: string
}

async function prepare(
  field: Field, workload: Workload, present: Contestant[], loaders: Loaders, options: Options,
): Promise<Prepared[]> {
  const invited = present.filter(contestant => options.isChosen || !workload.contestants
    || workload.contestants.includes(contestant.name)).filter(contestant => !workload.isPair || contestant.sidecar)
  const prepared: Prepared[] = []
  for (const contestant of invited) {
    let failed: string | undefined
    try {
      await entrantOf(field, workload, contestant)
      await fill(field, workload, contestant, loaders)
    } catch (error) {
      failed = (error as Error).message
    }
    prepared.push({ contestant, failed })
  }
  return prepared
}

function entrantOf(field: Field, workload: Workload, contestant: Contestant): Promise<Entrant> {
  return workload.isPair ? field.pair(contestant) : field.server(contestant)
}

async function fill(field: Field, workload: Workload, contestant: Contestant, loaders: Loaders): Promise<void> {
  if (workload.shape.kind === 'idle') return
  const target = await field.storeTarget(contestant)
  const [worker] = loaders.measuring
  await worker.prepare({ kind: 'fill', target, traffic: workload.shape.traffic })
  await worker.finish()
}

function emptyResults(options: Options): Results {
  return {
    date: new Date().toISOString(),
    machine: describeMachine(),
    rounds: options.rounds, seconds: options.seconds, loadProcesses: options.loadProcesses,
    contestants: options.contestants.map(each => ({
      name: each.name, title: each.title, version: each.absent() ? 'absent' : each.version(), absent: each.absent(),
    })),
    workloads: [],
  }
}
