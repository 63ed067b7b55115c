import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'

/** Where a load goes. `tls` left out: plain TCP. */
export interface Target {
  port: number
  tls?: ClientMaterial
}

/** Paths of PEM files. */
export interface ClientMaterial {
  ca: string
  cert: string
  key: string
}

export interface Listener {
  /** `chunk[0, length)` holds the bytes; it is used again once this returns */
  received(chunk: Buffer, length: number): void
  /** the connection ended; `reason` says how */
  closed(reason: string): void
  /** a TLS session that can be resumed */
  session?(session: Buffer): void
}

export interface Dialled {
  socket: Socket
  isResumed: boolean
}

// One buffer for all connections: bytes are checked before the callback returns, so nothing outlives it.
const shared = Buffer.allocUnsafeSlow(64 * 1024)
const contexts = new Map<string, SecureContext>()

/** Opens a connection, through the TLS handshake where there is one.   @throws when it is refused */
export function dial(target: Target, listener: Listener, session?: Buffer): Promise<Dialled> {
  const { promise, resolve, reject } = Promise.withResolvers<Dialled>()
  const onread = {
    buffer: shared,
    callback: (length: number, chunk: Uint8Array) => {
      listener.received(chunk as Buffer, length)
      return true
    },
  }
  const plain = { host: '127.0.0.1', port: target.port, noDelay: true, onread }
  const socket = target.tls
    ? connectTls({ ...plain, servername: 'localhost', secureContext: contextOf(target.tls), session })
    : connect(plain)

  let reason = 'connection closed by the other side'
  socket.on('error', (error: Error & { reason?: string }) => { reason = error.reason ?? error.message.trim() })
  socket.on('close', () => {
    reject(new Error(reason))
    listener.closed(reason)
  })
  if (listener.session) socket.on('session', listener.session)
  socket.once(target.tls ? 'secureConnect' : 'connect', () => {
    resolve({ socket, isResumed: target.tls ? (socket as TLSSocket).isSessionReused() : false })
  })
  return promise
}

function contextOf(material: ClientMaterial): SecureContext {
  let context = contexts.get(material.cert)
  if (!context) {
    context = createSecureContext({
      ca: readFileSync(material.ca), cert: readFileSync(material.cert), key: readFileSync(material.key),
      minVersion: 'TLSv1.2',
    })
    contexts.set(material.cert, context)
  }
  return context
}
