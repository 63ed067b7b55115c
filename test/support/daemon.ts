import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { endOf, within } from './child.ts'
import type { Ended } from './child.ts'
import { tempFolder } from './temp-folder.ts'
import { atEndOfTest, whenTestFails } from './test-life.ts'

export const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Ends a test that is broken before vitest does, with the log in its message; a busy machine may need most of it. */
const PATIENCE_MS = 150_000

/** A configuration as YAML text or as the object it stands for. */
export type ConfigText = string | Record<string, unknown>

/** One line of the daemon's JSON log. */
export interface LogLine {
  level?: string | number
  event?: string
  msg?: string
  service?: string
  address?: string
  port?: number
  [field: string]: unknown
}

export interface DaemonOptions {
  env?: Record<string, string>
  /** Arguments after `run --config FILE`. */
  args?: string[]
  /** Options for node itself, such as `--max-old-space-size=64`. */
  execArgv?: string[]
  /** Program that starts node, with its arguments, such as `['prlimit', '--nofile=64:64']`. */
  wrapper?: string[]
  /** How many `listening` lines to wait for; default: the listeners counted in the configuration. */
  listeners?: number
}

/** Starts memseal with this configuration and waits until all its listeners listen. Stopped at the end of the running
 *  test; one started in beforeAll is stopped by the caller. When the test fails, the daemon's log is printed. */
export async function startDaemon(
  config: ConfigText | ((folder: string) => ConfigText), options: DaemonOptions = {},
): Promise<Daemon> {
  const folder = tempFolder()
  const text = toYaml(typeof config === 'function' ? config(folder) : config)
  const configFile = join(folder, 'memseal.yaml')
  writeFileSync(configFile, text)
  const daemon = new Daemon(folder, configFile, options)
  await whenTestFails(() => console.error(`memseal's log:\n${daemon.output()}`))
  await atEndOfTest(() => daemon.stop())
  try {
    await daemon.listening(options.listeners ?? listenersIn(text))
  } catch (error) {
    daemon.kill('SIGKILL')
    throw error
  }
  return daemon
}

export function toYaml(config: ConfigText): string {
  return typeof config === 'string' ? config : stringify(config)
}

function listenersIn(text: string): number {
  const services = (parse(text) as { services?: Record<string, { listen?: string | string[] }> } | null)?.services ?? {}
  return Object.values(services).reduce((sum, { listen }) => sum + (Array.isArray(listen) ? listen.length : 1), 0)
}

export class Daemon {
  /** Holds the configuration file; removed when the test process ends. A place for sockets of the test. */
  readonly folder: string
  readonly configFile: string
  readonly #child: ChildProcess
  readonly #ended: Promise<Ended>
  readonly #logs: LogLine[] = []
  #outcome: Ended | undefined
  #output = ''
  #partialLine = ''
  readonly #watchers = new Set<() => void>()

