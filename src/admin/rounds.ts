/** At most so often; a reader in a loop would keep the clients waiting. */
const LEAST_APART_MS = 100

/** A page that is made for all who wait for it together, now and then: whoever asks soon after the last one waits for the next.
 *  What he gets is never older than his question. */
export class Rounds<Asked, Page> {
  readonly #make: (asked: readonly Asked[]) => Page | Promise<Page>
  #asked: Asked[] = []
  #next: Promise<Page> | undefined
  /** The round before it; it never fails. */
  #last: Promise<unknown> = Promise.resolve()

  /** @param make gets what each of them asks for */
  constructor(make: (asked: readonly Asked[]) => Page | Promise<Page>) {
    this.#make = make
  }

  ask(asked: Asked): Promise<Page> {
    this.#asked.push(asked)
    return this.#next ??= this.#round()
  }

  async #round(): Promise<Page> {
    await this.#last
    const asked = this.#asked
    this.#asked = []
    this.#next = undefined
    const made = (async () => await this.#make(asked))()
    this.#last = made.catch(() => {}).then(() => new Promise(resolve => setTimeout(resolve, LEAST_APART_MS).unref()))
    return await made
  }
}
