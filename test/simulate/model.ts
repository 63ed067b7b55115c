/** memcached as the histories see it: it keeps nothing. What it answers is told by the key itself (`c3n12_h40`: client 3's
 *  request 12, a hit of 40 bytes; `_m`: a miss), so every reply names the request that it belongs to, and whoever sent that
 *  request knows it beforehand. Bytes are latin1 text throughout.
 *  Source: memcached's doc/protocol.txt and doc/protocol-binary.txt. */

export const HEADER = 24

export interface Outcome { isHit: boolean, bytes: number }

export function outcomeOf(key: string): Outcome {
  const at = key.lastIndexOf('_')
  return key[at + 1] === 'h' ? { isHit: true, bytes: Number(key.slice(at + 2)) } : { isHit: false, bytes: 0 }
}

function hashOf(key: string): number {
  let hash = 2166136261
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 16777619)
  return hash >>> 0
}

/** Holds what a careless reader takes for a reply. */
export function valueOf(key: string, bytes: number): string {
  const lure = ['\r\nEND\r\n', '\r\nSTORED\r\n', '\x81\x00\x00\x00', '\r\nVALUE ', '\r\nMN\r\n', '\n', '\0\xff'][hashOf(key) % 7]
  const unit = `${key}|${lure}`
  return unit.repeat(Math.ceil(bytes / unit.length)).slice(0, bytes)
}

const flagsOf = (key: string): number => hashOf(key) % 65536
const casOf = (key: string): number => hashOf(`${key}cas`)

/** One key of a classic get. */
export function valueText(key: string, hasCas: boolean): string {
  const { isHit, bytes } = outcomeOf(key)
  return isHit ? `VALUE ${key} ${flagsOf(key)} ${bytes}${hasCas ? ` ${casOf(key)}` : ''}\r\n${valueOf(key, bytes)}\r\n` : ''
}

/** @param words of a line that is in order, its noreply included   @returns '' when it asks for no reply */
export function textReplyTo(words: readonly string[]): string {
  const [verb] = words
  if (words.at(-1) === 'noreply' && verb !== 'get' && verb !== 'gets') return ''
  switch (verb) {
    case 'get': case 'gets': return words.slice(1).map(key => valueText(key, verb === 'gets')).join('') + 'END\r\n'
    case 'gat': case 'gats': return words.slice(2).map(key => valueText(key, verb === 'gats')).join('') + 'END\r\n'
    case 'set': case 'append': case 'prepend': case 'add': case 'replace':
      return hashOf(words[1]) % 13 === 0 ? 'SERVER_ERROR out of memory storing object\r\n' : outcomeOf(words[1]).isHit || verb === 'set' ? 'STORED\r\n' : 'NOT_STORED\r\n'
    case 'cas': return outcomeOf(words[1]).isHit ? hashOf(words[1]) % 2 === 0 ? 'STORED\r\n' : 'EXISTS\r\n' : 'NOT_FOUND\r\n'
    case 'incr': case 'decr':
      if (!outcomeOf(words[1]).isHit) return 'NOT_FOUND\r\n'
      return hashOf(words[1]) % 5 === 0 ? 'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n' : `${casOf(words[1])}\r\n`
    case 'delete': return outcomeOf(words[1]).isHit ? 'DELETED\r\n' : 'NOT_FOUND\r\n'
    case 'touch': return outcomeOf(words[1]).isHit ? 'TOUCHED\r\n' : 'NOT_FOUND\r\n'
    case 'mg': case 'ms': case 'md': case 'ma': return metaReplyTo(words)
    case 'me': return outcomeOf(words[1]).isHit ? `ME ${words[1]} exp=-1 size=9\r\n` : 'EN\r\n'
    case 'mn': return 'MN\r\n'
    case 'stats': return words[1] === 'settings' ? 'STAT maxbytes 67108864\r\nSTAT udpport 0\r\nEND\r\n' : 'STAT pid 1\r\nSTAT threads 4\r\nEND\r\n'
    case 'flush_all': return 'OK\r\n'
    default: return 'ERROR\r\n'
  }
}

