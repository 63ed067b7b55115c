/** A figure over the rounds of a run. */
export interface Spread {
  median: number
  min: number
  max: number
}

export function spreadOf(values: number[]): Spread | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median, min: sorted[0], max: sorted[sorted.length - 1] }
}

/** Half the width of a spread as a share of its median: 0.05 is +-5 %. */
export function noiseOf({ median, min, max }: Spread): number {
  return median > 0 ? (max - min) / 2 / median : 0
}
