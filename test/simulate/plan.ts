/** What happens in one history, all of it drawn from one seed; data, so that a failing one can be made smaller. */
import { prng, type Prng } from '../support/prng.ts'
import { forgetAnswers, type Oddity } from './model.ts'
import { lastRequest, makeRequest, notAllowed, quietGet, statistics, type Asker, type Request } from './requests.ts'

export interface Plan {
  seed: number
  settings: Settings
  clients: ClientPlan[]
  faults: Fault[]
  events: Event[]
  /** Only in expected failures (expected-failures.ts): what is not quite a memcached, and that no limit excuses an error. */
  oddity?: Oddity
  isUnexcused?: true
}

export interface Settings {
  version: '1.6.18' | '1.6.45'
  sharing: 'shared' | 'private'
  connections: number
  joinsGets: boolean
  isCoalescing: boolean
  requestBytes: number
  commands: readonly string[]
  /** A rule of `access` forbids some keys. */
  deniesKeys: boolean
  limits: Limits
  /** What connections to memcached read into: small, so that replies meet its end. And from where on others do not wait for a reply. */
  sizes: { shared: number, private: number, longReply: number }
  /** How old a lane grows; 0: as old as it likes. */
  laneAgeMs: number
  /** Longest that memcached takes for an answer; 0: no time at all. */
  latencyMs: number
  /** memcached wants a login, and memseal has one. */
  wantsLogin?: boolean
}

export interface Limits { inFlight: number, requestMemory: number, replyBacklog: number, replyMemory: number, privateConnections: number }

export interface ClientPlan {
  dialect: 'text' | 'binary'
  requests: Request[]
  /** How many requests leave together, in turn. */
  batches: number[]
  /** Waits for its replies before it sends the next batch; `for ever`: whatever happens. */
  waits: boolean | 'for ever'
  /** Longest pause between two batches, in ms. */
  pauseMs: number
  /** Longest pause before it reads on, in ms. */
  readDelayMs: number
  leaves: Leaving | undefined
}

/** `reset`: gone at once. `end`: it sends no more, and still takes what it is owed. */
export interface Leaving { afterBatches: number, how: 'reset' | 'end' }

/** To the connection of memseal's to memcached with this number, counted from 0. */
export interface Fault {
  connection: number
  kind: 'refuse' | 'hang' | 'reset' | 'end' | 'half-close' | 'stall' | 'garbage'
  /** Bytes of replies that it brings before. */
  afterBytes: number
  /** Those bytes end with a whole reply. */
  isBetween: boolean
  /** memcached carries out what still comes, though nobody hears of it. */
  stillExecutes: boolean
}

export interface Event {
  /** Of the loop, counted from 1. */
  atStep: number
  kind: 'narrow' | 'rules' | 'expel' | 'other-backend' | 'drain' | 'limits' | 'password'
  /** What the limits are then. */
  limits: Limits | undefined
}

/** What is counted over many histories: what the faults are, what reloads did, and which limits were reached. */
export const faultKinds = ['refuse', 'hang', 'refused-again', 'hung-again', 'reset', 'end', 'half-close', 'stall', 'garbage'] as const
export const eventKinds = ['narrow', 'rules', 'expel', 'other-backend', 'drain', 'limits', 'password', 'reset-client', 'end-client'] as const
export const laneKinds = ['moved'] as const
export const limitKinds = ['request-memory', 'reply-memory', 'reply-backlog', 'private-limit', 'request-refused'] as const
export type Told = typeof faultKinds[number] | typeof eventKinds[number] | typeof limitKinds[number] | typeof laneKinds[number]

export const UNLIMITED: Limits = { inFlight: 1024, requestMemory: 1 << 28, replyBacklog: 1 << 26, replyMemory: 1 << 29, privateConnections: 512 }
export const REAL_SIZES = { shared: 256 * 1024, private: 32 * 1024, longReply: 128 * 1024 }

const ALL = ['get', 'gets', 'gat', 'gats', 'bget', 'set', 'add', 'replace', 'append', 'prepend', 'cas', 'touch', 'delete', 'incr', 'decr', 'mg', 'ms', 'md', 'ma', 'me', 'flush_all', 'stats']
export const commandSets: readonly (readonly string[])[] = [
  ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats'],
  ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats'],
  ['all'],
  ['read', 'write', 'stats'],
]
const inGroup: Record<string, readonly string[]> = {
  read: ['get', 'gets', 'mg', 'me'], write: ['gat', 'gats', 'set', 'add', 'replace', 'append', 'prepend', 'cas', 'touch', 'ms'], delete: ['delete', 'md'],
  arithmetic: ['incr', 'decr', 'ma'], flush: ['flush_all'], stats: ['stats', 'stats settings'], all: ALL,
}
const forbidden = new Map<string, ReadonlySet<string>>()

