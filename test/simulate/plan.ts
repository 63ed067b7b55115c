/** What happens in one history, all of it drawn from one seed; data, so that a failing one can be made smaller. */
import { prng, type Prng } from '../support/prng.ts'
import { binaryRefusal, lastRequest, makeRequest, NOT_ALLOWED, type Asker, type Request } from './requests.ts'

export interface Plan {
  seed: number
  settings: Settings
  clients: ClientPlan[]
  faults: Fault[]
  events: Event[]
}

export interface Settings {
  version: '1.6.18' | '1.6.45'
  sharing: 'shared' | 'private'
  connections: number
  joinsGets: boolean
  isCoalescing: boolean
  inFlight: number
  requestBytes: number
  commands: readonly string[]
}

export interface ClientPlan {
  dialect: 'text' | 'binary'
  requests: Request[]
  /** How many requests leave together, in turn. */
  batches: number[]
  /** Waits for its replies before it sends the next batch. */
  waits: boolean
  /** Longest pause before it reads on, in ms. */
  readDelayMs: number
  leaves: Leaving | undefined
}

/** `reset`: gone at once. `end`: it sends no more, and still takes what it is owed. */
export interface Leaving { afterBatches: number, how: 'reset' | 'end' }

/** To the connection of memseal's to memcached with this number, counted from 0. */
export interface Fault {
  connection: number
  kind: 'refuse' | 'hang' | 'reset' | 'end' | 'stall' | 'garbage'
  /** Bytes of replies that it brings before. */
  afterBytes: number
}

export interface Event { atMs: number, kind: 'narrow' | 'other-backend' | 'drain' }

export const faultKinds: readonly Fault['kind'][] = ['refuse', 'hang', 'reset', 'end', 'stall', 'garbage']

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

export function forbiddenBy(commands: readonly string[]): Set<string> {
  const allowed = new Set(commands.flatMap(group => inGroup[group]))
  return new Set(ALL.filter(command => !allowed.has(command)))
}

export function makePlan(seed: number): Plan {
  const random = prng(seed)
  const settings: Settings = {
    version: random.pick(['1.6.18', '1.6.45']),
    sharing: random.chance(0.88) ? 'shared' : 'private',
    connections: random.chance(0.65) ? 1 : 2,
    joinsGets: random.chance(0.75),
    isCoalescing: random.chance(0.9),
    inFlight: random.chance(0.8) ? 1024 : random.between(1, 8),
    requestBytes: random.chance(0.85) ? 2 * 1024 * 1024 : 1024,
    commands: random.pick(commandSets),
  }
  const events: Event[] = []
  if (random.chance(0.08)) events.push({ atMs: random.between(0, 30), kind: 'narrow' })
  if (random.chance(0.08)) events.push({ atMs: random.between(0, 30), kind: 'other-backend' })
  if (random.chance(0.05)) events.push({ atMs: random.between(0, 60), kind: 'drain' })
  // Few have values that fill what is read into, and few have more in flight than the queue is made for.
  const kind = random.next()
  const isBulky = kind < 0.04
  const isDeep = kind > 0.97
  const most = isDeep ? 700 : random.pick([20, 40, 80, 160])
  const count = isDeep || isBulky ? random.between(1, 2) : random.between(1, 6)
  const narrows = events.some(event => event.kind === 'narrow')
  const clients = Array.from({ length: count }, (_, client) => clientPlan(random, settings, client, Math.ceil(most / count), { narrows, isBulky, isDeep }))
  return { seed, settings, clients, faults: random.chance(0.5) ? someFaults(random, settings) : [], events }
}

interface Kind { narrows: boolean, isBulky: boolean, isDeep: boolean }

function clientPlan(random: Prng, settings: Settings, client: number, most: number, { narrows, isBulky, isDeep }: Kind): ClientPlan {
  const dialect = random.chance(0.75) ? 'text' : 'binary'
  const asker: Asker = {
    random, client, dialect, version: settings.version, forbidden: forbiddenBy(settings.commands), isOpen: settings.commands[0] === 'all',
    mostBytes: isBulky ? 100_000 : random.chance(0.8) ? 200 : 40_000, isBulky,
  }
  const requests: Request[] = []
  for (let n = random.between(1, most); n > 0; n--) requests.push(makeRequest(asker, requests.length))
  requests.push(lastRequest(asker, requests.length))
  if (narrows) for (const request of requests) if (request.command !== 'mn' && request.command !== 'version') alsoRefused(request)
  const batches: number[] = []
  const isPipelining = isDeep || random.chance(0.6)
  for (let left = requests.length; left > 0;) {
    const size = Math.min(left, isPipelining ? random.between(1, isDeep ? 400 : 24) : 1)
    batches.push(size)
    left -= size
  }
  const leaves: Leaving | undefined = random.chance(0.15)
    ? { afterBatches: random.between(0, batches.length), how: random.pick(['reset', 'end'] as const) } : undefined
  return { dialect, requests, batches, waits: random.chance(0.6), readDelayMs: random.chance(0.85) ? 0 : random.between(1, 40), leaves }
}

function someFaults(random: Prng, { sharing }: Settings): Fault[] {
  return Array.from({ length: random.between(1, 3) }, () => {
    const kind = random.pick(faultKinds)
    const connection = random.between(0, 4)
    // On a client's own connection nobody can tell what memcached should not have said.
    const isTold = kind === 'garbage' && sharing === 'shared'
    return {
      connection: isTold ? 0 : connection, kind: kind === 'garbage' && !isTold ? 'reset' : kind,
      afterBytes: random.chance(0.8) ? random.between(0, 400) : random.between(0, 4000),
    }
  })
}

/** While the rules change, both answers are right. */
function alsoRefused(request: Request): void {
  const refused = makeRefused(request)
  if (!request.replies.includes(refused)) request.replies.push(refused)
}

function makeRefused({ bytes, binary }: Request): string {
  if (binary !== undefined) return binaryRefusal(binary.opcode, binary.opaque)
  return / noreply\r\n/.test(bytes) ? '' : NOT_ALLOWED
}
