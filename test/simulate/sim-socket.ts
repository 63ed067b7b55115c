/** memseal's end of a connection, without a network. It has the face of net.Socket as far as the data path uses it, and is
 *  stricter than Node: a view that was handed to `write()` may not change before that write is confirmed.
 *
 *      memseal ─ write(view) ─▶ [ views ] ─ carried, cut anywhere ─▶ onBytes     the other side, played by the history
 *      memseal ◀─ data, onread ─ cut anywhere ─ [ bytes ] ◀───────── arrive()
 *
 *  On the other side bytes are strings, one character a byte (latin1). */
import { EventEmitter } from 'node:events'
import type { OnReadOpts } from 'node:net'
import type { World } from './world.ts'

const HIGH_WATER_BYTES = 16 * 1024

// Made once: the stack of an error costs more than most histories.
const DESTROYED = new Error('destroyed')
const RESET = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

/** memseal did what no history permits; it ends the history. */
export class Violation extends Error {}

export interface OtherSide {
  /** Bytes that memseal has sent, as they were when it handed them over. */
  onBytes(bytes: string): void
  /** memseal has ended its side. */
  onEnd(): void
  /** The connection is gone, whoever broke it. */
  onClose(): void
  /** memseal has read some of what was sent to it. */
  onTaken?(): void
}

interface Write { view: Buffer, copy: string, sent: number, done: ((error?: Error | null) => void) | undefined }

export class SimSocket extends EventEmitter {
  readonly name: string
  remoteAddress = '127.0.0.1'
  allowHalfOpen = true
  writableLength = 0
  isDestroyed = false
  /** What has arrived here so far, and what memseal has read of it. */
  arrivedBytes = 0
  givenBytes = 0
  /** How long the other side takes before it reads on, in ms; 0: no time at all. */
  readDelayMs = 0
  #isStopped = false
  readonly #world: World
  readonly #other: OtherSide
  readonly #onread: OnReadOpts | undefined
  #window: Buffer | undefined
  #writes: Write[] = []
  #isCarrying = false
  #needsDrain = false
  #isEnding = false
  #hasSentEnd = false
  #inbox: string[] = []
  #inboxEnds = false
  #hasGivenEnd = false
  #isReading = false
  #isFlowing = false
  #isConnected: boolean

  constructor(world: World, name: string, other: OtherSide, onread?: OnReadOpts) {
    super()
    this.#world = world
    this.name = name
    this.#other = other
    this.#onread = onread
    this.#isConnected = onread === undefined
    this.#isFlowing = onread !== undefined
    if (onread !== undefined) this.#window = (onread.buffer as () => Buffer)()
  }

  // What memseal calls.

  write(view: Buffer, done?: (error?: Error | null) => void): boolean {
    if (this.isDestroyed) {
      this.#world.soon(() => done?.(DESTROYED))
      return false
    }
    if (this.#isEnding) throw new Violation(`${this.name}: memseal writes after it has ended its side`)
    if (view.length === 0) throw new Violation(`${this.name}: memseal writes nothing`)
    this.#writes.push({ view, copy: view.toString('latin1'), sent: 0, done })
    this.writableLength += view.length
    this.#carry()
    if (this.writableLength < HIGH_WATER_BYTES) return true
    this.#needsDrain = true
    return false
  }

  cork(): void {}
  uncork(): void {}
  setNoDelay(): void {}

  end(): void {
    if (this.isDestroyed || this.#isEnding) return
    this.#isEnding = true
    this.#carry()
  }

  destroySoon(): void {
    this.end()
    if (this.#hasSentEnd) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  destroy(error?: Error): this {
    if (this.isDestroyed) return this
    this.isDestroyed = true
    const writes = this.#writes
    this.#writes = []
    this.#inbox = []
    this.#world.soon(() => {
      for (const write of writes) write.done?.(DESTROYED)
      if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error)
      this.emit('close')
      this.#other.onClose()
    })
    return this
  }

  resetAndDestroy(): this {
    return this.destroy()
  }

  pause(): this {
    this.#isFlowing = false
    return this
  }

  resume(): this {
    this.#isFlowing = true
    this.#read()
    return this
  }

  // What the other side does.

  connected(): void {
    this.#isConnected = true
    this.#carry()
    this.#read()
  }

