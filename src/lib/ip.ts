import { isIPv4, isIPv6 } from 'node:net'

// Addresses as numbers, and ranges of them.

/** Of one family; both ends belong to it. */
export interface Range { first: bigint, last: bigint }

/** @param address of either family, without a zone   @returns 32 or 128 bits */
export function addressBits(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((bits, part) => bits << 8n | BigInt(part), 0n)
  const [head, tail] = shortAddress(address).split('::').map(half => half === '' ? [] : half.split(':'))
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail]
  return groups.reduce((bits, group) => bits << 16n | BigInt(`0x${group}`), 0n)
}

/** IPv6 in its short form and small letters, without a dotted tail; all else as it is. */
export function shortAddress(host: string): string {
  return isIPv6(host) ? new URL(`http://[${host}]/`).hostname.slice(1, -1) : host
}

/** The short form writes ::ffff:127.0.0.1 as ::ffff:7f00:1; here it is IPv4, and all else as it is. */
export function unmapped(address: string): string {
  const parts = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address)
  if (parts === null) return address
  const [high, low] = [parseInt(parts[1], 16), parseInt(parts[2], 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** Does the one range lie within the other?   @param range as `cidr` of the configuration gives it, and so `other` */
export function isWithin(range: string, other: string): boolean {
  if (range === other) return true
  if (isIPv6(range.split('/')[0]) !== isIPv6(other.split('/')[0])) return false
  const [inner, outer] = [range, other].map(rangeOf)
  return outer.first <= inner.first && inner.last <= outer.last
}

/** @param cidr `10.0.0.0/8`, as `cidr` of the configuration gives it */
export function rangeOf(cidr: string): Range {
  const [address, prefix] = cidr.split('/')
  const first = addressBits(address)
  return { first, last: first + (1n << (isIPv4(address) ? 32n : 128n) - BigInt(prefix)) - 1n }
}

/** How many addresses are in some of `ranges` and in none of `without`; all of one family. */
export function sizeOf(ranges: readonly Range[], without: readonly Range[]): bigint {
  const parts = [...ranges].sort((a, b) => a.first < b.first ? -1 : 1)
  let size = 0n
  let from = 0n   // all below it has been counted
  for (const { first, last } of parts) {
    const start = first > from ? first : from
    if (start > last) continue
    size += last - start + 1n - overlap({ first: start, last }, without)
    from = last + 1n
  }
  return size
}

function overlap(range: Range, others: readonly Range[]): bigint {
  const within = others.filter(({ first, last }) => first <= range.last && last >= range.first)
    .map(({ first, last }) => ({ first: first > range.first ? first : range.first, last: last < range.last ? last : range.last }))
  return within.length === 0 ? 0n : sizeOf(within, [])
}
