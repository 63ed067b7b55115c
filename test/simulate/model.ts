/** memcached as the histories see it: it keeps nothing. What it answers is told by the key itself (`c3n12_h40`: client 3's
 *  request 12, a hit of 40 bytes; `_m40`: a miss), so every reply names the request that it belongs to, and whoever sent that
 *  request knows it beforehand. Bytes are latin1 text throughout.
 *  Source: memcached's doc/protocol.txt and doc/protocol-binary.txt. */

export const HEADER = 24

/** All that a key says. */
export interface Item {
  key: string
  /** Whose request names it; -1: nobody's. */
  client: number
  request: number
  /** One of several of its request. */
  isPart: boolean
  isHit: boolean
  bytes: number
  hash: number
  flags: number
  cas: number
  value: string
}

// What was worked out for the plan is kept until memcached is asked: there are thousands of histories a second.
const MOST_KEPT = 1000
const items = new Map<string, Item>()
const answers = new Map<string, Answer>()

/** Another history begins. */
export function forgetAnswers(): void {
  items.clear()
  answers.clear()
}

export function itemOf(key: string): Item {
  let item = items.get(key)
  if (item === undefined) {
    if (items.size > MOST_KEPT) items.clear()
    items.set(key, item = makeItem(key))
  }
  return item
}

function makeItem(key: string): Item {
  const at = key.lastIndexOf('_')
  const isHit = key[at + 1] === 'h'
  const bytes = isHit ? Number(key.slice(at + 2)) : 0
  const hash = hashOf(key)
  const owner = /^c(\d+)n(\d+)(\w?)/.exec(key)
  return {
    key, client: owner === null ? -1 : Number(owner[1]), request: owner === null ? -1 : Number(owner[2]), isPart: owner?.[3] === 'k',
    isHit, bytes, hash, flags: hash % 65536, cas: (Math.imul(hash, 2654435761) ^ 0x5ca1ab1e) >>> 0, value: isHit ? valueOf(key, bytes, hash) : '',
  }
}

function hashOf(key: string): number {
  let hash = 2166136261
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 16777619)
  return hash >>> 0
}

const LURES = ['\r\nEND\r\n', '\r\nSTORED\r\n', '\x81\x00\x00\x00', '\r\nVALUE ', '\r\nMN\r\n', '\n', '\0\xff']

/** Holds what a careless reader takes for a reply. */
function valueOf(key: string, bytes: number, hash: number): string {
  const unit = `${key}|${LURES[hash % 7]}`
  return bytes <= unit.length ? unit.slice(0, bytes) : unit.repeat(Math.ceil(bytes / unit.length)).slice(0, bytes)
}

/** One key of a classic get. */
export function valueText(key: string, hasCas: boolean): string {
  const { isHit, bytes, flags, cas, value } = itemOf(key)
  return isHit ? `VALUE ${key} ${flags} ${bytes}${hasCas ? ` ${cas}` : ''}\r\n${value}\r\n` : ''
}

/** What memcached makes of a line. */
export interface Answer {
  command: string
  reply: string
  items: readonly Item[]
  changes: boolean
  /** Of the data block behind the line, its line end not counted; -1: there is none. */
  block: number
}

/** @param line in order, its noreply included, without its line end */
export function answerTo(line: string): Answer {
  let answer = answers.get(line)
  if (answer === undefined) {
    if (answers.size > MOST_KEPT) answers.clear()
    answers.set(line, answer = makeAnswer(line))
  }
  return answer
}

const storing = new Set(['set', 'add', 'replace', 'append', 'prepend', 'cas', 'ms'])
const changing = new Set([...storing, 'incr', 'decr', 'delete', 'touch', 'gat', 'gats', 'md', 'ma', 'flush_all'])
const isMeta = new Set(['mg', 'ms', 'md', 'ma'])
const keyless = new Set(['stats', 'flush_all', 'version', 'quit', 'mn', 'nonsense'])
const NO_ITEMS: readonly Item[] = []

function makeAnswer(line: string): Answer {
  // Nearly half of all.
  if (line.startsWith('get ') && line.indexOf(' ', 4) < 0) {
    const key = line.slice(4)
    return { command: 'get', reply: valueText(key, false) + 'END\r\n', changes: false, block: -1, items: [itemOf(key)] }
  }
  const words = line.split(' ')
  const [command = ''] = words
  const keys = command === 'get' || command === 'gets' ? words.slice(1) : command === 'gat' || command === 'gats' ? words.slice(2) : undefined
  return {
    command, reply: textReplyTo(words), changes: changing.has(command), block: storing.has(command) ? Number(words[command === 'ms' ? 2 : 4]) : -1,
    items: keys !== undefined ? keys.map(itemOf) : words.length > 1 && !keyless.has(command) ? [isMeta.has(command) ? metaItem(words) : itemOf(words[1])] : NO_ITEMS,
  }
}

