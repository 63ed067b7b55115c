import { Client } from '../client.ts'
import type { Target } from '../dial.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow } from '../messages.ts'
import { writeScript } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** New connections all at once, as after a restart of the proxy. `run` lets them loose, and `pause` waits until each has
 *  had an answer: under TLS 1.3 a client believes itself connected before the server has seen its certificate. They close
 *  only at `finish`, when the clients that they disturbed have been read: that they go all at once is another storm. */
export class Storm implements Load {
  #target: Target
  #failed: Failed
  #clients: Client[] = []
  #arrivals: Promise<void> | undefined
  #count: number
  #script = writeScript({ dialect: 'text', keys: 1, valueBytes: 1, sets: 0, hits: 0, keysPerGet: 1 })
  #tally = new LatencyTally()
  #seconds = 0

  constructor(target: Target, connections: number, failed: Failed) {
    this.#target = target
    this.#count = connections
    this.#failed = failed
  }

  async prepare(): Promise<void> {}

  run(): void {
    const startedAt = performance.now()
    this.#arrivals = Promise.all(Array.from({ length: this.#count }, () => this.#arrive())).then(
      () => { this.#seconds = (performance.now() - startedAt) / 1000 },
      (error: Error) => this.#failed(error.message))
  }

  async pause(): Promise<LoadWindow> {
    await this.#arrivals
    return { ...emptyWindow(this.#seconds), connections: this.#clients.length }
  }

  finish(): void {
    for (const client of this.#clients) client.close()
  }

  async #arrive(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => {})   // one that is refused while it opens is told by `open`
    const client = new Client(this.#script, this.#tally, 1, 0, {
      answered: () => resolve(),
      failed: reason => reject(new Error(reason)),
    })
    this.#clients.push(client)
    await client.open(this.#target)
    client.send(1, 0)
    await promise
  }
}
