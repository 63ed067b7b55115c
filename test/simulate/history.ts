/** Runs one plan: the real service with its sessions, lanes, pools and framers, between simulated clients and a simulated
 *  memcached, and holds what came of it against what may come of it. */
import type { Socket } from 'node:net'
import { loadText } from '../../src/config/load.ts'
import type { ServiceConfig } from '../../src/config/schema.ts'
import { Clock } from '../../src/lib/clock.ts'
import type { Dial } from '../../src/proxy/dial.ts'
import { Service } from '../../src/proxy/service.ts'
import { Turn } from '../../src/proxy/turn.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { prng } from '../support/prng.ts'
import { judge, type Verdict } from './judge.ts'
import { ModelConnection } from './model.ts'
import { forbiddenBy, type ClientPlan, type Fault, type Plan, type Settings } from './plan.ts'
import type { Request } from './requests.ts'
import { shown, SimSocket, Violation } from './sim-socket.ts'
import { World } from './world.ts'

export interface Outcome {
  /** What was wrong; undefined: nothing. */
  violation: string | undefined
  transcript: string[]
  requests: number
  steps: number
  faults: Fault['kind'][]
}

/** Simulated ms after which whoever is still owed something has lost it: longer than all time-outs together. */
const PATIENCE_MS = 30_000
/** More than any history takes that comes to an end. */
const MOST_STEPS = 200_000

export function runPlan(plan: Plan, isRecorded = false, scheduleSeed = plan.seed): Outcome {
  const history = new History(plan, isRecorded, scheduleSeed)
  const random = Math.random
  Math.random = () => history.world.random.next()
  let violation: string | undefined
  try {
    violation = history.run()
  } catch (error) {
    violation = error instanceof Violation ? error.message : `memseal threw: ${(error as Error).stack}`
  } finally {
    Math.random = random
  }
  const { transcript, world, faults } = history
  return { violation, transcript, requests: plan.clients.reduce((sum, { requests }) => sum + requests.length, 0), steps: world.steps, faults }
}

class History {
  readonly world: World
  readonly transcript: string[] = []
  readonly faults: Fault['kind'][] = []
  readonly #plan: Plan
  readonly #isRecorded: boolean
  readonly #clock: Clock
  readonly #service: Service
  readonly #clients: Client[] = []
  readonly #backends: SimSocket[] = []
  readonly #executed = new Map<string, number>()
  readonly #lastAsked = new Map<string, number>()
  readonly #forbidden: Set<string>
  #isDrained = false

