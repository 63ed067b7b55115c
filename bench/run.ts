import { boutOf, type Loaders } from './bouts/bout.ts'
import type { Contestant } from './contestants/contestant.ts'
import { Field } from './field.ts'
import { LoadWorker } from './load/load-worker.ts'
import { describeMachine } from './measure/machine.ts'
import { format } from './measures.ts'
import type { Options } from './options.ts'
import { resultOf, type Results, type Score } from './results.ts'
import { playRounds, turnsIn, type Turns } from './rounds.ts'
import { spreadOf } from './statistics.ts'
import { workloads, type Workload } from './workloads.ts'

const STORM_NICENESS = 10
/** Load for those whose code is optimised while they run, before anything is measured: of a new process, and of one that
 *  meets another workload. Others get a slice, for their caches and the load process. */
const WARMING_MS = { newProcess: 2000, newWorkload: 600 }

/** Rounds for each turn of those whom a workload has for an overview. */
const SELDOM = 3

/** Runs everything that was asked for. Progress goes to `tell`, one short line at a time.
 *
 *  All processes are started several times in a run, and each start plays all workloads: two starts of the same program
 *  differ by more than two slices do (where its memory lies, what V8 makes of its code), and a workload whose slices are
 *  spread over the whole run meets more than one mood of the machine. */
export async function runBench(options: Options, tell: (line: string) => void): Promise<Results> {
  const machine = describeMachine()
  const date = new Date().toISOString()
  const scores = new Map(options.workloads.map(workload => [workload, [] as Score[]]))
  const loaders: Loaders = {
    measuring: Array.from({ length: options.loadProcesses }, () => new LoadWorker()),
    disturbing: new LoadWorker(STORM_NICENESS),
  }
  let field: Field | undefined
  const end = async () => {
    for (const worker of [...loaders.measuring, loaders.disturbing]) worker.stop()
    await field?.close()
  }
  const interrupted = () => void end().finally(() => process.exit(1))
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.once(signal, interrupted)
  try {
    for (let start = 1; start <= options.starts; start++) {
      field = new Field(options.memcached)
      await field.open()
      await warmUp(field, loaders, options)
      for (const workload of options.workloads) {
        if (start > 1 && workload.isPlayedOnce) continue
        const told = await playWorkload(field, workload, loaders, options, scores.get(workload)!)
        tell(`start ${start}/${options.starts} ${workload.name}: ${told}`)
      }
      await field.close()
    }
  } finally {
    for (const signal of signals) process.off(signal, interrupted)
    await end()
  }
  return {
    date, machine, memcached: options.memcached.version(), starts: options.starts, sliceMs: options.sliceMs,
    mostOthers: options.mostOthers, loadProcesses: options.loadProcesses,
    contestants: options.contestants.map(each => ({
      name: each.name, title: each.title, version: each.absent() ? 'absent' : each.version(), absent: each.absent(),
    })),
    workloads: options.workloads.map(workload => resultOf(workload, scores.get(workload)!)),
  }
}

async function warmUp(field: Field, loaders: Loaders, options: Options): Promise<void> {
  const [pingpong] = workloads
  for (const contestant of options.contestants) {
    if (contestant.absent() || !contestant.needsWarming) continue
    try {
      const turns = await enter(field, pingpong, contestant, loaders)
      await turns.bout.slice(options.isQuick ? WARMING_MS.newWorkload : WARMING_MS.newProcess)
      await turns.bout.close()
    } catch {
      // Told in each of its workloads.
    }
  }
}

/** One workload in one start.   @returns a line about it */
async function playWorkload(
  field: Field, workload: Workload, loaders: Loaders, options: Options, scores: Score[],
): Promise<string> {
  const entered: Turns[] = []
  for (const contestant of invited(workload, options)) {
    const score = scores.find(each => each.contestant === contestant.name) ?? newScore(contestant, scores)
    const every = !options.isChosen && workload.seldom?.includes(contestant.name) ? SELDOM : 1
    score.wanted += turnsIn(roundsOf(workload, options), every)
    try {
      entered.push({ ...await enter(field, workload, contestant, loaders), every })
    } catch (error) {
      score.failed = (error as Error).message
      score.samples.push(...Array.from({ length: roundsOf(workload, options) }, () => null))
    }
  }
  if (workload.shape.kind !== 'idle') await warm(entered, workload, options)
  await playRounds(entered, {
    rounds: roundsOf(workload, options), sliceMs: workload.sliceMs ?? options.sliceMs, mostOthers: options.mostOthers,
  })
  for (const turns of entered) {
    const score = scores.find(each => each.contestant === turns.contestant)!
    score.samples.push(...turns.samples)
    score.thrown += turns.thrown
    score.failed ??= turns.failed
    await turns.bout.close().catch(() => {})
  }
  const kept = entered.reduce((sum, turns) => sum + turns.samples.filter(Boolean).length, 0)
  const thrown = entered.reduce((sum, turns) => sum + turns.thrown, 0)
  const medians = entered.map(turns => `${turns.contestant} ${
    turns.failed ?? format(workload.judge, spreadOf(turns.samples.flatMap(sample => sample?.[workload.judge] ?? []))?.median)}`)
  return `${medians.join(', ')}; ${kept} slices kept, ${thrown} thrown away`
}

/** memseal twice, and the peers of the workload; those that were asked for by name, whatever the workload says. */
function invited(workload: Workload, options: Options): Contestant[] {
  const { peers, seldom = [], isPair } = workload
  const takesPart = ({ name }: Contestant) => options.isChosen || name === 'memseal' || name === 'before'
    || peers.includes(name) || seldom.includes(name) || (name === 'again' && peers.length > 0)
  return options.contestants.filter(each => !each.absent() && takesPart(each) && (!isPair || each.sidecar))
}

async function enter(field: Field, workload: Workload, contestant: Contestant, loaders: Loaders): Promise<Turns> {
  const entrant = workload.isPair ? await field.pair(contestant) : await field.server(contestant)
  if (workload.shape.kind !== 'idle') await field.fill(contestant, workload.shape.traffic, loaders.measuring[0])
  const bout = boutOf(field, workload, entrant, loaders)
  try {
    await bout.open()
  } catch (error) {
    await bout.close().catch(() => {})
    throw error
  }
  return { contestant: contestant.name, needsWarming: contestant.needsWarming, bout, every: 1, samples: [], thrown: 0 }
}

// A sidecar is a new process in the first workload for pairs.
async function warm(entered: Turns[], { isPair }: Workload, options: Options): Promise<void> {
  const ms = isPair ? WARMING_MS.newProcess : WARMING_MS.newWorkload
  for (const turns of entered) {
    try {
      await turns.bout.slice(turns.needsWarming && !options.isQuick ? ms : options.sliceMs)
    } catch (error) {
      turns.failed = (error as Error).message
    }
  }
}

function roundsOf(workload: Workload, options: Options): number {
  const rounds = workload.isPlayedOnce ? options.rounds * options.starts : options.rounds
  return Math.min(rounds, workload.mostRounds ?? rounds)
}

function newScore(contestant: Contestant, scores: Score[]): Score {
  const score: Score = { contestant: contestant.name, samples: [], wanted: 0, thrown: 0 }
  scores.push(score)
  return score
}
