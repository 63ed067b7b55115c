/** The pieces of a data block that is collected. A small piece costs some 220 bytes beside its own (measured: a value sent
 *  byte by byte took 220 times its size), so small ones are copied together and memory stays what the limits count. */
const SMALL_BYTES = 1024
const GATHER_BYTES = 8 * 1024

const NOTHING = Buffer.alloc(0)

export class Pieces {
  #gathered: Buffer = NOTHING
  #filled = 0
  /** The view of `#gathered` that was handed out last: it grows when the next small piece belongs right behind it. */
  #last: Buffer | undefined

  /** Puts a piece behind `pieces`. Bytes handed out before are never written again. */
  add(pieces: Buffer[], piece: Buffer): void {
    if (piece.length >= SMALL_BYTES) {
      pieces.push(piece)
      return
    }
    if (this.#gathered.length - this.#filled < piece.length) {
      this.#gathered = Buffer.allocUnsafeSlow(GATHER_BYTES)
      this.#filled = 0
      this.#last = undefined
    }
    const isBehind = pieces.length > 0 && pieces[pieces.length - 1] === this.#last
    const from = isBehind ? this.#filled - this.#last!.length : this.#filled
    this.#filled += piece.copy(this.#gathered, this.#filled)
    this.#last = this.#gathered.subarray(from, this.#filled)
    if (isBehind) pieces[pieces.length - 1] = this.#last
    else pieces.push(this.#last)
  }

  /** Keeps nothing any longer. */
  letGo(): void {
    this.#gathered = NOTHING
    this.#filled = 0
    this.#last = undefined
  }
}
