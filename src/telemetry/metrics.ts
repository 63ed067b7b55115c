// Every metric, once. The page for Prometheus, config/METRICS.md and the tests that hold the two together are made
// from these rows. A label takes its values from a closed list of ours or from the configuration, never from a client.

export type MetricKind = 'counter' | 'gauge' | 'histogram'
export interface Metric { kind: MetricKind, help: string, labels: readonly string[] }

/** Units stand in the names, as Prometheus has it. */
export const metrics = {
  memseal_connections: { kind: 'gauge', labels: ['service'], help: 'Client connections that are being served.' },
  memseal_clients: { kind: 'gauge', labels: ['service'], help: 'Clients with a connection open: IPv4 addresses, or IPv6 addresses or networks (limits.ipv6_prefix).' },
  memseal_connections_accepted_total: { kind: 'counter', labels: ['service'], help: 'Connections that were admitted.' },
  memseal_connections_refused_total: { kind: 'counter', labels: ['service', 'reason'], help: 'Connections closed before anything but a PROXY header was read, by the rule or limit that kept them out.' },
  memseal_connections_closed_total: { kind: 'counter', labels: ['service', 'reason'], help: 'Client connections that ended, by why.' },
  memseal_connections_silent_total: { kind: 'counter', labels: ['service'], help: 'Connections that closed without having sent a byte: health checks and port scans.' },
  memseal_bans: { kind: 'gauge', labels: [], help: 'Clients and ranges that are banned now.' },
  memseal_bans_total: { kind: 'counter', labels: ['cause'], help: 'Bans that were put on: by failures of a client, or by order.' },
  memseal_connections_limit: { kind: 'gauge', labels: [], help: 'Client connections that the open-files limit and the configuration permit.' },
  memseal_accept_errors_total: { kind: 'counter', labels: ['service'], help: 'Errors of accept(), such as too many open files.' },

  memseal_handshakes_total: { kind: 'counter', labels: ['service', 'result', 'reason'], help: 'TLS handshakes: full, resumed, or failed and why. The share of resumed ones is resumed / (full + resumed).' },
  memseal_handshakes_by_version_total: { kind: 'counter', labels: ['service', 'version'], help: 'TLS handshakes that succeeded, by version of TLS.' },
  memseal_handshake_seconds: { kind: 'histogram', labels: ['service'], help: 'Length of TLS handshakes that succeeded, from the start of their turn.' },
  memseal_handshakes_running: { kind: 'gauge', labels: ['service'], help: 'TLS handshakes under way.' },
  memseal_handshakes_waiting: { kind: 'gauge', labels: ['service'], help: 'Connections that wait for their turn to shake hands.' },
  memseal_handshakes_unopened: { kind: 'gauge', labels: ['service'], help: 'Connections that have not sent a whole ClientHello yet, or PROXY header where one is due: silent ones, for the most part.' },

  memseal_requests_total: { kind: 'counter', labels: ['service', 'group'], help: 'Requests passed on to memcached, by group of commands; basic: those that are always allowed (mn, version, quit).' },
  memseal_requests_refused_total: { kind: 'counter', labels: ['service', 'group'], help: 'Requests that `commands` forbids, by group.' },
  memseal_rule_connections: { kind: 'gauge', labels: ['service', 'rule'], help: 'Client connections for which a rule of `access` decides.' },
  memseal_rule_connections_total: { kind: 'counter', labels: ['service', 'rule'], help: 'Client connections for which a rule of `access` has decided at their beginning.' },
  memseal_rule_requests_refused_total: { kind: 'counter', labels: ['service', 'rule', 'reason'], help: 'Requests that a rule of `access` forbids, by what of them may not be: command, key, value (its size) or keys (their number).' },
  memseal_rule_would_refuse_total: { kind: 'counter', labels: ['service', 'rule', 'reason'], help: 'With `access_mode: observe`: requests that would have been refused, and connections for which there is no rule (no-rule, without a label `rule`).' },
  memseal_keys_total: { kind: 'counter', labels: ['service', 'result'], help: 'Keys that were asked for by reads on shared connections: hit or miss.' },
  memseal_request_backend_seconds: { kind: 'histogram', labels: ['service'], help: 'From writing a request to memcached until its reply was read whole. Of a sample: the last request of one turn of the event loop in 16.' },
  memseal_request_own_seconds: { kind: 'histogram', labels: ['service'], help: 'What memseal itself added to the same requests: the turn in which the request came and the turn in which the reply left.' },
  memseal_received_bytes_total: { kind: 'counter', labels: ['service'], help: 'Bytes from clients, without TLS.' },
  memseal_sent_bytes_total: { kind: 'counter', labels: ['service'], help: 'Bytes to clients that they have taken, without TLS.' },
  memseal_reply_backlog_bytes: { kind: 'gauge', labels: ['service'], help: 'Bytes of replies that clients have not taken yet.' },
  memseal_request_held_bytes: { kind: 'gauge', labels: ['service'], help: 'Bytes of unfinished requests that are held.' },

  memseal_backend_up: { kind: 'gauge', labels: ['service', 'backend'], help: '1 when memcached answers there, else 0.' },
  memseal_lanes: { kind: 'gauge', labels: ['service', 'backend', 'dialect', 'state'], help: 'Backend connections that clients share.' },
  memseal_in_flight: { kind: 'gauge', labels: ['service'], help: 'Requests that await their replies.' },
  memseal_backend_connections_lost_total: { kind: 'counter', labels: ['service', 'reason'], help: 'Backend connections that ended or could not be opened, by why.' },
  memseal_reads_moved_total: { kind: 'counter', labels: ['service'], help: 'Reads that were asked again on another shared connection, since a long reply to another client was in their way.' },
  memseal_private_connections: { kind: 'gauge', labels: ['service'], help: 'Backend connections that belong to one client each.' },
  memseal_private_connections_total: { kind: 'counter', labels: ['service', 'reason'], help: 'Clients that were moved to a backend connection of their own, by why.' },
  memseal_private_waiting: { kind: 'gauge', labels: ['service'], help: 'Clients that wait for such a connection, since there are as many as there may be (limits.private_connections).' },
  memseal_private_refused_total: { kind: 'counter', labels: ['service'], help: 'Requests that were answered with an error, since their client had waited for such a connection for reply_timeout.' },

  memseal_certificate_expiry_timestamp_seconds: { kind: 'gauge', labels: ['service', 'file'], help: 'When the loaded certificate (cert) or revocation list (crl) ends, in seconds since 1970.' },
  memseal_ready: { kind: 'gauge', labels: [], help: '1 when /readyz says ready, else 0.' },
  memseal_reloads_total: { kind: 'counter', labels: ['cause', 'result'], help: 'Reloads by what asked for them and what came of them.' },
  memseal_last_reload_timestamp_seconds: { kind: 'gauge', labels: [], help: 'When the last reload ended, in seconds since 1970; 0: there was none.' },
  memseal_last_reload_success: { kind: 'gauge', labels: [], help: '0 when the last reload was refused, so that what is in force is not what is on disk; else 1.' },

  memseal_suspicions_total: { kind: 'counter', labels: ['service', 'kind'], help: 'What looks like an attack: a scan, plain text on a port of TLS, a certificate from a new network, a client that uses commands it never did (`alerts`).' },
  memseal_audit_up: { kind: 'gauge', labels: [], help: '0 while `audit.file` cannot be written to, else 1; without an audit it is 1.' },
  memseal_audit_lines_total: { kind: 'counter', labels: [], help: 'Lines that the audit has made.' },
  memseal_audit_lost_total: { kind: 'counter', labels: [], help: 'Lines of the audit that could not be written and are lost.' },
  memseal_audit_waiting_bytes: { kind: 'gauge', labels: [], help: 'Bytes of lines of the audit that are not written yet.' },

  memseal_event_loop_delay_seconds: { kind: 'gauge', labels: ['quantile'], help: 'How late the event loop came to what was due, over the last one to two minutes.' },
  memseal_cpu_seconds_total: { kind: 'counter', labels: ['mode'], help: 'CPU time of the process: user or system.' },
  memseal_memory_bytes: { kind: 'gauge', labels: ['kind'], help: 'Memory of the process: rss is what the system counts, heap what JavaScript uses of it, buffers what holds requests and replies.' },
  memseal_open_fds: { kind: 'gauge', labels: [], help: 'Open files and sockets of the process.' },
  memseal_max_fds: { kind: 'gauge', labels: [], help: 'Limit of open files and sockets; 0: none is known.' },
  memseal_start_timestamp_seconds: { kind: 'gauge', labels: [], help: 'When memseal started, in seconds since 1970.' },
  memseal_build_info: { kind: 'gauge', labels: ['version', 'node'], help: 'Always 1: its labels say which memseal and which Node run.' },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics

/** config/METRICS.md. */
export function metricsText(): string {
  const rows = Object.entries(metrics).map(([name, { kind, labels, help }]) => (
    `| \`${name}\` | ${kind} | ${labels.map(label => `\`${label}\``).join(', ')} | ${help} |\n`))
  return `# Metrics

Made by \`memseal config metrics\`; do not edit.

\`GET /metrics\` on the admin listener answers in Prometheus text. memseal makes the page at most once a second, and for each asker
that sends \`Cache-Control: no-cache\` anew. Labels take their values from the configuration and from closed lists, so the number of
series is fixed.

| metric | kind | labels | what it says |
|---|---|---|---|
${rows.join('')}`
}