function metaReplyTo(words: readonly string[]): string {
  const [verb, key] = words
  const flags = words.slice(verb === 'ms' ? 3 : 2)
  const isQuiet = flags.includes('q')
  const { isHit, bytes } = outcomeOf(key)
  let shownFlags = ''
  for (const flag of flags) {
    if (flag[0] === 'k') shownFlags += ` k${key}`
    else if (flag[0] === 'O') shownFlags += ` ${flag}`
    else if (isHit && flag === 'f') shownFlags += ` f${flagsOf(key)}`
    else if (flag === 'c' && (isHit || verb === 'ms')) shownFlags += ` c${isHit ? casOf(key) : 0}`
    else if (isHit && flag === 's' && verb === 'mg') shownFlags += ` s${bytes}`
    else if (isHit && flag === 't') shownFlags += ' t-1'
  }
  if (verb === 'mg') {
    if (!isHit) return isQuiet ? '' : `EN${shownFlags}\r\n`
    return flags.includes('v') ? `VA ${bytes}${shownFlags}\r\n${valueOf(key, bytes)}\r\n` : `HD${shownFlags}\r\n`
  }
  if (!isHit) return `${verb === 'ms' ? 'NS' : 'NF'}${shownFlags}\r\n`
  if (isQuiet) return ''
  if (verb === 'ma' && flags.includes('v')) return `VA 2${shownFlags}\r\n42\r\n`
  return `HD${shownFlags}\r\n`
}

const uint = (value: number, bytes: number): string => {
  const made = Buffer.alloc(bytes)
  made.writeUIntBE(value, Math.max(0, bytes - 6), Math.min(6, bytes))
  return made.toString('latin1')
}

export interface Packet { opcode: number, opaque: number, extras: string, key: string, value: string }

export function requestPacket({ opcode, opaque, extras, key, value }: Packet): string {
  return `\x80${String.fromCharCode(opcode)}${uint(key.length, 2)}${String.fromCharCode(extras.length)}\0\0\0` +
    `${uint(extras.length + key.length + value.length, 4)}${uint(opaque, 4)}${uint(0, 8)}${extras}${key}${value}`
}

function reply(opcode: number, opaque: number, status: number, extras: string, key: string, value: string, cas: number): string {
  return `\x81${String.fromCharCode(opcode)}${uint(key.length, 2)}${String.fromCharCode(extras.length)}\0${uint(status, 2)}` +
    `${uint(extras.length + key.length + value.length, 4)}${uint(opaque, 4)}${uint(cas, 8)}${extras}${key}${value}`
}

/** Quiet twins by their loud ones. */
export const quietOf: Record<number, number> = {
  0x00: 0x09, 0x0c: 0x0d, 0x1d: 0x1e, 0x01: 0x11, 0x02: 0x12, 0x03: 0x13, 0x0e: 0x19, 0x0f: 0x1a, 0x04: 0x14, 0x05: 0x15, 0x06: 0x16, 0x08: 0x18,
}
const loudOf = new Map(Object.entries(quietOf).map(([loud, quiet]) => [quiet, Number(loud)]))

/** @returns '' when a quiet request has nothing to say */
export function binaryReplyTo({ opcode, opaque, key }: Pick<Packet, 'opcode' | 'opaque' | 'key'>, version: string): string {
  const loud = loudOf.get(opcode) ?? opcode
  const isQuiet = loud !== opcode
  const { isHit, bytes } = outcomeOf(key)
  const missed = (): string => reply(opcode, opaque, 1, '', '', 'Not found', 0)
  switch (loud) {
    case 0x00: case 0x1d: case 0x0c: {
      const echo = loud === 0x0c ? key : ''
      if (isHit) return reply(opcode, opaque, 0, uint(flagsOf(key), 4), echo, valueOf(key, bytes), casOf(key))
      return isQuiet ? '' : echo === '' ? missed() : reply(opcode, opaque, 1, '', echo, '', 0)
    }
    case 0x01: case 0x02: case 0x03: case 0x0e: case 0x0f:
      if (loud === 0x01 || isHit) return isQuiet ? '' : reply(opcode, opaque, 0, '', '', '', casOf(key))
      if (loud === 0x02) return reply(opcode, opaque, 2, '', '', 'Data exists for key.', 0)
      return loud === 0x03 ? missed() : reply(opcode, opaque, 5, '', '', 'Not stored.', 0)
    case 0x04: return isHit ? isQuiet ? '' : reply(opcode, opaque, 0, '', '', '', 0) : missed()
    case 0x05: case 0x06: return isHit ? isQuiet ? '' : reply(opcode, opaque, 0, '', '', uint(casOf(key), 8), 7) : missed()
    case 0x1c: return isHit ? reply(opcode, opaque, 0, uint(flagsOf(key), 4), '', '', 0) : missed()
    case 0x08: return isQuiet ? '' : reply(opcode, opaque, 0, '', '', '', 0)
    case 0x0a: return reply(opcode, opaque, 0, '', '', '', 0)
    case 0x0b: return reply(opcode, opaque, 0, '', '', version, 0)
    case 0x10: return reply(opcode, opaque, 0, '', 'pid', '1', 0) + reply(opcode, opaque, 0, '', '', '', 0)
    default: return reply(opcode, opaque, 0x81, '', '', 'Unknown command', 0)
  }
}

