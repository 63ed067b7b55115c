import { InVain } from './in-vain.ts'
import { Waiting, type Handshake } from './waiting.ts'

interface Running { slotTimer: NodeJS.Timeout | undefined, line: Line }

/** Handshakes that share turns: those of a group that has a share, or all others. */
interface Line {
  readonly waiting: Waiting
  /** Slots that they may hold at once. */
  share: number
  holding: number
  /** Turns that they have had, by the size of their share: of lines that wait, the one that has had the least comes next. */
  had: number
}

// At 3 ms of CPU each, 4,096 take 12 s: few clients are as patient as that.
const LONGEST_QUEUE = 4_096

// A handshake takes about 3 ms of CPU, and the server's part of it up to its first answer is done in the turn in which it
// begins. One not finished by now waits for its peer and uses none: it gives its slot back, else peers that stop halfway
// would hold the turns of others. With 250 ms, 16 slots let no more than 64 a second begin.
const SLOT_MS = 5

// Each that waits for its peer has some 60 KB of memory. Beyond this the one that began first goes: at the 1,000 a second that
// a core can begin at most, it had a second to answer.
const MOST_UNDER_WAY = 1_024

// How long newcomers may hold back the next handshake. libuv accepts one connection per listener and turn of the loop, so
// with a handshake in each turn a storm would come in no faster than handshakes are done: the kernel's queue would fill
// with dialers that have long gone.
const ARRIVALS_MS = 5

/** Clients that have finished a handshake, some 100 bytes each. Whoever is not among them any more is looked at once more. */
const MOST_KNOWN = 16_384

//   groups with a share ── a line each ─┐
//   all others ─────────── one line ────┴─ the line that has had least for its share ── its client whose turn it is (Waiting) ── begin

/** Paces handshakes so that a storm of reconnects does not starve the clients already in: at most `slots` are worked on
 *  and one start per turn of the loop (PERFORMANCE: 500 new connections, p99 of the others 8-13 ms instead of 29-65), in
 *  turns in which nobody arrives. */
export class Handshakes {
  #slots: number
  #longest: number
  #slotMs: number
  #mostUnderWay: number
  #inVain: InVain
  /** Clients whose last handshake let them in; the oldest first. */
  readonly #known = new Set<string>()
  /** Of all that have no share of their own. */
  #common: Line
  #lines = new Map<string, Line>()
  /** Of groups that have none any more: those that wait there keep their turns. */
  #former = new Set<Line>()
  /** What the line whose turn was last has had: whoever had none to wait for meanwhile gains nothing by it. */
  #had = 0
  #waiting = 0
  #lineOf = new Map<Handshake, Line>()
  #running = new Map<Handshake, Running>()
  #holdingSlots = 0
  #isScheduled = false
  #hasArrival = false
  #heldBackSince = 0
  #now: () => number

  constructor(options: { slots: number, queue?: number, underWay?: number, slotMs?: number, now?: () => number }) {
    this.#slots = options.slots
    this.#longest = options.queue ?? LONGEST_QUEUE
    this.#slotMs = options.slotMs ?? SLOT_MS
    this.#mostUnderWay = options.underWay ?? MOST_UNDER_WAY
    this.#now = options.now ?? (() => performance.now())
    this.#inVain = new InVain(this.#now)
    this.#common = this.#newLine(options.slots)
  }

  set slots(slots: number) {
    this.#slots = this.#common.share = slots
    this.#schedule()
  }

  /** Groups that have a share of the slots, and how large it is. */
  set shares(shares: ReadonlyMap<string, number>) {
    for (const [group, share] of shares) {
      const line = this.#lines.get(group)
      if (line === undefined) this.#lines.set(group, this.#newLine(share))
      else line.share = share
    }
    for (const [group, line] of this.#lines) {
      if (shares.has(group)) continue
      this.#lines.delete(group)
      line.share = Infinity
      line.had = -Infinity
      if (line.waiting.count > 0) this.#former.add(line)
    }
    this.#schedule()
  }

