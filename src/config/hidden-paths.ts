import { hiddenInUnit } from '../lib/hidden-paths.ts'
import type { Loaded } from './load.ts'

/** Warns of each path of the configuration that a unit does not see. */
export function warnOfHiddenPaths(loaded: Loaded): void {
  for (const key of ['services', 'admin', 'log', 'audit'] as const) warnBelow(key, loaded[key], loaded)
}

function warnBelow(at: string, value: unknown, loaded: Loaded): void {
  const path = pathIn(value)
  if (path === undefined) {
    if (typeof value !== 'object' || value === null) return
    const isList = Array.isArray(value)
    for (const [key, each] of Object.entries(value)) warnBelow(isList ? `${at}[${key}]` : `${at}.${key}`, each, loaded)
    return
  }
  const found = hiddenInUnit(path)
  if (found !== undefined) loaded.report('warning', at, `${path}: ${found.words}.`, found.fix)
}

/** Only paths of the configuration begin with a slash. */
function pathIn(value: unknown): string | undefined {
  if (typeof value === 'string') return value.startsWith('/') ? value : undefined
  const endpoint = value as { kind?: unknown, path?: unknown } | null | undefined
  return endpoint?.kind === 'unix' ? endpoint.path as string : undefined
}
