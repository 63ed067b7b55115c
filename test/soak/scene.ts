/** A memcached, a memseal with mutual TLS in front of it, and ways to both: for the soak and the tests beside it. */
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached, type Memcached } from '../support/memcached.ts'
import { pki, type Pki } from '../support/pki.ts'
import { as } from '../support/wire.ts'

export interface SceneOptions {
  connections?: number | 'auto'
  sharing?: 'shared' | 'private'
  limits?: Record<string, unknown>
  backend?: Record<string, unknown>
  commands?: string[]
  drainTimeout?: string
  memcachedArgs?: string[]
}

export interface Scene {
  daemon: Daemon
  memcached: Memcached
  certificates: Pki
  /** Port of the TLS listener, and of a plain one of the same service. */
  tlsPort: number
  plainPort: number
  open: () => Promise<Socket>
  openPlain: () => Promise<Socket>
  askMemcached: (line: string) => Promise<string>
}

export async function startScene(options: SceneOptions = {}): Promise<Scene> {
  const certificates = await pki()
  const memcached = await startMemcached({ args: options.memcachedArgs ?? ['-m', '1024', '-I', '2m', '-c', '4096'] })
  const service = {
    log: { connections: 'all' },   // departures are counted by their lines
    listen: '127.0.0.1:0', backend: {
      connect: memcached.address, connections: options.connections ?? 'auto', sharing: options.sharing ?? 'shared', ...options.backend,
    },
    limits: { connections_per_client: 5000, handshakes: 64, ...options.limits },
    ...(options.commands === undefined ? {} : { commands: options.commands }),
  }
  const { ca, server, client } = certificates
  const daemon = await startDaemon({
    drain_timeout: options.drainTimeout ?? '2m',
    services: {
      secure: { ...service, tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile } },
      plain: service,
    },
  })
  const tlsPort = daemon.port('secure')
  const plainPort = daemon.port('plain')
  return {
    daemon, memcached, certificates, tlsPort, plainPort,
    open: () => opened(connectTls({ port: tlsPort, host: '127.0.0.1', ...halfOpen, ...as(client, ca) }), 'secureConnect'),
    openPlain: () => opened(connectPlain({ port: plainPort, host: '127.0.0.1', allowHalfOpen: true }), 'connect'),
    askMemcached: line => askOnce(memcached.port, line),
  }
}

/** The types of `tls.connect` leave out what it hands on to the socket. */
const halfOpen: { allowHalfOpen?: boolean } = { allowHalfOpen: true }

function opened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.setNoDelay(true)
    socket.once('error', reject)
    socket.once(event, () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/** One request and the first line of its reply. */
export function askOnce(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectPlain({ port, host: '127.0.0.1' })
    let reply = ''
    socket.on('error', reject)
    socket.on('data', bytes => {
      reply += bytes.toString('latin1')
      if (!reply.includes('\r\n')) return
      socket.destroy()
      resolve(reply.slice(0, reply.indexOf('\r\n')))
    })
    socket.write(`${request}\r\n`)
  })
}

/** A number of memcached's own statistics. */
export function statOf(port: number, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connectPlain({ port, host: '127.0.0.1' })
    let reply = ''
    socket.on('error', reject)
    socket.on('data', bytes => {
      reply += bytes.toString('latin1')
      if (!reply.endsWith('END\r\n')) return
      socket.destroy()
      resolve(Number(new RegExp(`STAT ${name} (\\d+)`).exec(reply)?.[1] ?? NaN))
    })
    socket.write('stats\r\n')
  })
}
