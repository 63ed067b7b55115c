/** A place under the limits, given back exactly once. */
export class Place {
  /** Whose it is: what counts as one client. */
  readonly countedAs: string
  #giveBack: (() => void) | undefined

  constructor(countedAs: string, giveBack: () => void) {
    this.countedAs = countedAs
    this.#giveBack = giveBack
  }

  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}
