/** Memory of a process as the kernel counts it. */
import { readFileSync } from 'node:fs'

/** @returns bytes of `pid` that are in memory now, or were at the most (Linux only) */
export function residentBytes(pid: number, which: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`${which}:\\s+(\\d+) kB`).exec(status)?.[1] ?? NaN) * 1024
}
