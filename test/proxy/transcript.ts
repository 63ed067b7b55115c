// Conversations through a Service, over loopback, with a memcached of the test's own that says what the test says.
//
//   t.client(1) ─ socket ─▶ ClientSession ─ lane ─▶ t.backend              (the first shared text connection)
//                                          ─ own ─▶ await t.private(1)     (the first connection after the lanes)

import { expect } from 'vitest'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { loadText } from '../../src/config/load.ts'
import type { ServiceConfig } from '../../src/config/schema.ts'
import { Clock } from '../../src/lib/clock.ts'
import type { Login } from '../../src/proto/login.ts'
import { dial } from '../../src/proxy/dial.ts'
import { Service } from '../../src/proxy/service.ts'
import { Turn } from '../../src/proxy/turn.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import type { CertificateNames } from '../../src/tls/certificate-names.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { connect, Wire } from '../support/wire.ts'
import { reply } from '../proto/binary.ts'

export interface Setting {
  clients?: number
  /** Dialect of the lanes that the test looks at. */
  dialect?: 'text' | 'binary'
  limits?: Record<string, string | number>
  backend?: Record<string, string | number | boolean>
  commands?: string
  /** Rules of `access`. */
  access?: readonly object[]
  accessMode?: 'enforce' | 'observe'
  /** What the backend says to a new shared connection that asks for its version. */
  greeting?: string
  /** The backend takes no binary request but the one for its version before a login. */
  loginWanted?: boolean
  /** Release that the backend says it is. */
  version?: string
  coalescing?: 'on' | 'off'
  /** `backend.auth`, and what its file holds. */
  login?: Login
}

type Line = Record<string, unknown> & { event: string, client?: string, reason?: string }

export async function transcript(setting: Setting = {}): Promise<Transcript> {
  const t = new Transcript(setting)
  await t.open()
  return t
}

class Transcript {
  readonly lines: Line[] = []
  service!: Service
  config!: ServiceConfig
  /** Time of the service: it stands still until the test lets it pass. */
  #now = 1_000_000
  readonly #ticks: (() => void)[] = []
  readonly clock = new Clock({
    now: () => this.#now,
    every: (ms, task) => {
      this.#ticks.push(task)
      const timer = setInterval(task, ms).unref()
      return () => { clearInterval(timer) }
    },
    after: (ms, task) => {
      const timer = setTimeout(task, ms)
      return () => { clearTimeout(timer) }
    },
  })
  readonly #setting: Setting
  /** What the certificate of the client that connects next says of it. */
  #names: CertificateNames | undefined
  readonly #front: Server
  readonly #back: Server
  readonly #clients: ClientWire[] = []
  readonly #lanes: BackendWire[] = []
  readonly #privates: BackendWire[] = []
  readonly #sockets: Socket[] = []
  /** Both ends of each connection, by the port that tells it from others: those of clients, and those to the backend. */
  readonly #fronts = new Map<number, Ends>()
  readonly #backs = new Map<number, Ends>()
  readonly #dialled = new Set<Socket>()
  #turnsToCome = 0
  /** Turns that are not to end yet. */
  #held: (() => void)[] | undefined
  #wake: (() => void)[] = []

