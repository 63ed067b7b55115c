/** systemd, both ways: what it is told (ready, stopping, alive) and the sockets that it hands over. */
import { execFile } from 'node:child_process'
import type { Logger } from 'pino'

type Environment = Readonly<Record<string, string | undefined>>

// READY=1 and its kin are datagrams to a unix socket, which Node cannot send: `systemd-notify` of systemd does. It is no
// child that systemd calls main, so the unit has to say NotifyAccess=all. One at a time, so that they arrive in order.
const NOTIFY_TIMEOUT_MS = 10_000
const FOLLOW_MS = 100

/** Sends one message, `['READY=1', 'STATUS=…']`. */
export type Send = (assignments: readonly string[]) => Promise<void>

/** Tells systemd how this process is; of no effect when it was not started by a unit of `Type=notify`. */
export class ServiceManager {
  readonly #send: Send | undefined
  readonly #log: Logger
  #waiting: string[][] = []
  #isSending = false
  #isSilenced = false
  #following: NodeJS.Timeout | undefined
  #watchdog: NodeJS.Timeout | undefined

  constructor(environment: Environment, log: Logger, send: Send = bySystemdNotify(environment)) {
    this.#send = environment['NOTIFY_SOCKET'] ? send : undefined
    this.#log = log
    const everyMs = watchdogMs(environment)
    // A timer fires only while the event loop turns: a process that hangs is silent, and systemd restarts it.
    if (this.#send !== undefined && everyMs !== undefined) this.#watchdog = setInterval(() => this.#alive(), everyMs).unref()
  }

  /** READY=1 once there are no `reasons` why not, for the first time; the line in `systemctl status` follows them before
   *  and after. */
  follow(reasons: () => readonly string[]): void {
    if (this.#send === undefined) return
    let isReady = false
    let told: string | undefined
    const look = (): void => {
      const status = reasons().join('; ') || 'serving'
      if (status === told) return
      told = status
      const becomesReady = !isReady && status === 'serving'
      isReady ||= becomesReady
      this.#tell([...becomesReady ? ['READY=1'] : [], `STATUS=${status}`])
    }
    look()
    this.#following = setInterval(look, FOLLOW_MS).unref()
  }

  stopping(status: string): void {
    clearInterval(this.#following)
    this.#tell(['STOPPING=1', `STATUS=${status}`])
  }

  close(): void {
    clearInterval(this.#following)
    clearInterval(this.#watchdog)
    this.#waiting = []
    this.#isSilenced = true
  }

  #alive(): void {
    // A message that is on its way says it as well, once it is there.
    if (!this.#isSending) this.#tell(['WATCHDOG=1'])
  }

  #tell(assignments: string[]): void {
    if (this.#send === undefined || this.#isSilenced) return
    this.#waiting.push(assignments.map(text => text.replaceAll('\n', ' ')))
    if (!this.#isSending) void this.#sendWaiting(this.#send)
  }

  async #sendWaiting(send: Send): Promise<void> {
    this.#isSending = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        // An event of its own keeps the watchdog content: WATCHDOG=1 rides along.
        await send(this.#watchdog === undefined || next.includes('WATCHDOG=1') ? next : [...next, 'WATCHDOG=1'])
      } catch (error) {
        this.#failed(error as Error)
      }
    }
    this.#isSending = false
  }

  #failed(error: Error): void {
    if (this.#isSilenced) return
    this.#log.warn({ event: 'notify-failed' }, `systemd could not be told how memseal is: ${error.message.trim()} ` +
      'The unit needs systemd-notify (of the package systemd) on its PATH.')
  }
}

function bySystemdNotify(environment: Environment): Send {
  const env = { PATH: environment['PATH'], NOTIFY_SOCKET: environment['NOTIFY_SOCKET'] }
  return assignments => new Promise((resolve, reject) => {
    execFile('systemd-notify', [...assignments], { env, timeout: NOTIFY_TIMEOUT_MS }, error => error === null ? resolve() : reject(error))
  })
}

/** Half of what systemd allows between two signs of life, in milliseconds. undefined: it does not watch this process. */
export function watchdogMs(environment: Environment, pid: number = process.pid): number | undefined {
  const us = Number(environment['WATCHDOG_USEC'])
  if (!(us > 0) || (environment['WATCHDOG_PID'] ?? String(pid)) !== String(pid)) return undefined
  return Math.max(1, Math.floor(us / 2000))
}

const FIRST_PASSED_FD = 3

/** The listening sockets that systemd opened for this process, by the FileDescriptorName= of their socket units. It keeps
 *  them open over a restart, so that nobody is refused meanwhile. */
export class PassedSockets {
  readonly #names: readonly string[]
  readonly #taken = new Set<string>()

  constructor(environment: Environment, pid: number = process.pid) {
    // Children inherit the variables and not the sockets, hence the look at LISTEN_PID.
    const isForUs = environment['LISTEN_PID'] === String(pid)
    const names = (environment['LISTEN_FDNAMES'] ?? '').split(':')
    this.#names = isForUs ? Array.from({ length: Number(environment['LISTEN_FDS']) || 0 }, (_, at) => names[at] || 'unknown') : []
  }

  /** Their descriptors: one for each ListenStream= of the socket unit. Given out once: a listener that was closed has
   *  closed them too, and their numbers may be other files by now.
   *  @throws Error with the code ENOSOCKET, in words for the operator */
  take(name: string): number[] {
    const fds = this.#names.flatMap((each, at) => each === name ? [FIRST_PASSED_FD + at] : [])
    if (fds.length === 0) throw noSocket(this.#names.length === 0
      ? `systemd passed no sockets. Start the socket unit (systemctl start memseal.socket), and let it start memseal`
      : `systemd passed no socket of this name, but ${[...new Set(this.#names)].join(', ')}. Write FileDescriptorName=${name} in the socket unit, or another name here`)
    if (this.#taken.has(name)) throw noSocket('this socket of systemd was closed by an earlier reload. Restart memseal to have it again')
    this.#taken.add(name)
    return fds
  }
}

/** Those of this process. */
export const passedSockets = new PassedSockets(process.env)

function noSocket(message: string): Error {
  return Object.assign(new Error(message), { code: 'ENOSOCKET' })
}
