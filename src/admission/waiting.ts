import type { Rank } from './in-vain.ts'

type Milliseconds = number

/** A handshake that waits for its turn. */
export interface Handshake {
  /** Whose it is: what limits count as one client. */
  readonly client: string
  /** The group with limits of its own that its client belongs to. */
  readonly group?: string
  /** Its turn has come. `finished` must be called on it later, whatever becomes of it. */
  begin(): void
  /** It has to go, and was forgotten here: too many wait, most of them of this client, or too many are under way and it has
   *  been for longest. */
  displace(): void
  /** Gone while it waited: it is passed over. `finished` was called on it. */
  readonly isGone: boolean
}

/** A client whose oldest has waited this long is overloaded: those that came first have likely given up, or will before
 *  their handshake is done (libraries wait 0.5 to 1 s), so the newest goes first. */
const PATIENCE_MS: Milliseconds = 200

/** How many clients are compared to find whose turn it is, so that a crowd of them costs no more. */
const CLIENTS_COMPARED = 32

/** Whose turn it is, by rank, in eight turns: mostly those who have cost nothing. The others have one turn in eight for certain, since
 *  newcomers may come without end, and an honest client may have failed before. */
const RANKS_IN_TURN: readonly Rank[] = [0, 0, 0, 1, 0, 0, 0, 2]

/** The handshakes of one client that wait, in the order in which they came; gone ones are passed over. */
class Line {
  #waiting: { handshake: Handshake, since: Milliseconds }[] = []
  #head = 0
  count = 0

  add(handshake: Handshake, now: Milliseconds): void {
    this.#waiting.push({ handshake, since: now })
    this.count += 1
  }

  left(): void {
    this.count -= 1
    // Without this, a client that keeps dialling and leaving would grow its line.
    if (this.#waiting.length - this.#head > 2 * this.count + 64) {
      this.#waiting = this.#waiting.filter(({ handshake }, at) => at >= this.#head && !handshake.isGone)
      this.#head = 0
    }
  }

  /** @returns the oldest, or under overload the newest */
  take(now: Milliseconds): Handshake {
    while (this.#waiting[this.#head].handshake.isGone) this.#head += 1
    if (now - this.#waiting[this.#head].since < PATIENCE_MS) return this.takeOldest()
    let newest = this.#waiting.pop()!.handshake
    while (newest.isGone) newest = this.#waiting.pop()!.handshake
    this.count -= 1
    return newest
  }

  takeOldest(): Handshake {
    while (this.#waiting[this.#head].handshake.isGone) this.#head += 1
    const { handshake } = this.#waiting[this.#head++]
    // Compacted now and then instead of shift(), which moves the whole line each time.
    if (this.#head > 1_024) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
    this.count -= 1
    return handshake
  }
}

interface Standing { rankOf(client: string): Rank, underWay(client: string): number }

/** Handshakes that wait for their turn. Clients take turns, those of the first rank before the others, and whoever has fewest
 *  under way first; within a client the oldest first, and the newest under overload. */
export class Waiting {
  readonly #lines = new Map<string, Line>()
  /** By rank, each in order of turns: the client that had one goes to the end. A client may have lost its rank since it was put
   *  here, which is seen when its turn comes. */
  readonly #ranks: readonly Set<string>[] = [new Set(), new Set(), new Set()]
  readonly #standing: Standing
  #turn = 0
  #count = 0

  constructor(standing: Standing) {
    this.#standing = standing
  }

  get count(): number {
    return this.#count
  }

  add(handshake: Handshake, now: Milliseconds): void {
    let line = this.#lines.get(handshake.client)
    if (line === undefined) {
      this.#lines.set(handshake.client, line = new Line())
      this.#putLast(handshake.client)
    }
    line.add(handshake, now)
    this.#count += 1
  }

  /** One that waits here has gone. */
  left(handshake: Handshake): void {
    const line = this.#lines.get(handshake.client)!
    line.left()
    this.#count -= 1
    if (line.count === 0) this.#forget(handshake.client)
  }

  /** One of this client's handshakes has ended; those that wait may come sooner for it. */
  hasChanged(client: string): void {
    if (!this.#lines.has(client)) return
    const rank = this.#standing.rankOf(client)
    if (this.#ranks.findIndex(clients => clients.has(client)) > rank) this.#putLast(client, rank)
  }

  take(now: Milliseconds): Handshake | undefined {
    const client = this.#next()
    if (client === undefined) return undefined
    const line = this.#lines.get(client)!
    const handshake = line.take(now)
    this.#count -= 1
    // The one that is taken counts from here on, if there is another: the rank of its client is looked at again then.
    if (line.count > 0) this.#putLast(client)
    else this.#forget(client)
    return handshake
  }

  #next(): string | undefined {
    const first = RANKS_IN_TURN[this.#turn++ % RANKS_IN_TURN.length]
    for (const rank of [first, 0, 1, 2] as const) {
      this.#demote(rank)
      const client = best(this.#ranks[rank], of => -this.#standing.underWay(of))
      if (client !== undefined) return client
    }
    return undefined
  }

  /** Moves those at the head of a rank down that have lost it. Each is moved twice at most for a turn that it had. */
  #demote(rank: Rank): void {
    for (const client of this.#ranks[rank]) {
      const now = this.#standing.rankOf(client)
      if (now <= rank) break
      this.#putLast(client, now)
    }
  }

  #putLast(client: string, rank = this.#standing.rankOf(client)): void {
    for (const clients of this.#ranks) clients.delete(client)
    this.#ranks[rank].add(client)
  }

  #forget(client: string): void {
    this.#lines.delete(client)
    for (const clients of this.#ranks) clients.delete(client)
  }

  /** Makes room: takes the oldest of the client that has most, of the last rank when many have as much. */
  takeSurplus(): Handshake | undefined {
    const most = this.#ranks.toReversed().map(clients => best(clients, of => this.#lines.get(of)!.count))
    const client = best(most.filter(of => of !== undefined), of => this.#lines.get(of)!.count)
    if (client === undefined) return undefined
    const line = this.#lines.get(client)!
    const handshake = line.takeOldest()
    this.#count -= 1
    if (line.count === 0) this.#forget(client)
    return handshake
  }
}

/** @returns the client of the highest worth among those whose turns are next, the first of several */
function best(clients: Iterable<string>, worth: (client: string) => number): string | undefined {
  let found: string | undefined
  let most = -Infinity
  let compared = 0
  for (const client of clients) {
    const of = worth(client)
    if (of > most) [found, most] = [client, of]
    if (++compared === CLIENTS_COMPARED) break
  }
  return found
}
