/** Runs one plan: the real service with its sessions, lanes, pools and framers, between simulated clients and a simulated
 *  memcached, and holds what came of it against what may come of it. */
import type { Socket } from 'node:net'
import { loadText } from '../../src/config/load.ts'
import type { ServiceConfig } from '../../src/config/schema.ts'
import { Clock } from '../../src/lib/clock.ts'
import type { Login } from '../../src/proto/login.ts'
import type { Dial } from '../../src/proxy/dial.ts'
import { Service } from '../../src/proxy/service.ts'
import { Turn } from '../../src/proxy/turn.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { prng } from '../support/prng.ts'
import { Backend } from './backend.ts'
import { Client } from './client.ts'
import { logins } from './login-gate.ts'
import type { Item } from './model.ts'
import { faultKinds, forbiddenBy, UNLIMITED, type Event, type Limits, type Plan, type Settings, type Told } from './plan.ts'
import { FORBIDDEN_KEYS, isForbiddenKey, type Request } from './requests.ts'
import { shown, Violation } from './sim-socket.ts'
import { World } from './world.ts'

export interface Outcome {
  /** What was wrong; undefined: nothing. */
  violation: string | undefined
  transcript: string[]
  requests: number
  steps: number
  /** Faults, reloads, clients that left early and limits that were reached. */
  told: Told[]
}

/** Simulated ms after which whoever is still owed something has lost it: longer than all time-outs together. */
const PATIENCE_MS = 30_000
const ERRORS_BYTES = 100 * 80
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
  const { transcript, world, told } = history
  return { violation, transcript, requests: plan.clients.reduce((sum, { requests }) => sum + requests.length, 0), steps: world.steps, told }
}

const isFault: ReadonlySet<string> = new Set(faultKinds)

class History {
  readonly world: World
  readonly transcript: string[] = []
  readonly told: Told[] = []
  readonly #plan: Plan
  readonly #isRecorded: boolean
  readonly #clock: Clock
  readonly #service: Service
  readonly #clients: Client[] = []
  readonly #backends: Backend[] = []
  /** How often each key was asked for. */
  readonly #times = new Map<string, number>()
  /** By client: the latest of its requests that came to memcached. */
  readonly #latest: number[] = []
  readonly #forbidden: ReadonlySet<string>
  readonly #hasNarrowing: boolean
  readonly #hasOtherRules: boolean
  readonly #deniesKeys: boolean
  readonly #isTight: boolean
  /** The widest that held at any time. */
  readonly #widest: Limits
  readonly #checksInFlight: boolean
  #hasFaults = false
  #isDrained = false
  #hasOtherPassword = false
  #isOver = false

