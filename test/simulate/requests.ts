/** What clients ask, and what they may be answered. One client's requests have keys that no other request has, so that a reply
 *  which goes astray is seen as such. */
import type { Prng } from '../support/prng.ts'
import { answerTo, binaryName, binaryReplyTo, itemOf, quietOf, requestPacket, uint16, uint32 } from './model.ts'

export interface Request {
  command: string
  bytes: string
  /** Replies that are right; '' is silence. */
  replies: string[]
  /** May be answered with an error of memseal's when a connection to memcached is lost. */
  canFail: boolean
  /** Keys of a read that are there. */
  hits: number
  /** How a binary error names the request. */
  binary: { opcode: number, opaque: number } | undefined
}

export interface Asker {
  random: Prng
  client: number
  dialect: 'text' | 'binary'
  version: string
  /** Commands that the service refuses. */
  forbidden: ReadonlySet<string>
  isOpen: boolean
  /** A rule forbids keys of a kind (see `isForbiddenKey`); `perhaps`: a reload begins or ends that. */
  deniesKeys: boolean | 'perhaps'
  /** Longest value. */
  mostBytes: number
  /** Share of values and data blocks that may be that long. */
  longShare: number
}

/** What a rule forbids, as `deny_keys` has it. */
export const FORBIDDEN_KEYS = 'c*3_*'
export const isForbiddenKey = (key: string): boolean => key.includes('3_')

export const KEY_REFUSED = 'CLIENT_ERROR memseal: key not allowed\r\n'

function keyRefusal({ bytes, binary }: Pick<Request, 'bytes' | 'binary'>): string {
  if (binary !== undefined) return binaryRefusal(binary.opcode, binary.opaque, 'memseal: key not allowed')
  return / noreply\r\n/.test(bytes) ? '' : KEY_REFUSED
}

/** With a key of that kind it is refused, or perhaps. */
function withRules(request: Request, hasForbiddenKey: boolean, { deniesKeys }: Asker): Request {
  if (!hasForbiddenKey || deniesKeys === false) return request
  const refused = keyRefusal(request)
  if (deniesKeys === true) return { ...request, replies: [refused], canFail: false, hits: 0 }
  if (!request.replies.includes(refused)) request.replies.push(refused)
  return request
}

/** What a client is told that may not. */
export function notAllowed({ command, bytes, binary }: Pick<Request, 'command' | 'bytes' | 'binary'>): string {
  if (binary !== undefined) return binaryRefusal(binary.opcode, binary.opaque)
  if (/ noreply\r\n/.test(bytes)) return ''
  if (command === 'nonsense') return 'ERROR\r\n'
  return command === 'stats' ? 'STAT memseal command_not_allowed\r\nEND\r\n' : 'CLIENT_ERROR memseal: command not allowed\r\n'
}

/** For people: `c2n7 get c2n7_h20`. */
export function nameOf(client: number, n: number, { bytes, binary, command }: Request): string {
  const words = binary === undefined ? bytes.slice(0, bytes.indexOf('\r\n')) : `${command} 0x${binary.opcode.toString(16)} opaque ${binary.opaque}`
  return `c${client}n${n} ${words}`
}

export function makeRequest(asker: Asker, n: number): Request {
  return asker.dialect === 'text' ? textRequest(asker, n) : binaryRequest(asker, n)
}

/** The last one of each client: its reply shows that all before it have come. */
export function lastRequest(asker: Asker, n: number): Request {
  if (asker.dialect === 'binary') return packet(asker, n, 0x0a, `c${asker.client}n${n}`, '', '')
  return plain(asker, 'get', `get c${asker.client}n${n}_h9`)
}

/** Answered, and followed by a fence of memseal's own. */
export function quietGet(asker: Asker, n: number): Request {
  return packet(asker, n, 0x09, `c${asker.client}n${n}_h9`, '', '')
}

/** Not followed: where all is allowed, everything passes unread from here on. */
export function statistics(asker: Asker, n: number): Request {
  return packet(asker, n, 0x10, '', '', '')
}

