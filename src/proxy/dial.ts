/** How a connection to a backend comes about: a plain socket, or TLS to a peer that is the one that was meant.
 *
 *      plain:  connect ───────────────────────────────────────────▶ on.ready
 *      TLS:    connect ─ handshake ─ chain, name, pin ─┬─ good ────▶ on.ready      (the session's ticket is kept for the next time)
 *                                                      └─ bad ─────▶ on.failed, before anything was written */
import net from 'node:net'
import tls from 'node:tls'
import { backendFailure, type BackendFailure } from '../tls/backend-failure.ts'
import { cacheHostFault, CacheHostError, connectionOptions, endOfChain } from '../tls/backend.ts'
import type { Route } from './target.ts'

export interface DialEvents {
  ready(): void
  /** The socket is of no more use. `failure` when it is TLS that failed. */
  failed(error: NodeJS.ErrnoException, failure: BackendFailure | undefined): void
  /** The other side ended the connection. */
  ended(failure: BackendFailure | undefined): void
}

export type Dial = (route: Route, onread: net.OnReadOpts, on: DialEvents) => net.Socket

/** @param onread memory to read into. Honoured with TLS too, since the TLS socket opens its own connection: seen on Node 26
 *  with windows that change after each read, resumed sessions included. */
export const dial: Dial = (route, onread, on) => {
  const options = {
    ...route.address,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    // In raw mode the client's half-close is passed on, and the rest of the replies still comes.
    allowHalfOpen: true,
    onread,
  }
  return route.tls === undefined ? dialPlain(options, on) : dialTls(route, options as tls.ConnectionOptions, on)
}

function dialPlain(options: net.NetConnectOpts, on: DialEvents): net.Socket {
  const socket = net.connect(options)
  socket.on('connect', () => on.ready())
  socket.on('error', (error: NodeJS.ErrnoException) => on.failed(error, undefined))
  socket.on('end', () => on.ended(undefined))
  socket.on('close', () => on.ended(undefined))
  return socket
}

function dialTls(route: Route, options: tls.ConnectionOptions, on: DialEvents): net.Socket {
  let stage: 'tcp' | 'handshake' | 'secured' = 'tcp'
  const session = route.tickets.take()
  const socket = tls.connect({ ...options, ...connectionOptions(route.tls!, route.host), session })
  socket.on('connect', () => { stage = 'handshake' })
  socket.on('secureConnect', () => {
    const fault = cacheHostFault(route.tls!, route.host, socket)
    if (fault !== undefined) return void socket.destroy(fault)
    stage = 'secured'
    // A resumed session shows no certificate. It was made from one that was found good, and ends when that one or its chain does.
    if (!socket.isSessionReused()) route.tickets.verified(endOfChain(socket.getPeerX509Certificate(), route.tls!.material.authorities))
    on.ready()
  })
  // With TLS 1.3 tickets come after the handshake; each is used once. A stranger's are not kept: whoever resumes a session
  // shows no certificate that could be judged again.
  socket.on('session', (ticket) => {
    if (stage === 'secured') route.tickets.keep(ticket)
  })
  const failure = (code: string, detail: string): BackendFailure | undefined =>
    // A host that does not admit this one may reset the connection before it was looked at here.
    stage === 'tcp' && code !== 'ECONNRESET' ? undefined : backendFailure(code, stage === 'secured', detail)
  socket.on('error', (error: NodeJS.ErrnoException) => {
    route.tickets.forget()
    const isOurs = error instanceof CacheHostError
    on.failed(error, failure(error.code ?? '', isOurs && error.message !== '' ? error.message : isPlainName(error) ? '' : error.code ?? error.message))
  })
  const ended = (): void => {
    if (stage !== 'secured') route.tickets.forget()
    on.ended(failure('CLOSED', ''))
  }
  socket.on('end', ended)
  socket.on('close', ended)
  return socket
}

/** The words of the failure say all that the code does. */
function isPlainName({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE'
}
