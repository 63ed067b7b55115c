import { printableText } from '../lib/printable.ts'
import type { LaneSnapshot, ServiceNow } from '../proxy/service-now.ts'
import type { Counters, RuleTraffic, Traffic } from '../telemetry/counters.ts'
import type { DelaySeconds } from '../telemetry/loop-delay.ts'
import type { PastReload, ReloadCounts } from '../telemetry/reload-outcome.ts'
import type { Expiring } from '../tls/expiring.ts'
import type { Loaded } from '../tls/material.ts'

// What the daemon is doing now, as plain values: /status and /metrics are two ways to write it down.

export interface ServiceSnapshot {
  name: string
  listeners: { endpoint: string, address: string, tls: boolean, isShut: boolean }[]
  edge: Counters
  suspicions: Readonly<Record<string, number>>
  traffic: Omit<Traffic, 'requests' | 'refused'> & { requests: Record<string, number>, refused: Record<string, number> }
  now: ServiceNow & { clients: number, handshakesRunning: number, handshakesWaiting: number, handshakesUnopened: number }
  /** By the name of the rule; '' holds what was observed of those for whom there is none. */
  rules: Record<string, RuleTraffic & { open: number }>
  lanes: LaneSnapshot[]
  certificates: Expiring[]
  /** The loaded certificate; undefined: plain. */
  tls: { subject: string, names: string, fingerprint: string, notAfter: Date, clientAuth: string } | undefined
  /** Whose clients are admitted. */
  clientCa: Loaded[]
  /** What is shown to the backend, and who may have signed what it shows; undefined: plain. */
  backendTls: { shown: Loaded | undefined, ca: Loaded[] } | undefined
  /** Whom memseal logs in to memcached as; undefined: it does not. */
  backendUser: string | undefined
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
  /** In force now, and put on since the start by what did it. */
  bans: { now: number, failures: number, order: number }
  services: ServiceSnapshot[]
  reloads: ReloadCounts
  lastReload: PastReload | undefined
  /** The refused reload that stands: what is on disk is not what is in force. */
  refusal: PastReload | undefined
  /** `file`, and what is wrong with it: undefined where there is none, or nothing. */
  audit: { file: string | undefined, fault: string | undefined, lines: number, lost: number, waitingBytes: number }
  process: {
    loopDelay: DelaySeconds, cpu: { user: number, system: number }, memory: { rss: number, heap: number, buffers: number },
    openFds: number, maxFds: number,
  }
}

/** As JSON can say it: histograms count in typed arrays, which it would write as objects. */
export function plain(value: unknown): unknown {
  return JSON.parse(jsonText(value))
}

export function jsonText(value: unknown): string {
  return printableText(JSON.stringify(value, (_, each: unknown) => each instanceof Float64Array ? [...each] : each))
}

export interface ConnectionsNow { total: number, shown: readonly string[] }

/** @returns JSON */
export function connectionsText({ total, shown }: ConnectionsNow, limit: number): string {
  return `{"total":${total},"connections":[${shown.slice(0, limit).join()}]}\n`
}
