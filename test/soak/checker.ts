/** A client that knows every byte it must be sent.
 *
 *      Batch of 1 to 32 requests ─ write ─▶ proxy ─▶ memcached
 *         └ what each must bring ─▶ ReplyChecker ◀─ bytes ┘      one byte too few, too many or another: a finding */
import type { Socket } from 'node:net'
import type { Prng } from '../support/prng.ts'
import { binaryRequest } from './binary-talk.ts'
import { Batch, type Talk } from './conversation.ts'
import { ReplyChecker } from './expected.ts'
import { metaRequest } from './meta-talk.ts'
import { OwnKeys } from './own-keys.ts'
import type { SharedCounter } from './shared-counter.ts'
import { textRequest } from './text-talk.ts'

export type Dialect = 'text' | 'meta' | 'binary'
/** How a client leaves: with everything answered, or in the middle of a request or of a reply. */
export type Leaving = 'half-close' | 'quit' | 'mid-request' | 'mid-reply'

const sayers: Record<Dialect, (talk: Talk) => void> = { text: textRequest, meta: metaRequest, binary: binaryRequest }

export interface CheckerOptions {
  name: string
  dialect: Dialect
  leaving: Leaving
  random: Prng
  shared: SharedCounter | undefined
  version: string
  /** Longest wait for the replies of a batch. */
  patienceMs: number
}

export class CheckedClient {
  requests = 0
  silent = 0
  readonly replies = new ReplyChecker()
  readonly #socket: Socket
  readonly #options: CheckerOptions
  readonly #own: OwnKeys
  #fault: Error | undefined
  #hasEnded = false
  #isLeaving = false
  #wake: () => void = () => {}