function keyOf({ random, client, mostBytes, longShare }: Asker, n: number, part = ''): string {
  const isHit = random.chance(0.7)
  const size = !isHit ? 0 : random.chance(1 - longShare) ? random.between(0, 60) : random.between(0, mostBytes)
  // Misses are as long as hits, so that nothing but the key itself tells the one from the other.
  return `c${client}n${n}${part}_${isHit ? `h${size}` : `m${random.between(0, 60)}`}`
}

function plain(asker: Asker, command: string, line: string, block?: string): Request {
  const bytes = block === undefined ? `${line}\r\n` : `${line}\r\n${block}\r\n`
  if (asker.forbidden.has(command)) {
    return { command, bytes, replies: [notAllowed({ command, bytes, binary: undefined })], canFail: false, hits: 0, binary: undefined }
  }
  const answer = answerTo(line)
  const reply = command === 'version' ? `VERSION ${asker.version}\r\n` : answer.reply
  let hits = 0
  if (isRead.has(command)) for (const { isHit } of answer.items) if (isHit) hits++
  const request = { command, bytes, replies: [reply], canFail: !line.endsWith(' noreply'), hits, binary: undefined }
  return withRules(request, answer.items.some(({ key }) => isForbiddenKey(key)), asker)
}

const isRead: ReadonlySet<string> = new Set(['get', 'gets', 'gat', 'gats', 'mg'])

function textRequest(asker: Asker, n: number): Request {
  const { random } = asker
  const roll = random.next()
  if (roll < 0.34) return plain(asker, 'get', `get ${keyOf(asker, n)}`)
  if (roll < 0.42) {
    const verb = random.pick(['get', 'gets', 'gat', 'gats'])
    let line = verb.startsWith('gat') ? `${verb} 60` : verb
    for (let at = 0, keys = random.chance(0.85) ? random.between(1, 6) : random.between(20, 90); at < keys; at++) line += ` ${keyOf(asker, n, `k${at}`)}`
    return plain(asker, verb, line)
  }
  const key = keyOf(asker, n)
  if (roll >= 0.68 && roll < 0.86) return metaRequest(asker, n, key)
  const noreply = random.chance(0.15) ? ' noreply' : ''
  if (roll < 0.56) {
    const verb = random.pick(['set', 'set', 'set', 'add', 'replace', 'append', 'prepend', 'cas'])
    const block = blockOf(asker)
    return plain(asker, verb, `${verb} ${key} 7 0 ${block.length}${verb === 'cas' ? ' 99' : ''}${noreply}`, block)
  }
  if (roll < 0.61) return plain(asker, 'incr', `${random.pick(['incr', 'decr'])} ${key} 1${noreply}`)
  if (roll < 0.65) return plain(asker, 'delete', `delete ${key}${noreply}`)
  if (roll < 0.68) return plain(asker, 'touch', `touch ${key} 60${noreply}`)
  if (roll < 0.9) return plain(asker, 'mn', 'mn')
  if (roll < 0.93) return plain(asker, 'version', 'version')
  if (roll < 0.95) return plain(asker, 'flush_all', `flush_all${noreply}`)
  if (roll < 0.965) return plain(asker, 'stats', random.chance(0.5) ? 'stats' : 'stats settings')
  if (roll < 0.975) return plain(asker, 'me', `me ${key}`)
  if (roll < 0.985) return unknownLine(asker, n)
  return plain(asker, 'get', `get ${key}`)
}

function blockOf({ random, mostBytes, longShare }: Asker): string {
  const size = random.chance(1 - longShare) ? random.between(0, 60) : random.between(0, mostBytes)
  const unit = 'get x\r\nEND\r\nset y 0 0 3\r\n\x80\0'
  return size <= unit.length ? unit.slice(0, size) : unit.repeat(Math.ceil(size / unit.length)).slice(0, size)
}

/** Who is allowed everything gets memcached's own answer, and everybody else a refusal in the same words. */
function unknownLine({ client, isOpen }: Asker, n: number): Request {
  return { command: 'nonsense', bytes: `nonsense c${client}n${n}\r\n`, replies: ['ERROR\r\n'], canFail: isOpen, hits: 0, binary: undefined }
}

