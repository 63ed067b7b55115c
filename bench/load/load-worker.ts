import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import type { Answer, LoadWindow, Order, Task } from './messages.ts'

const PROGRAM = join(import.meta.dirname, 'load-process.ts')
const ANSWER_TIMEOUT_MS = 120_000

/** A load process as the bench sees it. A fault in the middle of a load surfaces at the next order. */
export class LoadWorker {
  #child: ChildProcess
  #fault: string | undefined
  #waiting: { wanted: Answer['answer'], resolve: (answer: Answer) => void, reject: (error: Error) => void } | undefined

  /** @param niceness added to the process: a load that only disturbs must not starve the one that measures */
  constructor(niceness = 0) {
    this.#child = fork(PROGRAM, { serialization: 'advanced', execArgv: [] })
    if (niceness > 0) setPriority(this.#child.pid!, niceness)
    this.#child.on('message', (answer: Answer) => this.#answered(answer))
    this.#child.on('exit', code => this.#failed(`the load process ended (${code})`))
  }

  get pid(): number {
    return this.#child.pid!
  }

  async prepare(task: Task): Promise<void> {
    this.#fault = undefined
    await this.#order({ order: 'prepare', task }, 'ready')
  }

  async mark(): Promise<void> {
    await this.#order({ order: 'mark' }, 'marked')
  }

  async finish(): Promise<LoadWindow> {
    const answer = await this.#order({ order: 'finish' }, 'finished')
    return (answer as Extract<Answer, { answer: 'finished' }>).window
  }

  /** Waits for the load to fail, then ends it.   @throws what it failed of */
  async finishOnceFailed(): Promise<LoadWindow> {
    while (!this.#fault) await once(this.#child, 'message')
    return this.finish()
  }

  /** Ends the process; nothing it holds is worth waiting for. */
  stop(): void {
    this.#child.removeAllListeners('exit')
    this.#child.kill('SIGKILL')
  }

  async #order(order: Order, wanted: Answer['answer']): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.#waiting = { wanted, resolve, reject }
    const timer = setTimeout(() => this.#failed(`no answer to ${order.order}`), ANSWER_TIMEOUT_MS)
    try {
      if (this.#fault && order.order !== 'finish') throw new Error(this.#fault)
      this.#child.send(order)
      const answer = await promise
      if (this.#fault) throw new Error(this.#fault)
      return answer
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }

  #answered(answer: Answer): void {
    if (answer.answer === 'failed') return this.#failed(answer.reason)
    if (answer.answer === this.#waiting?.wanted) this.#waiting.resolve(answer)
  }

  #failed(reason: string): void {
    this.#fault ??= reason
    // A failed load still has to finish, which closes its connections.
    if (this.#waiting?.wanted !== 'finished') this.#waiting?.reject(new Error(reason))
    else if (/ended|no answer/.test(reason)) this.#waiting.reject(new Error(reason))
  }
}
