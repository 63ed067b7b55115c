/** Memory that the clients of one service hold, under two limits, and who goes when there is too much.
 *
 *      request_memory   bytes of requests that are not whole yet      ─▶ whose request was begun longest ago
 *      reply_memory     slabs that replies are read into, or lie in   ─▶ who has left most replies unread */
import { ReplyMemory } from './slab.ts'

export interface MemoryLimits { request_memory: number; reply_memory: number }

/** A client, as far as it holds memory. */
export interface Holder {
  readonly intake: { readonly holdsSince: number }
  readonly outbox: { readonly backlog: number }
  destroy(why: 'request-memory' | 'reply-memory'): void
}

export class Ledger {
  /** Bytes of unfinished requests that are held. */
  heldBytes = 0
  readonly replies: ReplyMemory
  #mostHeldBytes: number
  readonly #holders: Iterable<Holder>

  /** @param holders all clients, at any time */
  constructor(limits: MemoryLimits, holders: Iterable<Holder>) {
    this.#mostHeldBytes = limits.request_memory
    this.#holders = holders
    this.replies = new ReplyMemory(limits.reply_memory, () => this.#closeMostBehind())
  }

  /** What is held already is measured against them when it grows. */
  useLimits(limits: MemoryLimits): void {
    this.#mostHeldBytes = limits.request_memory
    this.replies.mostBytes = limits.reply_memory
  }

  /** Requests that are not whole hold more memory, or less. Above the limit those go that were begun longest ago: a
   *  client that works is done with its request before that. */
  holds(growth: number): void {
    this.heldBytes += growth
    while (this.heldBytes > this.#mostHeldBytes) {
      let oldest: Holder | undefined
      for (const holder of this.#holders) {
        if (holder.intake.holdsSince < (oldest?.intake.holdsSince ?? Infinity)) oldest = holder
      }
      if (oldest === undefined) return
      oldest.destroy('request-memory')
    }
  }

  /** Replies take more memory than they may: whoever has left most of them unread goes. */
  #closeMostBehind(): void {
    let most: Holder | undefined
    for (const holder of this.#holders) {
      if (most === undefined || holder.outbox.backlog > most.outbox.backlog) most = holder
    }
    if (most !== undefined && most.outbox.backlog > 0) most.destroy('reply-memory')
  }
}
