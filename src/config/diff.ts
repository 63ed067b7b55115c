import type { Kind } from './kinds.ts'
import { schema, type Config } from './schema.ts'
import { join } from './sections.ts'
import { yamlValue } from './show.ts'

/** One value that differs, or a whole service that came or went (then `from` or `to` is undefined, the path its own). */
export interface Change {
  path: string
  from: string | undefined
  to: string | undefined
  takes: 'live' | 'restart'
}

/** What a reload would change, in the order of the schema. */
export function diffConfig(old: Config, next: Config): Change[] {
  const changes: Change[] = []
  compare(schema, old, next, '', 'live', changes)
  return changes
}

/** `next`, with what needs a restart left as it is in `old`: what runs after the reload. */
export function keepRestartValues(old: Config, next: Config, changes: readonly Change[]): Config {
  const kept = structuredClone(next)
  for (const { path, takes } of changes) {
    if (takes !== 'restart') continue
    const keys = path.split('.')
    const parentOf = (root: any): any => keys.slice(0, -1).reduce((at, key) => at[key], root)
    parentOf(kept)[keys.at(-1)!] = structuredClone(parentOf(old)[keys.at(-1)!])
  }
  return kept
}

/** `services.cache.limits.connections: 100 is now 200`, for the log and for people. */
export function changeText({ path, from, to, takes }: Change): string {
  const what = from === undefined ? `${path}: is new` : to === undefined ? `${path}: is gone` : `${path}: ${from} is now ${to}`
  return takes === 'live' ? what : `${what}, which needs a restart`
}

function compare(kind: Kind<any>, old: any, next: any, path: string, inherited: Change['takes'], changes: Change[]): void {
  const { shape } = kind
  const takes = kind.reload ?? inherited
  const isBranch = shape?.kind === 'section' || shape?.kind === 'map'
  if (isBranch && old !== undefined && next !== undefined) {
    for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
      compare(shape.kind === 'map' ? shape.of : shape.fields[key], old[key], next[key], join(path, key), takes, changes)
    }
    return
  }
  const [from, to] = [old, next].map(value => value === undefined ? undefined : isBranch ? '' : yamlValue(kind, value))
  if (from === to) return
  // A key that may be left out is no service: say what it was and is.
  const isOptional = !isBranch && kind.isOptional
  changes.push({ path, from: from ?? (isOptional ? 'none' : undefined), to: to ?? (isOptional ? 'none' : undefined), takes })
}