export function forbiddenBy(commands: readonly string[]): ReadonlySet<string> {
  const name = commands.join()
  let found = forbidden.get(name)
  if (found === undefined) {
    const allowed = new Set(commands.flatMap(group => inGroup[group]))
    forbidden.set(name, found = new Set(ALL.filter(command => !allowed.has(command))))
  }
  return found
}

/** Most requests of a history, and how few of them have that many: the mean is about 50. */
const LEAST_REQUESTS = 20
const MOST_REQUESTS = 200

export function makePlan(seed: number): Plan {
  forgetAnswers()
  const random = prng(seed)
  const kind = random.next()
  // Few have values that fill what is read into in production, few have more in flight than the queue is made for, and few pass
  // unread what comes behind a fence.
  const isBulky = kind < 0.014
  const isDeep = kind > 0.99
  const isRaw = kind > 0.978 && !isDeep
  const isTight = !isDeep && random.chance(0.14)
  const settings: Settings = {
    version: random.chance(0.5) ? '1.6.18' : '1.6.45',
    sharing: !isRaw && random.chance(0.85) ? 'shared' : 'private',
    connections: random.chance(0.55) ? 1 : random.between(2, 3),
    joinsGets: random.chance(0.75),
    isCoalescing: random.chance(0.9),
    requestBytes: random.chance(0.85) ? 2 * 1024 * 1024 : 1024,
    commands: isRaw ? ['all'] : random.pick(commandSets),
    limits: isTight ? tightLimits(random) : isDeep || random.chance(0.8) ? UNLIMITED : { ...UNLIMITED, inFlight: random.between(1, 8) },
    sizes: isBulky || random.chance(0.1) ? REAL_SIZES : {
      shared: random.chance(0.6) ? 8192 : 16_384, private: random.chance(0.6) ? 8200 : 16_400, longReply: random.chance(0.5) ? random.between(0, 30) : 1000,
    },
    laneAgeMs: random.chance(0.9) ? 0 : random.between(20, 400),
    latencyMs: !isDeep && !isRaw && random.chance(0.65) ? 0 : random.between(1, 10),
    deniesKeys: random.chance(0.3),
  }
  if (settings.commands[0] === 'all') settings.deniesKeys = false
  const events = someEvents(random, settings)
  // Drawn by itself, so that histories without a login are those that they were.
  const loginRandom = prng(seed ^ 0x10c1)
  settings.wantsLogin = loginRandom.chance(0.15)
  if (settings.wantsLogin && events.length === 0 && loginRandom.chance(0.5)) events.push({ atStep: loginRandom.between(1, 150), kind: 'password', limits: undefined })
  const count = isBulky || isDeep ? 1 : random.between(1, 6)
  const skew = random.next() ** 7
  const most = isDeep ? 700 : isBulky ? 100 : LEAST_REQUESTS + Math.floor(skew * (MOST_REQUESTS - LEAST_REQUESTS))
  const deniesKeys = events.some(event => event.kind === 'rules') ? 'perhaps' as const : settings.deniesKeys
  const kinds = { deniesKeys, narrows: events.some(event => event.kind === 'narrow'), isBulky, isDeep, isRaw }
  const clients: ClientPlan[] = []
  for (let client = 0, left = most; client < count; client++) {
    const share = client === count - 1 ? left : random.between(1, Math.ceil(2 * left / (count - client)) - 1)
    clients.push(clientPlan(random, settings, client, Math.max(1, share - 1), kinds))
    left = Math.max(1, left - share)
  }
  return { seed, settings, clients, faults: random.chance(0.5) ? someFaults(random) : [], events }
}

function tightLimits(random: Prng): Limits {
  return {
    inFlight: random.chance(0.5) ? 1024 : random.between(1, 8),
    requestMemory: random.chance(0.4) ? random.between(100, 3000) : UNLIMITED.requestMemory,
    replyBacklog: random.chance(0.4) ? random.between(1000, 9000) : UNLIMITED.replyBacklog,
    replyMemory: random.chance(0.4) ? random.between(3, 8) * 8192 : UNLIMITED.replyMemory,
    privateConnections: random.chance(0.4) ? random.between(0, 2) : UNLIMITED.privateConnections,
  }
}