  constructor(socket: Socket, options: CheckerOptions) {
    this.#socket = socket
    this.#options = options
    this.#own = new OwnKeys(options.name, options.random)
    socket.on('data', chunk => this.#received(chunk as Buffer))
    socket.on('end', () => this.#ended())
    socket.on('error', error => this.#failed(error))
    socket.on('close', () => this.#ended())
  }

  /** Talks for `batches` batches or until `isOver()`, then leaves. @throws what was wrong */
  async talk(batches: number, isOver: () => boolean): Promise<void> {
    const { random, leaving } = this.#options
    for (let n = 0; n < batches && !isOver(); n++) {
      await this.#send(this.#batch(random.between(1, 32)))
      // Sometimes the next batch goes out while replies are on their way.
      if (random.chance(0.7)) await this.#answered(0)
    }
    if (leaving === 'mid-request' || leaving === 'mid-reply') return this.#vanish(leaving)
    await this.#answered(0)
    await this.#readAllBack()
    await this.#leave(leaving)
  }

  #batch(requests: number): Buffer {
    const batch = this.#begin()
    for (let n = 0; n < requests; n++) sayers[this.#options.dialect](this.#talking(batch))
    return this.#close(batch)
  }

  #begin(): Batch {
    this.#own.beginBatch()
    return new Batch(this.replies)
  }

  #talking(batch: Batch): Talk {
    const { shared, version } = this.#options
    return { own: this.#own, shared, version, batch }
  }

  #close(batch: Batch): Buffer {
    this.requests += batch.requests
    this.silent += batch.silent
    return Buffer.concat(batch.pieces)
  }

  /** Whole, or in a few pieces that each leave on their own. */
  async #send(bytes: Buffer): Promise<void> {
    const { random } = this.#options
    let at = 0
    while (random.chance(0.2) && bytes.length - at > 1) {
      const cut = random.between(at + 1, bytes.length - 1)
      this.#write(bytes.subarray(at, cut))
      at = cut
      await pause(random.between(0, 3))
    }
    this.#write(bytes.subarray(at))
  }

  #write(bytes: Buffer): void {
    if (this.#fault !== undefined) throw this.#fault
    this.#socket.write(bytes)
  }

  /** Waits until no more than `left` replies are awaited. */
  async #answered(left: number): Promise<void> {
    const { name, patienceMs } = this.#options
    await this.#until(() => this.replies.awaited <= left,
      () => `${name}: no reply within ${patienceMs} ms to ${this.replies.next}; ${this.replies.awaited} are awaited`)
  }

  async #until(isThere: () => boolean, describe: () => string): Promise<void> {
    const deadline = Date.now() + this.#options.patienceMs
    while (!isThere()) {
      if (this.#fault !== undefined) throw this.#fault
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(describe())
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => { clearTimeout(timer); resolve() }
      })
    }
    if (this.#fault !== undefined) throw this.#fault
  }

  /** Everything that was stored is there as it was stored, also what was asked for without a reply. */
  async #readAllBack(): Promise<void> {
    const { dialect } = this.#options
    if (dialect === 'binary') return
    for (const key of this.#own.keys) {
      const batch = this.#begin()
      const reply = key.exists ? [`VALUE ${key.name} ${key.flags} ${key.bytes}\r\n`, key.value, '\r\nEND\r\n'] : ['END\r\n']
      batch.ask(`last get of ${key.name}`, [`get ${key.name}\r\n`], reply)
      this.#write(this.#close(batch))
    }
    for (const counter of this.#own.counters) {
      const batch = this.#begin()
      batch.ask(`last value of ${counter.name}`, [`incr ${counter.name} 0\r\n`],
        [counter.value === undefined ? 'NOT_FOUND\r\n' : `${counter.value}\r\n`])
      this.#write(this.#close(batch))
    }
    await this.#answered(0)
  }

  /** A last batch, then the end of our side: all replies still come, and behind them nothing but the end. */
  async #leave(leaving: Leaving): Promise<void> {
    const { dialect, name } = this.#options
    this.#isLeaving = true
    const bytes = this.#batch(this.#options.random.between(1, 32))
    if (leaving === 'half-close') this.#socket.end(bytes)
    else this.#write(Buffer.concat([bytes, dialect === 'binary' ? quietQuit : textQuit]))
    await this.#until(() => this.#hasEnded, () => `${name}: not closed after ${leaving}; ${this.replies.awaited} replies are awaited`)
    if (this.replies.awaited > 0) throw new Error(`${name}: closed after ${leaving} before the reply to ${this.replies.next}`)
    this.#socket.destroy()
  }

  async #vanish(leaving: Leaving): Promise<void> {
    const { random } = this.#options
    const bytes = this.#batch(random.between(1, 32))
    this.#isLeaving = true
    if (leaving === 'mid-request') this.#write(bytes.subarray(0, random.between(1, bytes.length - 1)))
    else this.#write(bytes)
    const before = this.replies.bytes
    const deadline = Date.now() + random.between(0, 20)
    while (leaving === 'mid-reply' && this.replies.bytes === before && Date.now() < deadline && this.replies.awaited > 0) await pause(0)
    if (leaving === 'mid-request') await pause(random.between(0, 20))
    if (this.#fault !== undefined) throw this.#fault
    this.#socket.destroy()
  }

  #received(chunk: Buffer): void {
    if (this.#fault !== undefined) return
    try {
      this.replies.push(chunk)
    } catch (error) {
      this.#failed(error as Error)
    }
    this.#wake()
  }

  #failed(error: Error): void {
    this.#fault ??= Object.assign(error, { message: `${this.#options.name} (${this.#options.dialect}): ${error.message}` })
    this.#socket.destroy()
    this.#wake()
  }

  #ended(): void {
    this.#hasEnded = true
    if (!this.#isLeaving) this.#fault ??= new Error(`${this.#options.name}: the connection was ended, and ${this.replies.awaited} replies are awaited`)
    this.#wake()
  }
}

const textQuit = Buffer.from('quit\r\n')
const quietQuit = Buffer.alloc(24)
quietQuit[0] = 0x80
quietQuit[1] = 0x17

function pause(ms: number): Promise<void> {
  return new Promise(resolve => { setTimeout(resolve, ms) })
}
