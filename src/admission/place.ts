/** A place under the limits, given back exactly once. */
export class Place {
  /** Whose it is: what counts as one client. */
  readonly countedAs: string
  /** The group with limits of its own that its client belongs to. */
  readonly group: string | undefined
  #giveBack: (() => void) | undefined

  constructor(countedAs: string, group: string | undefined, giveBack: () => void) {
    this.countedAs = countedAs
    this.group = group
    this.#giveBack = giveBack
  }

  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}