  arrive(bytes: string): void {
    if (this.isDestroyed || bytes.length === 0) return
    this.#inbox.push(bytes)
    this.arrivedBytes += bytes.length
    this.#read()
  }

  arriveEnd(): void {
    this.#inboxEnds = true
    this.#read()
  }

  /** A reset takes along what was on its way. */
  reset(): void {
    if (!this.isDestroyed) this.destroy(RESET)
  }

  /** The other side reads no more, until it does. */
  stopReading(isStopped: boolean): void {
    this.#isStopped = isStopped
    this.#carry()
  }

  // The carrying.

  #carry(): void {
    if (this.#isCarrying || this.#isStopped || !this.#isConnected || this.isDestroyed) return
    if (this.#writes.length === 0 && !(this.#isEnding && !this.#hasSentEnd)) return
    this.#isCarrying = true
    if (this.readDelayMs > 0) this.#world.later(this.#world.random.between(1, this.readDelayMs), this.#carryNow)
    else this.#world.soon(this.#carryNow)
  }

  readonly #carryNow = (): void => {
    this.#isCarrying = false
    if (this.isDestroyed || this.#isStopped) return
    const { random } = this.#world
    let room = random.chance(0.7) ? Infinity : random.between(1, 2000)
    while (room > 0 && this.#writes.length > 0) {
      const write = this.#writes[0]
      const isNow = write.view.toString('latin1')
      if (write.copy !== isNow) {
        throw new Violation(`${this.name}: memory was written again before its write was confirmed: ${shown(write.copy)} became ${shown(isNow)}`)
      }
      const size = Math.min(room, write.copy.length - write.sent)
      this.#other.onBytes(size === write.copy.length ? write.copy : write.copy.slice(write.sent, write.sent + size))
      write.sent += size
      room -= size
      if (write.sent < write.copy.length || this.isDestroyed) break
      this.#writes.shift()
      this.writableLength -= write.copy.length
      write.done?.(null)
      if (this.isDestroyed) return
    }
    if (this.#writes.length === 0) {
      if (this.#needsDrain) {
        this.#needsDrain = false
        this.emit('drain')
      }
      if (this.#isEnding && !this.#hasSentEnd && !this.isDestroyed) {
        this.#hasSentEnd = true
        this.#other.onEnd()
        this.emit('finish')
        this.#closeIfBothEnded()
      }
    }
    this.#carry()
  }

  #read(): void {
    if (this.#isReading || !this.#isFlowing || !this.#isConnected || this.isDestroyed) return
    if (this.#inbox.length === 0 && (!this.#inboxEnds || this.#hasGivenEnd)) return
    this.#isReading = true
    this.#world.soon(this.#readNow)
  }

  readonly #readNow = (): void => {
    this.#isReading = false
    if (this.isDestroyed || !this.#isFlowing) return
    if (this.#inbox.length > 0) this.#give()
    else if (this.#inboxEnds && !this.#hasGivenEnd) {
      this.#hasGivenEnd = true
      this.emit('end')
      this.#closeIfBothEnded()
    }
    this.#read()
  }

  #give(): void {
    const { random } = this.#world
    let bytes = this.#inbox.length > 1 && random.chance(0.5) ? this.#inbox.splice(0).join('') : this.#inbox.shift()!
    const most = this.#window?.length ?? Infinity
    const size = Math.min(most, random.chance(0.75) ? bytes.length : random.between(1, bytes.length))
    if (size < bytes.length) {
      this.#inbox.unshift(bytes.slice(size))
      bytes = bytes.slice(0, size)
    }
    this.givenBytes += bytes.length
    this.#other.onTaken?.()
    if (this.#onread === undefined) {
      this.emit('data', Buffer.from(bytes, 'latin1'))
      return
    }
    const window = this.#window!
    window.write(bytes, 0, 'latin1')
    // As Node does it: the callback first, then the question where the next bytes go.
    if (this.#onread.callback(bytes.length, window) === false) this.#isFlowing = false
    if (!this.isDestroyed) this.#window = (this.#onread.buffer as () => Buffer)()
  }

  #closeIfBothEnded(): void {
    if (this.#hasSentEnd && this.#hasGivenEnd) this.destroy()
  }
}

export function shown(bytes: string): string {
  const text = JSON.stringify(bytes)
  return text.length > 160 ? `${text.slice(0, 150)}… (${bytes.length} bytes)` : text
}
