/** A handshake that waits for its turn. */
export interface Handshake {
  /** Its turn has come. `finished` must be called on it later, whatever becomes of it. */
  begin(): void
  /** Gone while it waited: it is passed over. */
  readonly isGone: boolean
}

interface Running { slotTimer: NodeJS.Timeout | undefined }

// At 3 ms of CPU each, 4,096 take 12 s: past the handshake_timeout of any client, so more could not be served anyway.
const LONGEST_QUEUE = 4_096

// A handshake takes about 3 ms of CPU; one not finished by now waits for its peer and uses none. It gives its slot back,
// else 16 peers that say nothing would keep everybody out for the length of handshake_timeout.
const SLOT_MS = 250

/** Paces handshakes so that a storm of reconnects does not starve the clients already in: at most `slots` in progress
 *  and one start per turn of the loop (PERFORMANCE: 500 new connections, p99 of the others 8-13 ms instead of 29-65). */
export class Handshakes {
  #slots: number
  #longest: number
  #slotMs: number
  #queue: Handshake[] = []
  #head = 0
  #running = new Map<Handshake, Running>()
  #holdingSlots = 0
  #isScheduled = false

  constructor(options: { slots: number, queue?: number, slotMs?: number }) {
    this.#slots = options.slots
    this.#longest = options.queue ?? LONGEST_QUEUE
    this.#slotMs = options.slotMs ?? SLOT_MS
  }

  set slots(slots: number) {
    this.#slots = slots
    this.#schedule()
  }

  get isFull(): boolean {
    return this.waiting >= this.#longest
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  /** Begun and not finished, those without a slot counted too. */
  get running(): number {
    return this.#running.size
  }

  add(handshake: Handshake): void {
    this.#queue.push(handshake)
    this.#schedule()
  }

  /** Succeeded, failed or gone. Does nothing for one that never began. */
  finished(handshake: Handshake): void {
    const running = this.#running.get(handshake)
    if (running === undefined) return
    this.#running.delete(handshake)
    this.#giveSlotBack(running)
  }

  #schedule(): void {
    if (this.#isScheduled || this.waiting === 0 || this.#holdingSlots >= this.#slots) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#startNext()
      this.#schedule()
    })
  }

  #startNext(): void {
    let next = this.#take()
    while (next !== undefined && next.isGone) next = this.#take()
    if (next === undefined) return
    const running: Running = { slotTimer: undefined }
    running.slotTimer = setTimeout(() => this.#giveSlotBack(running), this.#slotMs)
    this.#running.set(next, running)
    this.#holdingSlots += 1
    next.begin()
  }

  #take(): Handshake | undefined {
    if (this.waiting === 0) return undefined
    const next = this.#queue[this.#head++]
    // Compacted now and then instead of shift(), which moves the whole queue each time.
    if (this.#head === this.#queue.length || this.#head > 1_024) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return next
  }

  #giveSlotBack(running: Running): void {
    if (running.slotTimer === undefined) return
    clearTimeout(running.slotTimer)
    running.slotTimer = undefined
    this.#holdingSlots -= 1
    this.#schedule()
  }
}
