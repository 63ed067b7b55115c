/** What a service carries, as plain values for whoever asks. */
import { groups } from '../proto/commands.ts'
import type { Traffic } from '../telemetry/counters.ts'
import type { ClientRecord } from './client-record.ts'
import type { BackendNow } from './pool.ts'

export interface ServiceNow {
  connections: number
  inFlight: number
  replyBacklogBytes: number
  requestHeldBytes: number
  /** Memory that replies are read into, or lie in until their clients have taken them. */
  replyMemoryBytes: number
  privateConnections: number
  /** Clients that wait for one. */
  privateWaiting: number
  /** By the text of its endpoint: does memcached answer there, and what does that mean? */
  backends: Record<string, boolean>
  backendStates: Record<string, BackendNow | 'binary-only'>
}

export interface LaneSnapshot { backend: string; dialect: string; state: string; version: string; clients: number; inFlight: number }

/** Adds what a client has done so far. */
export function addTraffic(total: Traffic, { record, outbox }: { record: ClientRecord; outbox: { bytesOut: number } }): void {
  for (let group = 0; group < groups.length; group++) total.requests[group] += record.byGroup[group]
  total.hits += record.hits
  total.misses += record.misses
  total.bytesIn += record.bytesIn
  total.bytesOut += outbox.bytesOut
}