  constructor(plan: Plan, isRecorded: boolean, scheduleSeed: number) {
    const { settings, events } = plan
    this.#plan = plan
    this.#isRecorded = isRecorded
    this.world = new World(prng(scheduleSeed ^ 0x5eed))
    this.#clock = new Clock(this.world)
    this.#hasNarrowing = events.some(({ kind }) => kind === 'narrow')
    this.#hasOtherRules = events.some(({ kind }) => kind === 'rules')
    this.#deniesKeys = settings.deniesKeys && !events.some(({ kind }) => kind === 'rules')
    this.#forbidden = this.#hasNarrowing ? new Set() : forbiddenBy(settings.commands)
    this.#isTight = plan.isUnexcused !== true && (isTight(settings.limits) || events.some(({ limits }) => limits !== undefined && isTight(limits)))
    this.#widest = events.reduce((widest, { limits }) => limits === undefined ? widest : widerOf(widest, limits), settings.limits)
    this.#checksInFlight = plan.clients.some(({ requests }) => requests.length > this.#widest.inFlight)
    const log = isRecorded
      ? createLogger({ level: 'debug', format: 'json', file: '-' }, { write: line => this.#note(`        log ${line.trim()}`) }).log : silentLog
    this.#service = new Service('cache', configOf(settings, 1), {
      clock: this.#clock, turn: new Turn(this.world.atEndOfPoll), log, dial: this.#dial, sizes: settings.sizes,
    }, undefined, this.#login)
  }

  /** @returns what was wrong */
  run(): string | undefined {
    const { world } = this
    const note = this.#isRecorded ? this.#note : undefined
    for (const [at, plan] of this.#plan.clients.entries()) {
      const client = new Client(at, plan, world, note, how => this.told.push(`${how}-client`))
      this.#clients.push(client)
      world.soon(() => {
        this.#service.serve(client.socket as unknown as Socket, { id: `c${at}`, service: 'cache', listener: 'sim', address: '127.0.0.1', countedAs: '127.0.0.1', port: 0 })
        client.start()
      })
    }
    for (const event of this.#plan.events) world.atStep(event.atStep, () => this.#event(event))
    const deadline = world.now() + PATIENCE_MS
    for (;;) {
      world.step()
      if (!world.isIdle) continue
      const wrong = this.#wrong()
      if (wrong !== undefined) return wrong
      if (this.#clients.every(client => client.isClosed || (client.hasSentAll && client.judge.isWhole))) break
      if (world.now() > deadline) {
        // What passes unread has no deadline: nobody knows what is owed there.
        if (this.#plan.settings.commands[0] === 'all' && this.told.includes('stall')) break
        const client = this.#clients.find(each => !each.isClosed && !each.judge.isWhole)
        return client === undefined ? 'a client cannot send what it has to send' : `client ${client.at} is owed replies and gets none: ${client.judge.words}`
      }
      if (world.steps > MOST_STEPS) return `the history does not end: ${MOST_STEPS} steps`
    }
    return this.#end()
  }

  readonly #note = (words: string, bytes?: string): void => {
    if (this.#isRecorded) this.transcript.push(`${String(this.world.now()).padStart(6)} ${words}${bytes === undefined ? '' : shown(bytes)}`)
  }

  /** The first client whose bytes are not right, or that was closed without a reason; or a limit that does not hold. */
  #wrong(): string | undefined {
    const mayFail = this.#hasFaults || this.#isTight
    for (const client of this.#clients) {
      if (client.isJudged || !client.isNews) continue
      const { judge, sent, total } = client
      client.isNews = false
      judge.look(sent, total, mayFail)
      if (!judge.isRight) return `client ${client.at} got what is not its own: ${judge.words}`
      if (!client.isClosed) continue
      client.isJudged = true
      // What is left of a get that memcached has a part of is not asked for when a reload has ended the right to it.
      const isCutShort = this.#hasOtherRules && judge.mayBeRefused
      const mayClose = mayFail || isCutShort || this.#isDrained || this.#hasNarrowing || client.plan.leaves !== undefined
      if (!(judge.isWhole && client.hasSentAll) && !mayClose) return `client ${client.at} was closed without a reason: ${judge.words}`
    }
    return this.#isTight ? this.#overLimit() : undefined
  }

  #overLimit(): string | undefined {
    const { requestMemory, replyBacklog } = this.#widest
    const { now } = this.#service.measure()
    if (now.requestHeldBytes > requestMemory) return `${now.requestHeldBytes} bytes of requests are held, and limits.request_memory is ${requestMemory}`
    for (const { outbox, peer } of this.#service.sessions) {
      // Errors for what was in flight come in one go, and are looked at with the next reply.
      if (outbox.backlog > replyBacklog + ERRORS_BYTES) return `${peer.id} has left ${outbox.backlog} bytes unread, and limits.reply_backlog is ${replyBacklog}`
    }
    return undefined
  }

  /** Everybody leaves; nothing may be left of anybody. */
  #end(): string | undefined {
    const { world } = this
    this.#isOver = true
    for (const client of this.#clients) client.leave()
    const until = world.now() + 20_000
    while (!(world.isIdle && (this.#service.clients === 0 || world.now() > until))) world.step()
    const wrong = this.#wrong()
    if (wrong !== undefined) return wrong
    if (this.#service.clients > 0) return `${this.#service.clients} sessions are left when all clients have gone`
    const { now, traffic } = this.#service.measure()
    for (const kind of ['request-memory', 'reply-memory', 'reply-backlog'] as const) {
      for (let n = traffic.closed[kind]; n > 0; n--) this.told.push(kind)
    }
    for (let n = traffic.privatesRefused; n > 0; n--) this.told.push('private-limit')
    for (let n = traffic.moved; n > 0; n--) this.told.push('moved')
    for (const { refused } of this.#clients) if (refused > 0) this.told.push('request-refused')
    if (now.requestHeldBytes !== 0) return `${now.requestHeldBytes} bytes of requests are held for nobody`
    if (now.replyBacklogBytes !== 0) return `${now.replyBacklogBytes} bytes of replies are kept for nobody`
    if (now.privateConnections !== 0) return `${now.privateConnections} private connections are left`
    if (now.privateWaiting !== 0) return `${now.privateWaiting} that have gone wait for a private connection`
    if (now.inFlight !== 0) return `${now.inFlight} requests are counted in flight for nobody`
    const stray = this.#service.lanes().find(lane => lane.clients !== 0)
    if (stray !== undefined) return `a lane counts ${stray.clients} clients when there are none`
    const miscount = this.#miscount(traffic.hits)
    if (miscount !== undefined) return miscount
    this.#service.close('drain-timeout')
    for (let n = 0; n < 1000 && !world.isIdle; n++) world.step()
    const open = [...this.#backends, ...this.#clients].find(({ socket }) => !socket.isDestroyed)
    if (open !== undefined) return `${open.socket.name} is open after the end`
    const { replyMemoryBytes } = this.#service.measure().now
    if (replyMemoryBytes !== 0) return `${replyMemoryBytes} bytes of memory for replies are not given back`
    this.#clock.stop()
    return world.timers > 0 ? `${world.timers} timers are left` : undefined
  }

  /** Hits are counted once each. In a run of meta requests that may stay silent answers are not told
   *  apart: another command's HD passes for a hit there. */
  #miscount(hits: number): string | undefined {
    const { settings, events, clients } = this.#plan
    if (this.#hasFaults || this.#isTight || events.length > 0 || settings.commands[0] === 'all') return undefined
    let least = 0
    let most = 0
    for (const { requests, leaves } of clients) {
      if (leaves !== undefined) return undefined
      for (const request of requests) {
        if (request.command !== 'mg') least += request.hits
        most += request.hits + (isMistaken(request) ? 1 : 0)
      }
    }
    return hits < least || hits > most ? `${hits} hits are counted, and ${least} to ${most} were had` : undefined
  }

  #event({ kind, limits }: Event): void {
    if (this.#isOver) return
    this.told.push(kind)
    this.#note(`---- ${kind}`)
    if (kind === 'drain') {
      this.#isDrained = true
      void this.#service.drain()
      return
    }
    if (kind === 'password') this.#hasOtherPassword = true
    this.#service.prepare(this.#configAt(kind, limits), undefined, this.#login)()
  }

  #configAt(kind: Event['kind'], limits: Limits | undefined): ServiceConfig {
    const { settings } = this.#plan
    switch (kind) {
      case 'narrow': return configOf({ ...settings, commands: ['read'] }, 1)
      case 'limits': return configOf({ ...settings, limits: limits! }, 1)
      case 'rules': return configOf({ ...settings, deniesKeys: !settings.deniesKeys }, 1)
      case 'other-backend': return configOf(settings, 2)
      case 'expel':
        this.#isDrained = true
        return { ...configOf(settings, 1), access: [rule({ match: { ...nobody, source: ['10.0.0.1/32'] } })] }
      case 'password': case 'drain': return configOf(settings, 1)
      default: return kind satisfies never
    }
  }

  get #login(): Login | undefined {
    return this.#plan.settings.wantsLogin === true ? logins[this.#hasOtherPassword ? 1 : 0] : undefined
  }

  readonly #dial: Dial = (_route, onread, on) => {
    const { faults, settings } = this.#plan
    const number = this.#backends.length
    let fault = faults.find(({ connection }) => connection === number)
    // On a client's own connection nobody can tell what memcached should not have said.
    const isLane = (onread.buffer as () => Buffer)().length === settings.sizes.shared
    if (fault?.kind === 'garbage' && !isLane) fault = { ...fault, kind: 'reset' }
    const backend = new Backend(number, onread, on, {
      world: this.world, version: settings.version, latencyMs: settings.latencyMs, wantsLogin: settings.wantsLogin === true, fault, oddity: this.#plan.oddity, note: this.#isRecorded ? this.#note : undefined,
      told: kind => {
        this.told.push(kind)
        if (isFault.has(kind)) this.#hasFaults = true
        this.#note(`---- b${number}: ${kind}`)
      },
      asked: this.#asked,
    })
    this.#backends.push(backend)
    return backend.socket as unknown as Socket
  }

  readonly #asked = (backend: Backend, command: string, items: readonly Item[], changes: boolean): void => {
    if (this.#checksInFlight) this.#checkInFlight()
    if (this.#forbidden.has(command)) throw new Violation(`memcached was asked for ${command}, which is forbidden`)
    for (const item of items) {
      const { key, client, request } = item
      if (this.#deniesKeys && isForbiddenKey(key)) throw new Violation(`memcached was asked for the key ${key}, which a rule forbids`)
      if (client < 0) throw new Violation(`memcached was asked on b${backend.number} for the key ${JSON.stringify(key)}, which is nobody's`)
      const times = (this.#times.get(key) ?? 0) + 1
      this.#times.set(key, times)
      if (times > 1) this.#askedAgain(command, item, changes, times)
      const last = this.#latest[client] ?? -1
      if (times === 1 && request < last) throw new Violation(`request ${request} of client ${client} came to memcached after its request ${last}`)
      if (request > last) this.#latest[client] = request
    }
  }

  #checkInFlight(): void {
    const most = this.#widest.inFlight
    for (const { inFlight } of this.#service.sessions) {
      if (inFlight > most) throw new Violation(`a client has ${inFlight} requests in flight, and limits.in_flight is ${most}`)
    }
  }

  #askedAgain(command: string, item: Item, changes: boolean, times: number): void {
    const { key, isPart } = item
    if (changes) throw new Violation(`${command} ${key} was executed twice`)
    if (times > 2 && this.#plan.faults.length < 2) throw new Violation(`${command} ${key} was asked ${times} times`)
    // Away from a long reply; what comes to the first asking from then on is nobody's.
    const mayHaveMoved = this.#service.traffic.moved > 0
    if (!this.#hasFaults && !isPart && !mayHaveMoved) throw new Violation(`${command} ${key} was asked twice, and no connection was lost`)
    if (mayHaveMoved) return
    for (const { cut, socket } of this.#backends) {
      if (cut !== undefined && cut.item.key === key && socket.isDestroyed && socket.givenBytes > cut.from) {
        throw new Violation(`${command} ${key} was asked again, though a part of its answer had come`)
      }
    }
  }
}

const isTight = ({ requestMemory, replyBacklog, replyMemory, privateConnections }: Limits): boolean =>
  requestMemory < UNLIMITED.requestMemory || replyBacklog < UNLIMITED.replyBacklog || replyMemory < UNLIMITED.replyMemory || privateConnections < UNLIMITED.privateConnections

function widerOf(one: Limits, other: Limits): Limits {
  const wider = { ...one }
  for (const limit of Object.keys(one) as (keyof Limits)[]) wider[limit] = Math.max(one[limit], other[limit])
  return wider
}

const isMistaken = ({ command }: Request): boolean => command === 'ms' || command === 'md' || command === 'ma'

export const silentLog = createLogger({ level: 'silent', format: 'json', file: '-' }, { write: () => {} }).log

export const baseConfig = loadText(JSON.stringify({
  services: {
    cache: {
      listen: '127.0.0.1:1', commands: ['read'],
      backend: { connect: '127.0.0.1:11211', connect_timeout: '300ms', reply_timeout: '2s', probe_interval: '1s', longest_retry: '200ms' },
    },
  },
}), 'simulated.yaml', { environment: {} }).config!.services['cache']

type Rule = NonNullable<ServiceConfig['access']>[number]
const nobody = { cn: [], ou: [], dns: [], uri: [], ip: [], issuer: [], fingerprint: [], spki: [], source: [], listener: [] }

function rule(more: Partial<Rule>): Rule {
  return {
    name: 'simulated', match: 'everyone', commands: undefined, keys: [], deny_keys: [],
    limits: { connections: undefined, requests_per_second: undefined, bytes_per_second: undefined, value_size: undefined, keys_per_get: undefined }, ...more,
  }
}

/** Past the checks of the configuration, which admit no limits as small as these. */
function configOf({ sharing, connections, joinsGets, isCoalescing, requestBytes, commands, deniesKeys, limits, laneAgeMs, wantsLogin }: Settings, host: number): ServiceConfig {
  const [endpoint] = baseConfig.backend.connect
  return {
    ...baseConfig, commands: [...commands], reply_coalescing: isCoalescing, access: deniesKeys ? [rule({ deny_keys: [FORBIDDEN_KEYS] })] : undefined,
    limits: {
      ...baseConfig.limits, in_flight: limits.inFlight, request_size: requestBytes, request_memory: limits.requestMemory, reply_backlog: limits.replyBacklog,
      reply_memory: limits.replyMemory, private_connections: limits.privateConnections,
    },
    backend: {
      ...baseConfig.backend, connect: [{ ...endpoint, host: `127.0.0.${host}` } as typeof endpoint], sharing, connections, join_gets: joinsGets, max_age: laneAgeMs,
      auth: wantsLogin === true ? { username: logins[0].username, password_file: '/not/read/here' } : undefined,
    },
  }
}