export interface Heard {
  /** A request, whole and in order: its command's name, and the keys it names. */
  asked(name: string, keys: readonly string[], changes: boolean): void
}

const storing = new Set(['set', 'add', 'replace', 'append', 'prepend', 'cas', 'ms'])
const changing = new Set([...storing, 'incr', 'decr', 'delete', 'touch', 'gat', 'gats', 'md', 'ma', 'flush_all'])
const binaryNames: Record<number, string> = {
  0x00: 'get', 0x0c: 'get', 0x1d: 'gat', 0x01: 'set', 0x02: 'add', 0x03: 'replace', 0x0e: 'append', 0x0f: 'prepend', 0x04: 'delete', 0x05: 'incr', 0x06: 'decr',
  0x1c: 'touch', 0x08: 'flush_all', 0x0a: 'mn', 0x0b: 'version', 0x10: 'stats', 0x07: 'quit',
}

/** One connection to it: bytes in, replies out. */
export class ModelConnection {
  readonly #version: string
  readonly #heard: Heard
  #in = ''
  hasQuit = false

  constructor(version: string, heard: Heard) {
    this.#version = version
    this.#heard = heard
  }

  /** True in the middle of a request. */
  get isInside(): boolean {
    return this.#in.length > 0
  }

  /** @returns what it answers to what is whole now */
  takes(bytes: string): string {
    this.#in += bytes
    let out = ''
    while (!this.hasQuit) {
      const before = this.#in
      out += this.#in.startsWith('\x80') ? this.#packet() : this.#line()
      if (this.#in === before) break
    }
    return out
  }

  #line(): string {
    const end = this.#in.indexOf('\n')
    if (end < 0) return ''
    const words = this.#in.slice(0, this.#in[end - 1] === '\r' ? end - 1 : end).split(' ').filter(word => word !== '')
    const [verb = ''] = words
    let behind = end + 1
    if (storing.has(verb)) {
      const bytes = Number(words[verb === 'ms' ? 2 : 4])
      if (this.#in.length < behind + bytes + 2) return ''
      behind += bytes
      if (this.#in.slice(behind, behind + 2) !== '\r\n') {
        this.#in = ''
        return 'CLIENT_ERROR bad data chunk\r\n'
      }
      behind += 2
    }
    this.#in = this.#in.slice(behind)
    if (verb === 'version') return `VERSION ${this.#version}\r\n`
    if (verb === 'quit') {
      this.hasQuit = true
      return ''
    }
    const keys = verb.startsWith('get') ? words.slice(1) : verb.startsWith('gat') ? words.slice(2) : words.length > 1 && verb !== 'stats' && verb !== 'flush_all' ? [words[1]] : []
    this.#heard.asked(verb, keys, changing.has(verb))
    return textReplyTo(words)
  }

  #packet(): string {
    if (this.#in.length < HEADER) return ''
    const head = Buffer.from(this.#in.slice(0, HEADER), 'latin1')
    const size = head.readUInt32BE(8)
    if (this.#in.length < HEADER + size) return ''
    const extras = head[4]
    const key = this.#in.slice(HEADER + extras, HEADER + extras + head.readUInt16BE(2))
    this.#in = this.#in.slice(HEADER + size)
    const opcode = head[1]
    const name = binaryNames[loudOf.get(opcode) ?? opcode] ?? `opcode ${opcode}`
    if (name === 'quit') this.hasQuit = true
    this.#heard.asked(name, key === '' ? [] : [key], changing.has(name))
    return binaryReplyTo({ opcode, opaque: head.readUInt32BE(12), key }, this.#version)
  }
}
