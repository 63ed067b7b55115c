import { setTimeout as sleep } from 'node:timers/promises'
import type { Contestant } from '../contestants/contestant.ts'
import type { Field } from '../field.ts'
import { readMemory } from '../measure/memory.ts'
import type { Shape } from '../workloads.ts'
import type { Bout, Loaders, Slice } from './bout.ts'

const SETTLE_MS = 500

/** Connections that say nothing, in a process that has done nothing yet. Other work of the machine does not show in what
 *  they take, so every slice is kept. */
export class IdleBout implements Bout {
  #field: Field
  #shape: Extract<Shape, { kind: 'idle' }>
  #contestant: Contestant
  #loaders: Loaders

  constructor(field: Field, shape: Extract<Shape, { kind: 'idle' }>, contestant: Contestant, loaders: Loaders) {
    this.#field = field
    this.#shape = shape
    this.#contestant = contestant
    this.#loaders = loaders
  }

  async open(): Promise<void> {}

  async slice(): Promise<Slice> {
    const fresh = await this.#field.freshServer(this.#contestant)
    const workers = this.#loaders.measuring
    const connections = Math.floor(this.#shape.connections / workers.length)
    try {
      await sleep(SETTLE_MS)
      const before = readMemory(fresh.pids)
      await Promise.all(workers.map(worker =>
        worker.prepare(this.#contestant.name, { kind: 'holding', target: fresh.target, connections })))
      await sleep(SETTLE_MS)
      const after = readMemory(fresh.pids)
      return {
        othersShare: 0,
        sample: {
          bytesPerConnection: (after.privateBytes - before.privateBytes) / (connections * workers.length),
          residentMiB: after.residentBytes / 2 ** 20,
        },
      }
    } finally {
      await Promise.all(workers.map(worker => worker.finish(this.#contestant.name)))
      await fresh.retire()
    }
  }

  async close(): Promise<void> {}
}
