import type { Socket } from 'node:net'

// Records of TLS that carry no data cost their receiver far more than their sender: a KeyUpdate of 27 bytes takes OpenSSL 20 to
// 45 us (Node 26, 2.5 GHz), inside one read and without an event that JavaScript could see. What can be seen is how many
// bytes came over the wire and how many came out of TLS. Looking costs 0.2 us a socket. What the kernel holds already is read in
// one go, up to 170 KB on loopback, before anybody can look: a burst is closed after one turn of the loop, not before it.
//
// Only listeners are watched: towards a backend the TLS socket opens its own connection, which does not tell its bytes.
//
//   level ── what came over the wire ── less 32 times what came out ── less what drains with time ──▶ above BUDGET: a flood
//
// A byte of data in a record of its own is 23 bytes on the wire (TLS 1.3) or 30 (TLS 1.2), so whoever sends data is never above
// one unfinished record, however slow or in however small pieces.

type Milliseconds = number

/** One unfinished record (16.4 KB) and 290 records without data. An attacker may use all of it: 20 to 40 ms of CPU. */
const BUDGET = 24 * 1024
const BYTES_PER_BYTE_OF_DATA = 32
/** Ten records without data a second: TLS 1.3 wants a KeyUpdate after 2^24 records, not more often than that. */
const DRAINS_PER_MS = 0.27

const TICK: Milliseconds = 20
/** So many are looked at in a tick; of 10,000 each is looked at every two seconds. */
const LOOKS_PER_TICK = 100
/** A tick that comes this late was held up by something, perhaps by one of ours: all are looked at ... */
const LATE: Milliseconds = 10
/** ... but never for more than a fiftieth of the time. */
const REST = 50

type Counted = Pick<Socket, 'bytesRead'>

interface Watched {
  readonly wire: Counted
  readonly data: Counted
  readonly flooded: () => void
  at: number
  wireBytes: number
  dataBytes: number
  level: number
  lookedAt: Milliseconds
}

/** What a socket is destroyed with that sends too many of them. */
export class RecordFlood extends Error {
  constructor() {
    super('too many TLS records without data')
  }
}

/** Finds connections that send records without data. */
export class RecordWatch {
  readonly #now: () => Milliseconds
  readonly #watched: Watched[] = []
  #timer: NodeJS.Timeout | undefined
  #next = 0
  #dueAt = 0
  #restsUntil = 0

  constructor(now: () => Milliseconds = () => performance.now()) {
    this.#now = now
  }

  /** @param wire the TCP socket, `data` the TLS socket on it, right after its handshake   @param flooded called once
   *  @returns how to end the watch */
  add(wire: Counted, data: Counted, flooded: () => void): () => void {
    const watched: Watched = {
      wire, data, flooded, at: this.#watched.length, wireBytes: wire.bytesRead, dataBytes: data.bytesRead, level: 0, lookedAt: this.#now(),
    }
    this.#watched.push(watched)
    if (this.#timer === undefined) this.#start()
    return () => this.#remove(watched)
  }

  #start(): void {
    this.#dueAt = this.#now() + TICK
    this.#timer = setInterval(() => this.tick(), TICK).unref()
  }

  #remove(watched: Watched): void {
    if (this.#watched[watched.at] !== watched) return
    const last = this.#watched.pop()!
    if (last !== watched) {
      this.#watched[watched.at] = last
      last.at = watched.at
    }
    watched.at = -1
    if (this.#watched.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Called by its own timer. */
  tick(): void {
    const now = this.#now()
    const isLate = now - this.#dueAt >= LATE && now >= this.#restsUntil
    this.#dueAt = now + TICK
    this.#look(isLate ? this.#watched.length : Math.min(LOOKS_PER_TICK, this.#watched.length), now)
    if (isLate) {
      const end = this.#now()
      this.#restsUntil = end + REST * (end - now)
    }
  }

  #look(count: number, now: Milliseconds): void {
    const floods: Watched[] = []
    for (let looked = 0; looked < count; looked++) {
      if (this.#next >= this.#watched.length) this.#next = 0
      const watched = this.#watched[this.#next++]
      if (isFlood(watched, now)) floods.push(watched)
    }
    for (const watched of floods) {
      this.#remove(watched)
      watched.flooded()
    }
  }
}

function isFlood(watched: Watched, now: Milliseconds): boolean {
  const wireBytes = watched.wire.bytesRead
  const drained = (now - watched.lookedAt) * DRAINS_PER_MS
  watched.lookedAt = now
  if (wireBytes === watched.wireBytes) {
    watched.level = Math.max(0, watched.level - drained)
    return false
  }
  const dataBytes = watched.data.bytesRead
  const more = wireBytes - watched.wireBytes - BYTES_PER_BYTE_OF_DATA * (dataBytes - watched.dataBytes)
  watched.level = Math.max(0, watched.level - drained + more)
  watched.wireBytes = wireBytes
  watched.dataBytes = dataBytes
  return watched.level > BUDGET
}
