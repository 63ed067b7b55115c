import { Client } from '../client.ts'
import type { Target } from '../dial.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow } from '../messages.ts'
import { writeScript } from '../script.ts'
import { emptyWindow, type Load } from './load.ts'

/** New connections all at once, as after a restart of the proxy. `mark` lets them loose and waits until each has had an
 *  answer: under TLS 1.3 a client believes itself connected before the server has seen its certificate. They close only
 *  at `finish`, when the clients that they disturbed have been read: that they go all at once is another storm. */
export class Storm implements Load {
  #target: Target
  #clients: Client[] = []
  #count: number
  #script = writeScript({ dialect: 'text', keys: 1, valueBytes: 1, sets: 0, hits: 0, keysPerGet: 1 })
  #tally = new LatencyTally()
  #seconds = 0

  constructor(target: Target, connections: number) {
    this.#target = target
    this.#count = connections
  }

  async prepare(): Promise<void> {}

  async mark(): Promise<void> {
    const markedAt = performance.now()
    await Promise.all(Array.from({ length: this.#count }, () => this.#arrive()))
    this.#seconds = (performance.now() - markedAt) / 1000
  }

  async finish(): Promise<LoadWindow> {
    for (const client of this.#clients) client.close()
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
