/** One client of a history: sends its batches, cut anywhere, and keeps what it gets. */
import { Judge } from './judge.ts'
import type { ClientPlan, Leaving } from './plan.ts'
import { SimSocket } from './sim-socket.ts'
import type { World } from './world.ts'

/** `bytes` as they went over the wire, for people. */
export type Note = (words: string, bytes?: string) => void

const OUT_OF_MEMORY = 'memseal: out of memory holding the request'

export class Client {
  readonly at: number
  readonly plan: ClientPlan
  readonly socket: SimSocket
  readonly judge: Judge
  isClosed = false
  /** No more of what it is owed will be wrong. */
  isJudged = false
  hasSentAll = false
  /** Requests that have left, and that will have left in the end: what it does not send any more, it is not owed. */
  sent = 0
  total: number
  /** Something has changed since the judge last looked. */
  isNews = true
  gotBytes = 0
  /** Requests that memseal had no memory for. */
  refused = 0
  readonly #world: World
  readonly #note: Note | undefined
  readonly #onLeaving: (how: Leaving['how']) => void
  #batch = 0
  #owedBytes = 0
  #isWaiting = false
  #isGone = false

  constructor(at: number, plan: ClientPlan, world: World, note: Note | undefined, onLeaving: (how: Leaving['how']) => void) {
    this.at = at
    this.plan = plan
    this.total = plan.requests.length
    this.judge = new Judge(at, plan.requests)
    this.#world = world
    this.#note = note
    this.#onLeaving = onLeaving
    this.socket = new SimSocket(world, `c${at}`, this)
    this.socket.readDelayMs = plan.readDelayMs
  }

  onBytes(bytes: string): void {
    this.#note?.(this.#arrow('◀─ memseal     '), bytes)
    this.judge.takes(bytes)
    this.gotBytes += bytes.length
    if (bytes.includes(OUT_OF_MEMORY)) this.refused++
    this.isNews = true
    if (this.#isWaiting && this.gotBytes >= this.#owedBytes) this.#goOn()
  }

  onEnd(): void {
    this.#note?.(this.#arrow('◀─ end'))
    this.#isGone = true
    this.socket.arriveEnd()
  }

  onClose(): void {
    if (!this.isClosed) this.#note?.(this.#arrow('closed'))
    this.isClosed = this.isNews = true
  }

  readonly start = (): void => this.#world.soon(this.#next)

  leave(): void {
    if (this.isClosed) return
    if (this.#world.random.chance(0.5)) this.socket.reset()
    else if (!this.#isGone) this.socket.arriveEnd()
    this.#isGone = true
  }

  #arrow(words: string): string {
    return `c${this.at} ${words}`
  }

  readonly #next = (): void => {
    if (this.isClosed || this.#isGone) return
    const { leaves, batches, requests } = this.plan
    if (leaves !== undefined && leaves.afterBatches === this.#batch) return this.#leaveEarly(leaves.how)
    if (this.#batch === batches.length) {
      this.hasSentAll = true
      return
    }
    let bytes = ''
    for (let left = batches[this.#batch++]; left > 0; left--) {
      const request = requests[this.sent++]
      bytes += request.bytes
      this.#owedBytes += request.replies[0].length
    }
    this.isNews = true
    this.#send(bytes)
  }

  #leaveEarly(how: Leaving['how']): void {
    this.#isGone = true
    this.#note?.(this.#arrow(`─▶ ${how}`))
    this.#onLeaving(how)
    this.total = this.sent
    this.hasSentAll = this.isNews = true
    if (how === 'reset') this.socket.reset()
    else this.socket.arriveEnd()
  }

  #send(bytes: string): void {
    if (this.isClosed || this.#isGone) return
    const { random } = this.#world
    const size = random.chance(0.75) ? bytes.length : random.between(1, bytes.length)
    const now = size === bytes.length ? bytes : bytes.slice(0, size)
    this.#note?.(this.#arrow('─▶ memseal     '), now)
    this.socket.arrive(now)
    if (size < bytes.length) this.#world.soon(() => this.#send(bytes.slice(size)))
    else this.#wait()
  }

  /** An error is shorter or longer than the reply that it stands for, so patience ends. */
  #wait(): void {
    if (this.plan.waits && this.gotBytes < this.#owedBytes) {
      this.#isWaiting = true
      if (this.plan.waits !== 'for ever') this.#world.later(this.#world.random.between(0, 30), () => this.#isWaiting && this.#goOn())
    } else this.#goOn()
  }

  #goOn(): void {
    this.#isWaiting = false
    if (this.plan.pauseMs > 0) this.#world.later(this.#world.random.between(0, this.plan.pauseMs), this.#next)
    else this.#world.soon(this.#next)
  }
}
