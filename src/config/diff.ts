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
  /** What differs, in words, where both values in full would be too long to read. */
  words?: string
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
export function changeText({ path, from, to, takes, words }: Change): string {
  const what = from === undefined ? `${path}: is new` : to === undefined ? `${path}: is gone` : `${path}: ${words ?? `${from} is now ${to}`}`
  return takes === 'live' ? what : `${what}, which needs a restart`
}

/** Both values of a list together: longer ones are told by what came and went. */
const LONG_CHARACTERS = 400
/** Entries that are told of those that came or went. */
const MOST_TOLD = 10

/** Entries with a name of their own, such as rules. */
function isNamed({ shape }: Kind<any>): boolean {
  return shape?.kind === 'section' && shape.fields.name !== undefined
}

function compareNamed(kind: Kind<any>, old: { name: string }[], next: { name: string }[], path: string, takes: Change['takes'], changes: Change[]): void {
  const [before, after] = [old, next].map(entries => new Map(entries.map(entry => [entry.name, entry])))
  for (const name of new Set([...before.keys(), ...after.keys()])) compare(kind, before.get(name), after.get(name), join(path, name), takes, changes)
  const [was, is] = [[before, after], [after, before]].map(([one, other]) => [...one.keys()].filter(name => other.has(name)))
  if (was.join() !== is.join()) changes.push({ path, from: `[${was.join(', ')}]`, to: `[${is.join(', ')}]`, takes, words: 'in another order' })
}

function listWords(kind: Kind<any>, old: readonly unknown[], next: readonly unknown[]): string {
  const [was, is] = [old, next].map(entries => new Set(entries.map(entry => yamlValue(kind, entry))))
  const told = (entries: string[], what: string): string[] => entries.length === 0 ? []
    : [`${entries.slice(0, MOST_TOLD).join(', ')}${entries.length > MOST_TOLD ? ` and ${entries.length - MOST_TOLD} more` : ''} ${entries.length === 1 ? 'is' : 'are'} ${what}`]
  const words = [...told([...is].filter(entry => !was.has(entry)), 'new'), ...told([...was].filter(entry => !is.has(entry)), 'gone')]
  return words.length === 0 ? 'in another order' : words.join('; ')
}

function compare(kind: Kind<any>, old: any, next: any, path: string, inherited: Change['takes'], changes: Change[]): void {
  const { shape } = kind
  const takes = kind.reload ?? inherited
  if (shape?.kind === 'list' && isNamed(shape.of) && old !== undefined && next !== undefined) return compareNamed(shape.of, old, next, path, takes, changes)
  // A word may stand in a section's place (match: everyone).
  const isBranch = (shape?.kind === 'section' || shape?.kind === 'map') && [old, next].every(value => value === undefined || typeof value === 'object')
  if (isBranch && old !== undefined && next !== undefined) {
    for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
      compare(shape.kind === 'map' ? shape.of : shape.fields[key], old[key], next[key], join(path, key), takes, changes)
    }
    return
  }
  const [from, to] = [old, next].map(value => value === undefined ? undefined : isBranch ? '' : yamlValue(kind, value))
  if (from === to) return
  if (shape?.kind === 'list' && from !== undefined && to !== undefined && from.length + to.length > LONG_CHARACTERS) {
    changes.push({ path, from, to, takes, words: listWords(shape.of, old, next) })
    return
  }
  // A key that may be left out is no service: say what it was and is.
  const isOptional = !isBranch && kind.isOptional
  changes.push({ path, from: from ?? (isOptional ? 'none' : undefined), to: to ?? (isOptional ? 'none' : undefined), takes })
}
