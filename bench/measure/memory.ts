import { readFileSync } from 'node:fs'
import { processTree } from './process-tree.ts'

export interface Memory {
  /** bytes no other process shares: what would come back if the daemon went away */
  privateBytes: number
  residentBytes: number
}

/** Memory of a daemon, children included. */
export function readMemory(roots: number[]): Memory {
  const sum: Memory = { privateBytes: 0, residentBytes: 0 }
  for (const pid of roots.flatMap(processTree)) {
    const part = parseSmapsRollup(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))
    sum.privateBytes += part.privateBytes
    sum.residentBytes += part.residentBytes
  }
  return sum
}

/** Source: proc_pid_smaps(5) */
export function parseSmapsRollup(text: string): Memory {
  const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
  return { privateBytes: bytes('Private_Clean') + bytes('Private_Dirty'), residentBytes: bytes('Rss') }
}
