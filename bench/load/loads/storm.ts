import type { Client } from '../client.ts'
import type { Target } from '../dial.ts'
import type { LoadWindow } from '../messages.ts'
import { idleClients } from './holding.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** New connections all at once, as after a restart of the proxy. `mark` lets them loose, `finish` waits for the last. */
export class Storm implements Load {
  #target: Target
  #clients: Client[]
  #failed: Failed
  #markedAt = 0
  #seconds = 0
  #arrived: Promise<unknown> = Promise.resolve()

  constructor(target: Target, connections: number, failed: Failed) {
    this.#target = target
    this.#clients = idleClients(connections, failed)
    this.#failed = failed
  }

  async prepare(): Promise<void> {}

  mark(): void {
    this.#markedAt = performance.now()
    this.#arrived = Promise.all(this.#clients.map(client => client.open(this.#target))).then(() => {
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
}
