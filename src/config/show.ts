import { originText, type Origin } from './issue.ts'
import type { Kind } from './kinds.ts'
import { schema, type Config } from './schema.ts'
import { join } from './sections.ts'

/** The effective configuration as YAML that `run` would take, with each value's origin as a comment. */
export function showConfig(config: Config, origins: ReadonlyMap<string, Origin>): string {
  const lines: { text: string, origin: string }[] = []
  walk(schema, config, '', '', '')
  const width = Math.min(Math.max(...lines.map(({ text }) => text.length)), 72)
  return lines.map(({ text, origin }) => origin === '' ? `${text}\n` : `${text.padEnd(width)}  # ${origin}\n`).join('')

  function walk(kind: Kind<any>, value: any, key: string, path: string, indent: string): void {
    const { shape } = kind
    if (value === undefined) return
    if (shape?.kind !== 'section' && shape?.kind !== 'map') {
      lines.push({ text: `${indent}${key}: ${yamlValue(kind, value)}`, origin: words(origins.get(path)) })
      return
    }
    if (key !== '') lines.push({ text: `${indent}${key}:`, origin: '' })
    const below = key === '' ? indent : `${indent}  `
    for (const [name, inner] of Object.entries(value)) {
      walk(shape.kind === 'map' ? shape.of : shape.fields[name], inner, name, join(path, name), below)
    }
  }
}

/** A value as an operator would write it. */
export function yamlValue(kind: Kind<any>, value: any): string {
  const { shape } = kind
  if (shape?.kind === 'list') return `[${(value as unknown[]).map(entry => yamlValue(shape.of, entry)).join(', ')}]`
  if (shape?.kind !== 'section' || typeof value !== 'object') return quoted(kind.write(value))
  // Within a list: what says nothing is left out.
  const isWritten = (each: unknown): boolean => each !== undefined && !(Array.isArray(each) && each.length === 0) &&
    !(typeof each === 'object' && each !== null && !Array.isArray(each) && !Object.values(each).some(isWritten))
  const pairs = Object.entries(value as object).filter(([, each]) => isWritten(each))
  return `{ ${pairs.map(([key, each]) => `${key}: ${yamlValue(shape.fields[key], each)}`).join(', ')} }`
}

/** In quotes, unless it is plain in every place of YAML. */
function quoted(text: string): string {
  return /^[\w/.][\w/.:+-]*(?<!:)$/.test(text) ? text : JSON.stringify(text)
}

function words(origin: Origin | undefined): string {
  if (origin === undefined) return 'default'
  const variables = origin.kind === 'file' ? origin.variables ?? [] : []
  return variables.length === 0 ? originText(origin) : `${originText(origin)}, \${${variables.join('}, ${')}}`
}
