/** Small questions about bytes in place. Nothing here allocates. */

const ZERO = 48

/** @returns the decimal in [from, to), or -1 when it is no plain number of 1 to 10 digits or is above `max` */
export function decimal(bytes: Buffer, from: number, to: number, max: number): number {
  if (to === from || to - from > 10) return -1
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = bytes[i] - ZERO
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value > max ? -1 : value
}

export const MAX_UINT32 = 4294967295
export const MAX_INT32 = 2147483647

/** A signed 32-bit decimal without `+`, blanks or other liberties that only some releases of memcached allow. */
export function isInt32(bytes: Buffer, from: number, to: number): boolean {
  if (bytes[from] === 45) return decimal(bytes, from + 1, to, MAX_INT32 + 1) >= 0
  return decimal(bytes, from, to, MAX_INT32) >= 0
}

const MAX_UINT64 = Buffer.from('18446744073709551615')

/** An unsigned 64-bit decimal of 1 to 20 digits. Its value is never needed here, so it is not computed. */
export function isUint64(bytes: Buffer, from: number, to: number): boolean {
  const length = to - from
  if (length < 1 || length > 20) return false
  for (let i = from; i < to; i++) if (bytes[i] < ZERO || bytes[i] > 57) return false
  if (length < 20) return true
  for (let i = 0; i < 20; i++) if (bytes[from + i] !== MAX_UINT64[i]) return bytes[from + i] < MAX_UINT64[i]
  return true
}

export function sameBytes(bytes: Buffer, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false
  for (let i = 0; i < word.length; i++) if (bytes[from + i] !== word[i]) return false
  return true
}

export function startsWith(bytes: Buffer, from: number, to: number, start: Uint8Array): boolean {
  return to - from >= start.length && sameBytes(bytes, from, from + start.length, start)
}

export const word = (text: string): Uint8Array => Buffer.from(text)

export function sameRange(a: Buffer, from: number, to: number, b: Buffer, bFrom: number, bTo: number): boolean {
  if (to - from !== bTo - bFrom) return false
  for (let i = from; i < to; i++) if (a[i] !== b[i - from + bFrom]) return false
  return true
}

/** Base64 as every release decodes it alike: whole groups of four, padding only at the end, no foreign bytes. The
 *  decoder of memcached skips what it does not know, so a looser key would not be the key that the client meant. */
export function isBase64(bytes: Buffer, from: number, to: number): boolean {
  const length = to - from
  if (length === 0 || length % 4 !== 0) return false
  let padding = 0
  while (padding < 2 && bytes[to - 1 - padding] === 61) padding++
  for (let i = from; i < to - padding; i++) {
    const b = bytes[i]
    const isLetter = (b >= 65 && b <= 90) || (b >= 97 && b <= 122)
    if (!isLetter && !(b >= 48 && b <= 57) && b !== 43 && b !== 47) return false
  }
  return true
}

/** Short lines are found sooner by looking at each byte than by a call into C++; long ones are not (measured: 63 ns
 *  against 76-111 ns at 40 bytes, 1276 against 76-111 at 1000). */
export function indexOfByte(bytes: Buffer, byte: number, from: number, to: number): number {
  const near = Math.min(to, from + 64)
  for (let i = from; i < near; i++) if (bytes[i] === byte) return i
  if (near === to) return -1
  const far = bytes.indexOf(byte, near)
  return far >= to ? -1 : far
}

/** '1.6.18' -> 1006018, so that releases compare as numbers; 0 for what is no release. */
export function release(version: string): number {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)
  return parts === null ? 0 : Number(parts[1]) * 1e6 + Number(parts[2]) * 1e3 + Number(parts[3])
}
