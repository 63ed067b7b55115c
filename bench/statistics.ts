/** A figure over the slices of a run. */
export interface Spread {
  median: number
  /** quartiles */
  low: number
  high: number
  count: number
}

export function spreadOf(values: number[]): Spread | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75), count: sorted.length }
}

/** Between two values in the proportion in which the wanted place lies between theirs. */
function quantile(sorted: number[], share: number): number {
  const place = (sorted.length - 1) * share
  const below = Math.floor(place)
  const above = Math.ceil(place)
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}
