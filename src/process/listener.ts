import { createServer, type Server, type Socket } from 'node:net'
import type { EventLog } from '../telemetry/event-log.ts'
import type { Admission, Caller } from '../admission/admission.ts'
import { isLoopback, normalAddress } from '../lib/address.ts'
import { bind, type Bound } from '../lib/bind.ts'
import type { Endpoint } from '../lib/endpoint.ts'
import { reset } from '../lib/reset.ts'
import type { SocketPermissions } from '../lib/socket-permissions.ts'
import type { Peer } from '../policy/peer.ts'
import type { ListenerTls } from '../tls/context.ts'
import { TlsAcceptor, type RuleRefusal } from './acceptor.ts'
import { HeaderReader } from './header-reader.ts'
import { passedSockets } from './systemd.ts'

// From accept to a client that is ready to be served. Sockets stay paused: nothing is read before admission. A TLS client
// is read until its ClientHello is there, a plain client's first byte is read by whoever `onClient` is.
//
//   accept ─┬──────────────┬─ Admission ──┬─ plain ─────────────────────┬─ onClient(socket, peer)
//  (paused) │              │       │      └─ TlsAcceptor (hello, turn, handshake) ───┘
//           └─ HeaderReader┘       └─ refused: reset                  the socket's close gives the place back
//           (of load balancers)

export interface ListenerOptions {
  endpoint: Endpoint
  name: string
  service: { limits: { handshake_timeout: number }, socket?: SocketPermissions }
  secure?: ListenerTls
  admission: Admission
  log: EventLog
  /** Asked before it is a client. */
  refusalOf: (peer: Peer) => RuleRefusal | undefined
  /** @param tcp the same socket, or of TLS the one beneath it */
  onClient: (socket: Socket, peer: Peer, tcp: Socket) => void
}

// Dead peers are found even if neither side has anything to say: first probe after a minute.
const KEEPALIVE_MS = 60_000

// A reconnect storm arrives within one turn of the loop; the kernel caps it at net.core.somaxconn (4,096 on Linux).
const BACKLOG = 4_096

/** Somebody else has taken the place meanwhile. */
const REOPEN_MS = 1_000

/** Who connects, as far as it is known before TLS. */
interface Connecting extends Caller { port: number }

let clients = 0

export class Listener {
  readonly endpoint: Endpoint
  readonly name: string
  /** Where it listens, as the system says it; '' before. */
  address = ''
  #service: string
  #admission: Admission
  #log: EventLog
  #refusalOf: ListenerOptions['refusalOf']
  #onClient: ListenerOptions['onClient']
  #tls: TlsAcceptor | undefined
  #bound: Bound<Server> | undefined
  /** Where it listens, its port known. */
  #boundTo: Endpoint
  #permissions: SocketPermissions | undefined
  #isClosed = false
  /** Nobody is to get through to it for now; and whether what that takes is under way. */
  #isShut = false
  #isTurning = false
  #endRetry: (() => void) | undefined
  /** Connections of load balancers that have not said for whom they are. */
  readonly #headers = new Set<HeaderReader>()
  #timeoutMs = 0

  constructor(options: ListenerOptions) {
    this.endpoint = this.#boundTo = options.endpoint
    this.name = options.name
    this.#service = options.admission.service
    this.#admission = options.admission
    this.#log = options.log
    this.#refusalOf = options.refusalOf
    this.#onClient = options.onClient
    this.#permissions = options.service.socket
    this.update({ secure: options.secure, timeoutMs: options.service.limits.handshake_timeout })
  }

  get service(): string {
    return this.#service
  }

  /** The TLS that clients meet from now on; undefined: plain. */
  get secure(): ListenerTls | undefined {
    return this.#tls?.secure
  }