function someEvents(random: Prng, { commands }: Settings): Event[] {
  if (random.chance(0.75)) return []
  const atStep = random.between(1, 150)
  const kind = random.next()
  if (kind < 0.15) return [{ atStep, kind: 'narrow', limits: undefined }]
  if (kind < 0.27 && commands[0] !== 'all') return [{ atStep, kind: 'rules', limits: undefined }]
  if (kind < 0.33) return [{ atStep, kind: 'expel', limits: undefined }]
  if (kind < 0.5) return [{ atStep, kind: 'other-backend', limits: undefined }]
  if (kind < 0.7) return [{ atStep, kind: 'drain', limits: undefined }]
  const other = random.chance(0.5) ? tightLimits(random) : { ...UNLIMITED, inFlight: random.between(1, 8) }
  return [{ atStep, kind: 'limits', limits: other }, { atStep: atStep + random.between(1, 60), kind: 'limits', limits: UNLIMITED }]
}

interface Kind { deniesKeys: Asker['deniesKeys'], narrows: boolean, isBulky: boolean, isDeep: boolean, isRaw: boolean }

function clientPlan(random: Prng, settings: Settings, client: number, most: number, { deniesKeys, narrows, isBulky, isDeep, isRaw }: Kind): ClientPlan {
  const dialect = !isRaw && random.chance(0.75) ? 'text' : 'binary'
  const size = random.next()
  const asker: Asker = {
    random, client, dialect, version: settings.version, forbidden: forbiddenBy(settings.commands), isOpen: settings.commands[0] === 'all', deniesKeys,
    mostBytes: isBulky ? 100_000 : size < 0.7 ? 200 : size < 0.9 ? 3000 : 9000, longShare: isBulky ? 0.6 : size < 0.96 ? 0.1 : 0.5,
  }
  const requests: Request[] = []
  while (requests.length < most) requests.push(makeRequest(asker, requests.length))
  const rawFrom = isRaw ? random.between(1, requests.length) : Infinity
  if (isRaw) requests.splice(rawFrom - 1, 2, quietGet(asker, rawFrom - 1), statistics(asker, rawFrom))
  requests.push(lastRequest(asker, requests.length))
  if (narrows) for (const request of requests) if (request.command !== 'mn' && request.command !== 'version') alsoRefused(request)
  const batches: number[] = []
  const isPipelining = isDeep || isBulky || random.chance(0.6)
  for (let left = requests.length; left > 0;) {
    const sent = requests.length - left
    const together = Math.min(left, sent < rawFrom ? rawFrom - sent : Infinity, isPipelining ? isDeep ? random.between(20, 400) : random.between(1, 24) : 1)
    batches.push(together)
    left -= together
  }
  const leaves: Leaving | undefined = random.chance(0.15)
    ? { afterBatches: random.between(0, batches.length), how: random.chance(0.5) ? 'reset' : 'end' } : undefined
  return {
    dialect, requests, batches, waits: isRaw || !isDeep && random.chance(isBulky ? 0.3 : 0.6), pauseMs: random.chance(0.93) ? 0 : random.between(1, 120),
    readDelayMs: random.chance(isBulky ? 0.4 : 0.88) ? 0 : random.between(1, 40), leaves,
  }
}

const breaks = ['reset', 'end', 'half-close', 'stall', 'garbage'] as const

function someFaults(random: Prng): Fault[] {
  const faults: Fault[] = []
  const count = random.between(1, 3)
  let connection = random.chance(0.6) ? 0 : random.between(0, 3)
  for (let n = 0; n < count; n++) {
    // A connection that is broken is made again, and that may go wrong as well.
    const isDial = n === 0 ? random.chance(0.2) : random.chance(0.5)
    const room = random.next()
    faults.push({
      connection, kind: isDial ? random.chance(0.6) ? 'refuse' : 'hang' : random.pick(breaks),
      afterBytes: room < 0.3 ? random.between(0, 60) : room < 0.85 ? random.between(0, 500) : random.between(0, 6000),
      isBetween: random.chance(0.35), stillExecutes: random.chance(0.5),
    })
    connection += random.chance(0.7) ? 1 : 2
  }
  return faults
}

/** While the rules change, both answers are right. */
function alsoRefused(request: Request): void {
  const refused = notAllowed(request)
  if (!request.replies.includes(refused)) request.replies.push(refused)
}