/** @returns '' when it asks for no reply */
function textReplyTo(words: readonly string[]): string {
  const [verb, key = ''] = words
  switch (verb) {
    case 'get': case 'gets': return words.slice(1).map(each => valueText(each, verb === 'gets')).join('') + 'END\r\n'
    case 'gat': case 'gats': return words.slice(2).map(each => valueText(each, verb === 'gats')).join('') + 'END\r\n'
    case 'mg': case 'ms': case 'md': case 'ma': return metaReplyTo(words)
    case 'mn': return 'MN\r\n'
    case 'stats': return words[1] === 'settings' ? 'STAT maxbytes 67108864\r\nSTAT udpport 0\r\nEND\r\n' : 'STAT pid 1\r\nSTAT threads 4\r\nEND\r\n'
    default:
  }
  if (words.at(-1) === 'noreply') return ''
  const { isHit, hash, cas } = itemOf(key)
  switch (verb) {
    case 'set': case 'append': case 'prepend': case 'add': case 'replace':
      return hash % 13 === 0 ? 'SERVER_ERROR out of memory storing object\r\n' : isHit || verb === 'set' ? 'STORED\r\n' : 'NOT_STORED\r\n'
    case 'cas': return isHit ? hash % 2 === 0 ? 'STORED\r\n' : 'EXISTS\r\n' : 'NOT_FOUND\r\n'
    case 'incr': case 'decr':
      if (!isHit) return 'NOT_FOUND\r\n'
      return hash % 5 === 0 ? 'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n' : `${cas}\r\n`
    case 'delete': return isHit ? 'DELETED\r\n' : 'NOT_FOUND\r\n'
    case 'touch': return isHit ? 'TOUCHED\r\n' : 'NOT_FOUND\r\n'
    case 'me': return isHit ? `ME ${key} exp=-1 size=9\r\n` : 'EN\r\n'
    case 'flush_all': return 'OK\r\n'
    default: return 'ERROR\r\n'
  }
}

function metaReplyTo(words: readonly string[]): string {
  const [verb, key] = words
  const { isHit, bytes, flags, cas, value } = metaItem(words)
  let isQuiet = false
  let wantsValue = false
  let shownFlags = ''
  for (let at = verb === 'ms' ? 3 : 2; at < words.length; at++) {
    const flag = words[at]
    if (flag === 'q') isQuiet = true
    else if (flag === 'v') wantsValue = true
    else if (flag === 'k') shownFlags += ` k${key}`
    else if (flag[0] === 'O' || flag === 'b') shownFlags += ` ${flag}`
    else if (isHit && flag === 'f') shownFlags += ` f${flags}`
    else if (flag === 'c' && (isHit || verb === 'ms')) shownFlags += ` c${isHit ? cas : 0}`
    else if (isHit && flag === 's' && verb === 'mg') shownFlags += ` s${bytes}`
    else if (isHit && flag === 't') shownFlags += ' t-1'
  }
  if (verb === 'mg') {
    if (!isHit) return isQuiet ? '' : `EN${shownFlags}\r\n`
    return wantsValue ? `VA ${bytes}${shownFlags}\r\n${value}\r\n` : `HD${shownFlags}\r\n`
  }
  if (!isHit) return `${verb === 'ms' ? 'NS' : 'NF'}${shownFlags}\r\n`
  if (isQuiet) return ''
  if (verb === 'ma' && wantsValue) return `VA 2${shownFlags}\r\n42\r\n`
  return `HD${shownFlags}\r\n`
}

/** With `b` its key is base64. */
const metaItem = (words: readonly string[]): Item => itemOf(words.includes('b', 2) ? Buffer.from(words[1], 'base64').toString('latin1') : words[1])

export const uint16 = (value: number): string => String.fromCharCode(value >>> 8 & 255, value & 255)
export const uint32 = (value: number): string => String.fromCharCode(value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255)
const uint64 = (value: number): string => value === 0 ? '\0\0\0\0\0\0\0\0' : uint32(Math.floor(value / 2 ** 32)) + uint32(value >>> 0)

export const uint16At = (text: string, at: number): number => text.charCodeAt(at) << 8 | text.charCodeAt(at + 1)
export const uint32At = (text: string, at: number): number =>
  (text.charCodeAt(at) << 24 | text.charCodeAt(at + 1) << 16 | text.charCodeAt(at + 2) << 8 | text.charCodeAt(at + 3)) >>> 0

