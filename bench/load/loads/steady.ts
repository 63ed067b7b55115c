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
  #isRunning = false
  #runSince = 0
  #inFlight = 0
  #drained: (() => void) | undefined
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
  }

  run(): void {
    this.#tally.reset()
    this.#runSince = performance.now()
    this.#isRunning = true
    for (const client of this.#clients) this.#send(client, this.#task.depth, this.#runSince)
  }

  async pause(): Promise<LoadWindow> {
    const seconds = (performance.now() - this.#runSince) / 1000
    const latency = this.#tally.read()
    const halves = this.#tally instanceof HalvesTally ? this.#tally.readHalves() : undefined
    this.#isRunning = false
    if (this.#inFlight > 0) await new Promise<void>(resolve => { this.#drained = resolve })
    return {
      ...emptyWindow(seconds), requests: latency.count, requestsToTheEnd: this.#tally.count, latency, halves,
      valueBytes: this.#tally.count * this.#script.valueBytesEach,
    }
  }

  finish(): void {
    this.#isRunning = false
    for (const client of this.#clients) client.close()
  }

  answered(client: Client, replies: number): void {
    this.#inFlight -= replies
    if (!this.#isRunning) {
      if (this.#inFlight === 0) this.#drained?.()
      return
    }
    if (this.#toRefill.length === 0) setImmediate(this.#refill)
    this.#toRefill.push(client)
    this.#owed.push(replies)
  }

  #refill = (): void => {
    if (this.#isRunning) {
      const now = performance.now()
      for (let i = 0; i < this.#toRefill.length; i++) this.#send(this.#toRefill[i], this.#owed[i], now)
    }
    this.#toRefill.length = 0
    this.#owed.length = 0
  }

  #send(client: Client, count: number, now: number): void {
    this.#inFlight += count
    client.send(count, now)
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
