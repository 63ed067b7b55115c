import { Client, openAll } from '../client.ts'
import type { Target } from '../dial.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow } from '../messages.ts'
import { writeScript } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** Connections that say nothing. They stand once `prepare` returns and go with `finish`. */
export class Holding implements Load {
  #target: Target
  #clients: Client[]

  constructor(target: Target, connections: number, failed: Failed) {
    this.#target = target
    this.#clients = idleClients(connections, failed)
  }

  async prepare(): Promise<void> {
    await openAll(this.#clients, this.#target)
  }

  run(): void {}

  async pause(): Promise<LoadWindow> {
    return { ...emptyWindow(0), connections: this.#clients.length }
  }

  finish(): void {
    for (const client of this.#clients) client.close()
  }
}

/** Clients that will never be asked to send; any byte that reaches them is a fault. */
export function idleClients(count: number, failed: Failed): Client[] {
  const script = writeScript({ dialect: 'text', keys: 1, valueBytes: 1, sets: 0, hits: 0, keysPerGet: 1 })
  const tally = new LatencyTally()
  return Array.from({ length: count }, () => new Client(script, tally, 1, 0, { answered: () => {}, failed }))
}
