import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

/** Where the numbers were made; without it they mean nothing. */
export interface Machine {
  cpu: string
  cores: number
  memoryMiB: number
  kernel: string
  system: string
  node: string
  v8: string
  openssl: string
  commit: string
  loadAtStart: number
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    system: systemName(),
    node: process.versions.node,
    v8: process.versions.v8,
    openssl: process.versions.openssl,
    commit: commit(),
    loadAtStart: Number(loadavg()[0].toFixed(2)),
  }
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="(.*)"/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
