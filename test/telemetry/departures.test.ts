import { expect, test } from 'vitest'
import { Departures, type Departure } from '../../src/telemetry/departures.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { clientCloses } from '../../src/telemetry/reasons.ts'

type Line = Record<string, unknown>

function departures(mode: 'all' | 'sampled' | 'off' = 'sampled') {
  const lines: Line[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line) as Line) } })
  const made = new Departures('cache', mode, log)
  let next = 0
  const leave = (count: number, now: number, more: Partial<Departure> = {}): void => {
    for (let i = 0; i < count; i++) {
      made.left({
        client: `c${++next}`, dialect: 'text', isPrivate: false, address: '10.0.0.1', reason: 'quit', requests: 2, by: { read: 1, write: 1 }, hits: 1,
        refused: 0, seconds: 0.1, bytesIn: 20, bytesOut: 30, ...more,
      }, now)
    }
  }
  const told = (): unknown[] => lines.map(({ event, connections }) => event === 'closed' ? 'closed' : connections)
  return { made, lines, leave, told }
}

const closed = (count: number): string[] => Array<string>(count).fill('closed')

test('ten lines of a client in a minute are told, and from the eleventh on the sums of the rest', () => {
  const { made, lines, leave, told } = departures()
  leave(10, 0)
  made.look(60_000)
  expect(told()).toEqual(closed(10))
  leave(11, 60_000)
  made.look(119_999)
  expect(told()).toEqual(closed(20))
  made.look(120_000)
  expect(told()).toEqual([...closed(20), 1])
  leave(10, 200_000)
  leave(3, 200_000, { reason: 'client-closed', by: { read: 4 }, requests: 4 })
  made.flush()
  expect(lines.at(-1)).toMatchObject({
    event: 'closed-folded', service: 'cache', address: '10.0.0.1', connections: 3, requests: 12, by: { read: 12 }, hits: 3, seconds: 0.3, bytesIn: 60, bytesOut: 90,
    reasons: { 'client-closed': 3 }, msg: 'more connections of a client have ended within a minute: 3',
  })
})

test('clients are told apart by address and certificate, and none takes the lines of another', () => {
  const { made, leave, told } = departures()
  for (const more of [{}, { address: '10.0.0.2' }, { tls: { subject: 'CN=a' } }, { tls: { subject: 'CN=b' } }]) leave(12, 0, more)
  expect(told()).toEqual(closed(40))
  made.flush()
  expect(told()).toEqual([...closed(40), 2, 2, 2, 2])
})

test('each other reason has three lines of its own in a minute, whatever it is, and the rest are counted by reason', () => {
  const { made, lines, leave, told } = departures()
  leave(30, 0)
  const others = clientCloses.filter(reason => !['client-closed', 'client-reset', 'quit'].includes(reason))
  for (const reason of others) leave(3, 0, { reason })
  expect(told()).toEqual(closed(10 + 3 * others.length))
  for (const reason of others) leave(1_000, 0, { reason })
  expect(told()).toEqual(closed(10 + 3 * others.length))
  made.look(60_000)
  expect(lines.at(-1)).toMatchObject({
    event: 'closed-folded', connections: 20 + 1_000 * others.length, reasons: { quit: 20, ...Object.fromEntries(others.map(reason => [reason, 1_000])) },
  })
  // Another minute, and another client, have theirs.
  const before = lines.length
  leave(4, 60_000, { reason: 'protocol' })
  leave(4, 60_000, { reason: 'protocol', address: '10.0.0.2' })
  expect(lines).toHaveLength(before + 6)
})

test('all: a line for each; off: none', () => {
  const all = departures('all')
  all.leave(500, 0)
  expect(all.told()).toEqual(closed(500))
  const off = departures('off')
  off.leave(500, 0)
  off.leave(5, 0, { reason: 'killed' })
  off.made.flush()
  expect(off.told()).toEqual([])
})

test('the table has an end: the client whose minute began first is told of and forgotten', () => {
  const { leave, told } = departures()
  leave(11, 0, { address: 'first' })
  for (let i = 0; i < 9_999; i++) leave(1, 1, { address: `a${i}` })
  expect(told()).toEqual(closed(10_009))
  leave(1, 2, { address: 'last' })
  expect(told().at(-2)).toBe(1)
})
