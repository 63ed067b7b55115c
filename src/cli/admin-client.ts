import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { configurationHeader, headerOf } from '../admin/configuration-header.ts'
import { parseEndpoint } from '../config/endpoint.ts'
import { hasFault, issueLine } from '../config/issue.ts'
import { Problem } from '../config/problem.ts'
import { exitStatuses } from '../errors.ts'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { lookUpForSocket } from '../lib/names.ts'
import { chooseConfiguration, pathsOf, printIssues, type Chosen } from './configuration.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

// How `status`, `connections`, `reload`, `drain`, `kill` and `ban` reach the daemon: its admin listener, in HTTP. Each says which
// configuration it is meant for, where one was named or found, and a daemon of another one refuses.
//
//   --admin ────────────────────────────────────────────────────────┐
//   --config FILE ──┐                                               ├─ ask there
//   MEMSEAL_ADMIN ──┼───────────────────────────────────────────────┤
//   MEMSEAL_CONFIG, the default file ─── its admin.listen ──────────┘
//                                  └──── its fault: nobody is asked, least of all the daemon of another file

export interface Answer { status: number, body: string }

/** Nobody could be asked; the message says why and what to do. */
export class AdminError extends Error {
  readonly code: string

  constructor(message: string, code = '') {
    super(message)
    this.code = code
  }
}

/** Nobody was asked, and the configuration has faults, which are to be told as well. */
export class ConfigurationError extends Error {
  readonly chosen: Chosen

  constructor(chosen: Chosen, message: string) {
    super(message)
    this.chosen = chosen
  }
}

/** Where packages put it, and where to look when nothing says otherwise. */
const usualSocket = { kind: 'unix', path: '/run/memseal/admin.sock' } as const

/** A reload looks at every file, and waits for those before it. */
const TIMEOUT_MS = 60_000

export class AdminClient {
  readonly endpoint: Endpoint
  /** The configuration that the daemon has to be of; undefined: whoever answers. */
  readonly meantFor: string | undefined

  constructor(endpoint: Endpoint, meantFor?: string) {
    this.endpoint = endpoint
    this.meantFor = meantFor
  }

  /** @throws AdminError */
  async ask(method: 'GET' | 'POST', path: string): Promise<Answer> {
    const { endpoint } = this
    if (endpoint.kind === 'systemd') throw new AdminError('the admin listener is not a socket of systemd.\nGive --admin unix:/PATH.')
    const answer = await this.#send(endpoint, method, path)
    if (answer.status !== 421) return answer
    throw new AdminError(`${endpointText(endpoint)} belongs to another instance: ${answer.body.trim()}\n`
      + `This was meant for ${this.meantFor}. Nothing was done. Give --config with that file, or --admin alone to ask whoever answers there.`, 'MISDIRECTED')
  }

  /** @returns what the JSON of the answer says   @throws AdminError when it is none of ours, or an answer of another status */
  async askFor<T>(method: 'GET' | 'POST', path: string, statuses: readonly number[] = [200]): Promise<{ body: string, value: T }> {
    const { status, body } = await this.ask(method, path)
    if (!statuses.includes(status)) throw new AdminError(`${endpointText(this.endpoint)} answers with ${status}: ${firstLine(body)}`, String(status))
    try {
      return { body, value: JSON.parse(body) as T }
    } catch {
      throw new AdminError(`who answers on ${endpointText(this.endpoint)} is not memseal.\nGive --admin unix:/PATH.`, 'NOT_MEMSEAL')
    }
  }

  #send(endpoint: Exclude<Endpoint, { kind: 'systemd' }>, method: string, path: string): Promise<Answer> {
    const where = endpoint.kind === 'unix' ? { socketPath: endpoint.path } : { host: endpoint.host, port: endpoint.port, lookup: lookUpForSocket }
    const headers = { host: 'localhost', ...this.meantFor === undefined ? {} : { [configurationHeader]: headerOf(pathsOf(this.meantFor)) } }
    return new Promise((resolve, reject) => {
      const asked = request({ ...where, method, path, headers, timeout: TIMEOUT_MS }, response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (text: string) => { body += text })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', error => reject(failure(endpoint, error)))
      })
      asked.on('timeout', () => asked.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
      asked.on('error', error => reject(failure(endpoint, error)))
      asked.end()
    })
  }
}

