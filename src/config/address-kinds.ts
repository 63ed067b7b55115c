import { isIP, isIPv6 } from 'node:net'
import { addressBits, shortAddress } from '../lib/ip.ts'
import { scalar, type Kind } from './kinds.ts'
import { Problem } from './problem.ts'

// Addresses: ranges, names of groups of them, and the word for those that have none.

/** Whoever comes by a unix socket has no address. */
const UNIX = 'unix'

/** A range of addresses, `10.0.0.0/8` or `fd00::/8`; an address alone is itself and no other (/32, /128). */
export function cidr(options: { doc: string }): Kind<string> {
  return addressKind('address range', parseCidr, options)
}

/** A range of a group: groups do not hold each other. */
export function groupRange(options: { doc: string }): Kind<string> {
  return addressKind('address range', text => {
    if (!isGroupName(text)) return parseCidr(text)
    return new Problem(`"${text}" is not an address range, and a group holds ranges only, no names of hosts or of other groups.`,
      'Write its ranges here; or name both groups where their clients are meant, such as allow: [web, batch].')
  }, options)
}

/** A range, or the name of one of `groups`. Whether there is such a group is a matter of the rules. */
export function addresses(options: { doc: string }): Kind<string> {
  return addressKind('address range or group', text => isGroupName(text) ? text : parseCidr(text), options)
}

/** The same, or `unix` for whoever comes by a unix socket. */
export function source(options: { doc: string }): Kind<string> {
  return addressKind('address range, group or `unix`', text => isGroupName(text) || text === UNIX ? text : parseCidr(text), options)
}

function addressKind(words: string, parse: (text: string) => string | Problem, { doc }: { doc: string }): Kind<string> {
  return scalar<string>({ doc, words, parse, write: value => value, jsonSchema: { type: 'string' } })
}

export const groupName = { pattern: /^(?!unix$)[a-z][a-z0-9_-]{0,62}$/, fix: 'Write small letters, digits, _ and -, a letter first, 63 at the most; not unix.' }

/** An address has a dot or a colon. */
export function isGroupName(text: string): boolean {
  return groupName.pattern.test(text)
}

export function parseCidr(text: string): string | Problem {
  const fix = 'Write an address range such as 10.0.0.0/8, fd00::/8 or 192.0.2.7.'
  const [address, prefix, more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || more !== undefined || address.includes('%')) return new Problem(`"${text}" is not an address range.`,
    fix)
  if (family === 6 && addressBits(address) >> 32n === 0xffffn) {
    return new Problem(`"${text}" is an IPv4 range written as IPv6.`,
      'Write it as IPv4; IPv4 rules hold for mapped addresses too.')
  }
  const bits = family === 4 ? 32 : 128
  if (prefix === undefined) return `${address}/${bits}`
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) {
    return new Problem(`"/${prefix}" is not a prefix length of an IPv${family} address.`,
      `Write /0 to /${bits}.`)
  }
  const network = networkOf(address, Number(prefix))
  if (addressBits(network) !== addressBits(address)) {
    // Such a line is read as one host by some people and as the whole network by others.
    return new Problem(`"${text}" has bits set beyond its /${prefix}.`,
      `Write ${network}/${prefix} for the network, or ${address} for this address alone.`)
  }
  return `${address}/${Number(prefix)}`
}

function networkOf(address: string, prefix: number): string {
  const width = isIPv6(address) ? 128n : 32n
  const shift = width - BigInt(prefix)
  const network = addressBits(address) >> shift << shift
  if (width === 32n) return [24n, 16n, 8n, 0n].map(at => network >> at & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, at) => (network >> BigInt(112 - 16 * at) & 0xffffn).toString(16)).join(':')
  return shortAddress(groups)
}
