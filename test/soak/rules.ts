/** Conversations that a rule allows, mutilated so that they try to get past it: to keys of others, to commands that it does not
 *  name. A real memcached behind the real service says what arrived: items that nobody may touch must be as they were, nothing may be
 *  there that nobody could have stored, and no client may have seen a secret.
 *
 *      node test/soak/rules.ts [conversations] [seed]        a round again: node test/soak/rules.ts 500 <seed of the round> */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { loadText } from '../../src/config/load.ts'
import { Clock } from '../../src/lib/clock.ts'
import { Service } from '../../src/proxy/service.ts'
import { Turn } from '../../src/proxy/turn.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { packet } from '../proto/binary.ts'
import { prng, type Prng } from '../support/prng.ts'
import { connect as dial, type Wire } from '../support/wire.ts'

const web = { name: 'web', match: 'everyone', commands: ['read', 'write', 'arithmetic'], keys: ['web:*'], deny_keys: ['web:secret*'] }
/** May read some items, and change none of them: not by a flag of a read either. */
const readers = { name: 'readers', match: 'everyone', commands: ['read'], keys: ['ro:*'] }
const ways = [{ sharing: 'shared' }, { sharing: 'private' }, { sharing: 'shared', join_gets: 'off' }].flatMap(backend => [{ rule: web, backend }, { rule: readers, backend }])
const ROUND = 500
const AT_ONCE = 50
/** Which nobody may touch; and which some may read. */
const GUARDED = ['other:1', 'web:secret', 'web']
const READABLE = ['ro:1', 'ro:2']

export interface Fuzzed { conversations: number, bytes: number, answered: number, refused: number }

