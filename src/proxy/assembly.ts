/** Replies that memcached did not send in one piece are put together here: short copies, side by side in memory of ours,
 *  so that what one client gets in a turn is still one view and one write. */
import type { Run } from './outbox.ts'
import type { Slab, SlabPool } from './slab.ts'

export class Assembly {
  readonly #slabs: SlabPool
  #slab: Slab | undefined
  #end = 0

  constructor(slabs: SlabPool) {
    this.#slabs = slabs
  }

  /** Copies [from, to) and `behind`, which must fit into a slab. */
  add(run: Run, bytes: Buffer, from: number, to: number, behind: Buffer): void {
    const slab = this.#roomFor(to - from + behind.length)
    const at = this.#end
    this.#end += bytes.copy(slab.bytes, at, from, to)
    for (let i = 0; i < behind.length; i++) slab.bytes[this.#end++] = behind[i]
    run.outbox.deliver(run, slab.bytes, at, this.#end, slab)
  }

  /** Never a place that was given out before, unless all that was written here is done with and confirmed. */
  #roomFor(size: number): Slab {
    const slab = this.#slab
    if (slab !== undefined && slab.isUnshared) this.#end = 0
    if (slab !== undefined && slab.bytes.length - this.#end >= size) return slab
    this.#slab = this.#slabs.take()
    slab?.release()
    this.#end = 0
    return this.#slab
  }

  close(): void {
    this.#slab?.release()
    this.#slab = undefined
  }
}