  constructor(setting: Setting) {
    this.#setting = setting
    this.#back = createServer({ allowHalfOpen: true }, socket => { this.#greet(socket) })
    let clients = 0
    this.#front = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, socket => {
      put(this.#fronts, socket.remotePort, 'served', socket)
      this.service.serve(socket, { id: `c${++clients}`, service: 'cache', listener: 'test', address: '127.0.0.1', countedAs: '127.0.0.1', port: 0, names: this.#names })
    })
  }

  async open(): Promise<void> {
    for (const server of [this.#back, this.#front]) await once(server.listen(0, '127.0.0.1'), 'listening')
    const { login } = this.#setting
    const auth = login === undefined ? {} : { auth: { username: login.username, password_file: '/not/read/here' } }
    const { limits = {}, backend = {}, commands = '[read, write, delete, arithmetic, flush, stats, auth]', access, accessMode = 'enforce', coalescing = 'on' } = this.#setting
    const rules = access && { access, access_mode: accessMode, tls: { cert: 'c', key: 'k', client_ca: 'a' } }
    const { config, issues } = loadText(JSON.stringify({
      services: { cache: { listen: '127.0.0.1:1', limits, backend: { connect: `127.0.0.1:${portOf(this.#back)}`, ...auth, ...backend }, reply_coalescing: coalescing, ...rules } },
    }).replace('"listen"', `"commands":${JSON.stringify(commands.slice(1, -1).split(', '))},"listen"`), 'test.yaml', { environment: {} })
    expect(issues).toEqual([])
    const { log } = createLogger({ level: 'debug', format: 'json', file: '-' }, {
      write: line => {
        this.lines.push(JSON.parse(line) as Line)
        this.#changed()
      },
    })
    const turn = new Turn(end => {
      this.#turnsToCome++
      const ends = () => { this.#turnsToCome--; end() }
      if (this.#held === undefined) setImmediate(ends)
      else this.#held.push(ends)
    })
    this.config = config!.services.cache
    this.service = new Service('cache', this.config, {
      clock: this.clock, turn, log,
      dial: (...how) => {
        const socket = dial(...how)
        this.#dialled.add(socket)
        socket.once('close', () => { this.#dialled.delete(socket) })
        socket.once('connect', () => {
          this.#dialled.delete(socket)
          put(this.#backs, socket.localPort, 'served', socket)
        })
        return socket
      },
    }, undefined, login)
    atEndOfTest(() => this.#close())
    for (let n = this.#setting.clients ?? 1; n > 0; n--) await this.connect()
    const isShared = backend.sharing !== 'private' && this.#setting.greeting === undefined
    if (isShared) await this.#until(() => this.lines.some(line => line.event === 'backend-ready'), 'a ready lane')
  }

  /** One more client.   @param names of its certificate; left out: it has none */
  async connect(names?: CertificateNames): Promise<ClientWire> {
    this.#names = names
    const client = new ClientWire(this, await connect({ port: portOf(this.#front), allowHalfOpen: true }))
    put(this.#fronts, client.socket.localPort, 'theirs', client.socket)
    // The order of accepting is the order of their numbers.
    await this.#until(() => this.service.clients + this.lines.filter(line => line.event === 'closed').length > this.#clients.length, 'an accepted client')
    this.#clients.push(client)
    return client
  }

  /** Other rules of `access` are put in force. */
  reload({ access, revoked = 'close' }: { access: readonly object[], revoked?: 'close' | 'keep' }): void {
    const { config, issues } = loadText(JSON.stringify({
      services: { cache: { listen: ['127.0.0.1:1', 'unix:/x'], access, tls: { cert: 'c', key: 'k', client_ca: 'a' } } },
    }), 'test.yaml', { environment: {} })
    expect(issues).toEqual([])
    this.service.prepare({ ...this.config, access: config!.services.cache.access, revoked }, undefined)()
  }

  /** The backend takes no connection more. */
  refusesMore(): void {
    this.#back.close()
  }

  client(n: number): ClientWire {
    return this.#clients[n - 1]
  }

  /** The shared connection that was opened last. */
  get backend(): BackendWire {
    return this.#lanes.at(-1)!
  }

  lanes(count: number): Promise<BackendWire> {
    return this.#nth(this.#lanes, count)
  }

  /** So many bytes of all clients have been read. */
  async read(bytes: number): Promise<void> {
    while (this.service.measure().traffic.bytesIn < bytes) await new Promise(setImmediate)
  }

  /** The lane on which these bytes, and nothing else, have come. */
  async seer(bytes: string): Promise<BackendWire> {
    const has = (lane: BackendWire): boolean => lane.received.toString('latin1') === bytes
    for (const lane of this.#lanes) lane.socket.on('data', () => this.#changed())
    await this.#until(() => this.#lanes.some(has), `lane that sees ${JSON.stringify(bytes)}`)
    const lane = this.#lanes.find(has)!
    await lane.sees(bytes)
    return lane
  }

  private(count: number): Promise<BackendWire> {
    return this.#nth(this.#privates, count)
  }

  get privates(): number {
    return this.#privates.length
  }

  /** Why the client's connection ended, as the log has it. */
  async reason(n: number): Promise<string> {
    const closed = () => this.lines.find(line => line.event === 'closed' && line.client === `c${n}`)
    await this.#until(() => closed() !== undefined, `the end of client ${n}`)
    return closed()!.reason!
  }

  async logged(event: string): Promise<Line> {
    await this.#until(() => this.lines.some(line => line.event === event), event)
    return this.lines.find(line => line.event === event)!
  }

  /** Time passes for the service, and it looks at its deadlines (every 500 ms at most); nobody waits. */
  passes(ms: number): void {
    this.#now += ms
    for (const tick of this.#ticks) tick()
  }

  /** Returns when all that was sent has been read, by whoever reads, and all that follows from it has been sent and read too. What
   *  has not happened then will not happen before somebody sends something, or time passes. */
  async settle(): Promise<void> {
    const isStill = ({ served, theirs }: Ends) => served !== undefined && theirs !== undefined && hasArrived(served, theirs) && hasArrived(theirs, served)
    await this.#loopUntil(() => this.#turnsToCome === 0 && this.#dialled.size === 0 && [...this.#fronts.values(), ...this.#backs.values()].every(isStill))
  }

  /** What clients send here reaches the service in one turn of its loop. */
  async inOneTurn(send: () => void): Promise<void> {
    this.#held = []
    send()
    await this.#loopUntil(() => [...this.#fronts.values()].every(({ served, theirs }) => hasArrived(theirs!, served!)))
    const held = this.#held
    this.#held = undefined
    for (const ends of held) ends()
  }

  /** Twice in a row, since what has been read has its effect only when the loop comes round. */
  async #loopUntil(isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + 150_000
    for (let times = 0; times < 2; times = isSo() ? times + 1 : 0) {
      if (Date.now() > deadline) throw new Error('bytes are still on their way after a minute')
      await new Promise(setImmediate)
    }
  }

  async #nth(wires: BackendWire[], count: number): Promise<BackendWire> {
    await this.#until(() => wires.length >= count, `backend connection ${count}`)
    return wires[count - 1]
  }

  /** Lanes are told from private connections by the question for the version, which is answered here. */
  #greet(socket: Socket): void {
    const wire = new BackendWire(this, socket)
    put(this.#backs, socket.remotePort, 'theirs', socket)
    this.#sockets.push(socket)
    const { greeting, dialect, version = '1.6.45', loginWanted = false } = this.#setting
    const answer = greeting ?? `VERSION ${version}\r\n`
    const file = (list: BackendWire[]) => {
      list.push(wire)
      this.#changed()
    }
    if (this.#setting.backend?.sharing === 'private') return file(this.#privates)
    const look = () => {
      const start = wire.received
      const isText = start.subarray(0, 9).toString() === 'version\r\n'
      const isBinary = start.length >= 48 && start[0] === 0x80 && start[1] === 0x0b && start.readUInt32BE(8) === 0
      const isBegun = start[0] === 0x80 && start[1] === 0x0b ? start.length < 48 : 'version\r\n'.startsWith(start.toString('latin1')) && !isText
      if (isBegun) return
      socket.removeListener('data', look)
      if (isText) void wire.readExactly(9).then(() => wire.write(answer))
      else if (isBinary) void wire.readExactly(48).then(packets => wire.write(Buffer.concat([
        reply({ opcode: 0x0b, value: version, opaque: packets.readUInt32BE(12) }),
        reply({ opcode: 0x0a, opaque: packets.readUInt32BE(36), status: loginWanted ? 0x20 : 0 }),
      ])))
      const isOfTest = (isText && dialect !== 'binary') || (isBinary && dialect === 'binary')
      if (isOfTest) file(this.#lanes)
      else if (!isText && !isBinary) file(this.#privates)
    }
    socket.on('data', look)
  }

  #changed(): void {
    const wake = this.#wake
    this.#wake = []
    for (const each of wake) each()
  }

  async #until(isThere: () => boolean, wanted: string): Promise<void> {
    const deadline = Date.now() + 150_000
    while (!isThere()) {
      if (Date.now() > deadline) throw new Error(`no ${wanted} within a minute; logged: ${JSON.stringify(this.lines)}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 20)
        this.#wake.push(() => { clearTimeout(timer); resolve() })
      })
    }
  }

  async #close(): Promise<void> {
    this.service.close('drain-timeout')
    this.clock.stop()
    for (const client of this.#clients) client.destroy()
    for (const socket of this.#sockets) socket.destroy()
    for (const server of [this.#front, this.#back]) {
      if (!server.listening) continue
      server.close()
      await once(server, 'close')
    }
  }
}

interface Ends { served?: Socket, theirs?: Socket }

function put(all: Map<number, Ends>, port: number | undefined, end: keyof Ends, socket: Socket): void {
  all.set(port!, { ...all.get(port!), [end]: socket })
}

/** All that one has sent, its end included, was read by the other; but for one who does not read. */
function hasArrived(from: Socket, to: Socket): boolean {
  if (to.destroyed || to.isPaused()) return true
  const hasEnded = from.destroyed || from.writableEnded
  return (from.destroyed || from.bytesWritten === to.bytesRead) && (!hasEnded || to.readableEnded)
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port
const toBuffer = (bytes: string | Buffer): Buffer => typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes

class End extends Wire {
  readonly #transcript: Transcript

  constructor(of: Transcript, socket: Wire['socket']) {
    super(socket, 60_000)
    this.#transcript = of
  }

  /** All that was sent so far has had its effect, and nothing has come here. */
  protected async hasNothing(): Promise<void> {
    await this.#transcript.settle()
    expect(this.received.toString('latin1')).toBe('')
  }

  async #expects(bytes: string | Buffer): Promise<void> {
    const wanted = toBuffer(bytes)
    try {
      const got = await this.readExactly(wanted.length)
      expect(got.toString('latin1')).toBe(wanted.toString('latin1'))
    } catch (error) {
      throw new Error(`waiting for ${JSON.stringify(wanted.toString('latin1').slice(0, 300))}: ${(error as Error).message}`)
    }
  }

  /** These bytes come next, and with them nothing else. */
  async expects(...bytes: (string | Buffer)[]): Promise<void> {
    await this.#expects(Buffer.concat(bytes.map(toBuffer)))
    expect(this.received.toString('latin1')).toBe('')
  }

  /** The other side ends, after these bytes. */
  async endsWith(bytes: string | Buffer = ''): Promise<void> {
    expect((await this.readToEnd()).toString('latin1')).toBe(toBuffer(bytes).toString('latin1'))
  }
}

class ClientWire extends End {
  constructor(of: Transcript, wire: Wire) {
    super(of, wire.socket)
  }

  sends(...bytes: (string | Buffer)[]): void {
    void this.write(Buffer.concat(bytes.map(toBuffer)))
  }

  gets(...bytes: (string | Buffer)[]): Promise<void> {
    return this.expects(...bytes)
  }

  /** Is gone at once. */
  leaves(): void {
    this.reset()
  }

  async getsNothing(): Promise<void> {
    await this.hasNothing()
    expect(this.hasEnded).toBe(false)
  }
}

class BackendWire extends End {
  sees(...bytes: (string | Buffer)[]): Promise<void> {
    return this.expects(...bytes)
  }

  seesNothing(): Promise<void> {
    return this.hasNothing()
  }

  says(...bytes: (string | Buffer)[]): void {
    void this.write(Buffer.concat(bytes.map(toBuffer)))
  }

  async saysByteByByte(text: string): Promise<void> {
    for (const byte of text) {
      this.says(byte)
      await new Promise(setImmediate)
    }
  }

  /** Reads binary packets and gives their opaques, which are memseal's own. */
  async seesPackets(...opcodes: number[]): Promise<number[]> {
    const opaques: number[] = []
    for (const opcode of opcodes) {
      const header = await this.readExactly(24)
      expect(header[1]).toBe(opcode)
      await this.readExactly(header.readUInt32BE(8))
      opaques.push(header.readUInt32BE(12))
    }
    expect(this.received.length).toBe(0)
    return opaques
  }
}
