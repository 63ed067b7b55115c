import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import type { ClientCap } from '../admission/admission.ts'

// A client connection takes a file descriptor, and so does each connection to memcached. What the open-files limit
// leaves for clients is worked out once at start: past it clients are refused at admission, in the log by name, instead
// of by the kernel.

// Standard streams, the log, the event loop's own, the admin listener and its clients, certificates while they are
// read, and accept() itself: measured 22 in an idle process, the rest is for bursts.
const OWN_FILES = 64
const SHELL_MS = 5_000
const COUNT_EVERY_MS = 5_000

export interface FdWants {
  listeners: number
  sharedBackends: number
  /** Sum of `limits.connections` of all services. */
  clients: number
  /** Connections to memcached that clients may cause: `limits.private_connections`, or with `sharing: private` as many
   *  as clients. Sum of all services. */
  privateBackends: number
}

export interface FdPlan extends ClientCap { fdLimit: number | undefined, reserved: number, warning: string | undefined }

/** The soft limit of open files of this process, which Node has raised to the hard one at its start. undefined: none, or
 *  unknown. Not from `process.report`: it asks the DNS for both ends of every TCP connection, and all clients wait for that. */
export function readFdLimit(): number | undefined {
  const soft = process.platform === 'linux' ? limitOfKernel() ?? limitOfShell() : limitOfShell()
  return soft !== undefined && /^\d+$/.test(soft) ? Number(soft) : undefined
}

function limitOfKernel(): string | undefined {
  try {
    return /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  } catch {
    return undefined   // no /proc here (a chroot, a jail)
  }
}

/** Limits are inherited: a shell has ours. */
function limitOfShell(): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8', timeout: SHELL_MS, stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

/** What the limit leaves for clients. The result is the process-wide cap to hand to each `Admission`. */
export function planFds(fdLimit: number | undefined, wants: FdWants): FdPlan {
  const reserved = OWN_FILES + wants.listeners + wants.sharedBackends
  if (fdLimit === undefined) return { fdLimit, reserved, limit: wants.clients, open: 0, warning: undefined }
  const needed = reserved + wants.clients + wants.privateBackends
  if (needed <= fdLimit) return { fdLimit, reserved, limit: wants.clients, open: 0, warning: undefined }
  // What is left is shared out in the proportion that was asked for, and never to nobody.
  const left = Math.max(fdLimit - reserved, 0)
  const limit = Math.max(1, Math.floor(left * wants.clients / (wants.clients + wants.privateBackends)))
  return {
    fdLimit, reserved, limit, open: 0,
    warning: `The open-files limit of ${fdLimit} carries ${limit} client connections, and the configuration permits `
      + `${wants.clients}. Raise it to ${needed} (systemd: LimitNOFILE=${needed}; a shell: ulimit -n ${needed}), `
      + 'or lower limits.connections.',
  }
}

const fds = { count: 0, at: -Infinity, isCounting: false }

/** Open files of this process, at most five seconds old. To list 10,000 of them takes 50 ms, in which no client is served:
 *  Linux since 6.2 says their number as the folder's size; elsewhere another thread lists them, and the next to ask gets
 *  the number. */
export function countOpenFds(): number {
  if (process.platform === 'linux') {
    const { size } = statSync('/proc/self/fd', { throwIfNoEntry: false }) ?? { size: 0 }
    if (size > 0) return size
  }
  if (!fds.isCounting && performance.now() - fds.at >= COUNT_EVERY_MS) {
    fds.isCounting = true
    void readdir(process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd').then(names => names.length, () => 0).then(count => {
      Object.assign(fds, { count, at: performance.now(), isCounting: false })
    })
  }
  return fds.count
}
