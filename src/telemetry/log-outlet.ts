import { close, write, writeSync } from 'node:fs'

// One open descriptor that lines go to, in the background and in their order. Nobody may be at its other end, or its disk may be
// full: neither keeps this process from going on, nor from ending. (pino's own destination tries for ever at the end, and does not
// close the descriptor of a pipe whose reader has gone.)

/** If nobody takes the lines, this much is kept, then lines are dropped. */
const MOST_WAITING_BYTES = 8 * 1024 * 1024
const CHUNK_BYTES = 64 * 1024
const RETRY_MS = 100
/** At the end of the process: so long without a byte taken, and so long in all. */
const NOBODY_READS_MS = 100
const LONGEST_FLUSH_MS = 1_000
const PAUSE_MS = 5
const LF = 10

/** Written out when the process ends, by whatever way. */
const open = new Set<LogOutlet>()
process.on('exit', () => flushAll(open))

/** Writes what waits, in its order, as far as it is taken soon. A process that ends waits for it: at its exit `flushAll` can only
 *  write at once, and so past what a thread is still writing. */
export async function finishAll(outlets: readonly LogOutlet[]): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, LONGEST_FLUSH_MS)
  await Promise.race([Promise.all(outlets.map(outlet => outlet.idle())), late])
  clearTimeout(timer)
  flushAll(outlets)
}

/** Writes at once what waits, as far as it is taken soon. */
export function flushAll(outlets: Iterable<LogOutlet>): void {
  const until = performance.now() + LONGEST_FLUSH_MS
  for (const outlet of outlets) outlet.flush(until)
}

/** What somebody who must know learns of an outlet. */
export interface OutletWatch {
  /** So many lines are lost. */
  dropped(lines: number): void
  /** A write failed; what waits is kept. */
  failed(error: NodeJS.ErrnoException): void
  /** A write went well. */
  written(): void
}

export class LogOutlet {
  readonly #fd: number
  readonly #isStream: boolean
  #waiting: string[] = []
  #waitingBytes = 0
  /** What is left of the lines that are being written. */
  #left: Buffer = Buffer.alloc(0)
  /** The first line of `#left` has been written in part. */
  #isTorn = false
  readonly #watch: OutletWatch | undefined
  #isDue = false
  #isWriting = false
  #retry: NodeJS.Timeout | undefined
  #isEnding = false
  #isClosed = false
  #isStuck = false
  #isGivenUp = false
  readonly #closed = Promise.withResolvers<void>()
  #idle: PromiseWithResolvers<void> | undefined

  /** @param isStream of this process, which is not ours to close */
  constructor(fd: number, isStream: boolean, watch?: OutletWatch) {
    this.#fd = fd
    this.#watch = watch
    this.#isStream = isStream
    open.add(this)
  }

  /** Nobody took anything at the last try. */
  get isStuck(): boolean {
    return this.#isStuck
  }

  /** Bytes that nobody has taken yet. */
  get waitingBytes(): number {
    return this.#waitingBytes + this.#left.length
  }

  /** Its descriptor is given up. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#isClosed || this.waitingBytes + bytes > MOST_WAITING_BYTES) return this.#watch?.dropped(1)
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    if (this.#isDue) return
    // Lines of one turn go together, and those right before the end of the process are not yet with a thread.
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      this.#next()
    })
  }

  /** Writes on, after a write has failed. */
  tryAgain(): void {
    this.#next()
  }

  /** Closes, after a write has failed. @returns the lines that were not written; one that was written in part is lost */
  takeBack(): string[] {
    const left = this.#isWriting ? [] : linesOf(this.#left).slice(this.#isTorn ? 1 : 0)
    if (this.#isTorn) this.#watch?.dropped(1)
    const lines = left.concat(this.#waiting)
    this.#left = Buffer.alloc(0)
    this.#waiting = []
    this.destroy()
    return lines
  }

  /** Closes when all is written, or when that fails. */
  end(): void {
    this.#isEnding = true
    this.#next()
  }

  /** Closes, and drops what waits. */
  destroy(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const lost = this.#waiting.length + linesOf(this.#left).length
    if (lost > 0) this.#watch?.dropped(lost)
    this.#waiting = []
    clearTimeout(this.#retry)
    open.delete(this)
    // Not while a thread writes: the number may be a client's a moment later.
    if (!this.#isWriting) this.#close()
  }

  /** Until no thread writes: all is written, or nobody takes it. */
  idle(): Promise<void> {
    this.#next()
    if (!this.#isWriting) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  /** Writes at once what waits, as long as somebody takes it. What a thread is writing now it goes on with.
   *  @param until when to give up, in the time of `performance.now` */
  flush(until: number): void {
    let patience = this.#isGivenUp ? 0 : NOBODY_READS_MS
    let left = this.#isWriting ? Buffer.alloc(0) : this.#left
    while (!this.#isClosed) {
      if (left.length === 0) left = this.#take()
      if (left.length === 0) break
      try {
        left = left.subarray(writeSync(this.#fd, left))
        patience = NOBODY_READS_MS
        this.#isGivenUp = this.#isStuck = false
      } catch (error) {
        if (!isForNow(error) || patience <= 0 || performance.now() >= until) {
          this.#isGivenUp = this.#isStuck = true
          break
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
        patience -= PAUSE_MS
      }
    }
    if (this.#isWriting) {
      if (left.length > 0) this.#putBack(left)
    } else this.#left = left
  }

  #next(): void {
    if (this.#isWriting || this.#isClosed || this.#retry !== undefined) return
    if (this.#left.length === 0) this.#left = this.#take()
    if (this.#left.length === 0) return this.#isEnding ? this.destroy() : undefined
    this.#isWriting = true
    write(this.#fd, this.#left, (error, count) => {
      this.#isWriting = false
      this.#written(error, count)
      if (this.#isWriting) return
      this.#idle?.resolve()
      this.#idle = undefined
    })
  }

  #written(error: NodeJS.ErrnoException | null, count: number): void {
    if (this.#isClosed) return this.#close()
    if (error !== null) return this.#failed(error)
    this.#isStuck = false
    this.#isTorn = count < this.#left.length && this.#left[count - 1] !== LF
    this.#left = this.#left.subarray(count)
    this.#watch?.written()
    this.#next()
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (isForNow(error)) {
      this.#isStuck = true
      // It keeps no process that has nothing else to do: `flush` comes last.
      this.#retry = setTimeout(() => {
        this.#retry = undefined
        this.#next()
      }, RETRY_MS).unref()
    } else {
      this.#watch?.failed(error)
      if (this.#isEnding || error.code === 'EPIPE') this.destroy()
      // With a full disk the next line is the next try.
    }
  }

  /** Whole lines, as many as go into one write. */
  #take(): Buffer {
    let [count, length] = [0, 0]
    while (count < this.#waiting.length && (count === 0 || length + this.#waiting[count].length <= CHUNK_BYTES)) length += this.#waiting[count++].length
    const bytes = Buffer.from(this.#waiting.splice(0, count).join(''))
    this.#waitingBytes -= bytes.length
    return bytes
  }

  #putBack(left: Buffer): void {
    this.#waiting.unshift(left.toString())
    this.#waitingBytes += left.length
  }

  #close(): void {
    if (this.#isStream) return this.#closed.resolve()
    close(this.#fd, () => this.#closed.resolve())
  }
}

function linesOf(bytes: Buffer): string[] {
  return bytes.toString().split(/(?<=\n)/).filter(line => line !== '')
}

function isForNow(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EAGAIN' || code === 'EBUSY'
}
