import { spreadOf, type Spread } from '../statistics.ts'

export interface MicroCase {
  name: string
  /** requests (or replies) that one call of `run` gets through */
  requests: number
  /** @throws when it did not get through them all */
  run(): void
}

/** @returns nanoseconds per request over the rounds */
export function timeCase(each: MicroCase, { rounds, roundMs }: { rounds: number, roundMs: number }): Spread {
  return spreadOf(Array.from({ length: rounds }, () => timeRound(each, roundMs)))!
}

function timeRound({ requests, run }: MicroCase, roundMs: number): number {
  const startedAt = performance.now()
  let runs = 0
  let elapsedMs = 0
  while (elapsedMs < roundMs) {
    for (let i = 0; i < 100; i++) run()
    runs += 100
    elapsedMs = performance.now() - startedAt
  }
  return elapsedMs * 1e6 / (runs * requests)
}
