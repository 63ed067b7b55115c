/** How long clients wait beside a greedy one. Each history is run three times from the same seed: the ordinary clients alone,
 *  with the greedy client beside them, and the same with a connection to memcached for everybody (as it is without memseal).
 *
 *      ordinary ─ one request at a time ─┐                    ┌─ one thread, one wire: so many bytes a millisecond, ─┐
 *      greedy ─ far more than its share ─┴─ memseal ─ lanes ──┴─ a piece of each connection in turn ─────────────────┴ memcached
 *
 *  A connection that memseal does not read gets no more than its sockets hold. */
import type { OnReadOpts, Socket } from 'node:net'
import type { ServiceConfig } from '../../src/config/schema.ts'
import { Clock } from '../../src/lib/clock.ts'
import type { DialEvents } from '../../src/proxy/dial.ts'
import { Service } from '../../src/proxy/service.ts'
import { Turn } from '../../src/proxy/turn.ts'
import { prng, type Prng } from '../support/prng.ts'
import { baseConfig, silentLog } from './history.ts'
import { answerTo, ModelConnection, type Mark } from './model.ts'
import { SimSocket } from './sim-socket.ts'
import { World } from './world.ts'

export const greeds = ['unread gets', 'huge multigets', 'flood', 'stalled upload', 'slow reader', 'large value'] as const
export type Greed = typeof greeds[number]

/** What became of the clients. */
export interface Waits {
  longestMs: number
  answered: number
  /** Words of memseal's in the place of replies, and connections that were closed. */
  errors: string[]
  /** The same of the greedy client. */
  greedyErrors: string[]
  /** What a client got that is not its own. */
  wrong: string | undefined
}

export interface Comparison { alone: Waits, beside: Waits, straight: Waits }

export function compare(seed: number, greed: Greed): Comparison {
  return {
    alone: runFair(seed, greed, 'alone'),
    beside: runFair(seed, greed, 'shared'),
    straight: runFair(seed, greed, 'private'),
  }
}

// A tenth of what production has, so that a history takes milliseconds: time-outs, limits, values and what is read into alike.
const BYTES_PER_MS = 20_000
const SLOW_BYTES_PER_MS = 500
const REPLY_TIMEOUT_MS = 1000
const REPLY_BACKLOG = 4 * 1024 * 1024
const REQUEST_MS = 0.01
const SIZES = { shared: 26 * 1024, private: 9 * 1024, longReply: 13 * 1024 }
const PIECE_BYTES = 16 * 1024
const SOCKET_BYTES = 128 * 1024
const LONGEST_MS = 30_000

/** @param place `alone`: the greedy client is left out */
export function runFair(seed: number, greed: Greed, place: 'alone' | 'shared' | 'private'): Waits {
  const random = Math.random
  const history = new FairHistory(seed, greed, place)
  Math.random = () => history.world.random.next()
  try {
    return history.run()
  } finally {
    Math.random = random
  }
}

class FairHistory {
  readonly world: World
  readonly #service: Service
  readonly #clock: Clock
  readonly #wire: Wire
  readonly #ordinary: Ordinary[] = []
  readonly #greedy: Greedy | undefined
  readonly #waits: Waits = { longestMs: 0, answered: 0, errors: [], greedyErrors: [], wrong: undefined }

