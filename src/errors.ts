/** Exit statuses of every command. 78 is EX_CONFIG of sysexits.h: systemd can be told not to restart on it. */
export const exitStatuses = {
  fine: { status: 0, doc: 'fine' },
  failed: { status: 1, doc: 'failed at run time, or a finding that needs care' },
  usage: { status: 2, doc: 'wrong usage: an unknown command or flag' },
  configuration: { status: 78, doc: 'the configuration was refused; the faults are on standard error' },
} as const

/** Why the daemon could not start, by the code that its log line carries. Codes are never reused for something else. */
export const startErrors = {
  'address-in-use': { errno: 'EADDRINUSE', message: 'another program listens there already', fix: 'Stop it (`ss -ltnp` says which it is), or write another port.' },
  'address-not-here': { errno: 'EADDRNOTAVAIL', message: 'this host has no such address', fix: 'Write an address of this host (`ip addr` lists them), or 0.0.0.0 or [::] for all.' },
  'not-permitted': { errno: 'EACCES', message: 'the user that memseal runs as may not do this', fix: 'Write a port above 1023, a folder that this user may write to, or give the unit the capability.' },
  'no-such-folder': { errno: 'ENOENT', message: 'there is no such folder', fix: 'Make the folder, or write another path.' },
  'start-failed': { errno: '', message: 'the system refused', fix: 'See the error beside it.' },
} as const

export type StartErrorCode = keyof typeof startErrors

/** A fault that keeps the daemon from starting: what happened, where, what to do. */
export class StartError extends Error {
  readonly code: StartErrorCode
  readonly where: string
  readonly fix: string
  readonly status = exitStatuses.failed.status

  /** @param where what was to be opened, `0.0.0.0:11212`   @param cause the system's error */
  constructor(where: string, cause: NodeJS.ErrnoException) {
    const found = Object.entries(startErrors).find(([, row]) => row.errno !== '' && row.errno === cause.code)
    const code = (found?.[0] ?? 'start-failed') as StartErrorCode
    const row = startErrors[code]
    super(code === 'start-failed' ? `${where}: ${row.message}: ${cause.message}` : `${where}: ${row.message}`, { cause })
    this.code = code
    this.where = where
    this.fix = row.fix
  }
}
