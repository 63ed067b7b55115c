import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { Admission, type AdmissionOptions, type ClientCap } from '../../src/admission/admission.ts'
import { AddressRules } from '../../src/admission/address-rules.ts'
import type { Endpoint } from '../../src/lib/endpoint.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { Listener } from '../../src/process/listener.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { listenerTls, type TlsSettings } from '../../src/tls/context.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect, type WireOptions } from '../support/wire.ts'

export interface EdgeOptions {
  endpoint?: Endpoint
  tls?: Partial<TlsSettings> | false
  limits?: Partial<AdmissionOptions['limits']> & { handshake_timeout?: number }
  allow?: string[]
  deny?: string[]
  balancers?: string[]
  groups?: Record<string, string[]>
  cap?: ClientCap
  handshakeQueue?: number
  handshakeSlotMs?: number
  now?: () => number
  admission?: Admission
  name?: string
  refusalOf?: (peer: Peer) => 'no-rule' | 'rule-full' | undefined
  /** What a client gets; left out: its own bytes back, and an end for its end. */
  onClient?: (socket: Socket, peer: Peer) => void
}

type LogLine = Record<string, any>

/** A listener as the daemon makes it, with an echo behind it, its log, and its counters. */
export interface Edge {
  port: number
  listener: Listener
  admission: Admission
  counters: Counters
  log: LogLine[]
  peers: Peer[]
  sockets: Socket[]
}

export async function edge(options: EdgeOptions = {}): Promise<Edge> {
  const lines: LogLine[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } })
  const counters = options.admission?.counters ?? new Counters()
  const limits = {
    connections: 1000, connections_per_client: 1000, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 16, handshake_timeout: 60_000,
    ...options.limits,
  }
  const { allow, deny, balancers, groups, cap, handshakeQueue, handshakeSlotMs, now } = options
  const admission = options.admission ?? new Admission({ service: 'cache', addresses: new AddressRules({ allow, deny, balancers, groups }), limits, counters, log, cap, handshakeQueue, handshakeSlotMs, now })
  const name = options.name ?? 'test'
  const peers: Peer[] = []
  const sockets: Socket[] = []
  const listener = new Listener({
    endpoint: options.endpoint ?? { kind: 'tcp', host: '127.0.0.1', port: 0 },
    name, service: { limits }, admission, log,
    secure: options.tls === false ? undefined : await secure(options.tls ?? {}, name),
    refusalOf: options.refusalOf ?? (() => undefined),
    onClient: (socket, peer) => {
      peers.push(peer)
      sockets.push(socket)
      socket.on('error', () => {})
      if (options.onClient) options.onClient(socket, peer)
      else socket.on('data', chunk => { socket.write(chunk) }).on('end', () => { socket.end() }).resume()
    },
  })
  const { port } = await listener.listen()
  await atEndOfTest(async () => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: port ?? 0, listener, admission, counters, log: lines, peers, sockets }
}

async function secure(settings: Partial<TlsSettings>, scope: string) {
  const { server, ca } = await pki()
  const withCa = settings.client_auth === 'none' ? undefined : ca.certFile
  const { material, faults } = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: withCa, ...settings })
  if (material === undefined) throw new Error(JSON.stringify(faults))
  return listenerTls(material, { client_auth: 'required', min_version: 'TLSv1.2', session_tickets: true, ...settings }, scope)
}

/** What a TLS client says first. Sent by itself it is a handshake that stops halfway. */
export async function clientHello(): Promise<Buffer> {
  const { ca, client } = await pki()
  const listener = createServer()
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const dialer = connectTls({ port: (listener.address() as AddressInfo).port, host: '127.0.0.1', ...as(client, ca) }).on('error', () => {})
  const [socket] = await once(listener, 'connection') as [Socket]
  const [hello] = await once(socket, 'data') as [Buffer]
  dialer.destroy()
  socket.destroy()
  listener.close()
  return hello
}

/** Waits until it holds. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !holds(); waited += 5) {
    if (waited > 150_000) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** @returns what the listener made of a handshake: `in`, `in again` (resumed) or the reason of its refusal */
export async function visit(at: Edge, who: Certificate, more: WireOptions['tls'] = {}): Promise<{ outcome: string, session: Buffer | undefined }> {
  const { ca } = await pki()
  const before = at.log.length
  try {
    const wire = await connect({ port: at.port, tls: as(who, ca, more) })
    const echoed = await wire.ask('hello', 5)
    const session = (wire.socket as TLSSocket).getSession()   // with TLS 1.3, tickets come before the first bytes
    wire.destroy()
    return { outcome: echoed === 'hello' ? (at.peers.at(-1)!.tls!.resumed ? 'in again' : 'in') : 'odd', session }
  } catch {
    await until(() => at.log.length > before, 'the refusal is told')
    return { outcome: at.log.at(-1)!['reason'], session: undefined }
  }
}
