import type { ClientCap } from '../admission/admission.ts'

// A client connection takes a file descriptor, and so does each connection to memcached. What the open-files limit
// leaves for clients is worked out once at start: past it clients are refused at admission, in the log by name, instead
// of by the kernel.

// Standard streams, the log, the event loop's own, the admin listener and its clients, certificates while they are
// read, and accept() itself: measured 22 in an idle process, the rest is for bursts.
const OWN_FILES = 64

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

/** The soft limit of open files of this process, which Node has raised to the hard one at its start. undefined: none,
 *  or unknown. */
export function readFdLimit(): number | undefined {
  const report = process.report.getReport() as unknown as { userLimits?: { open_files?: { soft: number | 'unlimited' } } }
  const soft = report.userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : undefined
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
