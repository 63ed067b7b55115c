import { parseAddress } from './parse-address.ts'

// Networks and addresses, compiled for the question into which of them an address falls.
//
//   rules      10.0.0.0/8 of a        10.1.0.0/16 of b
//   compiled   0.0.0.0 none   10.0.0.0 a   10.1.0.0 b   10.2.0.0 a   11.0.0.0 none       each start holds up to the next
//
// A look-up is a binary search. `net.BlockList` would do for few rules, but 100,000 of them take it 2 s to build in the event
// loop and 60 to 98 MB (Node 26.10); here it is 0.1 to 0.3 s, most of it between
// other work (address-file.ts), 1.2 MB of IPv4 or 3.6 MB of IPv6, and 0.3 to 0.6 us a look-up.

const NONE = -1
/** A key of IPv4 is a number of 53 bits: the address, the prefix and the label. */
const MOST_LABELS = 2 ** 15
const PREFIXES = 64

/** The address that was parsed last: in [0] of IPv4, in all four of IPv6. */
const words = new Uint32Array(4)
/** Prefixes of IPv6, 0 to 128: so many networks lie within each other at the most. */
const MOST_DEPTH = 129

/** Gathers rules. The narrowest one that an address falls into holds; of two that are the same, the higher label. */
export class RangesBuilder {
  readonly #ipv4: number[] = []
  readonly #ipv6: number[] = []
  #size = 0

  /** @param rule `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `::1`   @param label what `labelOf` gives for it, below 32,768
   *  @returns false: it is not a range, has bits beyond its prefix, or is IPv4 written as IPv6 */
  add(rule: string, label = 0): boolean {
    const slash = rule.indexOf('/')
    const end = slash < 0 ? rule.length : slash
    const family = parseAddress(rule, end, words)
    if (family === 0 || (family === 6 && isMapped())) return false
    const width = family === 4 ? 32 : 128
    const prefix = slash < 0 ? width : prefixAt(rule, slash + 1)
    if (prefix < 0 || prefix > width || hasBitsBeyond(prefix, width)) return false
    if (label < 0 || label >= MOST_LABELS) throw new RangeError(`label ${label}`)
    if (family === 4) this.#ipv4.push((words[0] * PREFIXES + prefix) * MOST_LABELS + label)
    else this.#ipv6.push(words[0], words[1], words[2], words[3], prefix, label)
    this.#size += 1
    return true
  }

  /** Rules that were added. */
  get size(): number {
    return this.#size
  }

  build(): Ranges {
    return new Ranges(this.#size, compiledIPv4(this.#ipv4), compiledIPv6(this.#ipv6))
  }
}

interface Compiled { starts: Uint32Array, labels: Int16Array }

export class Ranges {
  /** Rules as they were written. */
  readonly size: number
  readonly #ipv4: Compiled
  readonly #ipv6: Compiled

