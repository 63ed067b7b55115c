// Milliseconds and bytes, and how people write them.

const durations: readonly [unit: string, ms: number][] = [
  ['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1000], ['ms', 1],
]
const sizes: readonly [unit: string, bytes: number][] = [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10], ['B', 1]]

export const durationPattern = '[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)'
export const sizePattern = '[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)'

/** @returns whole milliseconds of `1.5s`, `10m`; undefined when it is none */
export function parseDuration(text: string): number | undefined {
  return parse(text, durationPattern, durations)
}

/** @returns whole bytes of `512B`, `2MiB`; undefined when it is none */
export function parseSize(text: string): number | undefined {
  return parse(text, sizePattern, sizes)
}

/** @param ms whole milliseconds   @returns the same in the largest unit that divides it: `90s`, `10m` */
export function durationText(ms: number): string {
  return write(ms, durations, '0s')
}

/** @param bytes whole bytes   @returns the same in the largest unit that divides it: `2MiB`, `1500B` */
export function sizeText(bytes: number): string {
  return write(bytes, sizes, '0B')
}

function parse(text: string, pattern: string, units: readonly [string, number][]): number | undefined {
  if (!new RegExp(`^${pattern}$`).test(text)) return undefined
  const unit = text.replace(/^[0-9.]+/, '')
  const factor = units.find(([name]) => name === unit)![1]
  // Nobody waits or stores a fraction of the smallest unit.
  const value = Math.round(parseFloat(text) * factor)
  return Number.isSafeInteger(value) ? value : undefined
}

function write(value: number, units: readonly [string, number][], zero: string): string {
  if (value === 0) return zero
  const [unit, factor] = units.find(([, factor]) => value % factor === 0)!
  return `${value / factor}${unit}`
}
