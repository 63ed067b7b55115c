import { expect, test } from 'vitest'
import { Clock } from '../../src/lib/clock.ts'

function scene() {
  let now = 0
  let tick = (): void => {}
  const ends: (() => void)[] = []
  const clock = new Clock({
    now: () => now,
    every: (_, task) => {
      tick = task
      return () => { tick = () => {} }
    },
    after: () => () => {},
    atEndOfPoll: task => { ends.push(task) },
  })
  const sleeps = (ms: number) => { now += ms }
  return { clock, ends, sleeps, passes: (ms: number) => { sleeps(ms); tick() } }
}

test('deadlines are looked at when what has arrived was read, and the time is that of the tick', () => {
  const { clock, ends, passes } = scene()
  const seen: number[] = []
  clock.watch(at => { seen.push(at) })
  passes(7000)
  expect([clock.now, seen]).toEqual([7000, []])
  ends.shift()!()
  expect(seen).toEqual([7000])
})

test('a deadline begins with the time that it is, not that of the last tick', () => {
  const { clock, sleeps } = scene()
  sleeps(40)
  expect([clock.now, clock.read(), clock.now]).toEqual([0, 40, 40])
})

test('a clock that is stopped calls nobody, not even for a tick that was on its way', () => {
  const { clock, ends, passes } = scene()
  let calls = 0
  clock.watch(() => { calls++ })
  passes(100)
  clock.stop()
  for (const end of ends) end()
  passes(100)
  expect(calls).toBe(0)
})
