// The simulator's memcached is held against a real one: what it answers to the requests of the histories, memcached of each
// release (npm run test:releases) answers too. A key tells its outcome, and here memcached is brought to it before the request
// goes out. What the model does not claim is masked: cas, counters, the numbers of statistics and of `me`.
import { beforeAll, describe, expect, test } from 'vitest'
import { startMemcached, type Memcached } from '../support/memcached.ts'
import { prng } from '../support/prng.ts'
import { connect, type Wire } from '../support/wire.ts'
import { HEADER, itemOf, ModelConnection, quietOf, valueText } from './model.ts'
import { makeRequest, nameOf, type Asker, type Request } from './requests.ts'

const REQUESTS = 3000
const MOST_BYTES = 5000
const OUT_OF_MEMORY = 'SERVER_ERROR out of memory storing object\r\n'

const NOOP = '\x80\x0a\0\0\0\0\0\0\0\0\0\0\xf3\x4c\x3e\x01\0\0\0\0\0\0\0\0'
const FENCE = { text: ['mg fence Of3nce\r\n', 'EN Of3nce\r\n'], binary: [NOOP, NOOP.replace('\x80', '\x81')] } as const

let memcached: Memcached
/** Takes nothing more: its memory is full, and it may evict nothing. */
let full: Memcached
let version: string

beforeAll(async () => {
  memcached = await startMemcached({ args: ['-t', '1'] })
  full = await startMemcached({ args: ['-t', '1', '-m', '2', '-M', '-o', 'no_slab_reassign'] })
  version = (await (await connect(memcached)).ask('version\r\n', 'VERSION 1.6.18\r\n'.length)).split(/[ \r]/)[1]
  return async () => {
    await memcached.stop()
    await full.stop()
  }
})

describe.each(['text', 'binary'] as const)('%s', dialect => {
  test('the model answers as memcached does', async () => {
    const asker: Asker = { random: prng(10), client: 0, dialect, version, forbidden: new Set(), isOpen: true, deniesKeys: false, mostBytes: MOST_BYTES, longShare: 0.1 }
    const places = { memcached: await Place.of(memcached, dialect), full: await Place.of(full, dialect) }
    const different: unknown[] = []
    for (let n = 0; n < REQUESTS; n++) {
      const request = makeRequest(asker, n)
      const said = new ModelConnection(version, { asked: () => {} }).takes(request.bytes)
      expect(request.replies).toEqual([said])
      const isFull = isRefusedForMemory(request, said)
      const reply = await (isFull ? places.full : places.memcached).ask(request, isFull)
      const [model, real] = [said, reply].map(each => dialect === 'text' ? maskText(request, each) : maskPackets(each))
      if (model !== real) different.push({ request: nameOf(0, n, request), model, real })
    }
    expect(different.slice(0, 20)).toEqual([])
  })
})

/** One memcached: a connection of the dialect, and one that brings it to what a key tells. */
class Place {
  readonly #setup: Wire
  readonly #wire: Wire
  readonly #dialect: 'text' | 'binary'
  #filled = 0

  constructor(setup: Wire, wire: Wire, dialect: 'text' | 'binary') {
    this.#setup = setup
    this.#wire = wire
    this.#dialect = dialect
  }

  static async of(place: Memcached, dialect: 'text' | 'binary'): Promise<Place> {
    return new Place(await connect(place), await connect(place), dialect)
  }

