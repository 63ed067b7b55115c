import { existsSync, unlinkSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import { normalAddress } from '../admission/address.ts'
import type { Admission } from '../admission/admission.ts'
import { Repeats } from '../admission/repeats.ts'
import type { Endpoint } from '../config/endpoint.ts'
import { endpointText } from '../config/endpoint.ts'
import type { SocketConfig } from '../config/schema.ts'
import { TlsAcceptor } from '../tls/acceptor.ts'
import type { ListenerTls } from '../tls/context.ts'
import type { PeerTls } from '../tls/peer.ts'
import { bindForNobodyElse, openTo } from './socket-permissions.ts'
import { passedSockets } from './systemd.ts'

// From accept to a client that is ready to be served. Sockets stay paused: nothing is read before admission, and a
// plain client's first byte is read by whoever `onClient` is.
//
//   accept ── Admission ──┬─ plain ─────────────────────┬─ onClient(socket, peer)
//      (paused)   │       └─ TlsAcceptor (handshake) ───┘
//                 └─ refused: reset                         the socket's close gives the place back

export interface Peer {
  id: string              // c17, unique in this process
  service: string
  listener: string        // 0.0.0.0:11212, unix:/path
  address: string         // IPv4-mapped as IPv4; 'unix'
  port: number            // 0 on a unix socket
  tls?: PeerTls
}

export interface ListenerOptions {
  endpoint: Endpoint
  name: string
  service: { limits: { handshake_timeout: number }, socket?: SocketConfig }
  secure?: ListenerTls
  admission: Admission
  log: Logger
  onClient: (socket: Socket, peer: Peer) => void
}

/** Listening failed, in words for the operator. */
export class ListenError extends Error {
  readonly code: string
  constructor(endpoint: Endpoint, error: NodeJS.ErrnoException) {
    super(`cannot listen on ${endpointText(endpoint)}: ${whyNot(endpoint, error)}`)
    this.code = error.code ?? 'UNKNOWN'
  }
}

// Dead peers are found even if neither side has anything to say: first probe after a minute.
const KEEPALIVE_MS = 60_000

// A reconnect storm arrives within one turn of the loop; the kernel caps it at net.core.somaxconn (4,096 on Linux).
const BACKLOG = 4_096

let clients = 0

export class Listener {
  readonly endpoint: Endpoint
  readonly name: string
  /** Where it listens, as the system says it; '' before. */
  address = ''
  #service: string
  #admission: Admission
  #log: Logger
  #onClient: ListenerOptions['onClient']
  #tls: TlsAcceptor | undefined
  /** One, or as many as systemd passed under one name. */
  #servers: Server[] = []
  #permissions: SocketConfig | undefined
  #isClosed = false
  #acceptErrors = new Repeats()

  constructor(options: ListenerOptions) {
    this.endpoint = options.endpoint
    this.name = options.name
    this.#service = options.admission.service
    this.#admission = options.admission
    this.#log = options.log
    this.#onClient = options.onClient
    this.#permissions = options.service.socket
    this.update({ secure: options.secure, timeoutMs: options.service.limits.handshake_timeout })
  }

  get service(): string {
    return this.#service
  }

  /** What holds for connections from now on; those that are in stay as they are.
   *  @param change `secure` undefined: plain. `owner`: the service whose clients they are, when it is another now */
  update(change: { secure: ListenerTls | undefined, timeoutMs: number, owner?: Pick<ListenerOptions, 'admission' | 'onClient'> }): void {
    const { secure, timeoutMs, owner } = change
    if (owner !== undefined && owner.admission !== this.#admission) {
      this.#service = owner.admission.service
      this.#admission = owner.admission
      this.#onClient = owner.onClient
      this.#tls = undefined   // its handshakes go on by themselves
    }
    if (secure === undefined) this.#tls = undefined
    else if (this.#tls !== undefined) this.#tls.replace(secure, timeoutMs)
    else {
      const { handshakes, counters } = this.#admission
      this.#tls = new TlsAcceptor({ secure, handshakes, timeoutMs, counters, log: this.#log })
    }
  }

  /** @returns the address in use; the port is the system's choice if 0 was asked for   @throws ListenError */
  async listen(): Promise<{ address: string, port?: number }> {
    try {
      await this.#bindForOwner()
    } catch (error) {
      if (!(await this.#isStaleSocket(error as NodeJS.ErrnoException))) throw new ListenError(this.endpoint, error as NodeJS.ErrnoException)
      await this.#bindForOwner().catch(again => { throw new ListenError(this.endpoint, again) })
    }
    for (const server of this.#servers) server.on('error', error => this.#acceptFailed(error))
    const address = this.#servers[0].address() as AddressInfo | string | null
    if (address === null) return { address: 'unix' }   // a unix socket from systemd does not say where it lies
    return typeof address === 'string' ? { address } : { address: address.address, port: address.port }
  }

  /** Stops accepting at once. Handshakes that wait or run are dropped, clients that are served stay. A unix socket's
   *  path is removed by the system call that closes it. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const server of this.#servers) if (server.listening) server.close()
    this.#tls?.close()
  }

  async #bind(): Promise<void> {
    this.#servers = await Promise.all(this.#listenOptions().map(options => this.#open(options)))
  }

  #open(options: ListenOptions): Promise<Server> {
    return new Promise((resolve, reject) => {
      let isUnix = this.endpoint.kind === 'unix'
      const server = createServer({
        pauseOnConnect: true, allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS,
      }, socket => this.#accepted(socket, isUnix))
      server.once('error', reject)
      server.listen(options, () => {
        server.off('error', reject)
        isUnix = server.address() === null || typeof server.address() === 'string'
        resolve(server)
      })
    })
  }

  #listenOptions(): ListenOptions[] {
    switch (this.endpoint.kind) {
      case 'tcp': return [{ host: this.endpoint.host, port: this.endpoint.port, backlog: BACKLOG }]
      case 'unix': return [{ path: this.endpoint.path, backlog: BACKLOG }]
      case 'systemd': return passedSockets.take(this.endpoint.name).map(fd => ({ fd, backlog: BACKLOG }))
      default: return this.endpoint satisfies never
    }
  }

  async #bindForOwner(): Promise<void> {
    if (this.endpoint.kind !== 'unix' || this.#permissions === undefined) return this.#bind()
    await bindForNobodyElse(() => this.#bind())
    try {
      openTo(this.endpoint.path, this.#permissions)
    } catch (error) {
      this.close()
      throw new SocketPermissionError((error as Error).message)
    }
  }

  /** A process that was killed leaves its socket's path behind. If nobody answers there, it is ours to take. */
  async #isStaleSocket(error: NodeJS.ErrnoException): Promise<boolean> {
    if (error.code !== 'EADDRINUSE' || this.endpoint.kind !== 'unix') return false
    const { path } = this.endpoint
    const code = await new Promise<string | undefined>(resolve => {
      const probe = connect({ path }, () => { probe.destroy(); resolve(undefined) })
      probe.on('error', (refused: NodeJS.ErrnoException) => resolve(refused.code))
    })
    if (code !== 'ECONNREFUSED') return false
    unlinkSync(path)
    return true
  }

  #accepted(socket: Socket, isUnix: boolean): void {
    const address = normalAddress(socket.remoteAddress)
    const port = socket.remotePort ?? 0
    // Gone before we looked: on TCP there is always an address, and 'unix' would get past the allow list.
    if (address === 'unix' && !isUnix) {
      this.#admission.counters.probes += 1
      refuse(socket)
      return
    }
    if (this.#isClosed) {
      refuse(socket)
      return
    }
    const place = this.#admission.admit(address, this.name, this.#tls !== undefined)
    if (typeof place === 'string') {
      refuse(socket)
      return
    }
    socket.once('close', () => place.release())
    const peer: Peer = { id: `c${++clients}`, service: this.#service, listener: this.name, address, port }
    if (this.#tls === undefined) this.#plain(socket, peer)
    else this.#tls.accept(socket, { service: peer.service, listener: peer.listener, client: peer.id, address, port },
      (secure, tls) => this.#onClient(secure, { ...peer, tls }))
  }

  #plain(socket: Socket, peer: Peer): void {
    socket.once('close', () => {
      if (socket.bytesRead === 0) this.#admission.counters.probes += 1
    })
    this.#onClient(socket, peer)
  }

  /** accept() failed. Out of open files, libuv closes what waits and goes on, so this is told and no more. */
  #acceptFailed(error: NodeJS.ErrnoException): void {
    this.#admission.counters.acceptErrors += 1
    const code = error.code ?? 'UNKNOWN'
    const suppressed = this.#acceptErrors.tell(code)
    if (suppressed === undefined) return
    this.#log.error({ event: 'accept-failed', service: this.#service, listener: this.name, code, suppressed },
      `could not accept a connection: ${error.message}`)
  }
}

/** A reset reaches the client at once and leaves nothing to linger in the kernel; unix sockets have none. */
function refuse(socket: Socket): void {
  socket.on('error', () => {})
  if (socket.remoteAddress === undefined) socket.destroy()
  else socket.resetAndDestroy()
}

class SocketPermissionError extends Error {}

function whyNot(endpoint: Endpoint, error: NodeJS.ErrnoException): string {
  if (error instanceof SocketPermissionError) return error.message
  if (endpoint.kind === 'unix') {
    // libuv says EACCES for a folder that is missing, too.
    const folder = dirname(endpoint.path)
    if (!existsSync(folder)) return `there is no folder ${folder}. Create it, owned by the user of memseal.`
    if (error.code === 'EACCES') return `not permitted. Let the user of memseal write to ${folder}.`
    if (error.code === 'EADDRINUSE') return 'another process listens there. Stop it, or choose another path.'
  }
  switch (error.code) {
    case 'EADDRINUSE': return 'another process listens there. Stop it, or choose another port (ss -ltnp names it).'
    case 'EADDRNOTAVAIL': return 'this host has no such address. Write one of its own (ip address), or 0.0.0.0 or [::].'
    case 'EACCES': case 'EPERM': return 'not permitted. Ports below 1024 need CAP_NET_BIND_SERVICE; choose another, or grant it.'
    case 'EMFILE': return 'too many open files. Raise the open-files limit.'
    default: return `${error.message}.`
  }
}