/** @param isOver asked between two rounds   @throws at the first fault, with what repeats it */
export async function fuzzRules(memcachedPort: number, conversations: number, seed: number, isOver: () => boolean = () => false): Promise<Fuzzed> {
  const scene = await Scene.open(memcachedPort, seed)
  const done: Fuzzed = { conversations: 0, bytes: 0, answered: 0, refused: 0 }
  try {
    for (let round = 0; done.conversations < conversations && !isOver(); round++) {
      const roundSeed = (seed + Math.imul(round, 0x9e3779b1)) >>> 0
      const random = prng(roundSeed)
      const talks = Array.from({ length: Math.min(ROUND, conversations - done.conversations) }, () => ({ bytes: conversation(random), port: random.pick(scene.ports), cuts: random.between(0, 4), seed: random.between(0, 1e9) }))
      const queue = [...talks]
      const next = async (): Promise<void> => {
        for (let talk = queue.pop(); talk !== undefined; talk = queue.pop()) {
          const got = await scene.talk(talk.port, cut(prng(talk.seed), talk.bytes, talk.cuts))
          done.bytes += talk.bytes.length
          if (got.length > 0) done.answered++
          if (got.includes('not allowed')) done.refused++
          if (got.includes(scene.secret)) throw new Error(`a client saw a secret: \`node test/soak/rules.ts ${ROUND} ${roundSeed}\`: ${JSON.stringify(talk.bytes.toString('latin1'))}`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, next))
      const wrong = await scene.look()
      if (wrong !== undefined) throw new Error(`${wrong}: \`node test/soak/rules.ts ${ROUND} ${roundSeed}\``)
      done.conversations += talks.length
    }
  } finally {
    scene.close()
  }
  return done
}

class Scene {
  readonly secret: string
  readonly #direct: Wire
  readonly #services: Service[] = []
  readonly #fronts: Server[] = []
  readonly #clock = new Clock()
  #guarded: Record<string, string> = {}
  #settings = ''

  static async open(memcachedPort: number, seed: number): Promise<Scene> {
    const scene = new Scene(await dial({ port: memcachedPort }), `only-others-may-see-${seed}`)
    await scene.#prepare(memcachedPort)
    return scene
  }

  constructor(direct: Wire, secret: string) {
    this.#direct = direct
    this.secret = secret
  }

  get ports(): number[] {
    return this.#fronts.map(front => (front.address() as AddressInfo).port)
  }

  async #prepare(memcachedPort: number): Promise<void> {
    for (const key of GUARDED) await this.#ask(`set ${key} 5 0 ${this.secret.length}\r\n${this.secret}\r\n`, 'STORED\r\n')
    for (const key of READABLE) await this.#ask(`set ${key} 0 10000 1\r\n7\r\n`, 'STORED\r\n')
    this.#guarded = await this.#debug()
    this.#settings = await this.#ask('stats settings\r\n', 'END\r\n')
    const turn = new Turn()
    const { log } = createLogger({ level: 'silent', format: 'json', file: '-' }, { write: () => {} })
    for (const { rule, backend } of ways) {
      const { config } = loadText(JSON.stringify({ services: { cache: {
        listen: '127.0.0.1:1', access: [rule], limits: { request_size: '4KiB', request_timeout: '2s' }, backend: { connect: `127.0.0.1:${memcachedPort}`, ...backend },
      } } }), 'fuzz.yaml', { environment: {} })
      const service = new Service('cache', config!.services['cache'], { clock: this.#clock, turn, log })
      const front = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, socket => {
        service.serve(socket, { id: 'c', service: 'cache', listener: 'fuzz', address: '127.0.0.1', countedAs: '127.0.0.1', port: 0 })
      })
      await once(front.listen(0, '127.0.0.1'), 'listening')
      this.#services.push(service)
      this.#fronts.push(front)
    }
  }

  /** What one client gets for all that it says, up to the end. */
  async talk(port: number, pieces: readonly Buffer[]): Promise<Buffer> {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const got: Buffer[] = []
    socket.on('data', (chunk: Buffer) => { got.push(chunk) })
    socket.on('error', () => {})
    const closed = new Promise<unknown>(resolve => { socket.once('close', resolve) })
    for (const [at, piece] of pieces.entries()) {
      if (socket.destroyed) break
      socket.write(piece)
      if (at < pieces.length - 1) await new Promise(setImmediate)
    }
    socket.end()
    socket.once('end', () => { socket.destroy() })
    await closed
    return Buffer.concat(got)
  }

  /** @returns what is not as it was */
  async look(): Promise<string | undefined> {
    const now = await this.#debug()
    for (const key of [...GUARDED, ...READABLE]) if (now[key] !== this.#guarded[key]) return `${key} was ${this.#guarded[key]}, and is ${now[key]}`
    const settings = await this.#ask('stats settings\r\n', 'END\r\n')
    if (settings !== this.#settings) return 'settings of memcached are others'
    const stats = await this.#ask('stats\r\n', 'END\r\n')
    for (const [name, words] of [['cmd_flush', 'flushed'], ['delete_hits', 'asked to delete'], ['delete_misses', 'asked to delete'], ['log_watchers', 'watched'], ['auth_cmds', 'logged in to']]) {
      const count = new RegExp(`STAT ${name} (\\d+)`).exec(stats)?.[1]
      if (count !== undefined && count !== '0') return `memcached was ${words}`
    }
    const dump = await this.#ask('lru_crawler metadump all\r\n', 'END\r\n')
    const keys = [...dump.matchAll(/^key=(\S+)/gm)].map(match => decodeURIComponent(match[1].replace(/%(?=[89A-F])/gi, '%25')))
    const strange = keys.find(key => !GUARDED.includes(key) && !READABLE.includes(key) && !(key.startsWith('web:') && !key.startsWith('web:secret')))
    if (strange !== undefined) return `there is an item ${JSON.stringify(strange)}`
    const own = keys.filter(key => key.startsWith('web:') && key !== 'web:secret' && /^[\x21-\x7e]+$/.test(key))
    for (const key of own) void this.#direct.write(`touch ${key} -1 noreply\r\n`)
    await this.#ask('mn\r\n', 'MN\r\n')
    return undefined
  }

  /** `me` says of an item when it was last read and written, and asks nothing of it. The time since changes by itself. */
  async #debug(): Promise<Record<string, string>> {
    const shown: Record<string, string> = {}
    for (const key of GUARDED) shown[key] = (await this.#ask(`me ${key}\r\n`, '\r\n')).replace(/ la=\d+/, '')
    // When it ends is in seconds from now: what is far from what it was has been touched.
    for (const key of READABLE) shown[key] = (await this.#ask(`me ${key}\r\n`, '\r\n')).replace(/ la=\d+| fetch=\w+/g, '').replace(/ exp=(-?\d+)/, (_, left) => Math.abs(Number(left)) > 5000 ? ' exp=far' : ` exp=${left}`)
    return shown
  }

  async #ask(request: string, end: string): Promise<string> {
    void this.#direct.write(request)
    return (await this.#direct.readUntil(end)).toString('latin1')
  }

  close(): void {
    for (const front of this.#fronts) front.close()
    for (const service of this.#services) service.close('drain')
    this.#clock.stop()
    this.#direct.destroy()
  }
}

// What is said.

const keys = ['web:1', 'web:2', 'web:a', 'ro:1', 'ro:1', 'ro:2', `web:${'x'.repeat(246)}`]
const others = ['other:1', 'web:secret', 'web:secret', 'web', 'other:2', 'Web:1', 'web:secret2', `web:${'x'.repeat(247)}`, 'noreply', '', 'ro:3', 'ro']
const datas = ['', 'x', 'delete web:1', 'get other:1\r\n', 'flush_all\r\n', '\r\nget web:secret\r\n', 'x'.repeat(30), 'x'.repeat(5000)]
const forbidden = ['flush_all', 'flush_all noreply', 'delete web:1', 'delete web:1 noreply', 'md web:1 q', 'stats', 'stats settings', 'stats cachedump 1 10', 'lru_crawler metadump all',
  'watch fetchers', 'verbosity 2', 'cache_memlimit 1', 'shutdown', 'get web:secret', 'get web:1 other:1', 'gat 0 other:1', 'mg other:1 v', 'mg b3RoZXI6MQ== b v', 'me other:1', 'touch other:1 100',
  'incr other:1 1', 'ma other:1 N0', 'set auth 0 0 3\r\na b', 'lru tune 1 2 3', 'slabs automove 1', 'stats detail on', 'stats reset', 'mg ro:1 v T60', 'mg ro:3 v N60', 'gat 60 ro:1', 'touch ro:1 60', 'incr ro:1 1', 'ma ro:1', 'append ro:1 0 0 1\r\nx', 'ms ro:1 1 T60\r\n8', 'md ro:1 I T30', 'mg ro:1 E7', 'extstore free_memchunks 1 2', 'gats 0 web:secret']

function conversation(random: Prng): Buffer {
  const isBinary = random.chance(0.4)
  const whole = Buffer.concat(Array.from({ length: random.between(1, 6) }, () => isBinary ? binaryRequest(random) : Buffer.from(textRequest(random), 'latin1')))
  return random.chance(0.35) ? whole : mutilated(random, whole)
}

function textRequest(random: Prng): string {
  const key = random.chance(0.75) ? random.pick(keys) : random.pick(others)
  const data = random.pick(datas)
  const said = data.length + (random.chance(0.85) ? 0 : random.between(-3, 3))
  const end = random.chance(0.15) ? ' noreply\r\n' : '\r\n'
  const many = Array.from({ length: random.between(1, 5) }, () => random.chance(0.85) ? random.pick(keys) : random.pick(others)).join(random.chance(0.9) ? ' ' : '  ')
  const isBase64 = random.chance(0.2)
  const metaKey = isBase64 ? Buffer.from(key).toString('base64') : key
  const flags = `${isBase64 ? ' b' : ''}${random.chance(0.3) ? ' q' : ''}${random.chance(0.3) ? ' k' : ''}${random.chance(0.2) ? ' Oabc' : ''}`
  switch (random.between(0, 12)) {
    case 0: return `get ${many}\r\n`
    case 1: return `gets ${many}\r\n`
    case 2: return `gat 100 ${many}\r\n`
    case 3: return `${random.pick(['set', 'add', 'replace', 'append', 'prepend'])} ${key} 0 0 ${said}${end.slice(0, -2)}\r\n${data}\r\n`
    case 4: return `cas ${key} 0 0 ${said} ${random.between(0, 99)}${end.slice(0, -2)}\r\n${data}\r\n`
    case 5: return `incr ${key} 1${end}`
    case 6: return `touch ${key} 100${end}`
    case 7: return `mg ${metaKey} v t${flags}${random.pick(['', '', '', ' N30', ' T30', ' R30', ' E5'])}\r\n`
    case 8: return `ms ${metaKey} ${said}${flags}\r\n${data}\r\n`
    case 9: return `ma ${metaKey} N0${flags}\r\n`
    case 10: return `me ${metaKey}${isBase64 ? ' b' : ''}\r\n`
    case 11: return `${random.pick(forbidden)}\r\n`
    default: return random.pick(['mn\r\n', 'version\r\n', 'quit\r\n', '\r\n'])
  }
}

function binaryRequest(random: Prng): Buffer {
  const opcode = random.chance(0.7) ? random.pick([0x00, 0x01, 0x02, 0x05, 0x09, 0x0c, 0x0d, 0x0e, 0x11, 0x1c, 0x1d, 0x1e, 0x23, 0x0a, 0x0b]) : random.between(0, 0x50)
  const extras = [0x01, 0x02, 0x03, 0x11, 0x12, 0x13].includes(opcode) ? 8 : [0x05, 0x06, 0x15, 0x16].includes(opcode) ? 20 : [0x1c, 0x1d, 0x1e, 0x23, 0x24].includes(opcode) ? 4 : 0
  const hasKey = ![0x07, 0x08, 0x0a, 0x0b, 0x17, 0x18].includes(opcode)
  const hasValue = [0x01, 0x02, 0x03, 0x0e, 0x0f, 0x11, 0x12, 0x13, 0x19, 0x1a].includes(opcode)
  const key = !hasKey ? '' : random.chance(0.75) ? random.pick(keys) : random.pick(others)
  const value = hasValue ? random.pick(datas.slice(0, -1)) : ''
  const odd = random.chance(0.1)
  return packet({
    opcode, extras: Buffer.alloc(extras), key, value, opaque: random.between(0, 5),
    ...odd && { keyBytes: Math.max(0, Buffer.byteLength(key) + random.between(-4, 4)) }, ...odd && random.chance(0.5) && { body: Math.max(0, extras + key.length + value.length + random.between(-9, 30)) },
  })
}

const bits = ['\r\n', '\n', '\r', ' ', '\0', '\t', ' noreply', ' other:1', 'other:1', 'web:secret', 'get ', '\r\nflush_all\r\n', '\r\ndelete web:1\r\n', ' b', ' q', '-1', '0', '99999999999', '\x80', '*', '%']

function mutilated(random: Prng, bytes: Buffer): Buffer {
  let text = bytes.toString('latin1')
  for (let times = random.between(1, 4); times > 0; times--) {
    const at = random.between(0, text.length)
    const kind = random.between(0, 5)
    if (kind === 0) text = text.slice(0, at) + random.pick(bits) + text.slice(at)
    else if (kind === 1) text = text.slice(0, at) + text.slice(at + random.between(1, 4))
    else if (kind === 2) text = text.slice(0, at) + String.fromCharCode(random.between(0, 255)) + text.slice(at + 1)
    else if (kind === 3) text = text.slice(0, at) + `${random.pick(forbidden)}\r\n` + text.slice(at)
    else if (kind === 4) text = text.replace(/web:1|web:a|web:2|ro:1/, random.pick(others))
    else text = text.slice(0, at) + text.slice(0, at)
  }
  return Buffer.from(text.slice(0, 20_000), 'latin1')
}

function cut(random: Prng, bytes: Buffer, cuts: number): Buffer[] {
  const places = Array.from({ length: cuts }, () => random.between(0, bytes.length)).sort((a, b) => a - b)
  return [0, ...places].map((from, at) => bytes.subarray(from, places[at] ?? bytes.length)).filter((piece, at) => piece.length > 0 || at === 0)
}

if (import.meta.main) {
  const { startMemcached } = await import('../support/memcached.ts')
  const [conversations = 100_000, seed = Date.now() % 1e9] = process.argv.slice(2).map(Number)
  const memcached = await startMemcached({ args: ['-t', '1', '-A', '-m', '256'] })
  console.log(`rules: ${conversations} conversations, seed ${seed}`)
  try {
    console.log(JSON.stringify(await fuzzRules(memcached.port, conversations, seed)))
  } finally {
    await memcached.stop()
  }
}
