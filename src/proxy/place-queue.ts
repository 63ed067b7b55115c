/** Who waits for a private connection while there are as many as there may be: first come, first served. */

export interface WaitsForPlace {
  /** One more connection may be opened: now. */
  placeFree(): void
  /** It has waited for as long as it may. */
  placeLate(): void
}

export class PlaceQueue {
  /** Each with the time until which it waits, the first that came first. */
  readonly #waiting = new Map<WaitsForPlace, number>()

  get size(): number {
    return this.#waiting.size
  }

  /** @param until in the clock's ms */
  wait(who: WaitsForPlace, until: number): void {
    this.#waiting.set(who, until)
  }

  leave(who: WaitsForPlace): void {
    this.#waiting.delete(who)
  }

  /** @param hasRoom asked anew for each, since each takes a place */
  give(hasRoom: () => boolean): void {
    while (this.#waiting.size > 0 && hasRoom()) {
      const [who] = this.#waiting.keys()
      this.#waiting.delete(who)
      who.placeFree()
    }
  }

  expire(now: number): void {
    for (const [who, until] of [...this.#waiting]) {
      if (now <= until) continue
      this.#waiting.delete(who)
      who.placeLate()
    }
  }
}