  constructor(plan: Plan, isRecorded: boolean, scheduleSeed: number) {
    this.#plan = plan
    this.#isRecorded = isRecorded
    this.world = new World(prng(scheduleSeed ^ 0x5eed))
    this.#clock = new Clock(this.world)
    const isNarrowed = plan.events.some(({ kind }) => kind === 'narrow')
    this.#forbidden = isNarrowed ? new Set() : forbiddenBy(plan.settings.commands)
    const log = isRecorded
      ? createLogger({ level: 'debug', format: 'json', file: '-' }, { write: line => this.#note(`        log ${line.trim()}`) }).log : silentLog
    this.#service = new Service('cache', configOf(plan.settings, 1), { clock: this.#clock, turn: new Turn(this.world.atEndOfPoll), log, dial: this.#dial })
  }

  /** @returns what was wrong */
  run(): string | undefined {
    const { world } = this
    for (const [at, plan] of this.#plan.clients.entries()) this.#clients.push(new Client(at, plan, world, (words, bytes) => this.#note(words, bytes)))
    for (const client of this.#clients) {
      world.soon(() => {
        this.#service.serve(client.socket as unknown as Socket, { id: `c${client.at}`, service: 'cache', listener: 'sim', address: '127.0.0.1', countedAs: '127.0.0.1', port: 0 })
        client.start()
      })
    }
    for (const { atMs, kind } of this.#plan.events) world.later(atMs, () => this.#event(kind))
    const deadline = world.now() + PATIENCE_MS
    for (;;) {
      world.step()
      if (world.steps > MOST_STEPS) return `the history does not end: ${MOST_STEPS} steps`
      if (!world.isIdle) continue
      const wrong = this.#wrong()
      if (wrong !== undefined) return wrong
      if (this.#clients.every(client => client.isClosed || (client.hasSentAll && this.#verdict(client).isWhole))) break
      if (world.now() > deadline) {
        // What passes unread has no deadline: nobody knows what is owed there.
        if (this.#plan.settings.commands[0] === 'all' && this.faults.includes('stall')) break
        const client = this.#clients.find(each => !each.isClosed && !this.#verdict(each).isWhole)!
        return `client ${client.at} is owed replies and gets none: ${this.#verdict(client).words}`
      }
    }
    return this.#end()
  }

  #note(words: string, bytes?: Buffer): void {
    if (this.#isRecorded) this.transcript.push(`${String(this.world.now()).padStart(6)} ${words}${bytes === undefined ? '' : shown(bytes)}`)
  }

  #verdict(client: Client): Verdict {
    const mark = `${client.got.length} ${client.plan.requests.length} ${this.faults.length > 0}`
    if (client.judged?.mark !== mark) client.judged = { mark, verdict: judge(client.got, client.plan.requests, this.faults.length > 0) }
    return client.judged.verdict
  }

  /** The first client whose bytes are not right, or that was closed without a reason. */
  #wrong(): string | undefined {
    const mayClose = this.faults.length > 0 || this.#isDrained || this.#plan.events.some(({ kind }) => kind === 'narrow')
    for (const client of this.#clients) {
      if (client.isJudged) continue
      const verdict = this.#verdict(client)
      if (!verdict.isRight) return `client ${client.at} got what is not its own: ${verdict.words}`
      if (!client.isClosed) continue
      client.isJudged = true
      if (!verdict.isWhole && !mayClose && client.plan.leaves === undefined) return `client ${client.at} was closed without a reason: ${verdict.words}`
    }
    return undefined
  }

  /** Everybody leaves; nothing may be left of anybody. */
  #end(): string | undefined {
    const { world } = this
    for (const client of this.#clients) client.leave()
    const until = world.now() + 20_000
    while (!(world.isIdle && (this.#service.clients === 0 || world.now() > until))) world.step()
    const wrong = this.#wrong()
    if (wrong !== undefined) return wrong
    if (this.#service.clients > 0) return `${this.#service.clients} sessions are left when all clients have gone`
    const { now } = this.#service.measure()
    if (now.requestHeldBytes !== 0) return `${now.requestHeldBytes} bytes of requests are held for nobody`
    if (now.replyBacklogBytes !== 0) return `${now.replyBacklogBytes} bytes of replies are kept for nobody`
    if (now.privateConnections !== 0) return `${now.privateConnections} private connections are left`
    if (now.inFlight !== 0) return `${now.inFlight} requests are counted in flight for nobody`
    const stray = this.#service.lanes().find(lane => lane.clients !== 0)
    if (stray !== undefined) return `a lane counts ${stray.clients} clients when there are none`
    const miscount = this.#miscount()
    if (miscount !== undefined) return miscount
    this.#service.close('drain-timeout')
    for (let n = 0; n < 1000 && !world.isIdle; n++) world.step()
    const open = [...this.#backends, ...this.#clients.map(({ socket }) => socket)].find(socket => !socket.isDestroyed)
    if (open !== undefined) return `${open.name} is open after the end`
    this.#clock.stop()
    return world.timers > 0 ? `${world.timers} timers are left` : undefined
  }

  /** Hits are counted once each. In a run of meta requests that may stay silent answers are not told
   *  apart: another command's HD passes for a hit there. */
  #miscount(): string | undefined {
    const { settings, events, clients } = this.#plan
    if (this.faults.length > 0 || events.length > 0 || settings.commands[0] === 'all' || clients.some(({ leaves }) => leaves !== undefined)) return undefined
    const requests = clients.flatMap(client => client.requests)
    const sum = (isCounted: (request: Request) => boolean): number => requests.reduce((total, request) => total + (isCounted(request) ? request.hits : 0), 0)
    const least = sum(({ command }) => command !== 'mg')
    const most = sum(() => true) + requests.filter(({ command }) => ['ms', 'md', 'ma'].includes(command)).length
    const { hits } = this.#service.measure().traffic
    return hits < least || hits > most ? `${hits} hits are counted, and ${least} to ${most} were had` : undefined
  }

  #event(kind: 'narrow' | 'other-backend' | 'drain'): void {
    this.#note(`---- ${kind}`)
    const { settings } = this.#plan
    if (kind === 'drain') {
      this.#isDrained = true
      void this.#service.drain()
    } else if (kind === 'narrow') this.#service.prepare(configOf({ ...settings, commands: ['read'] }, 1), undefined)()
    else this.#service.prepare(configOf(settings, 2), undefined)()
  }

  readonly #dial: Dial = (_route, onread, on) => {
    const { world } = this
    const number = this.#backends.length
    const fault = this.#plan.faults.find(({ connection }) => connection === number)
    const model = new ModelConnection(this.#plan.settings.version, { asked: (name, keys, changes) => this.#asked(number, name, keys, changes) })
    let sent = 0
    let isStalled = false
    const socket: SimSocket = new SimSocket(world, `b${number}`, {
      onBytes: bytes => {
        this.#note(`b${number} ─▶ memcached   `, bytes)
        if (isStalled) return
        const out = Buffer.from(model.takes(bytes.toString('latin1')), 'latin1')
        const isDue = fault !== undefined && fault.kind !== 'refuse' && fault.kind !== 'hang' && sent + out.length >= fault.afterBytes
        const now = isDue && fault.kind !== 'garbage' ? out.subarray(0, fault.afterBytes - sent) : out
        sent += now.length
        if (now.length > 0) this.#note(`b${number} ◀─ memcached   `, now)
        socket.arrive(Buffer.from(now))
        if (isDue) {
          isStalled = true
          this.#break(socket, fault.kind)
        } else if (model.hasQuit) socket.arriveEnd()
      },
      onEnd: () => socket.arriveEnd(),
      onClose: () => this.#note(`b${number} closed`),
    }, onread)
    this.#backends.push(socket)
    socket.on('end', () => on.ended(undefined))
    socket.on('close', () => on.ended(undefined))
    socket.on('error', error => on.failed(error as NodeJS.ErrnoException, undefined))
    this.#note(`b${number} dialled`)
    world.soon(() => {
      if (socket.isDestroyed) return
      if (fault?.kind === 'refuse') {
        this.#told(number, 'refuse')
        socket.destroy(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))
      } else if (fault?.kind === 'hang') this.#told(number, 'hang')
      else {
        socket.connected()
        on.ready()
      }
    })
    return socket as unknown as Socket
  }

  #told(connection: number, kind: Fault['kind']): void {
    this.faults.push(kind)
    this.#note(`---- b${connection}: ${kind}`)
  }

  #break(socket: SimSocket, kind: Fault['kind']): void {
    this.#told(Number(socket.name.slice(1)), kind)
    if (kind === 'garbage') socket.arrive(Buffer.from('\x01 what nobody asked for\r\n', 'latin1'))
    else if (kind === 'end') socket.arriveEnd()
    else if (kind === 'reset') {
      // What was on its way may be read before the reset is seen.
      if (this.world.random.chance(0.5)) this.world.soon(() => socket.reset())
      else socket.reset()
    }
  }

  #asked(connection: number, command: string, keys: readonly string[], changes: boolean): void {
    for (const { inFlight } of this.#service.sessions) {
      const most = this.#plan.settings.inFlight
      if (inFlight > most) throw new Violation(`a client has ${inFlight} requests in flight, and limits.in_flight is ${most}`)
    }
    if (this.#forbidden.has(command)) throw new Violation(`memcached was asked for ${command}, which is forbidden`)
    for (const key of keys) {
      const found = /^c(\d+)n(\d+)/.exec(key)
      if (found === null) throw new Violation(`memcached was asked on b${connection} for the key ${JSON.stringify(key)}, which is nobody's`)
      const times = (this.#executed.get(key) ?? 0) + 1
      this.#executed.set(key, times)
      if (changes && times > 1) throw new Violation(`${command} ${key} was executed twice`)
      if (times > 2 && this.#plan.faults.length < 2) throw new Violation(`${command} ${key} was asked ${times} times`)
      if (times > 1 && this.faults.length === 0 && !key.includes('k')) throw new Violation(`${command} ${key} was asked twice, and no connection was lost`)
      const last = this.#lastAsked.get(found[1]) ?? -1
      if (times === 1 && Number(found[2]) < last) throw new Violation(`request ${found[2]} of client ${found[1]} came to memcached after its request ${last}`)
      this.#lastAsked.set(found[1], Math.max(last, Number(found[2])))
    }
  }
}

type Note = (words: string, bytes?: Buffer) => void

/** One client: sends its batches, cut anywhere, and keeps what it gets. */
class Client {
  readonly at: number
  readonly plan: ClientPlan
  readonly socket: SimSocket
  got = ''
  isClosed = false
  hasSentAll = false
  isJudged = false
  judged: { mark: string, verdict: Verdict } | undefined = undefined
  readonly #world: World
  readonly #note: Note
  #sent = 0
  #batch = 0
  #owedBytes = 0
  #isGone = false

  constructor(at: number, plan: ClientPlan, world: World, note: Note) {
    this.at = at
    this.plan = plan
    this.#world = world
    this.#note = note
    this.socket = new SimSocket(world, `c${at}`, {
      onBytes: bytes => {
        note(`c${at} ◀─ memseal     `, bytes)
        this.got += bytes.toString('latin1')
      },
      onEnd: () => {
        note(`c${at} ◀─ end`)
        this.#isGone = true
        this.socket.arriveEnd()
      },
      onClose: () => {
        if (!this.isClosed) note(`c${at} closed`)
        this.isClosed = true
      },
    })
    this.socket.readDelayMs = plan.readDelayMs
  }

  start(): void {
    this.#world.soon(() => this.#next())
  }

  leave(): void {
    if (this.isClosed) return
    if (this.#world.random.chance(0.5)) this.socket.reset()
    else if (!this.#isGone) this.socket.arriveEnd()
    this.#isGone = true
  }

  #next(): void {
    if (this.isClosed || this.#isGone) return
    const { leaves, batches, requests } = this.plan
    if (leaves !== undefined && leaves.afterBatches === this.#batch) {
      this.#isGone = true
      this.#note(`c${this.at} ─▶ ${leaves.how}`)
      // What it does not send any more, it is not owed.
      requests.length = this.#sent
      this.hasSentAll = true
      if (leaves.how === 'reset') this.socket.reset()
      else this.socket.arriveEnd()
      return
    }
    if (this.#batch === batches.length) {
      this.hasSentAll = true
      return
    }
    const batch = requests.slice(this.#sent, this.#sent + batches[this.#batch++])
    this.#sent += batch.length
    for (const { replies } of batch) this.#owedBytes += replies[0].length
    this.#send(Buffer.from(batch.map(({ bytes }) => bytes).join(''), 'latin1'))
  }

  #send(bytes: Buffer): void {
    if (this.isClosed || this.#isGone) return
    const { random } = this.#world
    const size = random.chance(0.75) ? bytes.length : random.between(1, bytes.length)
    this.#note(`c${this.at} ─▶ memseal     `, bytes.subarray(0, size))
    this.socket.arrive(Buffer.from(bytes.subarray(0, size)))
    if (size < bytes.length) this.#world.soon(() => this.#send(bytes.subarray(size)))
    else this.#world.soon(() => this.#waitForReplies(40))
  }

  /** An error is shorter or longer than the reply that it stands for, so patience ends. */
  #waitForReplies(tries: number): void {
    if (!this.plan.waits || this.got.length >= this.#owedBytes || tries === 0 || this.isClosed) return this.#next()
    this.#world.soon(() => this.#waitForReplies(tries - 1))
  }
}

const silentLog = createLogger({ level: 'silent', format: 'json', file: '-' }, { write: () => {} }).log
const configs = new Map<string, ServiceConfig>()

function configOf({ sharing, connections, joinsGets, isCoalescing, inFlight, requestBytes, commands }: Settings, backend: number): ServiceConfig {
  const text = JSON.stringify({
    services: {
      cache: {
        listen: '127.0.0.1:1', commands, limits: { in_flight: inFlight, request_size: `${requestBytes}B` }, reply_coalescing: isCoalescing ? 'on' : 'off',
        backend: {
          connect: `127.0.0.${backend}:11211`, sharing, connections, join_gets: joinsGets ? 'on' : 'off', connect_timeout: '300ms', reply_timeout: '2s',
          probe_interval: '1s', longest_retry: '200ms',
        },
      },
    },
  })
  let config = configs.get(text)
  if (config === undefined) {
    const loaded = loadText(text, 'simulated.yaml', { environment: {} })
    if (loaded.config === undefined) throw new Error(JSON.stringify(loaded.issues))
    configs.set(text, config = loaded.config.services['cache'])
  }
  return config
}
