/** What clients ask, and what they may be answered. One client's requests have keys that no other request has, so that a reply
 *  which goes astray is seen as such. */
import type { Prng } from '../support/prng.ts'
import { binaryReplyTo, quietOf, requestPacket, textReplyTo } from './model.ts'

export interface Request {
  /** For people: `c2n7 get c2n7_h20`. */
  name: string
  command: string
  bytes: string
  /** Replies that are right; '' is silence. */
  replies: string[]
  /** May be answered with an error of memseal's when a connection to memcached is lost. */
  canFail: boolean
  /** Keys of a read that are there. */
  hits: number
  /** How a binary error names the request. */
  binary?: { opcode: number, opaque: number }
  /** The connection may end with it. */
  ends?: true
}

export interface Asker {
  random: Prng
  client: number
  dialect: 'text' | 'binary'
  version: string
  /** Commands that the service refuses. */
  forbidden: ReadonlySet<string>
  isOpen: boolean
  /** Longest value. */
  mostBytes: number
  /** Many of them are that long. */
  isBulky: boolean
}

export const NOT_ALLOWED = 'CLIENT_ERROR memseal: command not allowed\r\n'

export function makeRequest(asker: Asker, n: number): Request {
  return asker.dialect === 'text' ? textRequest(asker, n) : binaryRequest(asker, n)
}

/** The last one of each client: its reply shows that all before it have come. */
export function lastRequest(asker: Asker, n: number): Request {
  if (asker.dialect === 'binary') return packet(asker, n, 0x0a, `c${asker.client}n${n}`, '', '')
  return plain(asker, n, 'get', ['get', `c${asker.client}n${n}_h9`])
}

function keyOf({ random, client, mostBytes, isBulky }: Asker, n: number, part = ''): string {
  const size = random.chance(isBulky ? 0.4 : 0.9) ? random.between(0, 60) : random.between(0, mostBytes)
  return `c${client}n${n}${part}_${random.chance(0.7) ? `h${size}` : 'm'}`
}

function plain(asker: Asker, n: number, command: string, words: string[], block?: string): Request {
  const name = `c${asker.client}n${n} ${words.join(' ')}`
  const isSilent = words.at(-1) === 'noreply'
  const bytes = `${words.join(' ')}\r\n${block === undefined ? '' : `${block}\r\n`}`
  if (asker.forbidden.has(command)) return { name, command, bytes, replies: [isSilent ? '' : NOT_ALLOWED], canFail: false, hits: 0 }
  const reply = words[0] === 'version' ? `VERSION ${asker.version}\r\n` : textReplyTo(words)
  return { name, command, bytes, replies: [reply], canFail: !isSilent, hits: isRead(command) ? hitsAmong(words.slice(1)) : 0 }
}

const isRead = (command: string): boolean => ['get', 'gets', 'gat', 'gats', 'mg'].includes(command)
const hitsAmong = (words: readonly string[]): number => words.filter(word => /^c\d+n\d+\w*_h\d+$/.test(word)).length

function textRequest(asker: Asker, n: number): Request {
  const { random } = asker
  const key = keyOf(asker, n)
  const roll = random.next()
  const noreply = random.chance(0.15) ? ['noreply'] : []
  if (roll < 0.34) return plain(asker, n, 'get', ['get', key])
  if (roll < 0.42) {
    const verb = random.pick(['get', 'gets', 'gat', 'gats'])
    const keys = Array.from({ length: random.between(1, 6) }, (_, at) => keyOf(asker, n, `k${at}`))
    return plain(asker, n, verb, [verb, ...verb.startsWith('gat') ? ['60'] : [], ...keys])
  }
  if (roll < 0.56) {
    const verb = random.pick(['set', 'set', 'set', 'add', 'replace', 'append', 'prepend', 'cas'])
    const block = blockOf(asker)
    return plain(asker, n, verb, [verb, key, '7', '0', String(block.length), ...verb === 'cas' ? ['99'] : [], ...noreply], block)
  }
  if (roll < 0.61) return plain(asker, n, 'incr', [random.pick(['incr', 'decr']), key, '1', ...noreply].flat())
  if (roll < 0.65) return plain(asker, n, 'delete', ['delete', key, ...noreply])
  if (roll < 0.68) return plain(asker, n, 'touch', ['touch', key, '60', ...noreply])
  if (roll < 0.86) return metaRequest(asker, n, key)
  if (roll < 0.9) return plain(asker, n, 'mn', ['mn'])
  if (roll < 0.93) return plain(asker, n, 'version', ['version'])
  if (roll < 0.95) return plain(asker, n, 'flush_all', ['flush_all', ...noreply])
  if (roll < 0.965) return plain(asker, n, 'stats', random.chance(0.5) ? ['stats'] : ['stats', 'settings'])
  if (roll < 0.975) return plain(asker, n, 'me', ['me', key])
  if (roll < 0.985) return unknownLine(asker, n)
  return plain(asker, n, 'get', ['get', key])
}

function blockOf({ random, mostBytes }: Asker): string {
  const size = random.chance(0.92) ? random.between(0, 60) : random.between(0, mostBytes)
  return 'get x\r\nEND\r\nset y 0 0 3\r\n\x80\0'.repeat(Math.ceil(size / 28)).slice(0, size)
}

