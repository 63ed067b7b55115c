/** `npm run simulate`: histories of the data path, each from a seed.
 *
 *      npm run simulate                   20 seconds of fresh ones      -- --for 10m       longer
 *      npm run simulate -- --seed 4711    one of them, with its transcript                 -- --from 1 --count 100000 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseDuration } from '../../src/config/units.ts'
import { fairnessTable } from './fairness.ts'
import { runPlan, type Outcome } from './history.ts'
import { eventKinds, faultKinds, laneKinds, limitKinds, makePlan } from './plan.ts'
import { shrink } from './shrink.ts'

export interface Tally { histories: number, requests: number, steps: number, told: Record<string, number>, failed: { seed: number, violation: string }[] }

/** Runs `count` seeds from `from` on, or until `isOver`. */
export function simulate(from: number, count: number, isOver: () => boolean = () => false): Tally {
  const tally: Tally = { histories: 0, requests: 0, steps: 0, told: {}, failed: [] }
  for (let seed = from; seed < from + count && !isOver(); seed++) note(tally, seed, runPlan(makePlan(seed)))
  return tally
}

function note(tally: Tally, seed: number, { violation, requests, steps, told }: Outcome): void {
  tally.histories++
  tally.requests += requests
  tally.steps += steps
  for (const kind of told) tally.told[kind] = (tally.told[kind] ?? 0) + 1
  if (violation !== undefined && tally.failed.length < 100) tally.failed.push({ seed, violation })
}

/** A failing history in words: what went wrong, and the smallest history found that goes wrong as well. */
export function story(seed: number): string {
  const { plan, scheduleSeed } = shrink(seed)
  const { violation, transcript } = runPlan(plan, true, scheduleSeed)
  return `seed ${seed}: ${violation}\n${JSON.stringify(plan.settings)}\n${transcript.join('\n')}\n`
}

function repeat(seed: number): number {
  const { violation, transcript } = runPlan(makePlan(seed), true)
  console.log(`${transcript.join('\n')}\n${violation ?? 'nothing was wrong'}`)
  if (violation !== undefined) console.log(`\nMade smaller:\n${story(seed)}`)
  return violation === undefined ? 0 : 1
}

async function crowd(from: number, count: number, forMs: number): Promise<number> {
  const workers = availableParallelism()
  const each = Math.ceil(count / workers)
  console.log(`seeds from ${from} on`)
  const startedAt = performance.now()
  const tallies = await Promise.all(Array.from({ length: workers }, (_, at) => inWorker(from + at * each, each, forMs)))
  const seconds = (performance.now() - startedAt) / 1000
  const sum = (of: (tally: Work) => number): number => tallies.reduce((total, tally) => total + of(tally), 0)
  const histories = sum(tally => tally.histories)
  const requests = sum(tally => tally.requests)
  const told = (kinds: readonly string[]): string => kinds.map(kind => `${kind} ${sum(tally => tally.told[kind] ?? 0)}`).join(', ')
  console.log(`${histories} histories of ${Math.round(requests / histories)} requests in the mean, ${sum(tally => tally.steps)} steps; ` +
    `${Math.round(histories / seconds)} histories a second, ${Math.round(histories / sum(tally => tally.cpuSeconds))} a second of one core`)
  console.log(`faults: ${told(faultKinds)}\nevents: ${told(eventKinds)}\nlimits reached: ${told(limitKinds)}\nlong replies: ${told(laneKinds)}`)
  const failed = tallies.flatMap(tally => tally.failed)
  for (const { seed, violation } of failed) console.log(`seed ${seed}: ${violation}`)
  if (failed.length > 0) console.log(`\n${story(failed[0].seed)}`)
  console.log(failed.length === 0 ? 'nothing was wrong' : `${failed.length} went wrong; npm run simulate -- --seed N repeats one`)
  return failed.length === 0 ? 0 : 1
}

/** On a machine that is busy with other work the seconds of the processor say more than those of the clock. */
type Work = Tally & { cpuSeconds: number }

/** Nearly all that a history makes is of no use when it is over. Collecting it in threads beside would take from the other workers. */
const GARBAGE_COLLECTION = ['--single-threaded-gc', '--max-semi-space-size=64']

function inWorker(from: number, count: number, forMs: number): Promise<Work> {
  return new Promise((resolve, reject) => {
    const worker = fork(fileURLToPath(import.meta.url), ['worker', String(from), String(count), String(forMs)], { execArgv: GARBAGE_COLLECTION })
    worker.on('message', tally => resolve(tally as Work))
    worker.on('exit', code => code !== 0 && reject(new Error(`a worker ended with ${code}`)))
  })
}

function work([from, count, forMs]: readonly number[]): void {
  const endsAt = forMs === 0 ? Infinity : performance.now() + forMs
  const tally = simulate(from, count, () => performance.now() > endsAt)
  const { user, system } = process.cpuUsage()
  process.send!({ ...tally, cpuSeconds: (user + system) / 1e6 } satisfies Work)
}

async function main(args: readonly string[]): Promise<void> {
  if (args[0] === 'worker') return work(args.slice(1).map(Number))
  const { values } = parseArgs({
    args: [...args], options: { seed: { type: 'string' }, for: { type: 'string' }, from: { type: 'string' }, count: { type: 'string' }, fairness: { type: 'boolean' } },
  })
  if (values.fairness === true) for (const line of fairnessTable(Number(values.from ?? 1), Number(values.count ?? 20))) console.log(line)
  else if (values.seed !== undefined) process.exitCode = repeat(Number(values.seed))
  else {
    const forMs = values.for !== undefined ? parseDuration(values.for) : values.count === undefined ? 20_000 : 0
    if (forMs === undefined) throw new Error(`"${values.for}" is not a duration such as 60s or 10m`)
    process.exitCode = await crowd(Number(values.from ?? Date.now() % 1e9), Number(values.count ?? 1e9), forMs)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2))
