/** The word that `text` was most likely meant to be, or undefined when none is near. */
export function closest(text: string, words: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(text.length / 3))
  let best: string | undefined
  let least = limit + 1
  for (const word of words) {
    const distance = distanceBetween(text.toLowerCase().replaceAll('-', '_'), word)
    if (distance < least) [best, least] = [word, distance]
  }
  return best
}

/** Letters to insert, remove, replace or swap with their neighbour (optimal string alignment). */
function distanceBetween(a: string, b: string): number {
  let [before, last, row] = [[] as number[], [] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= a.length; i++) {
    [before, last, row] = [last, row, [i]]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1)
    }
  }
  return row[b.length]
}