  constructor(folder: string, configFile: string, options: DaemonOptions) {
    this.folder = folder
    this.configFile = configFile
    const [program, ...args] = [...options.wrapper ?? [], process.execPath, ...options.execArgv ?? [], mainFile,
      'run', '--config', configFile, ...options.args ?? []]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: daemonEnv(options.env) })
    this.#child = child
    child.stdout.on('data', (bytes: Buffer) => this.#readLog(bytes.toString('utf8')))
    child.stderr.on('data', (bytes: Buffer) => { this.#output += bytes })
    // Not before the last line of its log has come.
    const closed = once(child, 'close')
    closed.catch(() => {})   // it could not be started, as endOf tells
    this.#ended = endOf(child).then(async outcome => { await closed.catch(() => {}); return outcome })
    void this.#ended.then(outcome => { this.#outcome = outcome; this.#changed() })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('memseal could not be started')
    return this.#child.pid
  }

  /** Port of a service's TCP listener, in the order of its `listen` list; unix sockets are not counted. */
  port(service?: string, index = 0): number {
    const ports = this.#logs.filter(line => line.event === 'listening' && line.port &&
      (service === undefined || line.service === service)).map(line => line.port)
    const port = ports[index]
    if (port === undefined) throw new Error(`service ${service ?? '(any)'} has no TCP listener ${index}\n${this.#output}`)
    return port
  }

  /** All log lines so far, or those of one event. */
  logs(event?: string): LogLine[] {
    return event === undefined ? [...this.#logs] : this.#logs.filter(line => line.event === event)
  }

  /** Log and stderr as they were written. */
  output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return this.#outcome === undefined
  }

  /** The first log line, past or to come, that fits: an event's name or a predicate. */
  async waitForLog(fits: string | ((line: LogLine) => boolean), timeoutMs = PATIENCE_MS): Promise<LogLine> {
    const predicate = typeof fits === 'string' ? (line: LogLine) => line.event === fits : fits
    let found: LogLine | undefined
    await this.#until(() => (found = this.#logs.find(predicate)) !== undefined, `log line ${fits}`, timeoutMs)
    return found as LogLine
  }

  async listening(count: number): Promise<void> {
    await this.#until(() => this.logs('listening').length >= count, `${count} listeners listening`, PATIENCE_MS)
  }

  /** Sends SIGTERM and waits for the end. @returns its exit status, null when a signal killed it */
  async stop(timeoutMs = PATIENCE_MS): Promise<number | null> {
    this.kill('SIGTERM')
    try {
      return (await this.exited(timeoutMs)).code
    } catch (error) {
      this.kill('SIGKILL')
      throw error
    }
  }

  kill(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal)
  }

  exited(timeoutMs = PATIENCE_MS): Promise<Ended> {
    return within(timeoutMs, this.#ended, () => `memseal ends\n${this.#output}`)
  }

  #readLog(text: string): void {
    this.#output += text
    const lines = (this.#partialLine + text).split('\n')
    this.#partialLine = lines.pop() ?? ''
    for (const line of lines) {
      try {
        this.#logs.push(JSON.parse(line) as LogLine)
      } catch {
        // Not a log line (a warning of node, say); it stays in output().
      }
    }
    this.#changed()
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look()
  }

  async #until(isThere: () => boolean, wanted: string, timeoutMs: number): Promise<void> {
    let look: () => void = () => {}
    const seen = new Promise<void>((resolve, reject) => {
      look = () => {
        if (isThere()) resolve()
        else if (this.#outcome) {
          reject(new Error(`memseal ended (${this.#outcome.code}) before: ${wanted}\n${this.#output}`))
        }
      }
      this.#watchers.add(look)
      look()
    })
    try {
      await within(timeoutMs, seen, () => `${wanted}\n${this.#output}`)
    } finally {
      this.#watchers.delete(look)
    }
  }
}

export interface CommandResult { code: number | null; stdout: string; stderr: string }

/** Runs `memseal ARGS` to its end. */
export async function runMemseal(
  args: string[], options: { env?: Record<string, string>; cwd?: string; timeoutMs?: number; execArgv?: string[] } = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [...options.execArgv ?? [], mainFile, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: daemonEnv(options.env), cwd: options.cwd })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes: Buffer) => { stdout += bytes })
  child.stderr.on('data', (bytes: Buffer) => { stderr += bytes })
  void endOf(child)
  const closed = new Promise<number | null>(resolve => { child.once('close', code => resolve(code)) })
  try {
    const code = await within(options.timeoutMs ?? PATIENCE_MS, closed,
      () => `memseal ${args.join(' ')} ends\n${stdout}${stderr}`)
    return { code, stdout, stderr }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}

/** The test runner's own variables (NODE_OPTIONS, MEMSEAL_…) must not reach the daemon; that a start is quick may. */
function daemonEnv(more: Record<string, string> = {}): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => name === 'NODE_COMPILE_CACHE' || !/^(NODE_|MEMSEAL_|VITEST)/.test(name))
  return { ...Object.fromEntries(kept), ...more }
}
