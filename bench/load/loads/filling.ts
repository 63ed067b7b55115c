import { Client } from '../client.ts'
import type { Target } from '../dial.ts'
import { LatencyTally } from '../latency.ts'
import type { LoadWindow } from '../messages.ts'
import { writeFill, type Traffic } from '../script.ts'
import { emptyWindow, type Failed, type Load } from './load.ts'

/** Stores all keys of a workload; done when `prepare` returns. */
export class Filling implements Load {
  #target: Target
  #traffic: Traffic
  #failed: Failed

  constructor(target: Target, traffic: Traffic, failed: Failed) {
    this.#target = target
    this.#traffic = traffic
    this.#failed = failed
  }

  async prepare(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    let left = this.#traffic.keys
    const client = new Client(writeFill(this.#traffic), new LatencyTally(), 1, 0, {
      answered: sender => {
        if (--left > 0) sender.send(1, 0)
        else resolve()
      },
      failed: this.#failed,
    })
    await client.open(this.#target)
    client.send(1, 0)
    await promise
    client.close()
  }

  run(): void {}

  async pause(): Promise<LoadWindow> {
    return emptyWindow(0)
  }

  finish(): void {}
}
