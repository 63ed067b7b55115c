import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { isLoopback, normalAddress } from '../lib/address.ts'
import { Backoff } from '../lib/backoff.ts'
import { bind, type Bound } from '../lib/bind.ts'
import { Ranges, RangesBuilder } from '../lib/ranges.ts'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { isOwnAddress } from '../lib/names.ts'
import { printableLines } from '../lib/printable.ts'
import type { Audited } from '../telemetry/audit.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { ReloadOutcome } from '../telemetry/reload-outcome.ts'
import { configurationHeader, headerOf, isMeantFor } from './configuration-header.ts'
import { Places } from './places.ts'
import { contentType, prometheusText } from './prometheus.ts'
import { Rounds } from './rounds.ts'
import { connectionsText, jsonText, type ConnectionsNow, type Snapshot } from './snapshot.ts'

// Asks and orders, in HTTP. Whoever can write to the unix socket (owner and group) may give orders; over TCP there is only
// reading: for every user of this host, and for those addresses that `admin.allow` names.

const MOST_CONNECTIONS_SHOWN = 10_000
const DEFAULT_CONNECTIONS_SHOWN = 1_000
const PERMISSIONS = { mode: 0o660, owner: undefined, group: undefined }
/** The page of metrics is given out for so long. It is made between the requests of clients, and they would wait for each one
 *  that is made: with ten a second their 99th percentile grew by a tenth. Whoever sends `Cache-Control: no-cache` gets a new one. */
const METRICS_KEPT_MS = 1_000
/** Requests here are a line and a few headers, and answers are taken at once. */
const REQUEST_TIMEOUT_MS = 5_000
/** How often Node looks for requests that take too long; its own half minute would add to them. */
const LOOK_EVERY_MS = 500
const jsonType = 'application/json'
const HEADER_BYTES = 8 * 1024
const MOST_CLIENTS = 64
const LONGEST_BAN_MS = 365 * 86_400_000
/** Pauses between two tries to open a listener: a port that is held or a folder that is late is had within the longest one. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

interface Answer { status: number, body: string | Buffer, type?: string }
type Route = (url: URL, request: IncomingMessage) => Answer | Promise<Answer>

interface ServiceWithClients {
  readonly name: string
  readonly clients: number
  readonly sessions: Iterable<{ readonly peer: Audited, readonly permit: { readonly rule: string }, destroy(why: 'killed'): void }>
}

/** @param range of the form that `Ranges` takes */
interface BanTable {
  list(): readonly object[]
  add(range: string, forMs?: number): object | undefined
  remove(range: string): { lifted: string[], heldBy: string | undefined }
}

/** The daemon, as far as it is asked and ordered here. */
export interface Administered {
  readonly source: { readonly paths: readonly string[] }
  readonly configuration: string
  readonly config: { readonly admin: { readonly allow: readonly string[] }, readonly drain_timeout: number }
  readonly services: { readonly services: readonly ServiceWithClients[] }
  readonly bans: BanTable
  readiness(): string[]
  snapshot(): Snapshot
  /** @param limit how many to show at the most */
  connections(limit: number): Promise<ConnectionsNow>
  reload(cause: 'admin'): Promise<ReloadOutcome>
  drain(cause: 'admin'): Promise<void>
}

export class AdminServer {
  readonly #daemon: Administered
  readonly #log: EventLog
  readonly #bound: Bound<Server>[] = []
  readonly #reads: Record<string, Route>
  /** What could not be opened yet, and why. */
  readonly #missing = new Map<Endpoint, string>()
  #retries = new Set<NodeJS.Timeout>()
  #isClosed = false
  #allow = { rules: [] as readonly string[], list: Ranges.of([]) }
  #metricsKept = { bytes: Buffer.alloc(0), madeAt: -Infinity }
  readonly #metricsRounds: Rounds<void, Buffer<ArrayBuffer>>

