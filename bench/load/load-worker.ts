import { fork, type ChildProcess } from 'node:child_process'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import type { Answer, LoadWindow, Order, Task } from './messages.ts'

const PROGRAM = join(import.meta.dirname, 'load-process.ts')
const ANSWER_TIMEOUT_MS = 120_000

type OrderWord = Order extends infer O ? O extends Order ? Omit<O, 'load'> : never : never

/** A load process as the bench sees it. A fault in the middle of a load surfaces at the next order to that load. */
export class LoadWorker {
  #child: ChildProcess
  #faults = new Map<string, string>()
  #waiting: Waiting | undefined

  /** @param niceness added to the process: a load that only disturbs must not starve the one that measures */
  constructor(niceness = 0) {
    this.#child = fork(PROGRAM, { serialization: 'advanced', execArgv: [] })
    if (niceness > 0) setPriority(this.#child.pid!, niceness)
    this.#child.on('message', (answer: Answer) => this.#answered(answer))
    this.#child.on('exit', code => this.#waiting?.reject(new Error(`the load process ended (${code})`)))
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Connects a load; it asks for nothing yet.   @throws when it is refused */
  async prepare(load: string, task: Task): Promise<void> {
    this.#faults.delete(load)
    await this.#order(load, { order: 'prepare', task }, 'ready')
  }

  async run(load: string): Promise<void> {
    await this.#order(load, { order: 'run' }, 'running')
  }

  /** Ends a window; returns when all that was in flight is answered.   @throws what the load failed of since `prepare` */
  async pause(load: string): Promise<LoadWindow> {
    const answer = await this.#order(load, { order: 'pause' }, 'paused')
    return (answer as Extract<Answer, { answer: 'paused' }>).window
  }

  /** Closes what the load holds, whether it failed or not. */
  async finish(load: string): Promise<void> {
    this.#faults.delete(load)
    await this.#order(load, { order: 'finish' }, 'finished')
  }

  /** Ends the process; nothing it holds is worth waiting for. */
  stop(): void {
    this.#child.removeAllListeners('exit')
    this.#child.kill('SIGKILL')
  }

  async #order(load: string, order: OrderWord, wanted: Answer['answer']): Promise<Answer> {
    const fault = this.#faults.get(load)
    if (fault) throw new Error(fault)
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.#waiting = { load, wanted, resolve, reject }
    const timer = setTimeout(() => reject(new Error(`no answer to ${order.order}`)), ANSWER_TIMEOUT_MS)
    try {
      this.#child.send({ load, ...order })
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting?.load === answer.load ? this.#waiting : undefined
    if (answer.answer === 'failed') {
      if (!this.#faults.has(answer.load)) this.#faults.set(answer.load, answer.reason)
      // One that failed still has to finish, which closes its connections.
      if (waiting && waiting.wanted !== 'finished') waiting.reject(new Error(this.#faults.get(answer.load)))
    } else if (answer.answer === waiting?.wanted) {
      waiting.resolve(answer)
    }
  }
}

interface Waiting {
  load: string
  wanted: Answer['answer']
  resolve: (answer: Answer) => void
  reject: (error: Error) => void
}
