/** What one identity takes up of the limits of its rule, over all its connections together.
 *
 *      Uses ─ by rule and identity ─▶ Use: connections, tokens of requests and bytes ◀─ Meter: one connection's share
 *
 *  Who has asked for more than a second's worth is not read until there are tokens again: nothing is refused and nothing is lost, it
 *  takes longer. Bytes are charged when they have passed, so a large reply is paid for by a pause behind it. While several
 *  connections of one identity wait, each gets its share at every tick of the clock. */
export interface RuleLimits {
  /** Each Infinity: none. Bytes are those of requests and replies together. */
  readonly connections: number
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
}

export const NO_LIMITS: RuleLimits = { connections: Infinity, requestsPerSecond: Infinity, bytesPerSecond: Infinity }

export class Use {
  limits: RuleLimits
  connections = 0
  #requests: number
  #bytes: number
  #at: number
  /** At the last tick several waited. */
  #isContended = false
  readonly #waiting = new Set<Meter>()

  constructor(limits: RuleLimits, now: number) {
    this.limits = limits
    this.#requests = Math.max(1, limits.requestsPerSecond)
    this.#bytes = limits.bytesPerSecond
    this.#at = now
  }

  get isFull(): boolean {
    return this.connections >= this.limits.connections
  }

  mayAsk({ turn, byteTurn }: Meter): boolean {
    return this.#requests >= 1 && this.#bytes > 0 && (!this.#isContended || (turn >= 1 && byteTurn > 0))
  }

  asked(requests: number, bytes: number): void {
    this.#requests -= requests
    this.#bytes -= bytes
  }

  wait(meter: Meter): void {
    this.#waiting.add(meter)
  }

  leave(meter: Meter): void {
    this.#waiting.delete(meter)
  }

  /** @returns false when nothing is left of it that anybody would miss */
  tick(now: number): boolean {
    const seconds = (now - this.#at) / 1000
    this.#at = now
    const { requestsPerSecond, bytesPerSecond } = this.limits
    this.#requests = refilled(this.#requests, requestsPerSecond, Math.max(1, requestsPerSecond), seconds)
    this.#bytes = refilled(this.#bytes, bytesPerSecond, bytesPerSecond, seconds)
    this.#wake()
    return this.connections > 0 || this.#requests < Math.max(1, requestsPerSecond) || this.#bytes < bytesPerSecond
  }

  #wake(): void {
    const count = this.#waiting.size
    this.#isContended = count > 1
    if (count === 0 || this.#requests < 1 || this.#bytes <= 0) return
    const share = Math.max(1, Math.floor(this.#requests / count))
    const byteShare = this.#bytes / count
    let left = this.#requests
    // Those that came first; whoever waits again is behind the others.
    for (const meter of [...this.#waiting]) {
      if (left < 1) return
      left -= share
      this.#waiting.delete(meter)
      meter.wake(share, byteShare)
    }
  }
}

/** What is not limited stays so when no time has passed, too: a client may come between a tick's reading of the clock and its work, and
 *  Infinity * 0 is not a number, of which nobody would ever get a token. */
function refilled(left: number, perSecond: number, most: number, seconds: number): number {
  return perSecond === Infinity ? Infinity : Math.min(most, left + perSecond * seconds)
}

export class Uses {
  readonly #uses = new Map<string, Use>()

  /** @returns undefined when the rule limits nothing of the kind */
  of({ rule, limits }: { rule: string; limits: RuleLimits }, identity: string, now: number): Use | undefined {
    if (limits === NO_LIMITS) return undefined
    const key = `${rule} ${identity}`
    let use = this.#uses.get(key)
    if (use === undefined) this.#uses.set(key, use = new Use(limits, now))
    use.limits = limits
    return use
  }

  /** At every tick of the clock. */
  tick(now: number): void {
    for (const [key, use] of this.#uses) if (!use.tick(now)) this.#uses.delete(key)
  }
}

/** One connection, as far as it counts. */
export class Meter {
  /** Requests and bytes that it may still have before the next tick, while others wait. */
  turn = 0
  byteTurn = 0
  readonly #use: Use
  /** The client is to be read again. */
  readonly #free: () => void
  #charged: number

  /** @param passed bytes that have passed before */
  constructor(use: Use, passed: number, free: () => void) {
    this.#use = use
    this.#charged = passed
    this.#free = free
    use.connections++
  }

  /** @returns false: it is woken when it may */
  mayAsk(): boolean {
    if (this.#use.mayAsk(this)) return true
    this.#use.wait(this)
    return false
  }

  /** @param bytes that have passed since its connection began, both ways */
  asked(requests: number, bytes: number): void {
    const more = bytes - this.#charged
    this.#charged = bytes
    this.turn -= requests
    this.byteTurn -= more
    this.#use.asked(requests, more)
  }

  wake(turn: number, byteTurn: number): void {
    this.turn = turn
    this.byteTurn = byteTurn
    this.#free()
  }

  leave(bytes: number): void {
    this.asked(0, bytes)
    this.#use.connections--
    this.#use.leave(this)
  }
}
