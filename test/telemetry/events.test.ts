import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { events, eventsText, type Event, type EventName } from '../../src/telemetry/events.ts'
import { createLogger } from '../../src/telemetry/log.ts'

const top = fileURLToPath(new URL('../../', import.meta.url))
const sources = readdirSync(join(top, 'src'), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
  .map(file => ({ file, text: readFileSync(join(top, 'src', file), 'utf8') }))

function logger(level = 'info') {
  const lines: Record<string, unknown>[] = []
  const clock = { ms: 0 }
  const { log } = createLogger({ level, format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } }, () => clock.ms)
  return { log, lines, clock }
}

test('config/EVENTS.md has all events; else run: node src/main.ts config events > config/EVENTS.md', () => {
  expect(readFileSync(join(top, 'config/EVENTS.md'), 'utf8')).toBe(eventsText())
})

test('events are told by their row: nobody logs past the table', () => {
  const past = sources.filter(({ file }) => file !== 'telemetry/event-log.ts').flatMap(({ file, text }) => (
    [...text.matchAll(/\{ event: ['"`].*|\b(?:from 'pino'|[lL]og\.(?:trace|debug|info|warn|error|fatal)\().*/g)].map(([found]) => `${file}: ${found}`)))
  expect(past).toEqual(["telemetry/log.ts: from 'pino'"])
})

test('every event of the table is told somewhere', () => {
  const told = new Set(sources.flatMap(({ text }) => [...text.matchAll(/\.(?:tell\(|(?:tell|record)Of\([\w.]+, )'([a-z-]+)'/g)].map(([, name]) => name)))
  expect(Object.keys(events).filter(name => !told.has(name))).toEqual([])
})

test('a help is a sentence, and a line of the table', () => {
  for (const [name, { help }] of Object.entries<Event>(events)) {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/)
    expect(help, name).toMatch(/^[^|\n]+\.$/)
  }
})

test('an event is folded by its fields, a minute long, and the next line says how many were left out', () => {
  const { log, lines, clock } = logger()
  const refused = (address: string, reason: string): void =>
    log.tell('refused', { service: 'cache', listener: 'l', address, countedAs: address, reason }, 'refused a connection')
  for (const address of ['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.1']) refused(address, 'denied')
  refused('10.0.0.1', 'not-allowed')
  expect(lines.map(({ address, reason, suppressed }) => [address, reason, suppressed]))
    .toEqual([['10.0.0.1', 'denied', 0], ['10.0.0.2', 'denied', 0], ['10.0.0.1', 'not-allowed', 0]])
  expect(lines[0]).not.toHaveProperty('countedAs')
  clock.ms = 60_000
  refused('10.0.0.1', 'denied')
  expect(lines.at(-1)).toMatchObject({ event: 'refused', level: 'warn', suppressed: 2 })
})

test('what a client is counted by is logged where it is another than its address', () => {
  const { log, lines } = logger()
  log.tell('refused', { service: 'cache', address: '2001:db8::1', countedAs: '2001:db8::/64', reason: 'denied' }, 'refused a connection')
  log.tell('refused', { service: 'cache', address: '2001:db8::2', countedAs: '2001:db8::/64', reason: 'denied' }, 'refused a connection')
  expect(lines).toMatchObject([{ address: '2001:db8::1', countedAs: '2001:db8::/64' }])
})

test.each<[EventName, string, (string | undefined)[]]>([
  ['expiry', 'info', ['error']], ['expiry', 'fatal', []], ['status', 'info', ['info']], ['status', 'fatal', ['fatal']], ['status', 'silent', []],
  ['backend-ended', 'info', []], ['backend-ended', 'debug', ['debug']],
])('%s, with log.level %s, has the level %j', (name, level, wanted) => {
  const { log, lines } = logger(level)
  log.tell(name, { service: 'cache' } as never, 'words', 'error')
  expect(lines.map(line => line.level)).toEqual(wanted)
})
