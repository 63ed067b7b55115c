/** The memory that one connection to memcached reads into.
 *
 *      0 ······ from ······ at ······ end ······ SLAB
 *       delivered │ held     │ not yet  │ Node reads the next bytes here
 *                 └ checked ─┘ checked  └ */
import { printable } from '../lib/printable.ts'
import type { Outbox } from './outbox.ts'
import type { Slab, SlabPool } from './slab.ts'

/** A read that has less room than this part of a slab at its end goes to the next slab. */
const READ_ROOM = 4

export class ReplyWindow {
  bytes: Buffer
  from = 0
  at = 0
  end = 0
  slab: Slab
  readonly #slabs: SlabPool
  /** Where Node was told to read. */
  #next: Buffer
  #isClosed = false

  constructor(slabs: SlabPool) {
    this.#slabs = slabs
    this.slab = slabs.take()
    this.bytes = this.#next = this.slab.bytes
  }

  /** Where Node reads the next bytes: never a place that was given out before, unless all that was read there is done
   *  with and confirmed. Node asks for it after each read. */
  readonly next = (): Buffer => {
    if (this.from === this.end && this.end > 0 && this.slab.isUnshared) this.from = this.at = this.end = 0
    if (this.bytes.length - this.end < this.bytes.length / READ_ROOM) this.#moveToNextSlab()
    this.#next = this.bytes.subarray(this.end)
    return this.#next
  }

  #moveToNextSlab(): void {
    const next = this.#slabs.take()
    // It was one slab too many, and the client that had to go was the only one here.
    if (this.#isClosed) return next.release()
    this.bytes.copy(next.bytes, 0, this.from, this.end)
    this.slab.release()
    this.slab = next
    this.bytes = next.bytes
    this.end -= this.from
    this.at -= this.from
    this.from = 0
  }

  /** Node has read. @returns false when that was into another place than the one it was told last */
  grew(count: number, place: Uint8Array): boolean {
    if (place !== this.#next) return false
    this.end += count
    return true
  }

  /** All that has come is this client's, unread. */
  passOn(outbox: Outbox): void {
    const { bytes, from, end, slab } = this
    if (from === end) return
    this.clear()
    outbox.pass(bytes, from, end, slab)
  }

  /** The start of what came and was not understood, for people who have to find out why. */
  shown(mostBytes: number): string {
    return printable(this.bytes, this.from, this.end, mostBytes)
  }

  /** What has come and was not delivered will not be. */
  clear(): void {
    this.from = this.at = this.end
  }

  close(): void {
    this.#isClosed = true
    // Node may still be reading into it.
    this.slab.spoil()
  }
}