  constructor(seed: number, greed: Greed, place: 'alone' | 'shared' | 'private') {
    const random = prng(seed)
    const version = random.chance(0.5) ? '1.6.18' : '1.6.45'
    this.world = new World(prng(seed ^ 0xfa1))
    this.#wire = new Wire(this.world, greed === 'large value' ? SLOW_BYTES_PER_MS : BYTES_PER_MS)
    this.#clock = new Clock(this.world)
    this.#service = new Service('cache', configOf(place === 'private' ? 'private' : 'shared'), {
      clock: this.#clock, turn: new Turn(this.world.atEndOfPoll), log: silentLog, sizes: SIZES,
      dial: (_route, onread, on) => new WiredConnection(this.world, this.#wire, version, onread, on).socket as unknown as Socket,
    })
    for (let at = random.between(3, 6); at > 0; at--) this.#ordinary.push(new Ordinary(at, random, this.world, this.#waits, this.#serve))
    if (place !== 'alone') this.#greedy = new Greedy(greed, random, this.world, this.#waits, this.#serve)
  }

  run(): Waits {
    const { world } = this
    for (const client of this.#ordinary) client.start()
    if (this.#greedy !== undefined) world.later(100, this.#greedy.start)
    while (!this.#ordinary.every(({ isDone }) => isDone) && world.now() < LONGEST_MS && this.#waits.wrong === undefined) world.step()
    for (const { waitsSince } of this.#ordinary) if (waitsSince > 0) this.#waits.longestMs = Math.max(this.#waits.longestMs, world.now() - waitsSince)
    this.#service.close('drain-timeout')
    this.#clock.stop()
    return this.#waits
  }

  readonly #serve = (socket: SimSocket): void => {
    this.#service.serve(socket as unknown as Socket, { id: socket.name, service: 'cache', listener: 'sim', address: '127.0.0.1', countedAs: '127.0.0.1', port: 0 })
  }
}

type Serve = (socket: SimSocket) => void

/** Asks for little, one request at a time, and thinks in between. */
class Ordinary {
  isDone = false
  /** 0: for nothing. */
  waitsSince = 0
  readonly #at: number
  readonly #world: World
  readonly #waits: Waits
  readonly #serve: Serve
  readonly #lines: string[] = []
  readonly #pauses: number[] = []
  #socket: SimSocket | undefined
  #got = ''
  #reply = ''

  constructor(at: number, random: Prng, world: World, waits: Waits, serve: Serve) {
    this.#at = at
    this.#world = world
    this.#waits = waits
    this.#serve = serve
    for (let n = 0, count = random.between(10, 20); n < count; n++) {
      const key = `c${at}n${n}`
      const size = random.between(10, 2000)
      this.#lines.push(random.chance(0.7) ? `get ${key}_h${size}` : random.chance(0.5) ? `mg ${key}_h${size} v k` : `get ${key}k1_h${size} ${key}k2_m1 ${key}k3_h20`)
      this.#pauses.push(random.between(10, 150))
    }
  }

  start(): void {
    this.#connect()
    this.#ask()
  }

  #connect(): void {
    const socket = new SimSocket(this.#world, `c${this.#at}`, {
      onBytes: bytes => this.#onBytes(bytes), onEnd: () => socket.arriveEnd(), onClose: () => this.#socket === socket && this.#onClose(),
    })
    this.#socket = socket
    this.#serve(socket)
  }

  readonly #ask = (): void => {
    const line = this.#lines.shift()
    if (line === undefined) return this.#end()
    this.#reply = answerTo(line).reply
    this.#got = ''
    this.waitsSince = this.#world.now()
    this.#socket!.arrive(`${line}\r\n`)
  }

  #end(): void {
    this.isDone = true
    this.#socket!.arriveEnd()
  }

  #onBytes(bytes: string): void {
    this.#got += bytes
    if (this.#got === this.#reply) this.#answered(undefined)
    else if (this.#got.startsWith('SERVER_ERROR memseal: ')) this.#got.endsWith('\r\n') && this.#answered(this.#got.trim())
    else if (!this.#reply.startsWith(this.#got)) this.#waits.wrong = `client ${this.#at} got ${JSON.stringify(this.#got.slice(0, 80))}`
  }

  /** As a library does it: another connection, and on with the next request. */
  #onClose(): void {
    if (this.isDone) return
    this.#connect()
    if (this.waitsSince > 0) this.#answered('closed')
  }

  #answered(error: string | undefined): void {
    this.#waits.longestMs = Math.max(this.#waits.longestMs, this.#world.now() - this.waitsSince)
    this.waitsSince = 0
    if (error === undefined) this.#waits.answered++
    else this.#waits.errors.push(error)
    this.#world.later(this.#pauses.shift()!, this.#ask)
  }
}

class Greedy {
  readonly #greed: Greed
  readonly #random: Prng
  readonly #world: World
  readonly #waits: Waits
  readonly #serve: Serve
  /** A closed client comes again so often. */
  #lives = 3
  #n = 0
  #owedBytes = 0
  #gotBytes = 0

