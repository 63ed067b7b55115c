/** systemd, both ways: what it is told (ready, stopping, alive) and the sockets that it hands over. */
import { execFile } from 'node:child_process'
import type { EventLog } from '../telemetry/event-log.ts'

type Environment = Readonly<Record<string, string | undefined>>

// READY=1 and its kin are datagrams to a unix socket, which Node cannot send: `systemd-notify` of systemd does. It is no
// child that systemd calls main, so the unit has to say NotifyAccess=all. One at a time, so that they arrive in order.
const NOTIFY_TIMEOUT_MS = 10_000
// Without READY=1 systemd ends the unit at TimeoutStartSec (90 s), with all its clients: it is said again until it arrived.
const READY_AGAIN_MS = 1_000
// A backend that comes and goes makes one process of systemd-notify a second at the most.
const FOLLOW_MS = 1_000
// systemd drops a message of more than 4,096 bytes, READY=1 with it; a character takes up to three (four as two of these).
const MOST_STATUS_CHARACTERS = 1_000

/** Sends one message, `['READY=1', 'STATUS=…']`. */
export type Send = (assignments: readonly string[]) => Promise<void>

/** Tells systemd how this process is; of no effect when it was not started by a unit of `Type=notify`. */
export class ServiceManager {
  readonly #send: Send | undefined
  readonly #log: EventLog
  #waiting: string[][] = []
  #isSending = false
  #isSilenced = false
  #hasFailed = false
  #following: NodeJS.Timeout | undefined
  #again: NodeJS.Timeout | undefined
  #watchdog: NodeJS.Timeout | undefined

  constructor(environment: Environment, log: EventLog, send: Send = bySystemdNotify(environment)) {
    this.#send = environment['NOTIFY_SOCKET'] ? send : undefined
    this.#log = log
    const everyMs = watchdogMs(environment)
    // A timer fires only while the event loop turns: a process that hangs is silent, and systemd restarts it.
    if (this.#send !== undefined && everyMs !== undefined) this.#watchdog = setInterval(() => this.#alive(), everyMs).unref()
  }

  /** READY=1 at once, since memseal listens: that a backend is down is no reason to end those that serve. What is `missing`
   *  stands in the line of `systemctl status`, which follows it, and so do `remarks` while nothing is. */
  ready(missing: () => readonly string[], remarks: () => readonly string[] = () => []): void {
    if (this.#send === undefined) return
    const now = (): string => statusOf(missing(), remarks)
    let told = now()
    this.#tell(['READY=1', `STATUS=${told}`])
    this.#following = setInterval(() => {
      const status = now()
      if (status === told) return
      told = status
      this.#tell([`STATUS=${status}`])
    }, FOLLOW_MS).unref()
  }

  stopping(status: string): void {
    clearInterval(this.#following)
    clearTimeout(this.#again)
    this.#tell(['STOPPING=1', `STATUS=${status}`])
  }

  close(): void {
    clearInterval(this.#following)
    clearTimeout(this.#again)
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
        this.#hasFailed = false
      } catch (error) {
        this.#failed(error as Error)
        if (next.includes('READY=1')) this.#again = setTimeout(() => this.#tell(['READY=1']), READY_AGAIN_MS).unref()
      }
    }
    this.#isSending = false
  }

  /** Once for all that fail in a row. */
  #failed(error: Error): void {
    if (this.#isSilenced || this.#hasFailed) return
    this.#hasFailed = true
    this.#log.tell('notify-failed', {}, `systemd could not be told how memseal is: ${error.message.trim()} ` +
      'The unit needs systemd-notify (of the package systemd) on its PATH.')
  }
}

function statusOf(missing: readonly string[], remarks: () => readonly string[]): string {
  if (missing.length === 0) return ['serving', ...remarks()].join('; ').slice(0, MOST_STATUS_CHARACTERS)
  const status = `listening, but ${missing.join('; ')}`
  if (status.length <= MOST_STATUS_CHARACTERS) return status
  const end = `… (${missing.length} reasons; all of them: memseal status)`
  return status.slice(0, MOST_STATUS_CHARACTERS - end.length) + end
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
