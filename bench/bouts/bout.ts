import type { Entrant, Field } from '../field.ts'
import type { LoadWorker } from '../load/load-worker.ts'
import type { Sample } from '../measures.ts'
import type { Workload } from '../workloads.ts'
import { IdleBout } from './idle.ts'
import { RateBout } from './rate.ts'
import { StormBout } from './storm.ts'

/** One contestant under one workload. It stays connected from `open` to `close` and takes slices in between, at rest
 *  while others have their turns.   All throw when it refuses, falls over or answers a wrong byte. */
export interface Bout {
  open(): Promise<void>
  /** @param ms how long it is under load, where the workload does not say so itself */
  slice(ms: number): Promise<Slice>
  close(): Promise<void>
}

export interface Slice {
  sample: Sample
  /** share of the machine that was used by what does not take part, 0 to 1 */
  othersShare: number
}

/** The load processes of a run: `measuring` play the clients that count, `disturbing` runs at a lower priority. */
export interface Loaders {
  measuring: LoadWorker[]
  disturbing: LoadWorker
}

export function boutOf(field: Field, workload: Workload, entrant: Entrant, loaders: Loaders): Bout {
  const { shape } = workload
  switch (shape.kind) {
    case 'idle': return new IdleBout(field, shape, entrant.contestant, loaders)
    case 'storm': return new StormBout(shape, entrant, loaders)
    case 'steady': case 'reconnecting': return new RateBout(shape, entrant, loaders)
    default: return shape satisfies never
  }
}

export function loaderPids(loaders: Loaders): number[] {
  return [...loaders.measuring, loaders.disturbing].map(worker => worker.pid)
}