/** @throws UsageError, AdminError, ConfigurationError */
export function adminClient(flags: Record<string, unknown>, { environment }: Terminal): AdminClient {
  const named = flags['config'] as string | undefined
  const variable = named === undefined ? environment['MEMSEAL_ADMIN']?.split(',')[0].trim() : undefined
  const given = (flags['admin'] as string | undefined) ?? variable
  if (given !== undefined && given !== '') {
    const endpoint = parseEndpoint(given, 'connect')
    if (endpoint instanceof Problem) throw new UsageError(`${endpoint.message}\n${endpoint.fix}`)
    return new AdminClient(endpoint, named ?? (environment['MEMSEAL_CONFIG'] || undefined))
  }
  const chosen = configurationOf(flags, environment)
  if (chosen === undefined) {
    if (existsSync(usualSocket.path)) return new AdminClient(usualSocket)
    throw new AdminError('nothing says where to ask: there is no configuration here.\nGive --admin unix:/PATH, or --config FILE.')
  }
  const configured = (chosen.loaded.admin?.listen ?? []).filter(endpoint => endpoint !== undefined)
  const endpoint = configured.find(({ kind }) => kind === 'unix') ?? configured[0]
  if (endpoint !== undefined) return new AdminClient(endpoint, chosen.file)
  if (hasFault(chosen.loaded.issues)) {
    throw new ConfigurationError(chosen, `${chosen.file ?? 'the configuration'} has faults and does not say where to ask.\n`
      + 'Nothing was done. Mend it, or give --admin unix:/PATH to ask there.')
  }
  throw new AdminError(`${chosen.file ?? 'the configuration'} names no admin listener.\n`
    + `Write admin: { listen: "unix:${usualSocket.path}" } and restart memseal, or give --admin unix:/PATH.`)
}

/** What the order was meant for. --admin is here the place to ask, and no part of a set-up without a file. */
export function configurationOf(flags: Record<string, unknown>, environment: NodeJS.ProcessEnv): Chosen | undefined {
  return chooseConfiguration({ config: flags['config'] }, environment)
}

/** Runs a command that asks the daemon; when it cannot be asked, says why. */
export async function asking(
  name: string, flags: Record<string, unknown>, terminal: Terminal, run: (client: AdminClient) => Promise<number>,
): Promise<number> {
  try {
    return await run(adminClient(flags, terminal))
  } catch (error) {
    if (error instanceof ConfigurationError) return tellFaults(name, error, flags, terminal)
    if (!(error instanceof AdminError)) throw error
    tellError(name, error.message, flags, terminal)
    return exitStatuses.failed.status
  }
}

/** One object on standard output with --json, as when all is well. */
export function tellError(name: string, message: string, flags: Record<string, unknown>, terminal: Terminal): void {
  if (flags['json'] === true) terminal.out(`${JSON.stringify({ error: message })}\n`)
  else terminal.err(`memseal ${name}: ${message}\n`)
}

function tellFaults(name: string, { message, chosen: { loaded } }: ConfigurationError, flags: Record<string, unknown>, terminal: Terminal): number {
  if (flags['json'] === true) terminal.out(`${JSON.stringify({ error: message, reasons: loaded.issues.map(issueLine) })}\n`)
  else {
    printIssues(loaded, terminal)
    terminal.err(`memseal ${name}: ${message}\n`)
  }
  return exitStatuses.configuration.status
}

function failure(endpoint: Endpoint, error: NodeJS.ErrnoException): AdminError {
  const where = endpointText(endpoint)
  const code = error.code ?? ''
  switch (code) {
    case 'ENOENT': case 'ECONNREFUSED':
      return new AdminError(`nobody answers on ${where}: memseal is not running, or its admin listener is elsewhere.\n`
        + 'Start it; or, if admin.listen was changed since its start, give --admin with the old place: the new one needs a restart.', code)
    case 'EACCES': case 'EPERM':
      return new AdminError(`this user may not write to ${where}.\nUse sudo, or join the group that owns it.`, code)
    case 'ECONNRESET': return new AdminError(`memseal has ended before it answered on ${where}.`, code)
    case 'ETIMEDOUT': return new AdminError(`no answer on ${where} within ${TIMEOUT_MS / 1000} s.\nThe process may hang; its log says more.`, code)
    default:
      if (code.startsWith('HPE_')) return new AdminError(`who answers on ${where} is not memseal.\nGive --admin unix:/PATH.`, code)
      return new AdminError(`${where} cannot be asked: ${error.message}.`, code)
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0].slice(0, 200)
}
