/** What one client may have outstanding on a lane that others use: so many keys, and so many bytes as their values will likely weigh.
 *
 *      a get of 300 keys ─▶ part of 40 ─▶ part of 60 ─▶ …        other clients' requests come in between
 *
 *  What its values weigh is known from its latest ones. Of a client that has asked for nothing yet the worst is supposed, so its
 *  first get goes out in few keys. Heavy readers go to a connection of their own, and come back when they have become light. */

/** Of a client that has read nothing yet. */
const UNKNOWN_BYTES = 2 * 1024
/** memcached needs a tenth of a millisecond for it on loopback, and the next part is asked for while the last one comes. */
const MOST_BYTES = 128 * 1024
/** memcached answers some 500 to 1,000 keys in a millisecond. */
const MOST_KEYS = 512
/** A client whose values weigh so much holds up the others for longer than it takes them to be answered. */
const HEAVY_BYTES = 32 * 1024
const LIGHT_BYTES = 8 * 1024
/** So many reads in a row have to be light before the client shares again. */
const LIGHT_READS = 64

type Bytes = number

export class Share {
  /** Keys that were asked for and not answered. */
  #keys = 0
  #bytesPerKey: Bytes = UNKNOWN_BYTES
  #isKnown = false
  #lightReads = 0

  asked(keys: number): void {
    this.#keys += keys
  }

  /** @param bytes of the reply   @param hits items that it brought; of none nothing can be learnt */
  answered(keys: number, bytes: Bytes, hits: number): void {
    this.#keys -= keys
    if (hits === 0) return
    const weight = bytes / hits
    // One large value among many small ones does not make a heavy reader; two in a row do.
    if (!this.#isKnown) this.#bytesPerKey = weight
    else this.#bytesPerKey += (weight - this.#bytesPerKey) / (weight > this.#bytesPerKey ? 4 : 64)
    this.#isKnown = true
    if (weight >= LIGHT_BYTES) this.#lightReads = 0
    // Light and heavy at once it must never be, or it would go to and fro.
    else if (++this.#lightReads >= LIGHT_READS) this.#bytesPerKey = Math.min(this.#bytesPerKey, LIGHT_BYTES)
  }

  /** How many more keys it may ask for now, at least one when nothing is outstanding. */
  get room(): number {
    const most = Math.min(MOST_KEYS, Math.floor(MOST_BYTES / Math.max(this.#bytesPerKey, 1)))
    return Math.max(most - this.#keys, this.#keys === 0 ? 1 : 0)
  }

  /** It may go on: half of what it may have outstanding is free. */
  get isHalfFree(): boolean {
    return this.#keys === 0 || this.room >= this.#keys
  }

  get isHeavy(): boolean {
    return this.#isKnown && this.#bytesPerKey > HEAVY_BYTES
  }

  get isLightAgain(): boolean {
    return this.#lightReads >= LIGHT_READS
  }
}
