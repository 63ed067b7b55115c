/** One counter that all clients add to. Each sees it grow by its own part at least; at the end it must be exact. */
import { WrongReply } from './expected.ts'

export class SharedCounter {
  readonly key: string
  sum = 0n

  constructor(key: string) {
    this.key = key
  }

  /** Registers an addition. @returns the check of the value that comes back */
  add(delta: bigint): (value: bigint) => void {
    const least = delta
    this.sum += delta
    return value => {
      if (value < least || value > this.sum) {
        throw new WrongReply(`the shared counter came back as ${value} after ${delta} was added, with ${this.sum} added by all`)
      }
    }
  }
}
