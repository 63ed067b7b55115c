import { Histogram } from '../lib/histogram.ts'
import { groups } from '../proto/commands.ts'
import { refusals, handshakeFailures, type RefusalReason, type HandshakeFailureReason } from './reasons.ts'
import {
  backendCloses, clientCloses, privateReasons, type BackendClose, type ClientClose, type PrivateReason,
} from './reasons.ts'

// Plain numbers, counted up where things happen and read when somebody asks. What each means to an operator stands in
// metrics.ts, the one table of metrics.

/** Bounds in seconds. A full handshake takes some 3 ms of CPU; past a second somebody waits for a peer. */
const handshakeBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
/** memcached on the same host answers in 50 us to 1 ms. */
export const requestBounds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5]

/** A service's edge: from accept to the end of the handshake. */
export class Counters {
  accepted = 0
  refused: Record<RefusalReason, number> = zeros(refusals)
  probes = 0
  handshakes = 0
  resumed = 0
  versions = { 'TLSv1.2': 0, 'TLSv1.3': 0 }
  handshakesFailed: Record<HandshakeFailureReason, number> = zeros(handshakeFailures)
  handshakeSeconds = new Histogram(handshakeBounds)
  acceptErrors = 0
}

/** Why a request is refused: what of it may not be. */
export const requestRefusals = ['command', 'key', 'value', 'keys'] as const
export type RequestRefusal = (typeof requestRefusals)[number]

/** What one rule of `access` has done; kept for as long as the configuration has a rule of that name. */
export class RuleTraffic {
  connections = 0
  readonly refused: Record<RequestRefusal, number> = zeros(requestRefusals)
  /** While rules are only observed. */
  readonly observed: Record<RequestRefusal | 'no-rule', number> = zeros([...requestRefusals, 'no-rule'])
}

/** What a service carries. Columns by the number of the group, since they are counted up for every request. */
export class Traffic {
  readonly requests = new Float64Array(groups.length)
  readonly refused = new Float64Array(groups.length)
  readonly closed: Record<ClientClose, number> = zeros(clientCloses)
  readonly privates: Record<PrivateReason, number> = zeros(privateReasons)
  privatesRefused = 0
  /** Reads that were asked again on another shared connection, since a long reply of another client was in their way. */
  moved = 0
  readonly backendSeconds = new Histogram(requestBounds)
  readonly ownSeconds = new Histogram(requestBounds)
  readonly backendClosed: Record<BackendClose, number> = zeros(backendCloses)
  /** Of clients that have left; those still here are added when somebody asks. */
  hits = 0
  misses = 0
  bytesIn = 0
  bytesOut = 0
}

function zeros<K extends string>(names: readonly K[]): Record<K, number> {
  return Object.fromEntries(names.map(name => [name, 0])) as Record<K, number>
}
