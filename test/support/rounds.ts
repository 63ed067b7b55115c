import { connect, type Wire, type WireOptions } from './wire.ts'

interface Question { words: string, lastLine: string, lines: string[], isAnswered: Promise<void>, answered: () => void }

/** Time as a server has it: one round is one question answered, on a connection of our own beside those that a test watches.
 *  A server of one thread (and each on the way to it) that has answered us has looked at all that had reached it before; and
 *  on a busy machine its rounds are longer, so that what a test waits for in rounds does not depend on how busy it is.
 *  Those who come while an answer is awaited share the next question, which is sent after all of them came. */
export class Rounds {
  readonly #wire: Wire
  readonly #question: string
  readonly #answer: string
  /** The first is on its way. */
  readonly #questions: Question[] = []
  #error: Error | undefined

  /** Rounds of memcached, or of a memseal and the memcached behind it. */
  static async of(place: WireOptions): Promise<Rounds> {
    return new Rounds(await connect({ ...place, timeoutMs: 150_000 }), 'version', 'VERSION ')
  }

  /** Rounds of a memseal that answers by itself, whatever its memcached does: it refuses a command. */
  static async ofItself(place: WireOptions): Promise<Rounds> {
    return new Rounds(await connect({ ...place, timeoutMs: 150_000 }), 'verbosity 1', 'CLIENT_ERROR memseal: ')
  }

  private constructor(wire: Wire, question: string, answer: string) {
    this.#wire = wire
    this.#question = question
    this.#answer = answer
    void this.#listen()
  }

  /** @param count rounds, one after the other */
  async pass(count: number): Promise<void> {
    for (let round = 0; round < count; round++) {
      await this.#ask(this.#question, this.#answer)
      // What has come together with our answer is read before the loop goes on.
      await new Promise(setImmediate)
    }
  }

  /** Passes rounds until memcached itself knows the connection whose port at our end this is: it is accepted a little after
   *  it stands for us, by another thread. */
  async untilAccepted(port: number): Promise<void> {
    while (!(await this.#ask('stats conns', 'END')).some(line => line.endsWith(`:${port}`)));
  }

  end(): void {
    this.#wire.destroy()
  }

  /** Resolves when the server has closed our connection. */
  get ended(): Promise<unknown> {
    return this.#wire.closed
  }

  /** @returns the lines of the answer, of which the last begins with `lastLine` */
  async #ask(words: string, lastLine: string): Promise<string[]> {
    let question = this.#questions.slice(1).find(each => each.words === words)
    if (question === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      question = { words, lastLine, lines: [], isAnswered: promise, answered: resolve }
      this.#questions.push(question)
      if (this.#questions.length === 1) this.#send()
    }
    if (this.#error === undefined) await question.isAnswered
    if (this.#error !== undefined) throw this.#error
    return question.lines
  }

  #send(): void {
    if (this.#questions.length > 0) void this.#wire.write(`${this.#questions[0].words}\r\n`)
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const line = await this.#wire.readLine()
        this.#questions[0].lines.push(line)
        if (!line.startsWith(this.#questions[0].lastLine)) continue
        this.#questions.shift()!.answered()
        this.#send()
      }
    } catch (error) {
      this.#error = error as Error
      for (const { answered } of this.#questions.splice(0)) answered()
    }
  }
}