export interface Packet { opcode: number, opaque: number, extras: string, key: string, value: string }

export function requestPacket({ opcode, opaque, extras, key, value }: Packet): string {
  return `\x80${String.fromCharCode(opcode)}${uint16(key.length)}${String.fromCharCode(extras.length)}\0\0\0` +
    `${uint32(extras.length + key.length + value.length)}${uint32(opaque)}\0\0\0\0\0\0\0\0${extras}${key}${value}`
}

export function replyPacket(opcode: number, opaque: number, status: number, extras: string, key: string, value: string, cas: number): string {
  return `\x81${String.fromCharCode(opcode)}${uint16(key.length)}${String.fromCharCode(extras.length)}\0${uint16(status)}` +
    `${uint32(extras.length + key.length + value.length)}${uint32(opaque)}${uint64(cas)}${extras}${key}${value}`
}

/** Quiet twins by their loud ones. */
export const quietOf: Record<number, number> = {
  0x00: 0x09, 0x0c: 0x0d, 0x1d: 0x1e, 0x01: 0x11, 0x02: 0x12, 0x03: 0x13, 0x0e: 0x19, 0x0f: 0x1a, 0x04: 0x14, 0x05: 0x15, 0x06: 0x16, 0x08: 0x18,
}
const loudOf = Uint8Array.from({ length: 256 }, (_, opcode) => opcode)
for (const [loud, quiet] of Object.entries(quietOf)) loudOf[quiet] = Number(loud)

/** @returns '' when a quiet request has nothing to say */
export function binaryReplyTo(opcode: number, opaque: number, key: string, version: string): string {
  const loud = loudOf[opcode]
  const isQuiet = loud !== opcode
  const { isHit, flags, cas, value } = itemOf(key)
  const missed = (): string => replyPacket(opcode, opaque, 1, '', '', 'Not found', 0)
  switch (loud) {
    case 0x00: case 0x1d: case 0x0c: {
      const echo = loud === 0x0c ? key : ''
      if (isHit) return replyPacket(opcode, opaque, 0, uint32(flags), echo, value, cas)
      return isQuiet ? '' : echo === '' ? missed() : replyPacket(opcode, opaque, 1, '', echo, '', 0)
    }
    case 0x01: case 0x02: case 0x03: case 0x0e: case 0x0f:
      if (loud === 0x01 || isHit) return isQuiet ? '' : replyPacket(opcode, opaque, 0, '', '', '', cas)
      if (loud === 0x02) return replyPacket(opcode, opaque, 2, '', '', 'Data exists for key.', 0)
      return loud === 0x03 ? missed() : replyPacket(opcode, opaque, 5, '', '', 'Not stored.', 0)
    case 0x04: return isHit ? isQuiet ? '' : replyPacket(opcode, opaque, 0, '', '', '', 0) : missed()
    case 0x05: case 0x06: return isHit ? isQuiet ? '' : replyPacket(opcode, opaque, 0, '', '', uint64(cas), 7) : missed()
    case 0x1c: return isHit ? replyPacket(opcode, opaque, 0, uint32(flags), '', '', 0) : missed()
    case 0x08: return isQuiet ? '' : replyPacket(opcode, opaque, 0, '', '', '', 0)
    case 0x0a: return replyPacket(opcode, opaque, 0, '', '', '', 0)
    case 0x0b: return replyPacket(opcode, opaque, 0, '', '', version, 0)
    case 0x10: return replyPacket(opcode, opaque, 0, '', 'pid', '1', 0) + replyPacket(opcode, opaque, 0, '', '', '', 0)
    default: return replyPacket(opcode, opaque, 0x81, '', '', 'Unknown command', 0)
  }
}

const binaryNames: (string | undefined)[] = []
for (const [opcode, name] of Object.entries({
  0x00: 'get', 0x0c: 'get', 0x1d: 'gat', 0x01: 'set', 0x02: 'add', 0x03: 'replace', 0x0e: 'append', 0x0f: 'prepend', 0x04: 'delete', 0x05: 'incr', 0x06: 'decr',
  0x1c: 'touch', 0x08: 'flush_all', 0x0a: 'mn', 0x0b: 'version', 0x10: 'stats', 0x07: 'quit',
})) binaryNames[Number(opcode)] = name
export const binaryName = (opcode: number): string => binaryNames[loudOf[opcode]] ?? `opcode ${opcode}`

/** Of the replies in what the model answers: what each is to, and how long it is. */
export interface Mark { items: readonly Item[], bytes: number }

export interface Heard {
  /** A request, whole and in order: its command's name, and what it names. */
  asked(command: string, items: readonly Item[], changes: boolean): void
}

