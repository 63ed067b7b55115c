/** Walks what runs, and writes it down as plain values for `admin/`. */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { jsonText, type ConnectionsNow, type ServiceSnapshot, type Snapshot } from '../admin/snapshot.ts'
import type { Bans } from '../admission/bans.ts'
import { groups } from '../proto/commands.ts'
import type { LoopDelay } from '../telemetry/loop-delay.ts'
import type { Suspicions } from '../telemetry/suspicions.ts'
import { leftOut, type ListenerTls } from '../tls/context.ts'
import { expiringOf } from '../tls/expiring.ts'
import { oneLine } from '../tls/peer.ts'
import { version } from '../version.ts'
import type { Auditing } from './auditing.ts'
import { countOpenFds, type FdPlan } from './fd-limit.ts'
import type { Reloader } from './reload.ts'
import type { RunningService, Services } from './services.ts'

/** What is looked at of the daemon. */
export interface Running {
  readonly startedAt: number
  readonly configuration: string
  readonly isDraining: boolean
  readonly services: Services
  readonly reloader: Reloader
  readonly fdPlan: FdPlan
  readonly loopDelay: LoopDelay
  readonly bans: Pick<Bans, 'size' | 'counts'>
  readonly auditing: Auditing
  readonly suspicions: Suspicions
  readiness(): string[]
}

export function takeSnapshot(daemon: Running): Snapshot {
  const { reloader, services, fdPlan } = daemon
  const cpu = process.cpuUsage()
  const memory = process.memoryUsage()
  return {
    version, node: process.version, openssl: process.versions.openssl!, tlsLeftOut: leftOut, pid: process.pid, startedAt: daemon.startedAt,
    configuration: daemon.configuration,
    notReady: daemon.readiness(), isDraining: daemon.isDraining, connectionsLimit: fdPlan.limit, bans: { now: daemon.bans.size, ...daemon.bans.counts },
    services: services.running.map(running => serviceSnapshot(running, daemon)),
    audit: daemon.auditing.now, reloads: reloader.counts, lastReload: reloader.last, refusal: reloader.refusal,
    process: {
      loopDelay: daemon.loopDelay.seconds, cpu: { user: cpu.user / 1e6, system: cpu.system / 1e6 },
      memory: { rss: memory.rss, heap: memory.heapUsed, buffers: memory.arrayBuffers },
      openFds: countOpenFds(), maxFds: fdPlan.fdLimit ?? 0,
    },
  }
}

function serviceSnapshot({ name, service, admission }: RunningService, daemon: Running): ServiceSnapshot {
  const { now, traffic } = service.measure()
  const { running, waiting } = admission.handshakes
  const tls = daemon.services.tlsOf(name)
  const [listener] = tls.listeners.values()   // all of a service's show the same
  return {
    name,
    listeners: daemon.services.listeners.filter(listener => listener.service === name)
      .map(({ name: endpoint, address, secure, isShut }) => ({ endpoint, address, tls: secure !== undefined, isShut })),
    edge: admission.counters, suspicions: daemon.suspicions.countsOf(name),
    traffic: { ...traffic, requests: byGroup(traffic.requests), refused: byGroup(traffic.refused) },
    now: {
      ...now, clients: admission.clients, handshakesRunning: running, handshakesWaiting: waiting, handshakesUnopened: admission.firstRoom.size,
    },
    rules: service.access.rules(service.sessions),
    lanes: service.lanes(),
    certificates: expiringOf(name, listener, tls.backend),
    tls: listener && shownBy(listener),
    clientCa: listener?.material.authorities ?? [],
    backendTls: tls.backend && { shown: tls.backend.material.shown, ca: tls.backend.material.authorities },
    backendUser: tls.login?.username,
  }
}

/** Clients are served between two slices: to write down 10,000 at once takes 40 ms. */
const SLICE = 250

/** At most `limit` clients in JSON, the oldest first, and how many there are. */
export async function connectionsNow({ services }: Pick<Running, 'services'>, limit: number): Promise<ConnectionsNow> {
  const shown: string[] = []
  let total = 0
  for (const service of services.services) {
    total += service.clients
    for (const session of service.sessions) {
      if (shown.length >= limit) break
      shown.push(jsonText(session.snapshot()))
      if (shown.length % SLICE === 0) await turnOfTheLoop()
    }
  }
  return { total, shown }
}

function shownBy({ material, settings }: ListenerTls): ServiceSnapshot['tls'] {
  const { subject, names, fingerprint, notAfter } = material
  return { subject: oneLine(subject), names, fingerprint, notAfter, clientAuth: settings.client_auth }
}

function byGroup(counts: Float64Array): Record<string, number> {
  return Object.fromEntries(groups.map((group, at) => [group, counts[at]]))
}
