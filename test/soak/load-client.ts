/** A client that keeps some gets under way for as long as it is served, and knows where each reply ends. */
import type { Socket } from 'node:net'

const TEXT_END = Buffer.from('END\r\n')

export interface LoadOptions {
  key: string
  dialect: 'text' | 'binary'
  /** Requests that it keeps in flight. */
  depth: number
}

export class LoadClient {
  /** Replies of memcached, hits and misses, and replies that are memseal's errors. */
  answered = 0
  errors = 0
  /** The first of them in its words. */
  firstError: string | undefined
  /** Longest wait for any one reply. */
  longestMs = 0
  /** The other side ended without breaking the connection. */
  hasEnded = false
  error: Error | undefined
  /** Resolves when the connection is wholly closed. */
  readonly closed: Promise<void>
  readonly socket: Socket
  readonly #options: LoadOptions
  readonly #request: Buffer
  #input: Buffer = Buffer.alloc(0)
  #isStopped = false
  readonly #sentAt: number[] = []

  constructor(socket: Socket, options: LoadOptions) {
    this.socket = socket
    this.#options = options
    this.#request = options.dialect === 'text' ? Buffer.from(`get ${options.key}\r\n`) : binaryGet(options.key)
    socket.on('data', chunk => this.#received(chunk as Buffer))
    socket.on('end', () => { this.hasEnded = true; socket.end() })
    socket.on('error', error => { this.error = error })
    this.closed = new Promise(resolve => { socket.once('close', () => resolve()) })
  }

  /** Nothing of a reply came without the rest of it. */
  get isAtBoundary(): boolean {
    return this.#input.length === 0
  }

  get inFlight(): number {
    return this.#sentAt.length
  }

  /** How it fared, for people. */
  get told(): string {
    const end = this.error?.message ?? (this.hasEnded ? 'ended by the other side' : 'open')
    return `${this.#options.dialect}: ${this.answered} answers, ${this.errors} errors (${this.firstError}), ${this.inFlight} awaited, ` +
      `${this.#input.length} bytes of a reply, ${end}`
  }

  start(): this {
    this.#send(this.#options.depth)
    return this
  }

  /** Asks no more. */
  stop(): void {
    this.#isStopped = true
  }

  #send(count: number): void {
    if (this.#isStopped || this.hasEnded || !this.socket.writable) return
    for (let n = 0; n < count; n++) this.#sentAt.push(performance.now())
    this.socket.write(Buffer.concat(Array.from({ length: count }, () => this.#request)))
  }

  #received(chunk: Buffer): void {
    const before = this.answered + this.errors
    const errorsBefore = this.errors
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    while (this.#input.length > 0 && (this.#options.dialect === 'text' ? this.#text() : this.#binary()));
    // After an error it asks again a little later, or it would spin.
    const done = this.answered + this.errors - before
    if (done === 0) return
    if (this.errors === errorsBefore) this.#send(done)
    else setTimeout(() => this.#send(done), 5)
  }

  /** @returns false when more bytes are needed */
  #text(): boolean {
    const input = this.#input
    const lf = input.indexOf(10)
    if (lf < 0) return false
    const line = input.toString('latin1', 0, lf - 1)
    if (line.startsWith('VALUE ')) return this.#takeValue(lf + 1 + Number(line.split(' ')[3]) + 2 + TEXT_END.length)
    if (line === 'END') this.#answer(lf + 1)
    else if (line.startsWith('SERVER_ERROR memseal: ')) this.#fail(line, lf + 1)
    else throw new Error(`no reply to a get: ${line}`)
    return true
  }

  #binary(): boolean {
    const input = this.#input
    if (input.length < 24) return false
    const size = 24 + input.readUInt32BE(8)
    const status = input.readUInt16BE(6)
    if (status === 0) return this.#takeValue(size)
    if (input.length < size) return false
    if (status === 1) this.#answer(size)
    else this.#fail(`0x${status.toString(16)} ${input.toString('latin1', 24, size)}`, size)
    return true
  }

  #takeValue(size: number): boolean {
    if (this.#input.length < size) return false
    this.#answer(size)
    return true
  }

  #answer(size: number): void {
    this.answered++
    this.#take(size)
  }

  #fail(words: string, size: number): void {
    this.errors++
    this.firstError ??= words
    this.#take(size)
  }

  #take(size: number): void {
    this.#input = this.#input.subarray(size)
    this.longestMs = Math.max(this.longestMs, performance.now() - this.#sentAt.shift()!)
  }
}

function binaryGet(key: string): Buffer {
  const packet = Buffer.alloc(24 + key.length)
  packet[0] = 0x80
  packet.writeUInt16BE(key.length, 2)
  packet.writeUInt32BE(key.length, 8)
  packet.write(key, 24)
  return packet
}

/** Waits until it is so, looking often. */
export async function until(isSo: () => boolean, what: () => string, ms = 150_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what()}`)
    await new Promise(resolve => { setTimeout(resolve, 5) })
  }
}
