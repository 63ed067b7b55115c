import { expect, test } from 'vitest'
import { changeText, diffConfig, keepRestartValues } from '../../src/config/diff.ts'
import { loadText } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

function config(text: string): Config {
  const { config, issues } = loadText(text, 'm.yaml', { environment: {}, directory: '/' })
  expect(issues).toEqual([])
  return config!
}

const old = config('services: { cache: { listen: 127.0.0.1:1, limits: { connections: 5 } }, gone: { listen: 127.0.0.1:2 } }')

function told(text: string): string[] {
  return diffConfig(old, config(text)).map(changeText)
}

test('nothing differs from itself', () => {
  expect(diffConfig(old, structuredClone(old))).toEqual([])
})

test('each value that differs is told as an operator would write it, and a service as a whole', () => {
  expect(told(`
log: { level: debug, file: /tmp/a.log }
services:
  cache: { listen: [127.0.0.1:1, "[::1]:1"], deny: 10.0.0.0/8, limits: { idle_timeout: 90s }, reply_coalescing: off }
  fresh: { listen: 127.0.0.1:3 }
`)).toEqual([
    'log.level: info is now debug',
    'log.file: "-" is now /tmp/a.log, which needs a restart',
    'services.cache.listen: [127.0.0.1:1] is now [127.0.0.1:1, "[::1]:1"]',
    'services.cache.deny: [] is now [10.0.0.0/8]',
    'services.cache.limits.connections: 5 is now 10000',
    'services.cache.limits.idle_timeout: off is now 90s',
    'services.cache.reply_coalescing: on is now off',
    'services.gone: is gone',
    'services.fresh: is new',
  ])
})

test('a section that comes is told by its name', () => {
  expect(told(`
services:
  cache: { listen: 127.0.0.1:1, limits: { connections: 5 }, tls: { cert: a, key: b } }
  gone: { listen: 127.0.0.1:2 }
`)).toEqual(['services.cache.tls: is new'])
})

test('what needs a restart stays as it is, the rest is taken', () => {
  const next = config('log: { level: debug, format: pretty }\nservices: { cache: { listen: 127.0.0.1:1, socket: { mode: "0600" } } }')
  const kept = keepRestartValues(old, next, diffConfig(old, next))
  expect(kept.log).toMatchObject({ level: 'debug', format: 'json' })
  expect(kept.services['cache'].socket.mode).toBe(0o660)
  expect(next.log.format).toBe('pretty')
})

test('a rule is told by its name, and of a long list what came and went', () => {
  const rules = (...access: object[]) => config(JSON.stringify({ services: { cache: { listen: '127.0.0.1:1', access } } }))
  const one = { name: 'one', match: { source: '127.0.0.1' } }
  const two = { name: 'two', match: { source: '127.0.0.2' }, keys: ['a'] }
  const changes = (...[from, to]: [Config, Config]) => diffConfig(from, to).map(changeText)
  expect(changes(rules(one), rules(one, two))).toEqual(['services.cache.access.two: is new'])
  expect(changes(rules(one, two), rules(two))).toEqual(['services.cache.access.one: is gone'])
  expect(changes(rules(one, two), rules(two, one))).toEqual(['services.cache.access: in another order'])
  expect(changes(rules(one, two), rules(one, { ...two, keys: ['a', 'b'] }))).toEqual(['services.cache.access.two.keys: [a] is now [a, b]'])
  expect(changes(rules(one), rules({ ...one, match: 'everyone' }))).toEqual(['services.cache.access.one.match: { source: [127.0.0.1/32] } is now everyone'])
  const denied = (...deny: string[]) => config(JSON.stringify({ services: { cache: { listen: '127.0.0.1:1', deny } } }))
  const many = Array.from({ length: 50 }, (_, n) => `10.0.${n}.0/24`)
  expect(changes(denied(...many), denied(...many.slice(1), '10.1.0.0/24'))).toEqual(['services.cache.deny: 10.1.0.0/24 is new; 10.0.0.0/24 is gone'])
})
