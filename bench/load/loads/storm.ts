import { Client } from '../client.ts'
import type { Target } from '../dial.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow } from '../messages.ts'
import { writeScript } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** New connections all at once, as after a restart of the proxy. `mark` lets them loose, `finish` waits until each has
 *  had an answer: under TLS 1.3 a client believes itself connected before the server has seen its certificate. */
export class Storm implements Load {
  #target: Target
  #clients: Client[] = []
  #count: number
  #failed: Failed
  #script = writeScript({ dialect: 'text', keys: 1, valueBytes: 1, sets: 0, hits: 0, keysPerGet: 1 })
  #tally = new LatencyTally()
  #markedAt = 0
  #seconds = 0
  #arrived: Promise<unknown> = Promise.resolve()

  constructor(target: Target, connections: number, failed: Failed) {
    this.#target = target
    this.#count = connections
    this.#failed = failed
  }

  async prepare(): Promise<void> {}

  mark(): void {
    this.#markedAt = performance.now()
    this.#arrived = Promise.all(Array.from({ length: this.#count }, () => this.#arrive())).then(() => {
      this.#seconds = (performance.now() - this.#markedAt) / 1000
    })
    this.#arrived.catch(error => this.#failed((error as Error).message))
  }

  async finish(): Promise<LoadWindow> {
    try {
      await this.#arrived
    } finally {
      for (const client of this.#clients) client.close()
    }
    return { ...emptyWindow(this.#seconds), connections: this.#clients.length }
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
