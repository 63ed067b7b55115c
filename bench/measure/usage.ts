import { cpuBetween, readCpu, readMachineIdle, type CpuReading, type MachineIdle } from './cpu.ts'
import { processTree } from './process-tree.ts'

/** All processes that take part in a slice. */
export interface Participants {
  contestant: number[]
  /** the memcached behind it; empty where the contestant is the store */
  store: number[]
  loaders: number[]
}

/** @param roots of each, the processes that were started; their children belong to them */
export function participants(roots: Participants): Participants {
  const all = (pids: number[]) => pids.flatMap(processTree)
  return { contestant: all(roots.contestant), store: all(roots.store), loaders: roots.loaders }
}

/** What each had used at one moment. */
export interface UsageReading {
  atMs: number
  machine: MachineIdle
  contestant: CpuReading
  store: CpuReading
  loaders: CpuReading
  bench: CpuReading
}

/** CPU time between two readings, in microseconds. */
export interface Usage {
  contestantUs: number
  storeUs: number
  loadersUs: number
  /** share of the machine that anything else used, or that its host took away: 0 to 1 */
  othersShare: number
}

export function readUsage({ contestant, store, loaders }: Participants): UsageReading {
  return {
    atMs: performance.now(),
    machine: readMachineIdle(),
    contestant: readCpu(contestant),
    store: readCpu(store),
    loaders: readCpu(loaders),
    bench: readCpu([process.pid]),
  }
}

export function usageBetween(before: UsageReading, after: UsageReading): Usage {
  const contestantUs = cpuBetween(before.contestant, after.contestant)
  const storeUs = cpuBetween(before.store, after.store)
  const loadersUs = cpuBetween(before.loaders, after.loaders)
  const capacityUs = after.machine.cores * (after.atMs - before.atMs) * 1000
  const busyUs = capacityUs - (after.machine.idle - before.machine.idle)
  const oursUs = contestantUs + storeUs + loadersUs + cpuBetween(before.bench, after.bench)
  return { contestantUs, storeUs, loadersUs, othersShare: Math.max(0, busyUs - oursUs) / capacityUs }
}
