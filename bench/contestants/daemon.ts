import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Plan } from './contestant.ts'

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 3_000
const OPEN_FILES = 32_768

/** A running contestant, or the memcached behind it. */
export class Daemon {
  readonly name: string
  readonly port: number
  readonly metricsUrl: string | undefined
  #child: ChildProcess
  #log: string

  private constructor(name: string, port: number, metricsUrl: string | undefined, child: ChildProcess, log: string) {
    this.name = name
    this.port = port
    this.metricsUrl = metricsUrl
    this.#child = child
    this.#log = log
  }

  /** Writes its files, starts it and waits until it accepts.   @throws with the end of its log when it does not */
  static async start(name: string, port: number, plan: Plan, directory: string): Promise<Daemon> {
    mkdirSync(directory, { recursive: true })
    chmodSync(directory, 0o755)
    for (const [file, text] of Object.entries(plan.files)) writeFileSync(join(directory, file), text)
    const log = join(directory, 'log')
    const out = openSync(log, 'w')
    const child = spawn('sh', ['-c', raiseOpenFiles, 'sh', ...plan.command], { stdio: ['ignore', out, out] })
    closeSync(out)
    const daemon = new Daemon(name, port, plan.metricsUrl, child, log)
    await daemon.#accepting()
    return daemon
  }

  get pid(): number {
    return this.#child.pid!
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await Promise.race([gone, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
    if (this.isRunning) this.#child.kill('SIGKILL')
    await gone
  }

  /** Of its log the line that tells the fault, else the last ones. */
  lastWords(): string {
    const lines = readFileSync(this.#log, 'utf8').trim().split('\n')
    return lines.find(line => /\b\w*error\b|fatal|\[ALERT\]/i.test(line)) ?? lines.slice(-3).join(' ')
  }

  async #accepting(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    while (Date.now() < deadline && this.isRunning) {
      if (await accepts(this.port)) return
      await sleep(30)
    }
    await this.stop()
    throw new Error(`${this.name} did not start: ${this.lastWords()}`)
  }
}

// `exec`, so that the daemon keeps the pid that is measured.
const raiseOpenFiles = `
hard=$(ulimit -H -n)
if [ "$hard" = unlimited ] || [ "$hard" -gt ${OPEN_FILES} ]; then hard=${OPEN_FILES}; fi
ulimit -n "$hard"
exec "$@"`

/** A port nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
