/** Sets it in a table of `most` entries: when a new one is too many, the oldest is forgotten. */
export function putBounded<K, V>(table: Map<K, V>, key: K, value: V, most: number): void {
  if (table.size >= most && !table.has(key)) table.delete(table.keys().next().value!)
  table.set(key, value)
}
