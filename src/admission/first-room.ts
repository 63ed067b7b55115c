import type { Place } from './place.ts'

type Milliseconds = number

/** A connection that was admitted and has not said yet what it wants. */
export interface Guest {
  readonly place: Place
  /** Its place is needed for somebody else: it has to go. */
  displace(): void
}

/** Time for a first word over a bad network, one lost segment sent again included. Who has said nothing until then yields
 *  its place when places run out; were it any sooner, newcomers would push each other out and nobody would get in. */
const SILENT_MS: Milliseconds = 1_500

/** Where connections wait until their first words are there. They hold places, so there are never more of them than the
 *  limits permit, and they are the first to go when the places are all taken. */
export class FirstRoom {
  /** Since when each is here, the longest first. */
  readonly #guests = new Map<Guest, Milliseconds>()
  readonly #now: () => Milliseconds

  constructor(now: () => Milliseconds) {
    this.#now = now
  }

  get size(): number {
    return this.#guests.size
  }

  enter(guest: Guest): void {
    this.#guests.set(guest, this.#now())
  }

  /** Does nothing for one that has left already. */
  leave(guest: Guest): void {
    this.#guests.delete(guest)
  }

  /** Makes room: the one that has been silent for longest goes, of this client or group, or of all.
   *  @returns false: nobody has been silent for long */
  makeRoom({ client, group }: { client?: string, group?: string } = {}): boolean {
    const latest = this.#now() - SILENT_MS
    for (const [guest, since] of this.#guests) {
      if (since > latest) return false
      if (client !== undefined && guest.place.countedAs !== client) continue
      if (group !== undefined && guest.place.group !== group) continue
      this.leave(guest)
      guest.place.release()
      guest.displace()
      return true
    }
    return false
  }
}
