import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { printableText } from '../lib/printable.ts'
import { groups } from '../proto/commands.ts'
import { countOpenFds } from '../process/fd-limit.ts'
import { expiringOf, type Expiring } from '../process/expiry.ts'
import type { Daemon } from '../process/daemon.ts'
import type { Reloader } from '../process/reload.ts'
import type { RunningService } from '../process/services.ts'
import type { LaneSnapshot, ServiceNow } from '../proxy/service.ts'
import type { Counters, Traffic } from '../telemetry/counters.ts'
import type { DelaySeconds } from '../telemetry/loop-delay.ts'
import { leftOut, type ListenerTls } from '../tls/context.ts'
import type { Loaded } from '../tls/material.ts'
import { oneLine } from '../tls/peer.ts'
import { version } from '../version.ts'

// What the daemon is doing now, as plain values: /status and /metrics are two ways to write it down.

export interface ServiceSnapshot {
  name: string
  listeners: { endpoint: string, address: string, tls: boolean, isShut: boolean }[]
  edge: Counters
  traffic: Omit<Traffic, 'requests' | 'refused'> & { requests: Record<string, number>, refused: Record<string, number> }
  now: ServiceNow & { clients: number, handshakesRunning: number, handshakesWaiting: number, handshakesUnopened: number }
  lanes: LaneSnapshot[]
  certificates: Expiring[]
  /** The loaded certificate; undefined: plain. */
  tls: { subject: string, names: string, fingerprint: string, notAfter: Date, clientAuth: string } | undefined
  /** Whose clients are admitted. */
  clientCa: Loaded[]
  /** What is shown to the backend, and who may have signed what it shows; undefined: plain. */
  backendTls: { shown: Loaded | undefined, ca: Loaded[] } | undefined
}

export interface Snapshot {
  version: string
  node: string
  openssl: string
  /** Ciphers and groups that memseal would offer, and this OpenSSL does not know. */
  tlsLeftOut: readonly string[]
  pid: number
  startedAt: number
  configuration: string
  notReady: string[]
  isDraining: boolean
  connectionsLimit: number
  services: ServiceSnapshot[]
  reloads: Reloader['counts']
  lastReload: Reloader['last']
  /** The refused reload that stands: what is on disk is not what is in force. */
  refusal: Reloader['refusal']
  process: {
    loopDelay: DelaySeconds, cpu: { user: number, system: number }, memory: { rss: number, heap: number, buffers: number },
    openFds: number, maxFds: number,
  }
}

export function takeSnapshot(daemon: Daemon): Snapshot {
  const { reloader, services, fdPlan } = daemon
  const cpu = process.cpuUsage()
  const memory = process.memoryUsage()
  return {
    version, node: process.version, openssl: process.versions.openssl!, tlsLeftOut: leftOut, pid: process.pid, startedAt: daemon.startedAt,
    configuration: daemon.configuration,
    notReady: daemon.readiness(), isDraining: daemon.isDraining, connectionsLimit: fdPlan.limit,
    services: services.running.map(running => serviceSnapshot(running, daemon)),
    reloads: reloader.counts, lastReload: reloader.last, refusal: reloader.refusal,
    process: {
      loopDelay: daemon.loopDelay.seconds, cpu: { user: cpu.user / 1e6, system: cpu.system / 1e6 },
      memory: { rss: memory.rss, heap: memory.heapUsed, buffers: memory.arrayBuffers },
      openFds: countOpenFds(), maxFds: fdPlan.fdLimit ?? 0,
    },
  }
}

function serviceSnapshot({ name, service, admission }: RunningService, daemon: Daemon): ServiceSnapshot {
  const { now, traffic } = service.measure()
  const { running, waiting } = admission.handshakes
  const tls = daemon.services.tlsOf(name)
  const [listener] = tls.listeners.values()   // all of a service's show the same
  return {
    name,
    listeners: daemon.services.listeners.filter(listener => listener.service === name)
      .map(({ name: endpoint, address, secure, isShut }) => ({ endpoint, address, tls: secure !== undefined, isShut })),
    edge: admission.counters,
    traffic: { ...traffic, requests: byGroup(traffic.requests), refused: byGroup(traffic.refused) },
    now: {
      ...now, clients: admission.clients, handshakesRunning: running, handshakesWaiting: waiting, handshakesUnopened: admission.firstRoom.size,
    },
    lanes: service.lanes(),
    certificates: expiringOf(name, listener, tls.backend),
    tls: listener && shownBy(listener),
    clientCa: listener?.material.authorities ?? [],
    backendTls: tls.backend && { shown: tls.backend.material.shown, ca: tls.backend.material.authorities },
  }
}

/** As JSON can say it: histograms count in typed arrays, which it would write as objects. */
export function plain(value: unknown): unknown {
  return JSON.parse(jsonText(value))
}

export function jsonText(value: unknown): string {
  return printableText(JSON.stringify(value, (_, each: unknown) => each instanceof Float64Array ? [...each] : each))
}

/** Clients are served between two slices: to write down 10,000 at once takes 40 ms. */
const SLICE = 250

export interface ConnectionsNow { total: number, shown: readonly string[] }

/** At most `limit` clients in JSON, the oldest first, and how many there are. */
export async function connectionsNow(daemon: Daemon, limit: number): Promise<ConnectionsNow> {
  const shown: string[] = []
  let total = 0
  for (const service of daemon.services.services) {
    total += service.clients
    for (const session of service.sessions) {
      if (shown.length >= limit) break
      shown.push(jsonText(session.snapshot()))
      if (shown.length % SLICE === 0) await turnOfTheLoop()
    }
  }
  return { total, shown }
}

/** @returns JSON */
export function connectionsText({ total, shown }: ConnectionsNow, limit: number): string {
  return `{"total":${total},"connections":[${shown.slice(0, limit).join()}]}\n`
}

function shownBy({ material, settings }: ListenerTls): ServiceSnapshot['tls'] {
  const { subject, names, fingerprint, notAfter } = material
  return { subject: oneLine(subject), names, fingerprint, notAfter, clientAuth: settings.client_auth }
}

function byGroup(counts: Float64Array): Record<string, number> {
  return Object.fromEntries(groups.map((group, at) => [group, counts[at]]))
}
