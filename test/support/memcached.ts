import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { release } from '../../src/proto/bytes.ts'
import { delimiter, join } from 'node:path'
import { endOf, within } from './child.ts'
import type { Ended } from './child.ts'
import { freePort } from './ports.ts'
import { atEndOfTest } from './test-life.ts'

export interface MemcachedOptions {
  /** More of memcached's own arguments, such as `['-t', '4', '-m', '64']`. */
  args?: string[]
  /** Listens on this unix socket instead of TCP. */
  unix?: string
  /** What shows that it is up, when it does not tell its version to everybody: a question, and how the answer begins. */
  asked?: { question: string, answer: string }
  /** More variables of its environment. */
  env?: Record<string, string>
  /** A port of the caller's choice; else a free one. */
  port?: number
}

/** Path of the `memcached` program, or undefined. Installing it is the work of test/setup. TEST_MEMCACHED names another release
 *  than the installed one (npm run test:releases). */
export function findMemcached(): string | undefined {
  const chosen = process.env['TEST_MEMCACHED']
  if (chosen !== undefined && chosen !== '') return chosen
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/usr/sbin',
    '/opt/homebrew/bin']
  return folders.map(folder => join(folder, 'memcached')).find(file => existsSync(file))
}

/** Is the memcached of the tests this release, or a later one?   @param since `1.6.35`; undefined: any is */
export function isAtLeast(since: string | undefined): boolean {
  return since === undefined || release(installedRelease()) >= release(since)
}

let installed: string | undefined

function installedRelease(): string {
  return installed ??= execFileSync(findMemcached()!, ['-V'], { encoding: 'utf8' }).trim().replace(/^memcached /, '')
}

/** Starts a memcached of this test's own on loopback and waits until it answers `version`. It is stopped at the end of
 *  the running test; one started in beforeAll is stopped by the caller. */
export async function startMemcached(options: MemcachedOptions = {}): Promise<Memcached> {
  const program = findMemcached()
  if (!program) throw new Error('memcached is not installed; `npm test` says how to get it')
  for (let attempt = 1; ; attempt++) {
    const memcached = new Memcached(program, options, options.unix ? 0 : options.port ?? await freePort())
    try {
      await memcached.start()
      await atEndOfTest(() => memcached.stop())
      return memcached
    } catch (error) {
      // Somebody else may have bound the free port in between.
      if (options.port || options.unix || attempt === 5) throw error
    }
  }
}

export class Memcached {
  readonly port: number
  readonly unix: string | undefined
  readonly #program: string
  readonly #asked: { question: string, answer: string }
  readonly #args: string[]
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined
  #ended: Promise<Ended> = Promise.resolve({ code: 0, signal: null })
  #stderr = ''

  constructor(program: string, options: MemcachedOptions, port: number) {
    this.port = port
    this.unix = options.unix
    this.#program = program
    this.#env = { ...process.env, ...options.env }
    this.#asked = options.asked ?? { question: 'version\r\n', answer: 'VERSION ' }
    const place = options.unix ? ['-s', options.unix, '-a', '0700'] : ['-l', '127.0.0.1', '-p', String(port), '-U', '0']
    const user = process.getuid?.() === 0 ? ['-u', 'root'] : []
    this.#args = [...place, ...user, ...options.args ?? []]
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('memcached is not running')
    return this.#child.pid
  }

  /** As `backend.connect` of the configuration takes it. */
  get address(): string {
    return this.unix ? `unix:${this.unix}` : `127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const child = spawn(this.#program, this.#args, { stdio: ['ignore', 'ignore', 'pipe'], env: this.#env })
    this.#child = child
    this.#stderr = ''
    child.stderr.on('data', (text: Buffer) => { this.#stderr += text })
    let isGone = false
    this.#ended = endOf(child)
    void this.#ended.then(() => { isGone = true })
    const answering = async () => {
      while (!await this.#answersVersion()) {
        if (isGone) throw new Error(`memcached ended at its start: ${this.#stderr}`)
        await new Promise(resolve => setTimeout(resolve, 10))
      }
      // Another memcached on the same port would answer as well while ours could not bind it.
      if (isGone) throw new Error(`memcached ended at its start: ${this.#stderr}`)
    }
    await within(150_000, answering(), () => `memcached answers \`version\`; it said: ${this.#stderr}`)
  }

  /** Ends it at once, a frozen one too: memcached has nothing to save, and takes a second over SIGTERM. */
  async stop(): Promise<void> {
    await this.kill9()
  }

  async kill9(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await within(150_000, this.#ended, () => 'memcached ends')
    this.#child = undefined
  }

  /** Stops it if it runs and starts an empty one on the same port or socket. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** The kernel still accepts connections and bytes, but nothing is answered until `thaw()`. On a busy machine its threads go on
   *  for a while behind the signal; resolves when all have stopped. */
  async freeze(): Promise<void> {
    this.#child?.kill('SIGSTOP')
    const tasks = `/proc/${this.pid}/task`
    const areStopped = (): boolean => readdirSync(tasks).every(task => /\) T /.test(readFileSync(join(tasks, task, 'stat'), 'utf8')))
    while (existsSync(tasks) && !areStopped()) await new Promise(resolve => setTimeout(resolve, 1))
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  #answersVersion(): Promise<boolean> {
    return new Promise(resolve => {
      const socket = this.unix ? connect(this.unix) : connect(this.port, '127.0.0.1')
      const tell = (answers: boolean) => { socket.destroy(); resolve(answers) }
      socket.setTimeout(1000, () => tell(false))
      socket.once('error', () => tell(false))
      socket.once('close', () => tell(false))
      socket.once('data', data => tell(data.toString('latin1').startsWith(this.#asked.answer)))
      socket.write(this.#asked.question, 'latin1')
    })
  }
}
