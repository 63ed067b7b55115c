/** Simulated time, and an event loop whose order one seed decides.
 *
 *      poll:   some of what is ready, in an order drawn by lot        check:   what waits for the end of the poll (the turn)
 *
 *  Time moves on only when nothing is ready. Everything runs synchronously, so a history takes as long as its work. */
import type { Time } from '../../src/lib/clock.ts'
import type { Prng } from '../support/prng.ts'

interface Timer { at: number, task: () => void, everyMs: number, isOurs: boolean }

/** Events that one poll brings at the most: a busy server sees several, and they share a turn. */
const MOST_IN_A_POLL = 8

export class World implements Time {
  readonly random: Prng
  /** Steps of the loop so far. */
  steps = 0
  #now = 1_000
  #ready: (() => void)[] = []
  #ends: (() => void)[] = []
  /** Soonest last. */
  readonly #timers: Timer[] = []
  /** What happens at a step, last one first. */
  readonly #planned: { step: number, task: () => void }[] = []
  #nextPlanned = Infinity

  constructor(random: Prng) {
    this.random = random
  }

  now(): number {
    return this.#now
  }

  every(ms: number, task: () => void): () => void {
    return this.#start(ms, task, ms)
  }

  after(ms: number, task: () => void): () => void {
    return this.#start(ms, task, 0)
  }

  /** For the history itself; what memseal starts is counted apart. */
  later(ms: number, task: () => void): void {
    this.#start(ms, task, 0, true)
  }

  /** Before the loop's step of that number: most histories end before time has moved at all. */
  atStep(step: number, task: () => void): void {
    this.#planned.push({ step, task })
    this.#planned.sort((one, other) => other.step - one.step)
    this.#nextPlanned = this.#planned.at(-1)!.step
  }

  /** In one of the next polls. */
  soon(task: () => void): void {
    this.#ready.push(task)
  }

  /** At the end of this poll, as setImmediate has it. */
  readonly atEndOfPoll = (end: () => void): void => {
    this.#ends.push(end)
  }

  get isIdle(): boolean {
    return this.#ready.length === 0 && this.#ends.length === 0
  }

  /** Timers of memseal's that would still fire, repeating ones counted. */
  get timers(): number {
    return this.#timers.filter(({ isOurs }) => !isOurs).length
  }

  step(): void {
    if (++this.steps >= this.#nextPlanned) this.#doPlanned()
    const ready = this.#ready
    if (ready.length > 0) {
      for (let n = this.random.between(1, Math.min(ready.length, MOST_IN_A_POLL)); n > 0 && ready.length > 0; n--) {
        const at = this.random.between(0, ready.length - 1)
        const task = ready[at]
        ready[at] = ready[ready.length - 1]
        ready.pop()
        task()
      }
    } else if (this.#ends.length === 0) this.#moveOn()
    const ends = this.#ends
    if (ends.length === 0) return
    this.#ends = []
    for (const end of ends) end()
  }

  #doPlanned(): void {
    this.#planned.pop()!.task()
    this.#nextPlanned = this.#planned.at(-1)?.step ?? Infinity
  }

  #moveOn(): void {
    const timer = this.#timers.pop()
    if (timer === undefined) return
    this.#now = Math.max(this.#now, timer.at)
    if (timer.everyMs > 0) this.#insert(timer, timer.at + timer.everyMs)
    timer.task()
  }

  #start(ms: number, task: () => void, everyMs: number, isOurs = false): () => void {
    const timer = { at: 0, task, everyMs, isOurs }
    this.#insert(timer, this.#now + ms)
    return () => {
      const at = this.#timers.indexOf(timer)
      if (at >= 0) this.#timers.splice(at, 1)
    }
  }

  #insert(timer: Timer, at: number): void {
    timer.at = at
    let place = this.#timers.length
    while (place > 0 && this.#timers[place - 1].at <= at) place--
    this.#timers.splice(place, 0, timer)
  }
}
