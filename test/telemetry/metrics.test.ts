import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { metrics, metricsTable } from '../../src/telemetry/metrics.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

test('the README has the table of all metrics; else put there what this prints: node src/main.ts config metrics', () => {
  const [, shown] = /<!-- metrics -->\n([^]*?)<!-- \/metrics -->/.exec(readme)!
  expect(shown).toBe(metricsTable())
})

test('every metric that the README names anywhere exists', () => {
  for (const [name] of readme.matchAll(/\bmemseal_[a-z_]+\b/g)) expect(Object.keys(metrics)).toContain(name)
})

test('names say their unit, and counters that they count', () => {
  for (const [name, { kind }] of Object.entries(metrics)) {
    expect(name).toMatch(/^memseal_[a-z_]+$/)
    expect(name.endsWith('_total'), name).toBe(kind === 'counter')
    if (kind === 'histogram') expect(name).toMatch(/_seconds$/)
  }
})
