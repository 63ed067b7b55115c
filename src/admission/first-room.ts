import type { Place } from './admission.ts'

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
  readonly #guests = new Map<string, Map<Guest, Milliseconds>>()
  readonly #all = new Map<Guest, Milliseconds>()
  readonly #now: () => Milliseconds

  constructor(now: () => Milliseconds) {
    this.#now = now
  }

  get size(): number {
    return this.#all.size
  }

  enter(guest: Guest): void {
    const now = this.#now()
    const client = guest.place.countedAs
    const own = this.#guests.get(client) ?? new Map<Guest, Milliseconds>()
    this.#guests.set(client, own.set(guest, now))
    this.#all.set(guest, now)
  }

  /** Does nothing for one that has left already. */
  leave(guest: Guest): void {
    if (!this.#all.delete(guest)) return
    const client = guest.place.countedAs
    const own = this.#guests.get(client)!
    own.delete(guest)
    if (own.size === 0) this.#guests.delete(client)
  }

  /** Makes room: the one that has been silent for longest goes, of this client, or of all.
   *  @returns false: nobody has been silent for long */
  makeRoom(client?: string): boolean {
    const oldest = (client === undefined ? this.#all : this.#guests.get(client))?.entries().next().value
    if (oldest === undefined) return false
    const [guest, since] = oldest
    if (this.#now() - since < SILENT_MS) return false
    this.leave(guest)
    guest.place.release()
    guest.displace()
    return true
  }
}
