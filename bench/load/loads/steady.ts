import { Client, openAll, type ClientEvents } from '../client.ts'
import { HalvesTally, LatencyTally } from '../latency.ts'
import type { LoadWindow, Task } from '../messages.ts'
import { scriptOf, type Script } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** Closed loop: each client keeps `depth` requests in flight for as long as the load runs. */
export class Steady implements Load, ClientEvents {
  #task: Extract<Task, { kind: 'steady' }>
  #script: Script
  #tally: LatencyTally
  #clients: Client[]
  #isRunning = true
  #markedAt = 0
  readonly failed: Failed
  // Clients that may send again. They do so together at the end of the turn of the loop, which at 50 clients costs the
  // load process a tenth less (16 in flight: a fifth) than writing from within each read. What it saves goes to the rest.
  #toRefill: Client[] = []
  #owed: number[] = []

  constructor(task: Extract<Task, { kind: 'steady' }>, failed: Failed) {
    this.#task = task
    this.failed = failed
    this.#script = scriptOf(task.traffic)
    this.#tally = task.tellsHalves ? new HalvesTally() : new LatencyTally()
    this.#clients = makeClients(task, this.#script, this.#tally, this)
  }

  async prepare(): Promise<void> {
    await openAll(this.#clients, this.#task.target)
    for (const client of this.#clients) client.send(this.#task.depth, performance.now())
  }

  mark(): void {
    this.#tally.reset()
    this.#markedAt = performance.now()
  }

  async finish(): Promise<LoadWindow> {
    const seconds = (performance.now() - this.#markedAt) / 1000
    const latency = this.#tally.read()
    const halves = this.#tally instanceof HalvesTally ? this.#tally.readHalves() : undefined
    this.#isRunning = false
    for (const client of this.#clients) client.close()
    return {
      ...emptyWindow(seconds), requests: latency.count, latency, halves,
      valueBytes: latency.count * this.#script.valueBytesEach,
    }
  }

  answered(client: Client, replies: number): void {
    if (this.#toRefill.length === 0) setImmediate(this.#refill)
    this.#toRefill.push(client)
    this.#owed.push(replies)
  }

  #refill = (): void => {
    if (!this.#isRunning) return
    const now = performance.now()
    for (let i = 0; i < this.#toRefill.length; i++) this.#toRefill[i].send(this.#owed[i], now)
    this.#toRefill.length = 0
    this.#owed.length = 0
  }
}

/** The clients this process plays, each at its own place of the script. */
export function makeClients(
  task: { clients: number, depth: number, share: { index: number, of: number } },
  script: Script, tally: LatencyTally, events: ClientEvents,
): Client[] {
  const { index, of } = task.share
  const clients: Client[] = []
  for (let number = index; number < task.clients; number += of) {
    const start = Math.floor(script.length / task.clients * number)
    clients.push(new Client(script, tally, task.depth, start, events))
  }
  return clients
}
