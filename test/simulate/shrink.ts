/** Makes a failing history smaller while it still fails: fewer clients, requests, faults, events. */
import { runPlan } from './history.ts'
import { makePlan, type Plan } from './plan.ts'

/** The order of events shifts with whatever is taken away, so each smaller plan is tried under a few orders. */
const ORDERS = 6

export interface Failing { plan: Plan, scheduleSeed: number }

/** @param seed of a history that fails   @returns the smallest found that fails as well; `plan` may be run again */
export function shrink(seed: number): Failing {
  let plan = makePlan(seed)
  let scheduleSeed = seed
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false
    for (const smaller of smallerOnes(plan)) {
      const order = orderThatFails(smaller, scheduleSeed)
      if (order === undefined) continue
      plan = smaller
      scheduleSeed = order
      isSmaller = true
      break
    }
  }
  return { plan, scheduleSeed }
}

function orderThatFails(plan: Plan, first: number): number | undefined {
  for (let n = 0; n < ORDERS; n++) {
    if (runPlan(structuredClone(plan), false, first + n * 7919).violation !== undefined) return first + n * 7919
  }
  return undefined
}

function* smallerOnes(plan: Plan): Generator<Plan> {
  for (let at = 0; at < plan.clients.length; at++) {
    if (plan.clients.length > 1) yield { ...plan, clients: plan.clients.toSpliced(at, 1) }
  }
  for (let at = 0; at < plan.faults.length; at++) yield { ...plan, faults: plan.faults.toSpliced(at, 1) }
  for (let at = 0; at < plan.events.length; at++) yield { ...plan, events: plan.events.toSpliced(at, 1) }
  for (const [at, client] of plan.clients.entries()) {
    const withClient = (changed: Partial<typeof client>): Plan => ({ ...plan, clients: plan.clients.with(at, { ...client, ...changed }) })
    if (client.leaves !== undefined) yield withClient({ leaves: undefined })
    if (client.readDelayMs > 0) yield withClient({ readDelayMs: 0 })
    const { requests } = client
    for (let size = requests.length >> 1; size >= 1; size >>= 1) {
      for (let from = 0; from + size < requests.length; from += size) {
        const fewer = requests.toSpliced(from, size)
        // One by one, so that the batches go on as they were.
        yield withClient({ requests: fewer, batches: batchesOf(client.batches, fewer.length) })
      }
    }
  }
}

function batchesOf(batches: readonly number[], requests: number): number[] {
  const made: number[] = []
  for (let left = requests, at = 0; left > 0; at++) {
    const size = Math.min(left, batches[at % batches.length])
    made.push(size)
    left -= size
  }
  return made
}