/** What other memcacheds do, or proxies in the place of one. Ordinary histories meet none of it. */
export const oddities = {
  /** It leaves out the replies to some meta gets. */
  'leaves out a reply': ({ command, items: [item], reply }) => command === 'mg' && item.hash % 2 === 0 ? '' : reply,
  /** As memcached's own proxy does it for a key without a pool. */
  'error line': ({ command, reply }) => command === 'mg' ? 'CLIENT_ERROR no such pool\r\n' : reply,
  /** As twemproxy does it. */
  'other order': ({ command, items: named, reply }) => command === 'get' ? named.map(({ key }) => valueText(key, false)).reverse().join('') + 'END\r\n' : reply,
  'value of nobody': ({ command, items: named, reply }) => command === 'get' && named.length > 1 ? 'VALUE nobody 0 1\r\nx\r\nEND\r\n' : reply,
  /** As memcached does it since 1.6.35: what it has answered waits while a data block is not whole. */
  gathers: ({ reply }) => reply,
} satisfies Record<string, (answer: Answer) => string>
export type Oddity = keyof typeof oddities

/** One connection to it: bytes in, replies out. */
export class ModelConnection {
  readonly #version: string
  readonly #heard: Heard
  readonly #oddity: Oddity | undefined
  #gathered = ''
  #in = ''
  #at = 0
  #items = NO_ITEMS
  hasQuit = false
  /** Bytes of the last reply. */
  lastBytes = 0

  constructor(version: string, heard: Heard, oddity?: Oddity) {
    this.#version = version
    this.#heard = heard
    this.#oddity = oddity
  }

  /** @param marks takes one for each reply   @returns what it answers to what is whole now */
  takes(bytes: string, marks?: Mark[]): string {
    this.#in = this.#at === this.#in.length ? bytes : this.#in.slice(this.#at) + bytes
    this.#at = 0
    let out = ''
    let flushed = 0
    while (!this.hasQuit && this.#at < this.#in.length) {
      const before = this.#at
      this.#items = NO_ITEMS
      const reply = this.#in.charCodeAt(before) === 0x80 ? this.#packet() : this.#line()
      if (this.#at === before) break
      out += reply
      // It gathers replies until the rest of a value is here, or until `mn`.
      if (this.#oddity === 'gathers' && reply === 'MN\r\n') flushed = out.length
      if (reply !== '') this.lastBytes = reply.length
      if (marks !== undefined && reply !== '') marks.push({ items: this.#items, bytes: reply.length })
    }
    return this.#oddity === 'gathers' ? this.#gather(out, flushed) : out
  }

  #gather(out: string, flushed: number): string {
    const all = this.#gathered + out
    const sent = this.#at === this.#in.length ? all.length : flushed === 0 ? 0 : this.#gathered.length + flushed
    this.#gathered = all.slice(sent)
    return all.slice(0, sent)
  }

  #line(): string {
    const end = this.#in.indexOf('\n', this.#at)
    if (end < 0) return ''
    const line = this.#in.slice(this.#at, this.#in.charCodeAt(end - 1) === 13 ? end - 1 : end)
    const answer = answerTo(line)
    const { command, reply, items: named, changes, block } = answer
    let behind = end + 1
    if (block >= 0) {
      if (this.#in.length < behind + block + 2) return ''
      behind += block
      if (this.#in.charCodeAt(behind) !== 13 || this.#in.charCodeAt(behind + 1) !== 10) {
        this.#at = this.#in.length
        return 'CLIENT_ERROR bad data chunk\r\n'
      }
      behind += 2
    }
    this.#at = behind
    if (command === 'version') return `VERSION ${this.#version}\r\n`
    if (command === 'quit') {
      this.hasQuit = true
      return ''
    }
    this.#items = named
    this.#heard.asked(command, named, changes)
    return this.#oddity === undefined ? reply : oddities[this.#oddity](answer)
  }

  #packet(): string {
    const at = this.#at
    if (this.#in.length < at + HEADER) return ''
    const size = uint32At(this.#in, at + 8)
    if (this.#in.length < at + HEADER + size) return ''
    const from = at + HEADER + this.#in.charCodeAt(at + 4)
    const key = this.#in.slice(from, from + uint16At(this.#in, at + 2))
    this.#at = at + HEADER + size
    const opcode = this.#in.charCodeAt(at + 1)
    const name = binaryName(opcode)
    if (name === 'quit') this.hasQuit = true
    if (key !== '') this.#items = [itemOf(key)]
    this.#heard.asked(name, this.#items, changing.has(name))
    return binaryReplyTo(opcode, uint32At(this.#in, at + 12), key, this.#version)
  }
}