  constructor(daemon: Administered, log: EventLog) {
    this.#daemon = daemon
    this.#log = log
    this.#metricsRounds = new Rounds(() => Buffer.from(prometheusText(daemon.snapshot())))
    const status = new Rounds<void, Answer>(() => json(200, daemon.snapshot()))
    const connections = new Rounds((limits: readonly number[]) => daemon.connections(Math.max(...limits)))
    this.#reads = {
      '/': () => text(200, 'memseal: /healthz /readyz /metrics /status /connections /bans\n'),
      '/healthz': () => text(200, 'ok\n'),
      '/readyz': () => this.#ready(),
      '/metrics': async (_, request) => ({ status: 200, body: await this.#metrics(request), type: contentType }),
      '/status': () => status.ask(),
      '/bans': () => json(200, { bans: daemon.bans.list(), configuration: daemon.configuration }),
      '/connections': async url => {
        const limit = limitOf(url)
        return { status: 200, body: connectionsText(await connections.ask(limit), limit), type: jsonType }
      },
    }
  }

  /** Opens what can be opened. The rest is told and tried again: memseal serves its clients without it. */
  async listen(endpoints: readonly Endpoint[]): Promise<void> {
    for (const endpoint of endpoints) await this.#tryToListen(endpoint, new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS))
  }

  /** Why there are listeners that nobody can ask; empty: all are open. */
  get missing(): string[] {
    return [...this.#missing.values()]
  }

  close(): void {
    this.#isClosed = true
    for (const retry of this.#retries) clearTimeout(retry)
    for (const bound of this.#bound) bound.close()
    for (const server of this.#bound.flatMap(({ servers }) => servers)) {
      // The answer to an order may still be on its way.
      server.closeIdleConnections()
      setTimeout(() => server.closeAllConnections(), 1000).unref()
    }
  }

  async #tryToListen(endpoint: Endpoint, pauses: Backoff): Promise<void> {
    try {
      await this.#listen(endpoint)
      this.#missing.delete(endpoint)
    } catch (error) {
      const why = `the admin listener ${(error as Error).message}`
      if (this.#missing.get(endpoint) !== why) {
        this.#log.tell('admin-unavailable', { listener: endpointText(endpoint) },
          `${why} memseal serves its clients without it, takes no orders there meanwhile, and tries again.`)
      }
      this.#missing.set(endpoint, why)
      const retry = setTimeout(() => {
        this.#retries.delete(retry)
        void this.#tryToListen(endpoint, pauses)
      }, pauses.nextMs()).unref()
      this.#retries.add(retry)
    }
  }

  async #listen(endpoint: Endpoint): Promise<void> {
    if (endpoint.kind === 'systemd') throw new Error('the admin listener takes no socket of systemd')
    const mayOrder = endpoint.kind === 'unix'
    const bound = await bind(endpoint, { make: () => this.#server(mayOrder), permissions: PERMISSIONS })
    if (this.#isClosed) return bound.close()
    this.#bound.push(bound)
    for (const server of bound.servers) {
      server.on('error', error => this.#log.tell('admin-error', { error: error.message }, 'the admin listener has trouble', 'warn'))
    }
    const listener = endpointText(endpoint)
    for (const { level, words } of bound.remarks) this.#log.tell('listening-elsewhere', { listener }, `${listener}: ${words}`, level)
    this.#log.tell('admin-listening', { listener, port: bound.address.port }, `the admin listener is ${listener}`)
  }

  #server(mayOrder: boolean): Server {
    const places = new Places(MOST_CLIENTS)
    /** Sockets that a request is being answered on, and whether another has come meanwhile. */
    const busy = new Map<Socket, { isPipelined: boolean }>()
    const server = createServer({
      maxHeaderSize: HEADER_BYTES, headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: LOOK_EVERY_MS,
    }, (request, response) => {
      const { socket } = request
      const before = busy.get(socket)
      if (before !== undefined) {
        // Node reads as many at once as came at once, and clients would wait for all of them. Nobody who has to do with us pipelines.
        before.isPipelined = true
        socket.pause()
        return
      }
      const turn = { isPipelined: false }
      busy.set(socket, turn)
      places.asks(socket)
      response.once('close', () => {
        busy.delete(socket)
        if (turn.isPipelined) socket.destroySoon()
        else places.answered(socket)
      })
      void this.#answer(request, response, mayOrder, turn)
    })
    return server.on('connection', (socket: Socket) => {
      if (mayOrder || this.#mayRead(socket)) places.take(socket)
      else socket.resetAndDestroy()
    })
  }

  #mayRead(socket: Socket): boolean {
    const address = normalAddress(socket.remoteAddress)
    if (isLoopback(address) || this.#allowed().has(address) || isOwnAddress(address)) return true
    this.#log.tell('admin-refused', { address }, `refused ${address} on the admin listener: it is not in admin.allow`)
    return false
  }

  #mayUseName(socket: Socket, host: string): boolean {
    const local = normalAddress(socket.localAddress)
    if (isLoopback(local)) return isLoopbackName(host)
    const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
    return name === local || isLoopbackName(host) || this.#allowed().has(normalAddress(socket.remoteAddress))
  }

  /** A reload may name others. */
  #allowed(): Ranges {
    const { allow } = this.#daemon.config.admin
    if (this.#allow.rules !== allow) this.#allow = { rules: allow, list: Ranges.of(allow) }
    return this.#allow.list
  }

  async #answer(request: IncomingMessage, response: ServerResponse, mayOrder: boolean, turn: { isPipelined: boolean }): Promise<void> {
    request.resume()
    await turnOfTheLoop()
    let answer: Answer
    try {
      answer = await this.#route(request, mayOrder)
    } catch (error) {
      this.#log.tell('admin-error', { error: (error as Error).stack }, 'an answer of the admin listener failed', 'error')
      answer = text(500, 'this failed; the log says why\n')
    }
    const { status, body, type = 'text/plain; charset=utf-8' } = answer
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    response.writeHead(status, {
      [configurationHeader]: headerOf(this.#daemon.source.paths),
      'content-type': type, 'content-length': bytes.length, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff',
      ...turn.isPipelined ? { connection: 'close' } : {},
    })
    // Whoever does not take it is dropped as well; until here an order may take its time.
    request.socket.setTimeout(REQUEST_TIMEOUT_MS)
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }

  #route(request: IncomingMessage, mayOrder: boolean): Answer | Promise<Answer> {
    // A page in a browser of this host can reach it under any name it likes (DNS rebinding); it cannot hide that name. For those
    // in `allow` any name is right: load balancers and kubelets send their own, or none.
    const { headers: { host }, socket } = request
    if (!mayOrder && host !== undefined && !this.#mayUseName(socket, host)) return text(403, 'ask by an address of this host, not by a name\n')
    if (!isMeantFor(request.headers[configurationHeader], this.#daemon.source.paths)) return text(421, `this is memseal of ${this.#daemon.configuration}\n`)
    const target = request.url ?? '/'
    // Two slashes would begin another host's name.
    const url = /^[/\\]{2}/.test(target) ? null : URL.parse(target, 'http://admin')
    if (url === null) return text(400, 'this is not the path of a page; / lists them\n')
    if (request.method === 'GET' || request.method === 'HEAD') {
      return this.#reads[url.pathname]?.(url, request) ?? text(404, 'there is no such page; / lists them\n')
    }
    if (request.method !== 'POST') return text(405, 'GET, HEAD or POST\n')
    const order = this.#orderOf(url)
    if (order === undefined) return text(404, 'there is no such order: /reload, /drain, /kill/ID, /ban?who=RANGE&for=MS, /unban?who=RANGE\n')
    return mayOrder ? order() : text(403, 'orders are taken over the unix socket of the admin listener only\n')
  }

  #orderOf({ pathname, searchParams }: URL): (() => Answer | Promise<Answer>) | undefined {
    if (pathname === '/reload') return () => this.#reload()
    if (pathname === '/drain') return () => this.#drain()
    if (pathname === '/ban') return () => this.#ban(searchParams.get('who') ?? '', searchParams.get('for'))
    if (pathname === '/unban') return () => this.#unban(searchParams.get('who') ?? '')
    const id = /^\/kill\/(c\d{1,15})$/.exec(pathname)?.[1]
    return id === undefined ? undefined : () => this.#kill(id)
  }

  async #metrics({ headers }: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
    if (performance.now() - this.#metricsKept.madeAt >= METRICS_KEPT_MS || headers['cache-control'] === 'no-cache') {
      const bytes = await this.#metricsRounds.ask()
      if (bytes !== this.#metricsKept.bytes) this.#metricsKept = { bytes, madeAt: performance.now() }
    }
    return this.#metricsKept.bytes
  }

  #ready(): Answer {
    const reasons = this.#daemon.readiness()
    return reasons.length === 0 ? text(200, 'ready\n') : text(503, reasons.map(reason => `${reason}\n`).join(''))
  }

  async #reload(): Promise<Answer> {
    const outcome = await this.#daemon.reload('admin')
    return json(outcome.result === 'refused' ? 409 : 200, { ...outcome, configuration: this.#daemon.configuration })
  }

  #drain(): Answer {
    const clients = this.#daemon.services.services.reduce((total, service) => total + service.clients, 0)
    void this.#daemon.drain('admin')
    return json(202, { clients, timeoutMs: this.#daemon.config.drain_timeout, configuration: this.#daemon.configuration })
  }

  #kill(id: string): Answer {
    for (const service of this.#daemon.services.services) {
      for (const session of service.sessions) {
        if (session.peer.id !== id) continue
        const { rule } = session.permit
        this.#log.tellOf(session.peer, 'killed', rule === '' ? {} : { rule }, `closed ${id} by order`)
        session.destroy('killed')
        return json(200, { killed: id, configuration: this.#daemon.configuration })
      }
    }
    return json(404, { error: `there is no connection ${id}` })
  }

  #ban(who: string, forMs: string | null): Answer {
    const ms = forMs === null ? undefined : Number(forMs)
    if (!isRange(who) || (ms !== undefined && !(Number.isSafeInteger(ms) && ms >= 1_000 && ms <= LONGEST_BAN_MS))) return json(400, { error: 'who is to be an address or a range, and for a number of milliseconds' })
    const ban = this.#daemon.bans.add(who, ms)
    if (ban === undefined) return json(409, { error: 'as many bans by order are in force as there may be' })
    return json(200, { ...ban, configuration: this.#daemon.configuration })
  }

  #unban(who: string): Answer {
    if (!isRange(who)) return json(400, { error: 'who is to be an address or a range' })
    const { lifted, heldBy } = this.#daemon.bans.remove(who)
    return json(lifted.length === 0 ? 404 : 200, { lifted, heldBy, configuration: this.#daemon.configuration })
  }
}

function isRange(text: string): boolean {
  return new RangesBuilder().add(text)
}

function text(status: number, body: string): Answer {
  return { status, body: printableLines(body) }
}

function json(status: number, value: unknown): Answer {
  return { status, body: `${jsonText(value)}\n`, type: jsonType }
}

function limitOf(url: URL): number {
  const limit = Number(url.searchParams.get('limit') ?? DEFAULT_CONNECTIONS_SHOWN)
  return Number.isSafeInteger(limit) && limit > 0 ? Math.min(limit, MOST_CONNECTIONS_SHOWN) : DEFAULT_CONNECTIONS_SHOWN
}

function isLoopbackName(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d+$/, '')
  return name === 'localhost' || name === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(name)
}
