import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { endpointText, parseEndpoint, type Endpoint } from '../config/endpoint.ts'
import { Problem } from '../config/reading.ts'
import { exitStatuses } from '../errors.ts'
import { chooseConfiguration } from './configuration.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

// How `status`, `connections`, `reload`, `drain` and `kill` reach the daemon: its admin listener, in HTTP.

export interface Answer { status: number, body: string }

/** Nobody could be asked; the message says why and what to do. */
export class AdminError extends Error {
  readonly code: string

  constructor(message: string, code = '') {
    super(message)
    this.code = code
  }
}

/** Where packages put it, and where to look when nothing says otherwise. */
const usualSocket = { kind: 'unix', path: '/run/memseal/admin.sock' } as const

/** A reload looks at every file, and waits for those before it. */
const TIMEOUT_MS = 60_000

export class AdminClient {
  readonly endpoint: Endpoint

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint
  }

  /** @throws AdminError */
  ask(method: 'GET' | 'POST', path: string): Promise<Answer> {
    const { endpoint } = this
    if (endpoint.kind === 'systemd') throw new AdminError('the admin listener is no socket of systemd.\nGive --admin unix:/PATH.')
    const where = endpoint.kind === 'unix' ? { socketPath: endpoint.path } : { host: endpoint.host, port: endpoint.port }
    return new Promise((resolve, reject) => {
      const asked = request({ ...where, method, path, headers: { host: 'localhost' }, timeout: TIMEOUT_MS }, response => {
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

/** --admin, then MEMSEAL_ADMIN, then the configuration, even one with faults: `reload` is to say what they are.
 *  @throws UsageError, AdminError */
export function adminClient(flags: Record<string, unknown>, terminal: Terminal): AdminClient {
  const given = (flags['admin'] as string | undefined) ?? terminal.environment['MEMSEAL_ADMIN']?.split(',')[0].trim()
  if (given !== undefined && given !== '') {
    const endpoint = parseEndpoint(given, 'connect')
    if (endpoint instanceof Problem) throw new UsageError(`${endpoint.message}\n${endpoint.fix}`)
    return new AdminClient(endpoint)
  }
  const chosen = chooseConfiguration(flags, terminal.environment)
  const configured = (chosen?.loaded.admin?.listen ?? []).filter(endpoint => endpoint !== undefined)
  const endpoint = configured.find(({ kind }) => kind === 'unix') ?? configured[0]
  if (endpoint !== undefined) return new AdminClient(endpoint)
  if (existsSync(usualSocket.path)) return new AdminClient(usualSocket)
  throw new AdminError(chosen === undefined
    ? 'nothing says where to ask: there is no configuration here.\nGive --admin unix:/PATH, or --config FILE.'
    : `${chosen.file ?? 'the configuration'} names no admin listener.\nWrite admin: { listen: "unix:${usualSocket.path}" } and restart memseal, or give --admin unix:/PATH.`)
}

/** Runs a command that asks the daemon; when it cannot be asked, says why. */
export async function asking(
  name: string, flags: Record<string, unknown>, terminal: Terminal, run: (client: AdminClient) => Promise<number>,
): Promise<number> {
  try {
    return await run(adminClient(flags, terminal))
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    terminal.err(`memseal ${name}: ${error.message}\n`)
    return exitStatuses.failed.status
  }
}

function failure(endpoint: Endpoint, error: NodeJS.ErrnoException): AdminError {
  const where = endpointText(endpoint)
  const code = error.code ?? ''
  switch (code) {
    case 'ENOENT': case 'ECONNREFUSED':
      return new AdminError(`nobody answers on ${where}: memseal is not running, or its admin listener is elsewhere.\nStart it, or give --admin unix:/PATH.`, code)
    case 'EACCES': case 'EPERM':
      return new AdminError(`this user may not write to ${where}.\nUse sudo, or join the group that owns it.`, code)
    case 'ECONNRESET': return new AdminError(`memseal has ended before it answered on ${where}.`, code)
    case 'ETIMEDOUT': return new AdminError(`no answer on ${where} within ${TIMEOUT_MS / 1000} s.\nThe process may hang; its log says more.`, code)
    default: return new AdminError(`${where} cannot be asked: ${error.message}.`, code)
  }
}
