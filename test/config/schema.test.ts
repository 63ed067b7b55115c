import { expect, test } from 'vitest'
import { loadText } from '../../src/config/load.ts'
import { schema } from '../../src/config/schema.ts'
import type { Kind } from '../../src/config/kinds.ts'

/** Every key with limits, with a line of YAML that puts a value there. */
function limited(kind: Kind<any>, keys: string[]): { keys: string[], min: string, max: string }[] {
  if (kind.shape?.kind === 'map') return limited(kind.shape.of, [...keys, 'cache'])
  if (kind.shape?.kind === 'section') return Object.entries(kind.shape.fields).flatMap(([key, inner]) => limited(inner, [...keys, key]))
  const found = /(?:number|duration|size), (\w+) to (\w+)/.exec(kind.words)
  return found === null ? [] : [{ keys, min: found[1], max: found[2] }]
}

function faultsWith(keys: string[], value: string): string[] {
  const isOfGroup = keys.includes('groups')
  const service: Record<string, unknown> = { listen: '127.0.0.1:1', ...isOfGroup ? { limits: { connections: 1_000_000, handshakes: 10_000 } } : {} }
  const root: Record<string, any> = { ...isOfGroup ? { groups: { cache: '10.0.0.0/8' } } : {}, services: { cache: service } }
  let at = root
  for (const key of keys.slice(0, -1)) at = at[key] ??= {}
  at[keys.at(-1)!] = value
  return loadText(JSON.stringify(root), 'm.yaml', { environment: {} }).issues.map(issue => issue.message)
}

function past(value: string, by: 1 | -1): string {
  const [, digits, unit] = /^(\d+)(\w*)$/.exec(value)!
  const smallest: Record<string, [number, string]> = { '': [1, ''], ms: [1, 'ms'], s: [1000, 'ms'], m: [60_000, 'ms'], h: [3_600_000, 'ms'], d: [86_400_000, 'ms'],
    B: [1, 'B'], KiB: [2 ** 10, 'B'], MiB: [2 ** 20, 'B'], GiB: [2 ** 30, 'B'], TiB: [2 ** 40, 'B'] }
  const [factor, small] = smallest[unit]
  return `${Number(digits) * factor + by}${small}`
}

const rows = limited(schema, [])

test('there are limits to test', () => {
  expect(rows.length).toBeGreaterThan(15)
})

test.each(rows.map(row => [row.keys.join('.'), row] as const))('%s takes its least and its most, and not one past them', (_, { keys, min, max }) => {
  expect([faultsWith(keys, min), faultsWith(keys, max)]).toEqual([[], []])
  expect(faultsWith(keys, past(max, 1))).toEqual([`"${past(max, 1)}" is above the most, ${max}.`])
  if (/^0/.test(min)) return
  expect(faultsWith(keys, past(min, -1))).toEqual([`"${past(min, -1)}" is below the least, ${min}.`])
})
