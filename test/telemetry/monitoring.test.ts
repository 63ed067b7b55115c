import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { groups } from '../../src/proto/commands.ts'
import { events } from '../../src/telemetry/events.ts'
import { metrics, type Metric } from '../../src/telemetry/metrics.ts'
import { refusals } from '../../src/telemetry/reasons.ts'
import { suspicionKinds } from '../../src/telemetry/suspicions.ts'

interface Rule { alert: string, expr: string, labels: { severity: string }, annotations: { summary: string, description: string } }

const text = readFileSync(new URL('../../config/monitoring/memseal.rules.yml', import.meta.url), 'utf8')
const rules = (parse(text) as { groups: { rules: Rule[] }[] }).groups.flatMap(group => group.rules)

/** What the labels of a metric may be matched against. */
const values: Record<string, readonly string[]> = { kind: suspicionKinds, reason: refusals, group: groups, result: ['full', 'resumed', 'failed'], file: ['crl'] }
const ofPrometheus = ['instance', 'job']

test.each(rules.map(rule => [rule.alert, rule] as const))('%s asks for metrics, labels and values that there are', (_, { expr, annotations }) => {
  const asked = [...expr.matchAll(/\b(memseal_\w+)(?:\{([^}]*)\})?/g)]
  const known: string[] = [...ofPrometheus]
  for (const [, name, matchers = ''] of asked) {
    const labels = (metrics as Record<string, Metric | undefined>)[name]?.labels
    expect(labels, name).toBeDefined()
    known.push(...labels!)
    for (const [, label, wanted] of matchers.matchAll(/(\w+)(?:!=|=~|=)"([^"]*)"/g)) {
      expect(labels, `${name}{${label}}`).toContain(label)
      for (const value of wanted.split('|')) expect(values[label], `${label}="${value}"`).toContain(value)
    }
  }
  expect(asked.length + (expr.startsWith('up{') ? 1 : 0)).toBeGreaterThan(0)
  for (const [, label] of JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)) expect(known).toContain(label)
  for (const [, name] of annotations.description.matchAll(/The log has ([a-z-]+)/g)) expect(Object.keys(events)).toContain(name)
})

test('every kind of suspicion has an alert', () => {
  for (const kind of suspicionKinds) expect(text).toContain(`memseal_suspicions_total{kind="${kind}"}`)
})
