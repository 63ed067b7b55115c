import type { Bout } from './bouts/bout.ts'
import type { Sample } from './measures.ts'

/** Of the machine, what others may use during a slice that is kept. */
export const MOST_OTHERS = 0.05
/** Slices that a contestant may take for each that is wanted. */
const TRIES = 3

/** A contestant's slices under one workload. */
export interface Turns {
  contestant: string
  needsWarming?: boolean
  bout: Bout
  /** it takes a slice in every n-th round */
  every: number
  /** one a round, so that those of different contestants can be set side by side; null: none was kept, or it had no turn */
  samples: (Sample | null)[]
  /** slices thrown away, since others had used too much of the machine */
  thrown: number
  /** why it takes no more turns */
  failed?: string
}

export interface RoundPlan {
  rounds: number
  sliceMs: number
  mostOthers: number
}

/** Rounds in which contestants take one slice each. Each round begins with another one, and every other round goes
 *  backwards, so that what the machine does in a minute meets all of them alike. A slice that is thrown away is taken
 *  again at once, as long as the contestant has tries left. */
export async function playRounds(all: Turns[], { rounds, sliceMs, mostOthers }: RoundPlan): Promise<void> {
  const triesLeft = new Map(all.map(turns => [turns, turnsIn(rounds, turns.every) * TRIES]))
  for (let round = 0; round < rounds; round++) {
    for (const turns of orderOf(all, round)) turns.samples.push(round % turns.every === 0 ? await keptSlice(turns) : null)
  }

  async function keptSlice(turns: Turns): Promise<Sample | null> {
    try {
      while (!turns.failed && triesLeft.get(turns)! > 0) {
        triesLeft.set(turns, triesLeft.get(turns)! - 1)
        const { sample, othersShare } = await turns.bout.slice(sliceMs)
        if (othersShare <= mostOthers) return sample
        turns.thrown++
      }
    } catch (error) {
      turns.failed = (error as Error).message
    }
    return null
  }
}

/** How many slices one gets who has a turn in every n-th round. */
export function turnsIn(rounds: number, every: number): number {
  return Math.ceil(rounds / every)
}

function orderOf<T>(all: T[], round: number): T[] {
  const first = round % all.length
  const turned = [...all.slice(first), ...all.slice(0, first)]
  return round % 2 ? turned.toReversed() : turned
}
