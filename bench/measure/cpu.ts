import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { readStat } from './process-tree.ts'

/** What the processes of one daemon had used when it was read. */
export type CpuReading = Map<number, ProcessCpu>

interface ProcessCpu {
  /** the whole process from /proc/PID/stat, in steps of a clock tick (10 ms); exited threads included */
  microseconds: number
  /** nanoseconds of each live thread from schedstat; empty where the kernel keeps none */
  threads: Map<string, number>
}

/** @param pids all processes of a daemon, children too (`processTree`). Finding them is slow beside reading them, so that
 *  is done before: what is read for one window must be read at one moment. */
export function readCpu(pids: number[]): CpuReading {
  const reading: CpuReading = new Map()
  for (const pid of pids) {
    const stat = readStat(pid)
    if (!stat) continue
    const ticks = stat.userTicks + stat.systemTicks + stat.reapedTicks
    reading.set(pid, { microseconds: ticks * microsecondsPerTick(), threads: readSchedstat(pid) })
  }
  return reading
}

/** CPU time, user and system, between two readings.   @returns microseconds */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let total = 0
  for (const [pid, now] of after) {
    const then = before.get(pid) ?? { microseconds: 0, threads: new Map<string, number>() }
    const ticks = now.microseconds - then.microseconds
    const precise = preciseBetween(then, now)
    total += precise === undefined || ticks - precise > 2 * microsecondsPerTick() ? ticks : precise
  }
  return total
}

// schedstat counts nanoseconds, but a thread that exits takes its count along (stunnel runs a thread per connection).
// So it is believed only where no thread went away in between; the ticks of the whole process hold in any case. One that
// came and went in between shows by the ticks alone: user and system time may each be one ahead.
function preciseBetween(then: ProcessCpu, now: ProcessCpu): number | undefined {
  if (now.threads.size === 0) return undefined
  let nanoseconds = 0
  for (const count of now.threads.values()) nanoseconds += count
  for (const [thread, count] of then.threads) {
    if (!now.threads.has(thread)) return undefined
    nanoseconds -= count
  }
  return nanoseconds / 1000
}

function readSchedstat(pid: number): Map<string, number> {
  const threads = new Map<string, number>()
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      threads.set(thread, parseSchedstat(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')))
    }
    return threads
  } catch {
    return new Map()
  }
}

/** @returns nanoseconds on a CPU: the first of three numbers.   Source: sched-stats.rst, /proc/<pid>/schedstat */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ', 1)[0])
}

/** What the cores of the whole machine did not use. */
export interface MachineIdle {
  cores: number
  /** microseconds since boot, of all cores, in steps of a clock tick (10 ms) */
  idle: number
}

export function readMachineIdle(): MachineIdle {
  return parseMachineIdle(readFileSync('/proc/stat', 'latin1'), microsecondsPerTick())
}

/** Idle time, since the kernel measures it, where it only samples what is busy at each tick. Stolen time is not idle.
 *  Source: proc_stat(5), line `cpu`: user nice system idle iowait irq softirq steal */
export function parseMachineIdle(text: string, perTick: number): MachineIdle {
  const [, , , idle, iowait] = text.slice(3, text.indexOf('\n')).trim().split(/\s+/).map(Number)
  return { cores: text.match(/^cpu\d/gm)!.length, idle: (idle + iowait) * perTick }
}

let perTick = 0

function microsecondsPerTick(): number {
  perTick ||= 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return perTick
}
