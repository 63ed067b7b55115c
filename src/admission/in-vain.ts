import { networkOf } from '../lib/address.ts'
import { putBounded } from '../lib/bounded.ts'

type Milliseconds = number
interface Count { inVain: number, until: Milliseconds, underWay: number }

/** Who comes first: a client without a handshake that is under way or came to nothing; then one whose network has many;
 *  then one that has some of its own. */
export type Rank = 0 | 1 | 2

/** So long is a handshake that came to nothing remembered, after the last of them. */
const MEMORY_MS: Milliseconds = 30_000
/** One misconfigured host is not to hold back its neighbours. */
const MANY_OF_A_NETWORK = 16
/** About 150 bytes each. Whoever comes from more addresses than these shares few networks, or owns the network. */
const MOST_ENTRIES = 16_384

/** Handshakes that cost CPU and have let nobody in: those under way, and for a while those that failed, stalled or were left by
 *  their peers. A peer that stops after its ClientHello costs as much as an honest one; only what it did before tells them
 *  apart, and since it may own a network of addresses, networks are counted as well as clients. */
export class InVain {
  readonly #counts = new Map<string, Count>()
  readonly #now: () => Milliseconds

  constructor(now: () => Milliseconds) {
    this.#now = now
  }

  rankOf(client: string): Rank {
    if (this.#sumOf(`client ${client}`) > 0) return 2
    return this.#sumOf(`network ${networkOf(client)}`) >= MANY_OF_A_NETWORK ? 1 : 0
  }

  /** Handshakes of a client that have begun and are not finished. */
  underWay(client: string): number {
    return this.#counts.get(`client ${client}`)?.underWay ?? 0
  }

  began(client: string): void {
    for (const key of keysOf(client)) this.#countOf(key).underWay += 1
  }

  /** @param outcome `in`: the client has shown who it is, and what it did in vain is forgotten   `none`: it says nothing of the client */
  finished(client: string, outcome: 'in' | 'in vain' | 'none'): void {
    for (const key of keysOf(client)) {
      const count = this.#countOf(key)
      count.underWay = Math.max(0, count.underWay - 1)
      if (outcome === 'in vain') {
        count.inVain = this.#isPast(count) ? 1 : count.inVain + 1
        count.until = this.#now() + MEMORY_MS
      }
    }
    if (outcome === 'in') this.#countOf(`client ${client}`).inVain = 0
    for (const key of keysOf(client)) if (this.#sumOf(key) === 0) this.#counts.delete(key)
  }

  get size(): number {
    return this.#counts.size
  }

  #sumOf(key: string): number {
    const count = this.#counts.get(key)
    if (count === undefined) return 0
    return count.underWay + (this.#isPast(count) ? 0 : count.inVain)
  }

  #isPast({ until }: Count): boolean {
    return this.#now() >= until
  }

  /** Puts it last, so that what was left alone for longest is the first to be forgotten. */
  #countOf(key: string): Count {
    const count = this.#counts.get(key) ?? { inVain: 0, until: 0, underWay: 0 }
    this.#counts.delete(key)
    putBounded(this.#counts, key, count, MOST_ENTRIES)
    return count
  }
}

function keysOf(client: string): string[] {
  return [`client ${client}`, `network ${networkOf(client)}`]
}
