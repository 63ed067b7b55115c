/** The far end of one connection of memseal's to memcached: the model behind it, and what goes wrong with the connection. */
import type { OnReadOpts } from 'node:net'
import type { DialEvents } from '../../src/proxy/dial.ts'
import type { Note } from './client.ts'
import { LoginGate } from './login-gate.ts'
import { ModelConnection, type Item, type Mark, type Oddity } from './model.ts'
import type { Fault, Told } from './plan.ts'
import { SimSocket } from './sim-socket.ts'
import type { World } from './world.ts'

export interface BackendOptions {
  world: World
  version: string
  latencyMs: number
  wantsLogin: boolean
  fault: Fault | undefined
  oddity: Oddity | undefined
  note: Note | undefined
  told(kind: Told): void
  asked(backend: Backend, command: string, items: readonly Item[], changes: boolean): void
}

const REFUSED = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
const GARBAGE = '\x01 what nobody asked for\r\n'

export class Backend {
  readonly number: number
  readonly socket: SimSocket
  readonly #options: BackendOptions
  readonly #model: ModelConnection
  readonly #gate: LoginGate | undefined
  /** Bytes of replies that have left, and those that are to leave. */
  #sent = 0
  #out = ''
  readonly #marks: Mark[] = []
  #isBinary = false
  #isLate = false
  #isBroken = false
  /** Of a reply to one text request that a fault has cut: what it was to, and how many bytes had come before. (Half a binary header
   *  behind quiet requests tells nobody whose it is, and neither does half a header behind keys of joined gets.) */
  cut: { item: Item, from: number } | undefined = undefined

  constructor(number: number, onread: OnReadOpts, on: DialEvents, options: BackendOptions) {
    this.number = number
    this.#options = options
    this.#model = new ModelConnection(options.version, { asked: (command, items, changes) => options.asked(this, command, items, changes) }, options.oddity)
    this.#gate = options.wantsLogin ? new LoginGate(options.version) : undefined
    this.socket = new SimSocket(options.world, `b${number}`, this, onread)
    this.socket.on('end', () => on.ended(undefined))
    this.socket.on('close', () => on.ended(undefined))
    this.socket.on('error', error => on.failed(error as NodeJS.ErrnoException, undefined))
    options.note?.(`b${number} dialled`)
    options.world.soon(() => this.#answerDial(on))
  }

  #answerDial(on: DialEvents): void {
    const { socket, number } = this
    const { fault, told } = this.#options
    if (socket.isDestroyed) return
    if (fault?.kind === 'refuse') {
      told(number === 0 ? 'refuse' : 'refused-again')
      socket.destroy(REFUSED)
    } else if (fault?.kind === 'hang') told(number === 0 ? 'hang' : 'hung-again')
    else {
      socket.connected()
      on.ready()
    }
  }

  onBytes(bytes: string): void {
    const { note, latencyMs, fault } = this.#options
    note?.(`b${this.number} ─▶ memcached   `, bytes)
    if (this.#isBroken) {
      if (fault!.stillExecutes) this.#take(bytes)
      return
    }
    if (bytes.charCodeAt(0) === 0x80) this.#isBinary = true
    const out = this.#take(bytes)
    this.#out += out
    if (latencyMs === 0) this.#answer()
    else if (!this.#isLate && (out !== '' || this.#hasQuit)) this.#answerLater()
  }

  /** @returns what memcached says to it */
  #take(bytes: string): string {
    const marks = this.#options.fault === undefined || this.#isBroken ? undefined : this.#marks
    if (this.#gate === undefined || this.#gate.isOpen) return this.#model.takes(bytes, marks)
    const { out, rest } = this.#gate.takes(bytes)
    if (out !== '') marks?.push({ items: [], bytes: out.length })
    return rest === '' ? out : out + this.#model.takes(rest, marks)
  }

  get #hasQuit(): boolean {
    return this.#model.hasQuit || this.#gate?.hasQuit === true
  }

  #answerLater(): void {
    const { world, latencyMs } = this.#options
    this.#isLate = true
    world.later(world.random.between(0, latencyMs), this.#answer)
  }

  onEnd(): void {
    this.socket.arriveEnd()
  }

  onClose(): void {
    this.#options.note?.(`b${this.number} closed`)
  }

  readonly #answer = (): void => {
    this.#isLate = false
    if (this.socket.isDestroyed || this.#isBroken) return
    const { fault, note, world, latencyMs } = this.#options
    let out = this.#out
    // A part of it comes later, often the last reply.
    if (latencyMs > 0 && out.length > 1 && fault?.kind !== 'garbage' && world.random.chance(0.3)) {
      out = out.slice(0, world.random.chance(0.5) ? Math.max(1, out.length - this.#model.lastBytes) : world.random.between(1, out.length - 1))
      this.#answerLater()
    }
    this.#out = this.#out.slice(out.length)
    const isDue = fault !== undefined && fault.kind !== 'refuse' && fault.kind !== 'hang' && this.#sent + out.length >= fault.afterBytes
    if (isDue && fault.kind !== 'garbage') out = out.slice(0, Math.max(0, this.#cutAt(fault) - this.#sent))
    this.#sent += out.length
    if (out.length > 0) note?.(`b${this.number} ◀─ memcached   `, out)
    this.socket.arrive(out)
    if (isDue) this.#break(fault)
    else if (this.#hasQuit) this.socket.arriveEnd()
  }

  #cutAt({ afterBytes, isBetween }: Fault): number {
    let from = 0
    for (const { items, bytes } of this.#marks) {
      if (from + bytes > afterBytes) {
        if (isBetween) return from
        this.#cutInside(items, from, afterBytes)
        break
      }
      from += bytes
    }
    return afterBytes
  }

  #cutInside(items: readonly Item[], from: number, at: number): void {
    if (from < at && items.length === 1 && !this.#isBinary) this.cut = { item: items[0], from }
  }

  #break({ kind }: Fault): void {
    const { world, told } = this.#options
    this.#isBroken = true
    told(kind as Told)
    if (kind === 'garbage') this.socket.arrive(GARBAGE)
    else if (kind === 'end' || kind === 'half-close') this.socket.arriveEnd()
    else if (kind === 'reset') {
      // What was on its way may be read before the reset is seen.
      if (world.random.chance(0.5)) world.soon(() => this.socket.reset())
      else this.socket.reset()
    }
  }
}
