import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { metrics, metricsText } from '../../src/telemetry/metrics.ts'

const file = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

test('config/METRICS.md has all metrics; else run: node src/main.ts config metrics > config/METRICS.md', () => {
  expect(file('config/METRICS.md')).toBe(metricsText())
})

test('every metric that the README names anywhere exists', () => {
  for (const [name] of file('README.md').matchAll(/\bmemseal_[a-z_]+\b/g)) expect(Object.keys(metrics)).toContain(name)
})

test('names say their unit, and counters that they count', () => {
  for (const [name, { kind }] of Object.entries(metrics)) {
    expect(name).toMatch(/^memseal_[a-z_]+$/)
    expect(name.endsWith('_total'), name).toBe(kind === 'counter')
    if (kind === 'histogram') expect(name).toMatch(/_seconds$/)
  }
})
