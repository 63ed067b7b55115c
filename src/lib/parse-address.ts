const DOT = 0x2e
const COLON = 0x3a
const ZERO = 0x30

/** Reads an address without making texts of it: each connection asks for one, and each line of a list of 100,000.
 *  @param end where it ends in `text`   @param into four words: [0] is that of IPv4
 *  @returns 4 or 6 as `isIP` of Node says, but for IPv6 with a zone: 0, as for what is not an address */
export function parseAddress(text: string, end: number, into: Uint32Array): 0 | 4 | 6 {
  if (isIPv4At(text, 0, end, into)) return 4
  return isIPv6At(text, end, into) ? 6 : 0
}

function isIPv4At(text: string, start: number, end: number, words: Uint32Array): boolean {
  if (end - start < 7 || end - start > 15) return false
  let bits = 0
  let parts = 0
  for (let at = start; ; at++) {
    const from = at
    let value = 0
    for (; at < end && at - from < 4; at++) {
      const digit = text.charCodeAt(at) - ZERO
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === from || value > 255 || (at - from > 1 && text.charCodeAt(from) === ZERO)) return false
    bits = bits * 256 + value
    parts += 1
    if (at === end) break
    if (text.charCodeAt(at) !== DOT || parts === 4) return false
  }
  if (parts !== 4) return false
  words[0] = bits
  return true
}

/** The eight groups of an IPv6 address. */
const parsed = new Uint16Array(8)

function isIPv6At(text: string, end: number, words: Uint32Array): boolean {
  if (end < 2 || end > 45) return false
  let count = 0
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false
    gap = 0
    at = 2
  }
  while (at < end) {
    if (count === 8) return false
    const from = at
    let value = 0
    for (; at < end && at - from < 5; at++) {
      const digit = hexDigit(text.charCodeAt(at))
      if (digit < 0) break
      value = value * 16 + digit
    }
    if (at < end && text.charCodeAt(at) === DOT) {
      if (count > 6 || !isIPv4At(text, from, end, words)) return false
      parsed[count++] = words[0] >>> 16
      parsed[count++] = words[0] & 0xffff
      break
    }
    if (at === from || at - from > 4) return false
    parsed[count++] = value
    if (at === end) break
    if (text.charCodeAt(at++) !== COLON || at === end) return false
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false
      gap = count
      at += 1
    }
  }
  if (gap < 0 ? count !== 8 : count > 7) return false
  for (let group = 0; group < 8; group += 2) words[group >> 1] = groupAt(group, count, gap) * 0x10000 + groupAt(group + 1, count, gap)
  return true
}

function groupAt(at: number, count: number, gap: number): number {
  if (gap < 0 || at < gap) return parsed[at]
  const zeros = 8 - count
  return at < gap + zeros ? 0 : parsed[at - zeros]
}

function hexDigit(code: number): number {
  if (code >= ZERO && code <= 0x39) return code - ZERO
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
