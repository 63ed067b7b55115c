import type { Handshake } from './handshakes.ts'

type Milliseconds = number

/** A client whose oldest has waited this long is overloaded: those that came first have likely given up, or will before
 *  their handshake is done (libraries wait 0.5 to 1 s), so the newest goes first. */
const PATIENCE_MS: Milliseconds = 200

/** How many clients are compared to find whose turn it is, so that a crowd of them costs no more. */
const CLIENTS_COMPARED = 32

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

/** Handshakes that wait for their turn. Clients take turns, whoever has fewest under way first; within a client the oldest
 *  first, and the newest under overload. */
export class Waiting {
  /** In order of turns: the client that had one goes to the end. */
  readonly #lines = new Map<string, Line>()
  #count = 0

  get count(): number {
    return this.#count
  }

  add(handshake: Handshake, now: Milliseconds): void {
    let line = this.#lines.get(handshake.client)
    if (line === undefined) this.#lines.set(handshake.client, line = new Line())
    line.add(handshake, now)
    this.#count += 1
  }

  /** One that waits here has gone. */
  left(handshake: Handshake): void {
    const line = this.#lines.get(handshake.client)!
    line.left()
    this.#count -= 1
    if (line.count === 0) this.#lines.delete(handshake.client)
  }

  /** @param underWay handshakes of a client that have begun and are not finished */
  take(now: Milliseconds, underWay: (client: string) => number): Handshake | undefined {
    const client = this.#best(line => -underWay(line))
    if (client === undefined) return undefined
    const line = this.#lines.get(client)!
    const handshake = line.take(now)
    this.#count -= 1
    this.#lines.delete(client)
    if (line.count > 0) this.#lines.set(client, line)
    return handshake
  }

  /** Makes room: takes the oldest of the client that has most. */
  takeSurplus(): Handshake | undefined {
    const client = this.#best((_, line) => line.count)
    if (client === undefined) return undefined
    const line = this.#lines.get(client)!
    const handshake = line.takeOldest()
    this.#count -= 1
    if (line.count === 0) this.#lines.delete(client)
    return handshake
  }

  /** @returns the client of the highest worth among those whose turns are next */
  #best(worth: (client: string, line: Line) => number): string | undefined {
    let best: string | undefined
    let most = -Infinity
    let compared = 0
    for (const [client, line] of this.#lines) {
      const of = worth(client, line)
      if (of > most) [best, most] = [client, of]
      if (++compared === CLIENTS_COMPARED) break
    }
    return best
  }
}
