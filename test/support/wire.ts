import { connect as connectPlain } from 'node:net'
import type { NetConnectOpts, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'

export interface WireOptions {
  port?: number
  host?: string
  /** Source address, such as 127.0.5.1, for tests of admission. */
  localAddress?: string
  /** Unix socket instead of host and port. */
  path?: string
  /** Options of `tls.connect`; left out: plain. See `as()` for the usual ones. */
  tls?: ConnectionOptions
  /** Longest any one wait may take, in ms; each fails with what was received so far. Default a minute: only a broken
   *  test waits so long, and a busy machine may take its time. */
  timeoutMs?: number
  /** True: the server's end of the connection does not end ours (for tests of half-close). */
  allowHalfOpen?: boolean
}

interface Identity { cert: string; key: string }

/** TLS options of a client that trusts `ca` and shows the certificate of `who`; without `who` it shows none. */
export function as(who: Identity | undefined, ca: Identity, more: ConnectionOptions = {}): ConnectionOptions {
  return { ca: ca.cert, cert: who?.cert, key: who?.key, servername: 'localhost', ...more }
}

/** Connects and, with TLS, finishes the handshake. Under TLS 1.3 a server's refusal of our certificate comes only after
 *  that, at the first read. Fails with the socket's error. */
export async function connect(options: WireOptions): Promise<Wire> {
  const { port, host = '127.0.0.1', path, localAddress, tls, allowHalfOpen } = options
  const target = { port, host, path, localAddress, allowHalfOpen }
  const socket = tls ? connectTls({ ...target, ...tls }) : connectPlain(target as NetConnectOpts)
  const wire = new Wire(socket, options.timeoutMs ?? 150_000)
  await wire.opened(tls ? 'secureConnect' : 'connect')
  return wire
}

/** One client connection as a test sees it: bytes out, bytes in, and how it ended. */
export class Wire {
  readonly socket: Socket | TLSSocket
  /** Resolves when the connection is wholly closed: with the socket's error, or undefined after a clean end. */
  readonly closed: Promise<NodeJS.ErrnoException | undefined>
  readonly #timeoutMs: number
  #received: Buffer[] = []
  #receivedBytes = 0
  #error: NodeJS.ErrnoException | undefined
  #hasEnded = false
  #wake: () => void = () => {}

  constructor(socket: Socket | TLSSocket, timeoutMs: number) {
    this.socket = socket
    this.#timeoutMs = timeoutMs
    socket.setNoDelay(true)
    socket.on('data', chunk => {
      this.#received.push(chunk as Buffer)
      this.#receivedBytes += chunk.length
      this.#wake()
    })
    socket.on('end', () => { this.#hasEnded = true; this.#wake() })
    socket.on('error', error => { this.#error = error; this.#hasEnded = true; this.#wake() })
    this.closed = new Promise(resolve => {
      socket.once('close', () => { this.#hasEnded = true; this.#wake(); resolve(this.#error) })
    })
  }

  async opened(event: 'connect' | 'secureConnect'): Promise<void> {
    let isOpen = false
    this.socket.once(event, () => { isOpen = true; this.#wake() })
    await this.#until(() => isOpen, 'an open connection')
  }

  /** Resolves once the bytes have left for the kernel; need not be awaited, a failed write shows in the next read. */
  write(bytes: string | Buffer): Promise<void> {
    return new Promise(resolve => { this.socket.write(toBuffer(bytes), () => resolve()) })
  }

  /** Writes and returns the reply's first `reply.length` bytes as text: `expect(await wire.ask(…, 5)).toBe(…)`. */
  async ask(bytes: string | Buffer, replyBytes: number): Promise<string> {
    void this.write(bytes)
    return (await this.readExactly(replyBytes)).toString('latin1')
  }

  async readExactly(length: number): Promise<Buffer> {
    await this.#until(() => this.#receivedBytes >= length, `${length} bytes`)
    return this.#take(length)
  }

  /** Everything up to and with the first `mark`. */
  async readUntil(mark: string | Buffer): Promise<Buffer> {
    const wanted = toBuffer(mark)
    let found = -1
    await this.#until(() => (found = this.#all().indexOf(wanted)) >= 0, JSON.stringify(wanted.toString('latin1')))
    return this.#take(found + wanted.length)
  }

  /** One line, its CRLF cut off. */
  async readLine(): Promise<string> {
    return (await this.readUntil('\r\n')).toString('latin1').slice(0, -2)
  }

  /** All that comes until the other side ends or breaks the connection. */
  async readToEnd(): Promise<Buffer> {
    await this.#until(() => this.#hasEnded, 'the end of the connection', true)
    return this.#take(this.#receivedBytes)
  }

  /** Received and not yet taken by a read. */
  get received(): Buffer {
    return this.#all()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get error(): NodeJS.ErrnoException | undefined {
    return this.#error
  }

  /** Ends our sending side (FIN, with TLS close_notify first). */
  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Breaks a plain TCP connection with RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  async #until(isThere: () => boolean, wanted: string, orEnd = false): Promise<void> {
    const deadline = Date.now() + this.#timeoutMs
    while (!isThere()) {
      if (this.#hasEnded && !orEnd) throw this.#error ?? new Error(`connection ended before ${wanted}; ${this.#told()}`)
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`no ${wanted} within ${this.#timeoutMs} ms; ${this.#told()}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => { clearTimeout(timer); resolve() }
      })
    }
  }

  #told(): string {
    const bytes = this.#all()
    const shown = JSON.stringify(bytes.subarray(0, 400).toString('latin1'))
    return `received ${bytes.length} bytes: ${shown}${bytes.length > 400 ? ' …' : ''}`
  }

  #all(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)]
    return this.#received[0] ?? Buffer.alloc(0)
  }

  #take(length: number): Buffer {
    const all = this.#all()
    this.#receivedBytes -= length
    this.#received = this.#receivedBytes > 0 ? [all.subarray(length)] : []
    return all.subarray(0, length)
  }
}

function toBuffer(bytes: string | Buffer): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
}