  constructor(greed: Greed, random: Prng, world: World, waits: Waits, serve: Serve) {
    this.#greed = greed
    this.#random = random
    this.#world = world
    this.#waits = waits
    this.#serve = serve
  }

  readonly start = (): void => {
    if (this.#lives-- === 0) return
    const socket: SimSocket = new SimSocket(this.#world, 'greedy', {
      onBytes: bytes => {
        this.#gotBytes += bytes.length
        if (bytes.startsWith('SERVER_ERROR memseal')) this.#waits.greedyErrors.push(bytes.slice(0, bytes.indexOf('\r\n')))
        if (this.#gotBytes >= this.#owedBytes && this.#greed !== 'unread gets') this.#goOn(socket)
      },
      onEnd: () => socket.arriveEnd(),
      onClose: () => {
        if (this.#gotBytes < this.#owedBytes) this.#waits.greedyErrors.push(`closed after ${this.#gotBytes} of ${this.#owedBytes} bytes`)
        this.#world.later(1, this.start)
      },
    })
    this.#serve(socket)
    this.#gotBytes = this.#owedBytes = 0
    this.#goOn(socket)
  }

  #goOn(socket: SimSocket): void {
    if (socket.isDestroyed) return
    switch (this.#greed) {
      case 'unread gets': {
        socket.stopReading(true)
        for (let left = 12; left > 0; left--) socket.arrive(this.#multiget(40, 65_000))
        return
      }
      case 'huge multigets': return socket.arrive(this.#multiget(this.#random.between(60, 150), 30_000))
      case 'slow reader': {
        socket.readDelayMs = 200
        return socket.arrive(this.#multiget(100, 60_000))
      }
      // One that takes longer than a reply may be awaited.
      case 'large value': return this.#n > 0 ? undefined : socket.arrive(this.#multiget(1, 1_200_000))
      case 'flood': {
        if (this.#n > 4000) return
        let lines = ''
        for (let left = 1000; left > 0; left--) lines += this.#asked(`get c99n${this.#n++}_h20`)
        return socket.arrive(lines)
      }
      case 'stalled upload': return socket.arrive(`set c99n${this.#n++}_h1 0 0 ${this.#random.pick([500_000, 5_000_000])}\r\n${'x'.repeat(100_000)}`)
    }
  }

  #multiget(keys: number, bytes: number): string {
    let line = 'get'
    for (let left = keys; left > 0; left--) line += ` c99n${this.#n++}_h${bytes}`
    return this.#asked(line)
  }

  #asked(line: string): string {
    this.#owedBytes += answerTo(line).reply.length
    return `${line}\r\n`
  }
}

/** memcached's thread and its wire: one piece at a time, of each connection in turn. */
class Wire {
  readonly #world: World
  readonly #bytesPerMs: number
  readonly #waiting: WiredConnection[] = []
  #isBusy = false

  constructor(world: World, bytesPerMs: number) {
    this.#world = world
    this.#bytesPerMs = bytesPerMs
  }

  /** It has something to send, and room to send it into. */
  wants(connection: WiredConnection): void {
    if (!this.#waiting.includes(connection)) this.#waiting.push(connection)
    if (!this.#isBusy) this.#next()
  }

  readonly #next = (): void => {
    this.#isBusy = false
    const connection = this.#waiting.shift()
    if (connection === undefined) return
    this.#isBusy = true
    const { piece, requests } = connection.take()
    this.#world.later(requests * REQUEST_MS + piece.length / this.#bytesPerMs, () => {
      connection.sends(piece)
      this.#next()
    })
  }
}

class WiredConnection {
  readonly socket: SimSocket
  readonly #wire: Wire
  readonly #model: ModelConnection
  #marks: Mark[] = []
  /** Of the first of the marks, what has left already. */
  #left = 0
  #out: string[] = []
  #isOut = false

  constructor(world: World, wire: Wire, version: string, onread: OnReadOpts, on: DialEvents) {
    this.#wire = wire
    this.#model = new ModelConnection(version, { asked: () => {} })
    this.socket = new SimSocket(world, 'b', this, onread)
    this.socket.on('end', () => on.ended(undefined))
    this.socket.on('close', () => on.ended(undefined))
    world.soon(() => {
      if (this.socket.isDestroyed) return
      this.socket.connected()
      on.ready()
    })
  }

  onBytes(bytes: string): void {
    const out = this.#model.takes(bytes, this.#marks)
    if (out !== '') this.#out.push(out)
    this.#offer()
  }

  onEnd(): void {
    this.socket.arriveEnd()
  }

  onClose(): void {}

  onTaken(): void {
    this.#offer()
  }

  #offer(): void {
    const { socket } = this
    if (this.#isOut || this.#out.length === 0 || socket.isDestroyed || socket.arrivedBytes - socket.givenBytes >= SOCKET_BYTES) return
    this.#isOut = true
    this.#wire.wants(this)
  }

  /** The next piece, and how many requests it ends. */
  take(): { piece: string, requests: number } {
    const piece = this.#out[0].slice(0, PIECE_BYTES)
    if (piece.length === this.#out[0].length) this.#out.shift()
    else this.#out[0] = this.#out[0].slice(PIECE_BYTES)
    let requests = 0
    this.#left += piece.length
    while (this.#marks.length > 0 && this.#left >= this.#marks[0].bytes) {
      this.#left -= this.#marks.shift()!.bytes
      requests++
    }
    return { piece, requests }
  }

  sends(piece: string): void {
    this.#isOut = false
    this.socket.arrive(piece)
    this.#offer()
  }
}

function configOf(sharing: 'shared' | 'private'): ServiceConfig {
  return {
    ...baseConfig, commands: ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats'],
    limits: { ...baseConfig.limits, reply_backlog: REPLY_BACKLOG, reply_memory: 8 * REPLY_BACKLOG },
    backend: { ...baseConfig.backend, sharing, connections: 1, reply_timeout: REPLY_TIMEOUT_MS },
  }
}

// The table.

const median = (of: readonly number[]): number => of.toSorted((one, other) => one - other)[of.length >> 1]
const shown = (value: number): string => value >= 100 ? String(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2)

const columns: readonly (readonly [string, number, (row: Comparison) => number, (of: readonly number[]) => number])[] = [
  ['alone', 9, ({ alone }) => alone.longestMs, median],
  ['straight', 11, ({ straight }) => straight.longestMs, median],
  ['worst', 8, ({ straight }) => straight.longestMs, of => Math.max(...of)],
  ['beside it', 12, ({ beside }) => beside.longestMs, median],
  ['worst', 8, ({ beside }) => beside.longestMs, of => Math.max(...of)],
  ['times straight', 17, timesStraight, median],
  ['worst', 8, timesStraight, of => Math.max(...of)],
  ['errors', 9, ({ beside }) => beside.errors.length, of => of.filter(count => count > 0).length],
  ['most', 6, ({ beside }) => beside.errors.length, of => Math.max(...of)],
  ['greedy errors', 15, ({ beside }) => beside.greedyErrors.length, of => of.filter(count => count > 0).length],
]

export function timesStraight({ beside, straight }: Comparison): number {
  return beside.longestMs / Math.max(straight.longestMs, REQUEST_MS)
}

/** @returns the table, a line each */
export function fairnessTable(from: number, histories: number): string[] {
  const lines = [
    `${histories} histories of each kind, from seed ${from} on: the longest wait of the ordinary clients in simulated ms, alone, beside a greedy`,
    'client straight at memcached, and beside it behind memseal; medians and the worst. Errors: in so many histories, and most in one.',
    `${'greed'.padEnd(16)}${columns.map(([name, width]) => name.padStart(width)).join('')}`,
  ]
  for (const greed of greeds) {
    const rows = Array.from({ length: histories }, (_, n) => compare(from + n, greed))
    const cells = columns.map(([name, width, of, over]) => {
      const value = over(rows.map(of))
      return (/err|most/.test(name) ? String(value) : shown(value)).padStart(width)
    })
    lines.push(greed.padEnd(16) + cells.join(''), ...rows.flatMap(({ beside }) => beside.wrong === undefined ? [] : [`  WRONG: ${beside.wrong}`]))
  }
  return lines
}
