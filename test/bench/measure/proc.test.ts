import { expect, test } from 'vitest'
import { cpuBetween, parseMachineIdle, parseSchedstat, readCpu, type CpuReading } from '../../../bench/measure/cpu.ts'
import { parseSmapsRollup, readMemory } from '../../../bench/measure/memory.ts'
import { usageBetween, type UsageReading } from '../../../bench/measure/usage.ts'
import { parseStat, processTree } from '../../../bench/measure/process-tree.ts'

test('stat: a name with spaces and parentheses does not shift the fields', () => {
  const text = '42 (odd ) name (x)) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 3 4 20 0 1 0 100 1000 10 18446744073709551615\n'
  expect(parseStat(text)).toEqual({
    pid: 42, name: 'odd ) name (x)', parent: 7, userTicks: 11, systemTicks: 22, reapedTicks: 7,
  })
})

test('schedstat: the first number is nanoseconds on a CPU', () => {
  expect(parseSchedstat('123456789 555 7\n')).toBe(123456789)
})

test('the machine: idle and waiting are not busy, stolen time is', () => {
  const text = 'cpu  100 10 50 9000 40 5 15 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 7\n'
  expect(parseMachineIdle(text, 10_000)).toEqual({ cores: 2, idle: 90_400_000 })
})

test('what was busy and belongs to none of those who take part was used by others', () => {
  const at = (atMs: number, idle: number, each: number): UsageReading => {
    const cpu = (pid: number): CpuReading => new Map([[pid, { microseconds: each, threads: new Map() }]])
    return { atMs, machine: { cores: 2, idle }, contestant: cpu(1), store: cpu(2), loaders: cpu(3), bench: cpu(4) }
  }
  // Of 2 x 250 ms, 100 are idle and 4 x 90 ours.
  expect(usageBetween(at(0, 7_000, 0), at(250, 107_000, 90_000))).toEqual({
    contestantUs: 90_000, storeUs: 90_000, loadersUs: 90_000, othersShare: 0.08,
  })
  // What is ours may be read a little later than what is idle.
  expect(usageBetween(at(0, 0, 0), at(250, 200_000, 90_000)).othersShare).toBe(0)
})

test('smaps_rollup: private bytes are clean and dirty ones together', () => {
  const text = '0-1 ---p 00000000 00:00 0  [rollup]\nRss:    100 kB\nShared_Clean:  60 kB\nPrivate_Clean:    8 kB\nPrivate_Dirty:   32 kB\n'
  expect(parseSmapsRollup(text)).toEqual({ privateBytes: 40 * 1024, residentBytes: 100 * 1024 })
})

test('nanoseconds are believed only while no thread has gone', () => {
  const reading = (microseconds: number, threads: [string, number][]): CpuReading =>
    new Map([[1, { microseconds, threads: new Map(threads) }]])
  const before = reading(10_000, [['1', 1_000_000], ['2', 500_000]])
  expect(cpuBetween(before, reading(20_000, [['1', 4_000_000], ['2', 600_000], ['3', 50_000]]))).toBe(3150)
  expect(cpuBetween(before, reading(20_000, [['1', 4_000_000]]))).toBe(10_000)
  // A thread that came and went in between left nothing but ticks.
  expect(cpuBetween(before, reading(40_000, [['1', 4_000_000], ['2', 600_000]]))).toBe(30_000)
  expect(cpuBetween(before, reading(30_000, [['1', 4_000_000], ['2', 600_000]]))).toBe(3100)
  expect(cpuBetween(reading(10_000, []), reading(30_000, []))).toBe(20_000)
})

test('this very process can be measured', () => {
  expect(processTree(process.pid)).toContain(process.pid)
  expect(readCpu([process.pid]).has(process.pid)).toBe(true)
  expect(readMemory([process.pid]).privateBytes).toBeGreaterThan(2 ** 20)
})

test('a process that is gone has no tree', () => {
  expect(processTree(2 ** 22 + 1)).toEqual([])
})