  #newLine(share: number): Line {
    return { waiting: new Waiting(this.#inVain), share, holding: 0, had: 0 }
  }

  get waiting(): number {
    return this.#waiting
  }

  /** Begun and not finished, those without a slot counted too. */
  get running(): number {
    return this.#running.size
  }

  /** Half of the slots would do for all. */
  get isCalm(): boolean {
    return this.waiting + this.running < Math.floor(this.#slots / 2)
  }

  /** May a handshake begin at once, before anything of it was read, which saves 5 % of its CPU? Peers that then say nothing are few, and
   *  while they are there it is not calm. Of a client that has never been in, or whose last handshake failed, what it says is looked at:
   *  OpenSSL calls everything plain text that is not TLS, a PROXY header too. */
  mayBeginUnread(client: string): boolean {
    return this.isCalm && this.#known.has(client)
  }

  /** Somebody connected; more may be waiting in the kernel. */
  arrived(): void {
    this.#hasArrival = true
  }

  add(handshake: Handshake): void {
    if (this.#waiting >= this.#longest) this.#displaceSurplus()
    const line = this.#lines.get(handshake.group ?? '') ?? this.#common
    if (line.waiting.count === 0) line.had = Math.max(line.had, this.#had)
    line.waiting.add(handshake, this.#now())
    this.#lineOf.set(handshake, line)
    this.#waiting += 1
    // A peer that said its word and left is seen to be gone in the next turn.
    this.#hasArrival = true
    this.#schedule()
  }

  /** Too many wait: one of the longest line goes. */
  #displaceSurplus(): void {
    const longest = [...this.#allLines()].reduce((most, line) => line.waiting.count > most.waiting.count ? line : most)
    const surplus = longest.waiting.takeSurplus()!
    this.#left(surplus)
    surplus.displace()
  }

  #left(handshake: Handshake): void {
    this.#lineOf.delete(handshake)
    this.#waiting -= 1
  }

  /** Succeeded, failed or gone. Does nothing for one that was never added.
   *  @param outcome `in vain`: it has cost a handshake and nobody is in for it, so its client comes after others for a while */
  finished(handshake: Handshake, outcome: 'in' | 'in vain' | 'none' = 'none'): void {
    if (outcome === 'in vain') this.#known.delete(handshake.client)
    const line = this.#lineOf.get(handshake)
    if (line !== undefined) {
      line.waiting.left(handshake)
      this.#left(handshake)
    }
    const running = this.#running.get(handshake)
    if (running === undefined) return
    this.#running.delete(handshake)
    this.#inVain.finished(handshake.client, outcome)
    if (outcome === 'in') this.#know(handshake.client)
    running.line.waiting.hasChanged(handshake.client)
    this.#giveSlotBack(running)
  }

  #know(client: string): void {
    if (this.#known.size >= MOST_KNOWN && !this.#known.has(client)) this.#known.delete(this.#known.keys().next().value!)
    this.#known.add(client)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#nextLine() === undefined) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (this.#waiting === 0) this.#heldBackSince = 0
      else if (this.isCalm || !this.#isHeldBack()) this.#startNext()
      this.#schedule()
    })
  }

  *#allLines(): Iterable<Line> {
    yield this.#common
    yield* this.#lines.values()
    yield* this.#former
  }

  /** @returns the line whose turn it is; undefined: nobody waits, or whoever waits has no slot left */
  #nextLine(): Line | undefined {
    if (this.#waiting === 0 || this.#holdingSlots >= this.#slots) return undefined
    let next: Line | undefined
    for (const line of this.#allLines()) {
      if (line.waiting.count === 0) this.#former.delete(line)
      else if (line.holding < line.share && (next === undefined || line.had < next.had)) next = line
    }
    return next
  }

  #isHeldBack(): boolean {
    const now = this.#now()
    if (this.#heldBackSince === 0) this.#heldBackSince = now
    if (this.#hasArrival && now - this.#heldBackSince < ARRIVALS_MS) {
      this.#hasArrival = false
      return true
    }
    this.#heldBackSince = 0
    return false
  }

  #startNext(): void {
    const line = this.#nextLine()
    const next = line?.waiting.take(this.#now())
    if (line === undefined || next === undefined) return
    this.#left(next)
    this.#had = Math.max(this.#had, line.had)
    line.had += 1 / line.share
    line.holding += 1
    this.#makeRoom()
    const running: Running = { slotTimer: undefined, line }
    running.slotTimer = setTimeout(() => this.#giveSlotBack(running), this.#slotMs)
    this.#running.set(next, running)
    this.#inVain.began(next.client)
    this.#holdingSlots += 1
    next.begin()
  }

  #makeRoom(): void {
    if (this.#running.size < this.#mostUnderWay) return
    const [oldest, running] = this.#running.entries().next().value!
    // One that has a slot still is being worked on. With more slots than this bound they are the bound.
    if (running.slotTimer !== undefined) return
    this.finished(oldest, 'in vain')
    oldest.displace()
  }

  #giveSlotBack(running: Running): void {
    if (running.slotTimer === undefined) return
    clearTimeout(running.slotTimer)
    running.slotTimer = undefined
    running.line.holding -= 1
    this.#holdingSlots -= 1
    this.#schedule()
  }
}
