/** The connections to memcached that belong to one client each: so many at the most, and a queue of those who wait for one. */
import type { BackendConnection } from './backend-connection.ts'
import { PlaceQueue, type WaitsForPlace } from './place-queue.ts'
import { SlabPool, type ReplyMemory } from './slab.ts'

export class PrivateConnections {
  readonly #connections = new Set<BackendConnection>()
  readonly #queue = new PlaceQueue()
  readonly #slabs: SlabPool
  #most: number
  #isClosed = false

  /** @param slabBytes what one of them reads at once */
  constructor(most: number, slabBytes: number, memory: ReplyMemory) {
    this.#most = most
    this.#slabs = new SlabPool(slabBytes, memory)
  }

  get size(): number {
    return this.#connections.size
  }

  /** Clients that wait for one. */
  get waiting(): number {
    return this.#queue.size
  }

  get hasPlace(): boolean {
    return this.#connections.size < this.#most
  }

  set most(most: number) {
    this.#most = most
    this.#givePlaces()
  }

  /** @returns undefined when there are as many as there may be */
  open(connect: (slabs: SlabPool) => BackendConnection): BackendConnection | undefined {
    if (!this.hasPlace) return undefined
    const connection = connect(this.#slabs)
    this.#connections.add(connection)
    return connection
  }

  closed(connection: BackendConnection): void {
    this.#connections.delete(connection)
    this.#givePlaces()
  }

  /** @param until in the clock's ms */
  wait(who: WaitsForPlace, until: number): void {
    this.#queue.wait(who, until)
  }

  leave(who: WaitsForPlace): void {
    this.#queue.leave(who)
  }

  checkDeadlines(now: number): void {
    for (const connection of this.#connections) connection.checkDeadline(now)
    this.#queue.expire(now)
  }

  /** The service drains: nobody who waits gets one any more. */
  close(): void {
    this.#isClosed = true
  }

  #givePlaces(): void {
    if (!this.#isClosed) this.#queue.give(() => this.hasPlace)
  }
}
