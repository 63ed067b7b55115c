// Orders say in a header which configuration they are meant for, by all of its names: as it was given, from the root, and
// where symbolic links lead. A daemon that shares none of them with the order is another instance.

export const configurationHeader = 'memseal-configuration'

export function headerOf(paths: readonly string[]): string {
  return paths.map(encodeURIComponent).join(',')
}

/** @param header of a request; left out it is meant for whoever gets it */
export function isMeantFor(header: string | string[] | undefined, paths: readonly string[]): boolean {
  if (header === undefined) return true
  const ours = paths.map(encodeURIComponent)
  return String(header).split(',').some(path => ours.includes(path.trim()))
}
