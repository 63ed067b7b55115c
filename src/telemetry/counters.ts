import { handshakeFailures, type HandshakeFailureReason } from '../tls/handshake-failure.ts'
import { refusals, type RefusalReason } from '../admission/admission.ts'

// Counters of a service's edge, one table: the fields of `Counters` come from it, and the metrics will.

interface CounterRow { help: string, label?: string, values?: readonly string[] }

export const counterTable = {
  accepted: { help: 'Connections that were admitted.' },
  refused: { help: 'Connections closed before anything was read, by reason.', label: 'reason', values: refusals },
  probes: { help: 'Connections that closed without having sent a byte.' },
  handshakes: { help: 'TLS handshakes that succeeded, resumed ones counted too.' },
  resumed: { help: 'TLS handshakes that resumed a session.' },
  handshakesFailed: { help: 'TLS handshakes that failed, by reason.', label: 'reason', values: handshakeFailures },
  acceptErrors: { help: 'Errors of accept(), such as too many open files.' },
} as const satisfies Record<string, CounterRow>

/** Plain numbers, counted up where things happen. */
export class Counters {
  accepted = 0
  refused: Record<RefusalReason, number> = zeros(refusals)
  probes = 0
  handshakes = 0
  resumed = 0
  handshakesFailed: Record<HandshakeFailureReason, number> = zeros(handshakeFailures)
  acceptErrors = 0
}

// Holds the class to the table, both ways.
type Missing = Exclude<keyof typeof counterTable, keyof Counters> | Exclude<keyof Counters, keyof typeof counterTable>
null as unknown as Missing satisfies never

function zeros<K extends string>(names: readonly K[]): Record<K, number> {
  return Object.fromEntries(names.map(name => [name, 0])) as Record<K, number>
}
