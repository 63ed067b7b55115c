/** A memcached, a memseal with mutual TLS on its host, and a sidecar memseal that gives plain clients the way to it. */
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { startDaemon, type Daemon, type LogLine } from '../../support/daemon.ts'
import { startMemcached, type Memcached } from '../../support/memcached.ts'
import { pki, type Certificate, type Pki } from '../../support/pki.ts'
import { freePort } from '../../support/ports.ts'
import { connect, type Wire } from '../../support/wire.ts'

/** The cache host: memcached and the memseal before it, on a port that outlives a restart. */
export class CacheHost {
  readonly memcached: Memcached
  readonly port: number
  readonly address: string
  readonly #service: Record<string, unknown>
  daemon!: Daemon

  constructor(memcached: Memcached, port: number, host: string, service: Record<string, unknown>) {
    this.memcached = memcached
    this.port = port
    this.address = `${host}:${port}`
    this.#service = service
  }

  /** @param certificate another one than before */
  async start(certificate?: Certificate): Promise<void> {
    const { ca, server } = await pki()
    const { certFile, keyFile } = certificate ?? server
    this.daemon = await startDaemon({
      drain_timeout: '1s',
      services: {
        memcached: {
          log: { connections: 'all' },   // handshakes are counted by them
          listen: this.address, tls: { cert: certFile, key: keyFile, client_ca: ca.certFile },
          limits: { connections_per_client: 5000, handshakes: 64 }, backend: { connect: this.memcached.address }, ...this.#service,
        },
      },
    })
  }

  async kill(): Promise<void> {
    this.daemon.kill('SIGKILL')
    await this.daemon.exited()
  }

  /** Handshakes so far: each connection that has ended says whether it was one. */
  get connections(): { resumed: boolean }[] {
    return this.daemon.logs('closed').map(({ tls }) => ({ resumed: (tls as { resumed: boolean }).resumed }))
  }
}

/** @param host a loopback address of its own, for hosts that differ by address alone */
export async function startCacheHost(options: { host?: string, port?: number, service?: Record<string, unknown>, memcachedArgs?: string[] } = {}): Promise<CacheHost> {
  const { host = '127.0.0.1' } = options
  const memcached = await startMemcached({ args: options.memcachedArgs ?? ['-m', '512', '-I', '2m', '-c', '4096'] })
  const cache = new CacheHost(memcached, options.port ?? await freePort(host), host, options.service ?? {})
  await cache.start()
  return cache
}

export interface Sidecar {
  daemon: Daemon
  certificates: Pki
  port: number
  socket: string
  connect: () => Promise<Wire>
  open: () => Promise<Socket>
  /** Log lines of one event. */
  told: (event: string) => LogLine[]
}

export interface SidecarOptions {
  connect: string | string[]
  backend?: Record<string, unknown>
  tls?: Record<string, unknown>
  service?: Record<string, unknown>
  wrapper?: string[]
}

/** Trusts the test CA and shows its client certificate; expects the name localhost. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const certificates = await pki()
  const { ca, client } = certificates
  const tls = { ca: ca.certFile, cert: client.certFile, key: client.keyFile, server_name: 'localhost', ...options.tls }
  const daemon = await startDaemon(folder => ({
    log: { level: 'debug' },
    drain_timeout: '1s',
    services: {
      memcached: {
        listen: ['127.0.0.1:0', `unix:${join(folder, 's.sock')}`],
        limits: { connections_per_client: 5000 },
        backend: { connect: options.connect, longest_retry: '100ms', tls, ...options.backend },
        ...options.service,
      },
    },
  }), { wrapper: options.wrapper })
  const port = daemon.port()
  return {
    daemon, certificates, port,
    socket: join(daemon.folder, 's.sock'),
    connect: () => connect({ port, host: '127.0.0.1' }),
    open: () => new Promise((resolve, reject) => {
      const socket = connectPlain({ port, host: '127.0.0.1', allowHalfOpen: true }, () => {
        socket.off('error', reject)
        resolve(socket)
      })
      socket.setNoDelay(true)
      socket.once('error', reject)
    }),
    told: event => daemon.logs(event),
  }
}

export async function ready({ daemon }: Sidecar): Promise<void> {
  await daemon.waitForLog('ready')
}
