import { setTimeout as sleep } from 'node:timers/promises'
import type { Entrant } from '../field.ts'
import { percentile } from '../load/latency.ts'
import type { LoadWorker } from '../load/load-worker.ts'
import { participants, readUsage, usageBetween, type Participants } from '../measure/usage.ts'
import type { Shape } from '../workloads.ts'
import { loaderPids, type Bout, type Loaders, type Slice } from './bout.ts'

/** For the contestant to be rid of the connections of one storm before the next. */
const CLEARING_MS = 100

/** Clients that are in already while many new ones come at once. A slice lasts until the last of those stands. */
export class StormBout implements Bout {
  #shape: Extract<Shape, { kind: 'storm' }>
  #entrant: Entrant
  #name: string
  #established: LoadWorker
  #storm: LoadWorker
  #participants: Participants

  constructor(shape: Extract<Shape, { kind: 'storm' }>, entrant: Entrant, loaders: Loaders) {
    this.#shape = shape
    this.#entrant = entrant
    this.#name = entrant.contestant.name
    this.#established = loaders.measuring[0]
    this.#storm = loaders.disturbing
    this.#participants = participants({
      contestant: entrant.pids, store: entrant.storePid ? [entrant.storePid] : [], loaders: loaderPids(loaders),
    })
  }

  async open(): Promise<void> {
    const { traffic, established: clients, requestsPerSecond } = this.#shape
    await this.#established.prepare(this.#name, {
      kind: 'paced', target: this.#entrant.target, traffic, clients, depth: 16, share: { index: 0, of: 1 }, requestsPerSecond,
    })
  }

  async slice(): Promise<Slice> {
    await this.#storm.prepare(this.#name, { kind: 'storm', target: this.#entrant.target, connections: this.#shape.newcomers })
    const before = readUsage(this.#participants)
    await this.#established.run(this.#name)
    await this.#storm.run(this.#name)
    const { seconds } = await this.#storm.pause(this.#name)
    const { latency } = await this.#established.pause(this.#name)
    const { othersShare } = usageBetween(before, readUsage(this.#participants))
    await this.#storm.finish(this.#name)
    await sleep(CLEARING_MS)
    return {
      othersShare,
      sample: {
        p50Us: percentile(latency, 50), p99Us: percentile(latency, 99), maxUs: latency.maxUs, stormSeconds: seconds, othersShare,
      },
    }
  }

  async close(): Promise<void> {
    await this.#storm.finish(this.#name)
    await this.#established.finish(this.#name)
  }
}
