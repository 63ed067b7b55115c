/** A small seeded source of numbers (mulberry32), so that a failing random test can be run again. */
export interface Prng {
  /** A number from 0 to below 1. */
  next(): number
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number
  pick<T>(items: readonly T[]): T
  bytes(length: number): Buffer
  chance(probability: number): boolean
}

export function prng(seed: number): Prng {
  let state = seed | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    pick: items => items[between(0, items.length - 1)],
    bytes: length => {
      const made = Buffer.allocUnsafe(length)
      for (let i = 0; i < length; i++) made[i] = between(0, 255)
      return made
    },
    chance: probability => next() < probability,
  }
}
