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
  #startedAt = 0
  #fallenDue = 0
  #ticks = 0
  #timer: NodeJS.Timeout | undefined
  #markedAt = 0
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
    this.#startedAt = performance.now()
    this.#timer = setInterval(() => this.#release(), 1)
  }

  mark(): void {
    this.#tally.reset()
    this.#markedAt = performance.now()
  }

  async finish(): Promise<LoadWindow> {
    const seconds = (performance.now() - this.#markedAt) / 1000
    clearInterval(this.#timer)
    // What fell due and was never answered waited at least until now; leaving it out would flatter a stalled proxy.
    const now = performance.now()
    for (const due of this.#waiting.values()) for (const at of due) this.#tally.answered(at, now)
    const latency = this.#tally.read()
    for (const client of this.#clients) client.close()
    return {
      ...emptyWindow(seconds), requests: latency.count, latency,
      valueBytes: latency.count * this.#script.valueBytesEach,
    }
  }

  answered(client: Client, replies: number): void {
    const due = this.#waiting.get(client)!
    for (let i = 0; i < replies && due.length > 0; i++) client.send(1, due.shift()!)
  }

  // Timers keep whole milliseconds, so the schedule is made of them: all that belongs to a millisecond falls due at its
  // beginning. A late timer makes up for what it missed, with the times at which that should have left.
  #release(): void {
    const passed = Math.floor(performance.now() - this.#startedAt)
    while (this.#ticks < passed) {
      this.#ticks++
      const due = this.#startedAt + this.#ticks
      const total = Math.floor(this.#ticks * this.#perMs)
      while (this.#fallenDue < total) this.#ask(this.#clients[this.#fallenDue++ % this.#clients.length], due)
    }
  }

  #ask(client: Client, due: number): void {
    if (client.conversation.inFlight < this.#task.depth) client.send(1, due)
    else this.#waiting.get(client)!.push(due)
  }
}
