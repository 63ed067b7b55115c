type Milliseconds = number
interface Bucket { tokens: number, at: Milliseconds, perSecond: number }

// 65,536 buckets of about 150 bytes are 10 MiB, and a full one says no more than an absent one.
const MOST_BUCKETS = 65_536

/** How many connections each client has open, by its key. Bounded by the connections themselves. */
export class OpenPerClient {
  #open = new Map<string, number>()

  of(client: string): number {
    return this.#open.get(client) ?? 0
  }

  add(client: string): void {
    this.#open.set(client, this.of(client) + 1)
  }

  remove(client: string): void {
    const left = this.of(client) - 1
    if (left > 0) this.#open.set(client, left)
    else this.#open.delete(client)
  }

  /** Clients with a connection open. */
  get clients(): number {
    return this.#open.size
  }
}

/** New connections per second and client: a token bucket that holds one second's worth. */
export class ConnectRate {
  #buckets = new Map<string, Bucket>()
  #most: number
  #now: () => Milliseconds

  constructor(now: () => Milliseconds, most = MOST_BUCKETS) {
    this.#now = now
    this.#most = most
  }

  /** Takes a token.   @param perSecond what the client may do now; 0: no limit   @returns false: it connects too fast */
  take(client: string, perSecond: number): boolean {
    if (perSecond === 0) return true
    const now = this.#now()
    const bucket = this.#buckets.get(client)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#most) this.#clean(now)
      this.#buckets.set(client, { tokens: perSecond - 1, at: now, perSecond })
      return true
    }
    bucket.perSecond = perSecond   // a reload may have changed it; what is more than a second's worth is cut off
    bucket.tokens = filled(bucket, now)
    bucket.at = now
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Drops the full buckets, and when few were, the oldest half: an attacker with that many addresses gains a second's
   *  worth for each, which the limit of the service still holds. */
  #clean(now: Milliseconds): void {
    for (const [key, bucket] of this.#buckets) if (filled(bucket, now) >= bucket.perSecond) this.#buckets.delete(key)
    if (this.#buckets.size < this.#most / 2) return
    let surplus = Math.ceil(this.#most / 2)
    for (const key of this.#buckets.keys()) {
      if (surplus-- <= 0) break
      this.#buckets.delete(key)
    }
  }
}

function filled({ tokens, at, perSecond }: Bucket, now: Milliseconds): number {
  return Math.min(perSecond, tokens + (now - at) / 1000 * perSecond)
}
