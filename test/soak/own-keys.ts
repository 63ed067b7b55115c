/** The keys of one client and what each must hold now. Nobody else writes them, so every reply is known beforehand. */
import type { Prng } from '../support/prng.ts'

/** Replies that a value imitates: whoever looks for a line end inside data is found out. */
const traps = ['END\r\n', 'VALUE a 0 3\r\nabc\r\nEND\r\n', 'HD\r\n', 'MN\r\n', 'STORED\r\n', 'EN\r\n', 'VA 2\r\nhi\r\n', '\r\n', '\r', '\n', '\0',
  'SERVER_ERROR x\r\n', 'NOT_FOUND\r\n', '\x81\x00\x00\x00\x00\x00\x00\x01', '\x80\x0a']

export const MOST_VALUE_BYTES = 1024 * 1024
const BLOCK = 1024

/** `bytes` bytes that only this key in this version can hold, at any offset. */
export function valueOf(key: string, version: number, bytes: number): Buffer {
  const trap = traps[version % traps.length]
  const value = Buffer.alloc(bytes, Buffer.from(`<${key.slice(0, 40)} v${version}>${trap}`, 'latin1'))
  for (let at = BLOCK; at + 16 < bytes; at += BLOCK) value.write(`@${at}.${version}`, at, 'latin1')
  return value
}

/** A stored item as the pieces it was made of: `set` makes one, `append` and `prepend` add one. */
export interface Piece { version: number, bytes: number }

export class Key {
  readonly name: string
  flags = 0
  pieces: Piece[] | undefined
  /** Counts changes, so that a cas number is known to be current or not. */
  changes = 0
  cas = ''
  casChanges = -1

  constructor(name: string) {
    this.name = name
  }

  get exists(): boolean {
    return this.pieces !== undefined
  }

  get value(): Buffer {
    return Buffer.concat((this.pieces ?? []).map(piece => this.bytesOf(piece)))
  }

  bytesOf(piece: Piece): Buffer {
    return valueOf(this.name, piece.version, piece.bytes)
  }

  get bytes(): number {
    return (this.pieces ?? []).reduce((sum, piece) => sum + piece.bytes, 0)
  }

  /** A cas number arrives later than the request was made: it is that of the state then. */
  noteCas(): (text: string) => void {
    const changes = this.changes
    return text => {
      this.cas = text
      this.casChanges = changes
    }
  }

  get hasCurrentCas(): boolean {
    return this.exists && this.casChanges === this.changes
  }

  set(piece: Piece, flags: number): void {
    this.pieces = [piece]
    this.flags = flags
    this.changes++
  }

  delete(): void {
    this.pieces = undefined
    this.changes++
  }

  append(piece: Piece): void {
    this.pieces!.push(piece)
    this.changes++
  }

  prepend(piece: Piece): void {
    this.pieces!.unshift(piece)
    this.changes++
  }
}

export class OwnKeys {
  readonly random: Prng
  readonly keys: Key[]
  /** Used by decimals only: memcached pads what `decr` shortens when it likes, so they are never read by `get`. */
  readonly counters: { name: string, value: bigint | undefined }[]
  #version = 0
  #largeLeft = 0

  constructor(client: string, random: Prng) {
    this.random = random
    this.keys = Array.from({ length: 40 }, (_, i) => new Key(this.#nameOf(client, i)))
    this.counters = Array.from({ length: 4 }, (_, i) => ({ name: `${client}:n${i}`, value: undefined }))
  }

  /** Some keys begin with another, some are as long as a key may be, some are words of the protocol. */
  #nameOf(client: string, i: number): string {
    const words = ['END', 'VALUE', 'STORED', 'noreply', 'MN', 'q', '0', 'v']
    if (i < 8) return `${client}:${words[i]}`
    if (i === 8) return `${client}:${'k'.repeat(249 - client.length)}`
    return `${client}:${i}`
  }

  /** At each batch: one value near the largest at the most. */
  beginBatch(): void {
    this.#largeLeft = 1
  }

  any(): Key {
    return this.random.pick(this.keys)
  }

  existing(): Key | undefined {
    const key = this.any()
    return key.exists ? key : this.keys.find(other => other.exists)
  }

  piece(mostBytes = MOST_VALUE_BYTES): Piece {
    return { version: ++this.#version, bytes: Math.min(mostBytes, this.#size()) }
  }

  #size(): number {
    const random = this.random
    const roll = random.next()
    if (roll < 0.05) return 0
    if (roll < 0.7) return random.between(1, 120)
    if (roll < 0.93) return random.between(100, 3000)
    if (roll < 0.99) return random.between(2000, 40_000)
    if (this.#largeLeft-- <= 0) return random.between(0, 500)
    return random.chance(0.2) ? random.between(MOST_VALUE_BYTES - 20, MOST_VALUE_BYTES) : random.between(40_000, 400_000)
  }
}