  /** For `RangesBuilder` alone. */
  constructor(size: number, ipv4: Compiled, ipv6: Compiled) {
    this.size = size
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  /** @throws Error that names the rule that is none */
  static of(rules: readonly string[]): Ranges {
    const builder = new RangesBuilder()
    for (const rule of rules) if (!builder.add(rule)) throw new Error(`"${rule}" is not an address and not a network`)
    return builder.build()
  }

  /** @returns ranges whose label is the number of their list */
  static labelled(lists: readonly (readonly string[])[]): Ranges {
    const builder = new RangesBuilder()
    for (const [label, rules] of lists.entries()) for (const rule of rules) builder.add(rule, label)
    return builder.build()
  }

  /** @param address as `normalAddress` gives it; what is not an address is in none */
  has(address: string): boolean {
    return this.labelOf(address) !== NONE
  }

  /** @returns the label of the narrowest rule, -1: it is in none */
  labelOf(address: string): number {
    const family = parseAddress(address, address.length, words)
    if (family === 4) return labelOfIPv4(this.#ipv4)
    return family === 6 ? labelOfIPv6(this.#ipv6) : NONE
  }

  /** Bytes that it holds. */
  get bytes(): number {
    return [this.#ipv4, this.#ipv6].reduce((sum, { starts, labels }) => sum + starts.byteLength + labels.byteLength, 0)
  }

  /** What it covers, in order and without overlaps, as `sizeOf` takes it. */
  parts(family: 4 | 6): { first: bigint, last: bigint }[] {
    const { starts, labels } = family === 4 ? this.#ipv4 : this.#ipv6
    const width = family === 4 ? 1 : 4
    const at = (index: number): bigint => {
      let bits = 0n
      for (const word of starts.subarray(index * width, (index + 1) * width)) bits = bits << 32n | BigInt(word)
      return bits
    }
    return [...labels.keys()].filter(index => labels[index] !== NONE).map(index => (
      { first: at(index), last: index + 1 < labels.length ? at(index + 1) - 1n : (1n << BigInt(width * 32)) - 1n }))
  }
}

/** Of the last start that is not above the address in `words`. Written out for each family, since it is the greater part of a look-up. */
function labelOfIPv4({ starts, labels }: Compiled): number {
  const address = words[0]
  let low = 0
  let high = labels.length   // all before `low` are not above the address, all from `high` on are
  while (low < high) {
    const middle = (low + high) >>> 1
    if (starts[middle] > address) high = middle
    else low = middle + 1
  }
  return low === 0 ? NONE : labels[low - 1]
}

function labelOfIPv6({ starts, labels }: Compiled): number {
  const [a, b, c, d] = [words[0], words[1], words[2], words[3]]
  let low = 0
  let high = labels.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = middle * 4
    const isAbove = starts[at] !== a ? starts[at] > a : starts[at + 1] !== b ? starts[at + 1] > b
      : starts[at + 2] !== c ? starts[at + 2] > c : starts[at + 3] > d
    if (isAbove) high = middle
    else low = middle + 1
  }
  return low === 0 ? NONE : labels[low - 1]
}

function compiledIPv4(keys: readonly number[]): Compiled {
  const sorted = Float64Array.from(keys).sort()
  const out = new Starts(1, sorted.length)
  for (const key of sorted) {
    const range = Math.floor(key / MOST_LABELS)
    words[0] = Math.floor(range / PREFIXES)
    out.put(words, 0, range % PREFIXES, key % MOST_LABELS)
  }
  return out.compiled()
}

const PARTS = 6   // four words, prefix, label

function compiledIPv6(rules: readonly number[]): Compiled {
  const parts = Uint32Array.from(rules)
  const order = Uint32Array.from({ length: parts.length / PARTS }, (_, at) => at * PARTS).sort((a, b) => {
    let part = 0
    while (part < PARTS - 1 && parts[a + part] === parts[b + part]) part += 1
    return parts[a + part] - parts[b + part]
  })
  const out = new Starts(4, order.length)
  for (const at of order) out.put(parts, at, parts[at + 4], parts[at + 5])
  return out.compiled()
}

/** Makes starts of networks that come in order, wider ones first. Of two, one lies within the other or both are apart. */
class Starts {
  readonly #width: number
  readonly #starts: Uint32Array
  readonly #labels: Int16Array
  #count = 0
  /** The networks that hold the present one, widest first, and itself. */
  readonly #lasts: Uint32Array
  readonly #prefixes = new Uint8Array(MOST_DEPTH)
  readonly #outer = new Int16Array(MOST_DEPTH)
  #depth = 0

  constructor(width: 1 | 4, networks: number) {
    this.#width = width
    this.#starts = new Uint32Array(2 * networks * width)
    this.#labels = new Int16Array(2 * networks)
    this.#lasts = new Uint32Array(MOST_DEPTH * width)
  }

  /** @param at where the first address of the network stands in `from` */
  put(from: Uint32Array, at: number, prefix: number, label: number): void {
    while (this.#depth > 0 && this.#hasLeft(from, at)) this.#leave()
    this.#start(from, at, label)
    // The same network once more, since two of one prefix are the same or apart: the higher label comes later, and holds.
    if (this.#depth === 0 || this.#prefixes[this.#depth - 1] !== prefix) this.#depth += 1
    const innermost = this.#depth - 1
    this.#prefixes[innermost] = prefix
    this.#outer[innermost] = label
    const width = this.#width
    for (let word = 0; word < width; word++) this.#lasts[innermost * width + word] = from[at + word] | hostBits(prefix - 32 * word)
  }

  compiled(): Compiled {
    while (this.#depth > 0) this.#leave()
    return { starts: this.#starts.slice(0, this.#count * this.#width), labels: this.#labels.slice(0, this.#count) }
  }

  /** Does the innermost network end before this address? */
  #hasLeft(from: Uint32Array, at: number): boolean {
    const last = (this.#depth - 1) * this.#width
    for (let word = 0; word < this.#width; word++) {
      if (this.#lasts[last + word] !== from[at + word]) return this.#lasts[last + word] < from[at + word]
    }
    return false
  }

  #leave(): void {
    this.#depth -= 1
    const last = this.#depth * this.#width
    if (!increment(this.#lasts, last, this.#width)) return   // there is no address behind it
    this.#start(this.#lasts, last, this.#depth === 0 ? NONE : this.#outer[this.#depth - 1])
  }

  #start(from: Uint32Array, at: number, label: number): void {
    const width = this.#width
    const isAgain = this.#count > 0 && isSame(this.#starts, (this.#count - 1) * width, from, at, width)
    const index = isAgain ? this.#count - 1 : this.#count
    for (let word = 0; word < width; word++) this.#starts[index * width + word] = from[at + word]
    this.#labels[index] = label
    // What has the label of the one before it goes on, and needs no start.
    this.#count = index > 0 && this.#labels[index - 1] === label ? index : index + 1
  }
}

/** Of a word of which `prefix` bits belong to the network, those that do not. */
function hostBits(prefix: number): number {
  return prefix >= 32 ? 0 : prefix <= 0 ? 0xffffffff : 0xffffffff >>> prefix
}

function isSame(a: Uint32Array, atA: number, b: Uint32Array, atB: number, width: number): boolean {
  for (let word = 0; word < width; word++) if (a[atA + word] !== b[atB + word]) return false
  return true
}

/** @returns false: it was the last of all */
function increment(address: Uint32Array, at: number, width: number): boolean {
  for (let word = at + width - 1; word >= at; word--) {
    address[word] += 1
    if (address[word] !== 0) return true
  }
  return false
}

/** Of the address in `words`. */
function hasBitsBeyond(prefix: number, width: number): boolean {
  for (let at = 0; at < width / 32; at++) if ((words[at] & hostBits(prefix - 32 * at)) !== 0) return true
  return false
}

/** Is the address in `words`, of IPv6, one of IPv4 (`::ffff:10.0.0.1`)? */
function isMapped(): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/** @returns -1: not a number of one to three digits */
function prefixAt(text: string, start: number): number {
  const digits = text.length - start
  if (digits < 1 || digits > 3) return -1
  let prefix = 0
  for (let at = start; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return -1
    prefix = prefix * 10 + digit
  }
  return prefix
}
