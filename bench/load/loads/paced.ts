import { openAll, type Client, type ClientEvents } from '../client.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow, Task } from '../messages.ts'
import { scriptOf, type Script } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'
import { makeClients } from './steady.ts'

/** Open loop: requests fall due by the clock whether or not earlier ones were answered, and latency counts from when a
 *  request fell due. A stall is thus paid by every request it delayed (no coordinated omission). */
export class Paced implements Load, ClientEvents {
  #task: Extract<Task, { kind: 'paced' }>
  #script: Script
  #tally = new LatencyTally()
  #clients: Client[]
  /** requests that fell due while their client had `depth` in flight: due times, oldest first */
  #waiting = new Map<Client, number[]>()
  #perMs: number
  #runSince = 0
  #inFlight = 0
  #drained: (() => void) | undefined
  #fallenDue = 0
  #ticks = 0
  #timer: NodeJS.Timeout | undefined
  readonly failed: Failed

  constructor(task: Extract<Task, { kind: 'paced' }>, failed: Failed) {
    this.#task = task
    this.failed = failed
    this.#script = scriptOf(task.traffic)
    this.#clients = makeClients(task, this.#script, this.#tally, this)
    for (const client of this.#clients) this.#waiting.set(client, [])
    this.#perMs = task.requestsPerSecond / task.share.of / 1000
  }

  async prepare(): Promise<void> {
    await openAll(this.#clients, this.#task.target)
  }

  run(): void {
    this.#tally.reset()
    this.#runSince = performance.now()
    this.#fallenDue = 0
    this.#ticks = 0
    this.#timer = setInterval(() => this.#release(), 1)
  }

  async pause(): Promise<LoadWindow> {
    const now = performance.now()
    clearInterval(this.#timer)
    // What fell due and was never answered waited at least until now; leaving it out would flatter a stalled proxy.
    for (const due of this.#waiting.values()) for (const at of due.splice(0)) this.#tally.answered(at, now)
    const latency = this.#tally.read()
    if (this.#inFlight > 0) await new Promise<void>(resolve => { this.#drained = resolve })
    return {
      ...emptyWindow((now - this.#runSince) / 1000), requests: latency.count, requestsToTheEnd: this.#tally.count, latency,
      valueBytes: this.#tally.count * this.#script.valueBytesEach,
    }
  }

  finish(): void {
    clearInterval(this.#timer)
    for (const client of this.#clients) client.close()
  }

  answered(client: Client, replies: number): void {
    this.#inFlight -= replies
    const due = this.#waiting.get(client)!
    for (let i = 0; i < replies && due.length > 0; i++) this.#send(client, due.shift()!)
    if (this.#inFlight === 0) this.#drained?.()
  }

  // Timers keep whole milliseconds, so the schedule is made of them: all that belongs to a millisecond falls due at its
  // beginning. A late timer makes up for what it missed, with the times at which that should have left.
  #release(): void {
    const passed = Math.floor(performance.now() - this.#runSince)
    while (this.#ticks < passed) {
      this.#ticks++
      const due = this.#runSince + this.#ticks
      const total = Math.floor(this.#ticks * this.#perMs)
      while (this.#fallenDue < total) this.#ask(this.#clients[this.#fallenDue++ % this.#clients.length], due)
    }
  }

  #ask(client: Client, due: number): void {
    if (client.conversation.inFlight < this.#task.depth) this.#send(client, due)
    else this.#waiting.get(client)!.push(due)
  }

  #send(client: Client, due: number): void {
    this.#inFlight++
    client.send(1, due)
  }
}
