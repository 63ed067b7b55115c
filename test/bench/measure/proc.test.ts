import { expect, test } from 'vitest'
import { cpuBetween, parseMachineCpu, parseSchedstat, readCpu, type CpuReading } from '../../../bench/measure/cpu.ts'
import { parseSmapsRollup, readMemory } from '../../../bench/measure/memory.ts'
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

test('the machine: idle and waiting are not busy, stolen time is told apart', () => {
  const text = 'cpu  100 10 50 9000 40 5 15 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n'
  expect(parseMachineCpu(text, 10_000)).toEqual({ busy: 1_800_000, stolen: 30_000 })
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