  async ask(request: Request, isFull: boolean): Promise<string> {
    const words = this.#dialect === 'text' ? request.bytes.slice(0, request.bytes.indexOf('\r\n')).split(' ') : undefined
    if (isFull) await this.#fill(words![1], Number(words![4]))
    else await heard(this.#setup, words === undefined ? beforePacket(request) : beforeLine(words), FENCE.text)
    const bytes = words === undefined ? request.bytes : await this.#adapted(request, words)
    return heard(this.#wire, bytes, FENCE[this.#dialect])
  }

  /** What a history cannot know beforehand. */
  async #adapted({ bytes, replies: [reply] }: Request, words: string[]): Promise<string> {
    const [verb, key] = words
    // Its own unique number, where the number is to be the right one.
    if (verb === 'cas' && (reply.startsWith('STORED') || (reply === '' && itemOf(key).isHit))) {
      const [value] = (await heard(this.#setup, `gets ${key}\r\n`, FENCE.text)).split('\r\n')
      return bytes.replace(' 99', ` ${value.split(' ')[4]}`)
    }
    // One that only replaces is not stored where nothing was.
    if (verb === 'ms' && !itemOf(key).isHit) return bytes.replace('\r\n', ' MR\r\n')
    return bytes
  }

  /** Until nothing of that size has room any more. */
  async #fill(key: string, bytes: number): Promise<void> {
    for (let count = 1; ; count = 1000) {
      // Never one that was there: a value that is refused for its memory takes the one before it along, and leaves room.
      const names = Array.from({ length: count }, () => `f${(this.#filled++).toString(36)}`.padEnd(key.length, '.'))
      const replies = await heard(this.#setup, names.map(name => `set ${name} 7 0 ${bytes}\r\n${'v'.repeat(bytes)}\r\n`).join(''), FENCE.text)
      if (replies.endsWith(OUT_OF_MEMORY)) return
    }
  }
}

/** Everything that came for `bytes`, silence included. */
async function heard(wire: Wire, bytes: string, [fence, answer]: readonly [string, string]): Promise<string> {
  void wire.write(bytes + fence)
  return (await wire.readUntil(Buffer.from(answer, 'latin1'))).toString('latin1').slice(0, -answer.length)
}

const isRefusedForMemory = ({ command, bytes }: Request, reply: string): boolean => {
  if (reply === OUT_OF_MEMORY) return true
  return ['set', 'add', 'replace', 'append', 'prepend'].includes(command) && bytes.includes(' noreply\r\n') &&
    new ModelConnection('', { asked: () => {} }).takes(bytes.replace(' noreply', '')) === OUT_OF_MEMORY
}

const stored = (key: string, value: string, flags = '0'): string => `set ${key} ${flags} 0 ${value.length} noreply\r\n${value}\r\n`
const absent = (key: string): string => `delete ${key} noreply\r\n`
/** As a get is to find it. */
function asTold(key: string): string {
  const { isHit, value } = itemOf(key)
  return isHit ? stored(key, value, valueText(key, false).split(' ')[2]) : absent(key)
}

/** @returns what brings memcached to the outcome */
function beforeLine(words: string[]): string {
  const [verb, key] = words
  switch (verb) {
    case 'get': case 'gets': return words.slice(1).map(asTold).join('')
    case 'gat': case 'gats': return words.slice(2).map(asTold).join('')
    case 'add': return itemOf(key).isHit ? absent(key) : stored(key, 'there')
    case 'incr': case 'decr': {
      const isNumber = !new ModelConnection('', { asked: () => {} }).takes(`${verb} ${key} 1\r\n`).startsWith('CLIENT_ERROR')
      return itemOf(key).isHit ? stored(key, isNumber ? '41' : 'no number') : absent(key)
    }
    case 'ma': return itemOf(key).isHit ? stored(key, '41') : absent(key)
    case 'set': case 'replace': case 'append': case 'prepend': case 'cas': case 'delete': case 'touch': case 'mg': case 'ms': case 'md': case 'me': return asTold(key)
    default: return ''
  }
}

const counting = new Set([0x05, 0x06].flatMap(loud => [loud, quietOf[loud]]))
const adding = new Set([0x02, quietOf[0x02]])

function beforePacket({ bytes }: Request): string {
  const head = Buffer.from(bytes.slice(0, HEADER), 'latin1')
  const key = bytes.slice(HEADER + head[4], HEADER + head[4] + head.readUInt16BE(2))
  if (key === '') return ''
  if (adding.has(head[1])) return itemOf(key).isHit ? absent(key) : stored(key, 'there')
  return counting.has(head[1]) && itemOf(key).isHit ? stored(key, '41') : asTold(key)
}

function maskText({ bytes }: Request, reply: string): string {
  switch (bytes.slice(0, bytes.search(/[ \r]/))) {
    case 'gets': case 'gats': return reply.replace(/(VALUE \S+ \d+ \d+ )\d+(?=\r\n)/g, '$1#')
    case 'incr': case 'decr': return reply.replace(/^\d+/, '#')
    case 'mg': case 'ms': return reply.replace(/^[^\r]*/, line => line.replace(/ c\d+/, ' c#'))
    case 'me': return reply.replace(/^(ME \S+) .*/, '$1 #')
    case 'stats': return [...new Set(reply.split('\r\n').map(line => line.replace(/^STAT \S+ .*/, 'STAT')))].join('\n')
    default: return reply
  }
}

function maskPackets(reply: string): string {
  const bytes = Buffer.from(reply, 'latin1')
  const packets: string[] = []
  for (let at = 0; at < bytes.length;) {
    const opcode = bytes[at + 1]
    const end = at + HEADER + bytes.readUInt32BE(at + 8)
    const status = bytes.readUInt16BE(at + 6)
    const isCounter = counting.has(opcode) && status === 0
    const isStatistic = opcode === 0x10 && end > at + HEADER
    const body = isCounter ? `${end - at - HEADER} bytes` : isStatistic ? 'STAT' : reply.slice(at + HEADER, end)
    const packet = `${isStatistic ? 'lengths' : reply.slice(at, at + 12)} status ${status} opaque ${bytes.readUInt32BE(at + 12)} ${body}`
    if (!isStatistic || packet !== packets.at(-1)) packets.push(packet)
    at = end
  }
  return packets.join('\n')
}