/** Who is allowed everything gets memcached's own answer, and everybody else a refusal. */
function unknownLine({ client, isOpen }: Asker, n: number): Request {
  const words = `nonsense c${client}n${n}`
  return { name: `c${client}n${n} ${words}`, command: 'nonsense', bytes: `${words}\r\n`, replies: [isOpen ? 'ERROR\r\n' : NOT_ALLOWED], canFail: isOpen, hits: 0 }
}

function metaRequest(asker: Asker, n: number, key: string): Request {
  const { random } = asker
  const verb = random.pick(['mg', 'mg', 'mg', 'mg', 'ms', 'md', 'ma'])
  const flags: string[] = []
  const some = (flag: string, chance: number): void => void (random.chance(chance) && flags.push(flag))
  some('k', 0.3)
  some(`O${asker.client}x${n}`, 0.3)
  some('q', 0.4)
  if (verb === 'mg') {
    some('v', 0.7)
    some('f', 0.3)
    some('s', 0.2)
  }
  if (verb === 'ma') some('v', 0.3)
  if (verb === 'mg' || verb === 'ms') some('c', 0.2)
  for (let at = flags.length - 1; at > 0; at--) {
    const other = random.between(0, at)
    ;[flags[at], flags[other]] = [flags[other], flags[at]]
  }
  if (verb !== 'ms') return plain(asker, n, verb, [verb, key, ...flags])
  const block = blockOf(asker)
  return plain(asker, n, verb, [verb, key, String(block.length), ...flags], block)
}

function packet(asker: Asker, n: number, opcode: number, key: string, extras: string, value: string): Request {
  const opaque = asker.random.pick([0, 0xffffffff, asker.random.between(0, 0xffffffff), n])
  const bytes = requestPacket({ opcode, opaque, extras, key: opcode === 0x0a || opcode === 0x0b || opcode === 0x10 || opcode === 0x08 || opcode === 0x18 ? '' : key, value })
  const command = commandOf[opcode]
  const name = `c${asker.client}n${n} ${command} 0x${opcode.toString(16)} ${key} opaque ${opaque}`
  if (asker.forbidden.has(command)) return { name, command, bytes, replies: [binaryRefusal(opcode, opaque)], canFail: false, hits: 0 }
  return { name, command, bytes, replies: [binaryReplyTo({ opcode, opaque, key }, asker.version)], canFail: true, hits: isRead(command) ? hitsAmong([key]) : 0, binary: { opcode, opaque } }
}

export function binaryRefusal(opcode: number, opaque: number): string {
  const words = 'memseal: command not allowed'
  const made = Buffer.alloc(24 + words.length)
  made[0] = 0x81
  made[1] = opcode
  made.writeUInt16BE(REFUSED, 6)
  made.writeUInt32BE(words.length, 8)
  made.writeUInt32BE(opaque, 12)
  made.write(words, 24)
  return made.toString('latin1')
}
const REFUSED = 0x20

const commandOf: Record<number, string> = {}
for (const [opcode, name] of Object.entries({
  0x00: 'get', 0x0c: 'get', 0x1d: 'gat', 0x01: 'set', 0x02: 'add', 0x03: 'replace', 0x0e: 'append', 0x0f: 'prepend', 0x04: 'delete', 0x05: 'incr', 0x06: 'decr',
  0x1c: 'touch', 0x08: 'flush_all', 0x0a: 'mn', 0x0b: 'version', 0x10: 'stats',
})) {
  commandOf[Number(opcode)] = name
  if (quietOf[Number(opcode)] !== undefined) commandOf[quietOf[Number(opcode)]] = name
}

/** Extras of incr and decr: one, and with that time of expiry no counter is made where there was none. */
const ONE_IF_THERE = '\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff'

function binaryRequest(asker: Asker, n: number): Request {
  const { random } = asker
  const key = keyOf(asker, n)
  const roll = random.next()
  const ask = (loud: number, extras: string, value: string): Request => {
    const quiet = quietOf[loud]
    return packet(asker, n, quiet !== undefined && random.chance(0.4) ? quiet : loud, key, extras, value)
  }
  if (roll < 0.5) return ask(random.pick([0x00, 0x00, 0x0c]), '', '')
  if (roll < 0.55) return ask(0x1d, '\0\0\0\x3c', '')
  if (roll < 0.7) return ask(random.pick([0x01, 0x01, 0x02, 0x03]), '\0\0\0\x07\0\0\0\0', blockOf(asker))
  if (roll < 0.74) return ask(random.pick([0x0e, 0x0f]), '', blockOf(asker))
  if (roll < 0.79) return ask(0x04, '', '')
  if (roll < 0.85) return ask(random.pick([0x05, 0x06]), ONE_IF_THERE, '')
  if (roll < 0.88) return ask(0x1c, '\0\0\0\x3c', '')
  if (roll < 0.93) return ask(0x0a, '', '')
  if (roll < 0.96) return ask(0x0b, '', '')
  if (roll < 0.98) return ask(0x08, '', '')
  return ask(0x10, '', '')
}
