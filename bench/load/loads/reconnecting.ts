import { Client } from '../client.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow, Task } from '../messages.ts'
import { scriptOf, type Script } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** A new connection per request: connect, handshake where there is TLS, one request, close. Latency covers all of it.
 *  With `resume` each ticket is used once, as RFC 8446 (C.4) asks of clients; who has none left pays a full handshake. */
export class Reconnecting implements Load {
  #task: Extract<Task, { kind: 'reconnecting' }>
  #failed: Failed
  #script: Script
  #tally = new LatencyTally()
  #tickets: Buffer[] = []
  #started = 0
  #connections = 0
  #resumed = 0
  #isRunning = false
  #visitors: Promise<void>[] = []
  #runSince = 0

  constructor(task: Extract<Task, { kind: 'reconnecting' }>, failed: Failed) {
    this.#task = task
    this.#failed = failed
    this.#script = scriptOf(task.traffic)
  }

  async prepare(): Promise<void> {
    await this.#visit()   // a refusal shows here, before the clock
  }

  run(): void {
    this.#tally.reset()
    this.#connections = 0
    this.#resumed = 0
    this.#runSince = performance.now()
    this.#isRunning = true
    this.#visitors = Array.from({ length: this.#task.atOnce }, () => this.#keepVisiting())
  }

  async pause(): Promise<LoadWindow> {
    const seconds = (performance.now() - this.#runSince) / 1000
    const latency = this.#tally.read()
    this.#isRunning = false
    await Promise.all(this.#visitors)
    return {
      ...emptyWindow(seconds), requests: latency.count, requestsToTheEnd: this.#tally.count, latency,
      connections: this.#connections, resumed: this.#resumed,
      valueBytes: this.#tally.count * this.#script.valueBytesEach,
    }
  }

  finish(): void {
    this.#isRunning = false
  }

  async #keepVisiting(): Promise<void> {
    try {
      while (this.#isRunning) await this.#visit()
    } catch (error) {
      this.#failed((error as Error).message)
    }
  }

  async #visit(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const startedAt = performance.now()
    const client = new Client(this.#script, this.#tally, 1, this.#started++, {
      answered: () => resolve(),
      failed: reason => reject(new Error(reason)),
    })
    if (this.#task.resume) client.session = ticket => this.#keep(ticket)
    promise.catch(() => {})   // a connection refused while it opens is told by `open`
    await client.open(this.#task.target, this.#task.resume ? this.#tickets.pop() : undefined)
    client.send(1, startedAt)
    await promise
    client.close()
    this.#connections++
    if (client.isResumed) this.#resumed++
  }

  #keep(ticket: Buffer): void {
    this.#tickets.push(ticket)
    if (this.#tickets.length > 2 * this.#task.atOnce) this.#tickets.shift()
  }
}