function metaRequest(asker: Asker, n: number, key: string): Request {
  const { random } = asker
  const verb = random.pick(['mg', 'mg', 'mg', 'mg', 'ms', 'md', 'ma'])
  const flags: string[] = []
  if (random.chance(0.3)) flags.push('k')
  if (random.chance(0.3)) flags.push(`O${asker.client}x${n}`)
  if (random.chance(0.4)) flags.push('q')
  if (verb === 'mg') {
    if (random.chance(0.7)) flags.push('v')
    if (random.chance(0.3)) flags.push('f')
    if (random.chance(0.2)) flags.push('s')
  } else if (verb === 'ma' && random.chance(0.3)) flags.push('v')
  if ((verb === 'mg' || verb === 'ms') && random.chance(0.2)) flags.push('c')
  for (let at = flags.length - 1; at > 0; at--) {
    const other = random.between(0, at)
    ;[flags[at], flags[other]] = [flags[other], flags[at]]
  }
  let words = ''
  for (const flag of flags) words += ` ${flag}`
  if (verb !== 'ms') return plain(asker, verb, `${verb} ${key}${words}`)
  const block = blockOf(asker)
  return plain(asker, verb, `ms ${key} ${block.length}${words}`, block)
}

const hasNoKey: ReadonlySet<number> = new Set([0x0a, 0x0b, 0x10, 0x08, 0x18])

function packet(asker: Asker, n: number, opcode: number, key: string, extras: string, value: string): Request {
  const { random } = asker
  const kind = random.between(0, 3)
  const opaque = kind === 0 ? 0 : kind === 1 ? 0xffffffff : kind === 2 ? random.between(0, 0xffffffff) : n
  const bytes = requestPacket({ opcode, opaque, extras, key: hasNoKey.has(opcode) ? '' : key, value })
  const command = binaryName(opcode)
  const binary = { opcode, opaque }
  if (asker.forbidden.has(command)) return { command, bytes, replies: [notAllowed({ command, bytes, binary })], canFail: false, hits: 0, binary }
  const request = { command, bytes, replies: [binaryReplyTo(opcode, opaque, key, asker.version)], canFail: true, hits: isRead.has(command) && itemOf(key).isHit ? 1 : 0, binary }
  return withRules(request, !hasNoKey.has(opcode) && isForbiddenKey(key), asker)
}

function binaryRefusal(opcode: number, opaque: number, words = 'memseal: command not allowed'): string {
  return `\x81${String.fromCharCode(opcode)}\0\0\0\0${uint16(REFUSED)}${uint32(words.length)}${uint32(opaque)}\0\0\0\0\0\0\0\0${words}`
}
const REFUSED = 0x83

/** Extras of incr and decr: one, and with that time of expiry no counter is made where there was none. */
const ONE_IF_THERE = '\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff'

function binaryRequest(asker: Asker, n: number): Request {
  const { random } = asker
  const key = keyOf(asker, n)
  const roll = random.next()
  const isQuiet = random.chance(0.4)
  const ask = (loud: number, extras: string, value: string): Request => packet(asker, n, isQuiet ? quietOf[loud] ?? loud : loud, key, extras, value)
  if (roll < 0.5) return ask(random.pick([0x00, 0x00, 0x0c]), '', '')
  if (roll < 0.55) return ask(0x1d, '\0\0\0\x3c', '')
  if (roll < 0.7) return ask(random.pick([0x01, 0x01, 0x02, 0x03]), '\0\0\0\x07\0\0\0\0', blockOf(asker))
  if (roll < 0.74) return ask(random.pick([0x0e, 0x0f]), '', blockOf(asker))
  if (roll < 0.79) return ask(0x04, '', '')
  if (roll < 0.85) return ask(random.pick([0x05, 0x06]), ONE_IF_THERE, '')
  if (roll < 0.88) return ask(0x1c, '\0\0\0\x3c', '')
  if (roll < 0.93) return ask(0x0a, '', '')
  if (roll < 0.95) return ask(0x0b, '', '')
  if (roll < (asker.isOpen ? 0.96 : 0.98)) return ask(0x08, '', '')
  return ask(0x10, '', '')
}