  /** What holds for connections from now on; those that are in stay as they are. Handshakes that another service, another
   *  kind of listener or other networks began with are ended: what let them begin does not hold any more.
   *  @param change `secure` undefined: plain. `owner`: the service whose clients they are, when it is another now */
  update(change: { secure: ListenerTls | undefined, timeoutMs: number, owner?: Pick<ListenerOptions, 'admission' | 'refusalOf' | 'onClient'> }): void {
    const { secure, timeoutMs, owner } = change
    this.#timeoutMs = timeoutMs
    if (owner !== undefined && owner.admission !== this.#admission) {
      this.#service = owner.admission.service
      this.#admission = owner.admission
      this.#refusalOf = owner.refusalOf
      this.#onClient = owner.onClient
      this.#dropTls()
    }
    if (secure === undefined) this.#dropTls()
    else if (this.#tls !== undefined) {
      this.#tls.replace(secure, timeoutMs)
      this.#tls.endPending(address => !this.#admission.lets(address))
    }
    else {
      const admission = this.#admission
      const { firstRoom, halfway, handshakes, counters } = admission
      this.#tls = new TlsAcceptor({
        secure, firstRoom, halfway, handshakes, timeoutMs, counters, log: this.#log,
        onFail: (reason, address, client) => admission.failed(reason, address, client),
      })
    }
  }

  /** Ends handshakes of those who are banned now. */
  endBanned(isBanned: (address: string, client: string, via?: string) => boolean): void {
    this.#tls?.endPending(isBanned, 'BANNED')
  }

  #dropTls(): void {
    this.#tls?.endPending(() => true)
    this.#tls = undefined
  }

  /** @returns the address in use; the port is the system's choice if 0 was asked for   @throws ListenError */
  async listen(): Promise<{ address: string, port?: number }> {
    const bound = await this.#bind(this.endpoint)
    for (const { level, words } of bound.remarks) {
      this.#log.tell('listening-elsewhere', { service: this.#service, listener: this.name }, `${this.name}: ${words}`, level)
    }
    return bound.address
  }

  async #bind(endpoint: Endpoint): Promise<Bound<Server>> {
    const bound = await bind(endpoint, {
      make: () => this.#server(), backlog: BACKLOG, permissions: this.#permissions, passed: name => passedSockets.take(name),
    })
    for (const server of bound.servers) server.on('error', error => this.#acceptFailed(error))
    this.#bound = bound
    this.#boundTo = endpoint.kind === 'tcp' ? { ...endpoint, port: bound.address.port ?? endpoint.port } : endpoint
    return bound
  }

  /** Its place is left, so that connections are refused by the system, or taken again. One that systemd has passed cannot be
   *  opened anew, and stays. */
  shut(isShut: boolean): void {
    if (this.endpoint.kind === 'systemd' || this.#isShut === isShut) return
    this.#isShut = isShut
    this.#endRetry?.()
    if (!this.#isTurning) void this.#turn()
  }

  get isShut(): boolean {
    return this.#isShut
  }

  async #turn(): Promise<void> {
    this.#isTurning = true
    const about = { service: this.#service, listener: this.name }
    while (!this.#isClosed && this.#isShut !== (this.#bound === undefined)) {
      if (this.#isShut) {
        this.#bound?.close()
        this.#bound = undefined
        this.#log.tell('listener-shut', about, `connections to ${this.name} are refused until a backend answers`)
        continue
      }
      try {
        await this.#bind(this.#boundTo)
        if (this.#isClosed) this.#bound!.close()
        else this.#log.tell('listening', { ...about, again: true }, `listening on ${this.name} again`)
      } catch (error) {
        this.#log.tell('listen-failed', about, `${(error as Error).message} memseal tries again every second.`)
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, REOPEN_MS)
          this.#endRetry = () => { clearTimeout(timer); resolve() }
        })
      }
    }
    this.#isTurning = false
  }

  /** Stops accepting at once. Handshakes that wait or run are dropped, clients that are served stay. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#bound?.close()
    this.#endRetry?.()
    this.#tls?.close()
    for (const reader of [...this.#headers]) reader.close()
  }

  #server(): Server {
    let isUnix = this.endpoint.kind === 'unix'
    const server = createServer({
      pauseOnConnect: true, allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS,
    }, socket => this.#accepted(socket, isUnix))
    // What systemd passes may be either.
    server.once('listening', () => { isUnix = server.address() === null || typeof server.address() === 'string' })
    return server
  }

  #accepted(socket: Socket, isUnix: boolean): void {
    this.#admission.handshakes.arrived()
    const address = normalAddress(socket.remoteAddress)
    const port = socket.remotePort ?? 0
    // Gone before we looked: on TCP there is always an address, and 'unix' would get past the allow list.
    if (address === 'unix' && !isUnix) {
      this.#admission.counters.probes += 1
      reset(socket)
      return
    }
    if (this.#isClosed) {
      reset(socket)
      return
    }
    const isLocal = isUnix || isLoopback(address) || socket.remoteAddress === socket.localAddress
    const caller: Connecting = { address, port, listener: this.name, isLocal }
    if (this.#admission.isBalancer(address)) this.#readHeader(socket, caller)
    else this.#admit(socket, caller)
  }

  /** For whom it is, its balancer says first. */
  #readHeader(socket: Socket, balancer: Connecting): void {
    const admission = this.#admission
    const place = admission.admitBalancer(balancer)
    if (typeof place === 'string') return reset(socket)
    const refuse = (how: string): void => {
      admission.refuseHeader(balancer, how)
      reset(socket)
    }
    const reader: HeaderReader = new HeaderReader(socket, place, this.#timeoutMs, {
      over: () => {
        admission.firstRoom.leave(reader)
        this.#headers.delete(reader)
      },
      whole: (bytes, source) => {
        // Another configuration may hold by now.
        if (!this.#admission.isBalancer(balancer.address)) return refuse('which is none any more')
        this.#admit(socket, source === undefined ? balancer : {
          ...balancer, ...source, via: balancer.address, isLocal: balancer.isLocal && isLoopback(source.address),
        }, bytes)
      },
      wrong: refuse,
      gone: bytes => {
        if (bytes > 0) return refuse('that left in the midst of its PROXY header')
        admission.counters.probes += 1
        reset(socket)
      },
    })
    this.#headers.add(reader)
    admission.firstRoom.enter(reader)
  }

  /** @param bytesBefore of a PROXY header that was read */
  #admit(socket: Socket, caller: Connecting, bytesBefore = 0): void {
    const place = this.#admission.admit(caller)
    if (typeof place === 'string') return reset(socket)
    socket.once('close', () => place.release())
    const { address, port, via } = caller
    const peer: Peer = { id: `c${++clients}`, service: this.#service, listener: this.name, address, countedAs: place.countedAs, port, via }
    if (this.#tls === undefined) this.#plain(socket, peer, bytesBefore)
    else this.#tls.accept(socket, { service: peer.service, listener: peer.listener, client: peer.id, address, port, via }, place,
      names => this.#refusalOf({ ...peer, names }), (secure, tls, names) => this.#onClient(secure, { ...peer, tls, names }, socket), bytesBefore)
  }

  #plain(socket: Socket, peer: Peer, bytesBefore: number): void {
    const refusal = this.#refusalOf(peer)
    if (refusal !== undefined) {
      this.#admission.refused(refusal, peer, peer.countedAs)
      reset(socket)
      return
    }
    socket.once('close', () => {
      if (socket.bytesRead === bytesBefore) this.#admission.counters.probes += 1
    })
    this.#onClient(socket, peer, socket)
  }

  /** accept() failed. Out of open files, libuv closes what waits and goes on, so this is told and no more. */
  #acceptFailed(error: NodeJS.ErrnoException): void {
    this.#admission.counters.acceptErrors += 1
    this.#log.tell('accept-failed', { service: this.#service, listener: this.name, code: error.code ?? 'UNKNOWN' },
      `could not accept a connection: ${error.message}`)
  }
}
