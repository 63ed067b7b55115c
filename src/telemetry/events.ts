import type { MetricName } from './metrics.ts'
import { vouchedFor } from './reasons.ts'

// Every event, once. What becomes of one (a line of the log, of which level, folded by what), config/EVENTS.md and the tests that hold
// the two together are made from these rows. `EventLog.tell` is the one place where events are logged.

export type Level = 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export interface Event {
  /** `by the case`: whoever tells of it says which. `always`: logged whatever `log.level` is, since somebody has asked for it. */
  level: Level | 'by the case' | 'always'
  /** Fields by which it is folded: one line a minute for those that are alike in all of them, and 60 lines a minute for those that differ
   *  only in whose they are (`address`, `countedAs`, `network`). The next line says in `suppressed` how many were left out. Without: each has a line.
   *  Of an event that is recorded `apart` only the audit is folded so. */
  once?: readonly string[]
  /** The field that says who of one address it was, where an event may be of several: the first of each address and minute have lines of their own. */
  named?: 'fingerprint' | 'user'
  /** The metric that counts it, folded or not. */
  counter?: MetricName
  /** Recorded in the audit too. `apart`: by a call of its own, since the log has only some of them. */
  audit?: true | 'apart'
  /** For operators: what it says and, where something is to be done, what. */
  help: string
}

/** In the order in which a connection meets them; then those of the whole process. */
export const events = {
  'refused': { level: 'warn', audit: true, once: ['service', 'reason', 'countedAs'], counter: 'memseal_connections_refused_total', help: 'A connection was closed before a byte of it was read, but for a PROXY header. `reason` names the rule or the limit that kept it out, `countedAs` the network that the limits count its address by, `group` the one of `groups` whose limits hold for it, `via` the load balancer that it came by.' },
  'handshake-failed': { level: 'warn', audit: true, once: ['service', 'listener', 'reason', 'countedAs'], named: 'fingerprint', counter: 'memseal_handshakes_total', help: 'A TLS handshake failed. `words` says why in plain words, `advice` what to do, and by whom.' },
  'connected': { level: 'debug', audit: true, once: ['service', 'listener', 'countedAs'], counter: 'memseal_connections_accepted_total', help: 'A client is in: admitted, and over TLS its handshake is done.' },
  'tls-flood': { level: 'warn', audit: true, once: ['service', 'listener', 'countedAs'], counter: 'memseal_connections_closed_total', help: 'A client sent TLS records without data until it was closed. No client library does that: look at what runs at `address`.' },
  'command-refused': { level: 'warn', audit: true, once: ['service', 'rule', 'command', 'also', 'reason', 'countedAs'], counter: 'memseal_requests_refused_total', help: 'A request was answered with an error: `rule` of `access`, or where there are none `commands`, does not let its client do that. `reason` says what of it may not be: the command (`also`: what the request needs besides), a key, the size of a value, the number of keys. Allow it, or ask the owner of `address` why it is sent.' },
  'command': { level: 'debug', audit: true, once: ['service', 'command', 'countedAs'], counter: 'memseal_requests_total', help: 'A client was let do what is always recorded: `flush_all`, or a command of the group `admin` (dumps and `watch` among them).' },
  'login': { level: 'debug', audit: true, once: ['service', 'outcome', 'countedAs'], named: 'user', help: 'A client logged in to memcached by itself (SASL, or the first `set` with `-Y`) as `user`; `outcome` is accepted or refused.' },
  'unread': { level: 'debug', audit: true, once: ['service', 'countedAs'], counter: 'memseal_private_connections_total', help: 'A client with `commands: [all]` has sent what memseal does not know or cannot tell the end of: all that it asks from there on passes unread, and is not recorded.' },
  'scan-suspected': { level: 'warn', audit: true, once: ['service', 'network'], counter: 'memseal_suspicions_total', help: 'As many addresses of one network (/24, IPv6 /64) as `alerts.scan` says were refused within a minute, for what strangers are refused for. Look who scans, or which rollout has the wrong certificates.' },
  'plain-on-tls': { level: 'warn', audit: true, once: ['service', 'listener', 'reason', 'countedAs'], counter: 'memseal_suspicions_total', help: 'Plain memcached, or a request of the web (`reason`: http), came to a listener with TLS: a client whose configuration lacks TLS, or somebody who tries.' },
  'new-network': { level: 'warn', audit: true, once: ['service', 'fingerprint', 'network'], counter: 'memseal_suspicions_total', help: 'A certificate that memseal has seen came from a network (/24, IPv6 /64) that it had not come from since the start (`alerts.new_network`): its host has moved, or its key was taken.' },
  'new-command': { level: 'warn', audit: true, once: ['service', 'group', 'countedAs'], counter: 'memseal_suspicions_total', help: 'A client that memseal has known for `alerts.new_command_after` uses a group of commands that it had not used since (`alerts.new_command`).' },
  'access-observed': { level: 'warn', once: ['service', 'rule', 'command', 'reason', 'countedAs'], counter: 'memseal_rule_would_refuse_total', help: 'With `access_mode: observe`: this request, or with the reason no-rule this connection, would have been refused. Write the rules so that what is meant to pass has one, then enforce them.' },
  'expelled': { level: 'info', audit: true, once: ['service', 'reason', 'countedAs'], counter: 'memseal_connections_closed_total', help: 'After a reload a client may not be here any more, and its connection ends between two requests: `words` says why.' },
  'private-connections-full': { level: 'warn', once: ['service'], counter: 'memseal_private_refused_total', help: 'More clients need a connection to memcached of their own than `limits.private_connections` permits, and wait for one. The counter has those that waited in vain.' },
  'private-backend-lost': { level: 'warn', once: ['service', 'reason'], counter: 'memseal_backend_connections_lost_total', help: 'A client\'s own connection to memcached ended, and the client noticed it. All of them end when memcached restarts.' },
  'closed': { level: 'info', audit: 'apart', once: ['service', 'listener', 'reason', 'countedAs'], counter: 'memseal_connections_closed_total', help: 'A client\'s connection has ended: whose, why (`reason`), how long it was and what it carried. `log.connections` says how many of these lines there are.' },
  'closed-folded': { level: 'info', help: 'More connections of one client have ended within a minute than are told one by one, with their sums.' },
  'banned': { level: 'warn', audit: true, once: ['countedAs', 'cause'], counter: 'memseal_bans_total', help: 'A client is shut out for a while: it has failed too often (`ban`), or by order (`memseal ban add`). Its connections have ended, and new ones are reset without a line of their own.' },
  'ban-lifted': { level: 'warn', audit: true, help: 'Somebody is let in again before the ban has ended (`cause`): by order (`memseal ban remove`), or by the configuration, which names them in `ban.never` or has no section `ban` any more.' },
  'killed': { level: 'warn', audit: true, help: 'A connection was closed by order (`memseal kill`).' },

  'backend-ready': { level: 'info', help: 'memcached answers there, and its version is known.' },
  'backend-lost': { level: 'warn', counter: 'memseal_backend_connections_lost_total', help: 'A shared connection to memcached was lost, or could not be opened; memseal tries again after `retryMs`. One line when it goes and one for each new `reason`; the tries between are silent.' },
  'backend-ended': { level: 'debug', help: 'memcached closed an idle connection; another is opened.' },
  'backend-replaced': { level: 'debug', help: 'A shared connection was replaced by a new one: it had reached `backend.max_age`, or the certificates or the password are others now.' },
  'backend-wants-login': { level: 'info', help: 'memcached answers, and wants a login: each client gets a connection of its own and has to log in there, for which `commands` has to name `auth`. With `backend.auth` memseal logs in instead.' },
  'backend-login-refused': { level: 'error', counter: 'memseal_backend_connections_lost_total', help: 'memcached refuses the login of `backend.auth`. `words` has its answer, `advice` what to compare. memseal shows the login again after `retryMs`, with growing pauses, and at once when the password file changes.' },
  'backend-login-needless': { level: 'warn', help: '`backend.auth` is there, and memcached asks for no login: whoever reaches it may use it. Start it with `-Y FILE` or `-S`, or remove `backend.auth`.' },
  'failover': { level: 'warn', help: 'Requests go to another host of `backend.connect` from now on; `words` says why.' },
  'backend-away': { level: 'warn', help: 'No backend can be reached, and clients are treated as `backend.when_down` says.' },
  'backend-back': { level: 'info', help: 'A backend can be reached again, and clients are served.' },
  'ready': { level: 'info', help: 'The service can answer requests: a backend answers.' },
  'not-ready': { level: 'warn', counter: 'memseal_ready', help: 'The service cannot answer requests; `reasons` says why.' },

  'listening': { level: 'info', help: 'A listener is open. `again`: it had been shut while no backend could be reached.' },
  'listening-elsewhere': { level: 'by the case', help: 'A listener is open, and something about it is another than the configuration lets one expect.' },
  'listener-shut': { level: 'warn', help: 'Connections are refused until a backend answers (`backend.when_down: refuse`).' },
  'listener-closed': { level: 'info', help: 'The configuration does not name this listener any more.' },
  'listen-failed': { level: 'error', help: 'A listener that was shut cannot be opened again, since somebody else has its place. memseal tries every second.' },
  'accept-failed': { level: 'error', once: ['service', 'listener', 'code'], counter: 'memseal_accept_errors_total', help: 'The system gave no connection to memseal, as a rule since too many files are open: raise the open-files limit.' },
  'expiry': { level: 'by the case', counter: 'memseal_certificate_expiry_timestamp_seconds', help: 'A certificate or a revocation list has ended or ends soon; every hour until it is renewed. `error` once it has ended.' },

  'admin-listening': { level: 'info', help: 'The admin listener is open.' },
  'admin-unavailable': { level: 'error', help: 'The admin listener cannot be opened. Clients are served without it, and memseal tries again.' },
  'admin-refused': { level: 'warn', audit: true, once: ['address'], help: 'Somebody who is not in `admin.allow` connected to the admin listener.' },
  'admin-error': { level: 'by the case', help: 'The admin listener has trouble (`warn`), or one of its answers failed (`error`), which is a fault of memseal: report it.' },

  'reloaded': { level: 'info', audit: true, counter: 'memseal_reloads_total', help: 'What is on disk is in force; `changes` says what is different.' },
  'reload-refused': { level: 'error', audit: true, counter: 'memseal_reloads_total', help: 'What is on disk is wrong, and what was in force stays. One line for each fault: mend it and reload.' },
  'reload-waits': { level: 'debug', help: 'Changed files do not fit together yet; memseal looks again in a moment.' },
  'reload-still-refused': { level: 'debug', help: 'Files have changed, and the configuration on disk is still another than the one in force.' },
  'configuration-warning': { level: 'warn', help: 'The configuration is taken, and something about it is doubtful.' },

  'started': { level: 'debug', audit: true, help: 'memseal serves, or its audit begins: its version, and its configuration.' },
  'start-failed': { level: 'fatal', help: 'memseal could not start; the message says why and what to do.' },
  'fd-limit': { level: 'info', counter: 'memseal_connections_limit', help: 'How many client connections the open-files limit permits.' },
  'fd-limit-low': { level: 'warn', help: 'The open-files limit permits fewer connections than the configuration.' },
  'draining': { level: 'info', audit: true, help: 'memseal ends: it accepts nobody any more, and each client is closed when it has what it is owed.' },
  'ended': { level: 'by the case', audit: true, help: 'memseal has ended: drained, or at once after a second signal (`warn`).' },
  'status': { level: 'always', help: 'What SIGUSR2 asked for: all that `memseal status` knows.' },
  'notify-failed': { level: 'warn', help: 'systemd could not be told how memseal is.' },
  'log-reopened': { level: 'info', help: 'The log goes on in the file that has its name now.' },
  'log-reopen-failed': { level: 'error', help: 'The log file could not be opened anew; the log goes on in the file that was open.' },
  'audit-unavailable': { level: 'error', counter: 'memseal_audit_up', help: '`audit.file` cannot be written to. Lines wait, and memseal tries every second; with `audit.required: on` nobody new is let in meanwhile.' },
  'audit-available': { level: 'info', counter: 'memseal_audit_up', help: '`audit.file` can be written to again; `lost` lines were too many to wait.' },
  'audit-lost': { level: 'error', audit: 'apart', counter: 'memseal_audit_lost_total', help: 'So many lines of the audit could not be written and are lost.' },
  'audit-reopened': { level: 'info', help: 'The audit goes on in the file that has its name now.' },
  'audit-reopen-failed': { level: 'error', help: 'The audit file could not be opened anew; the audit goes on in the file that was open.' },
  'log-file-unavailable': { level: 'error', help: '`log.file` cannot be opened. The log goes to standard output until it can.' },
} as const satisfies Record<string, Event>

export type EventName = keyof typeof events
/** What an event has to say at least: what it is folded by. */
export type FieldsOf<N extends EventName> = Record<string, unknown> & (typeof events[N] extends { audit: 'apart' } ? unknown
  : typeof events[N] extends { once: readonly (infer F extends string)[] } ? Record<F, unknown> : unknown)

export function isAudited(name: EventName): boolean {
  const { audit }: Event = events[name]
  return audit !== undefined
}

/** Who of an address an event was, if that tells it apart from others: not by a certificate that anybody can make. */
export function nameIn({ named }: Event, fields: Readonly<Record<string, unknown>>): string | undefined {
  if (named === undefined || fields[named] === undefined) return undefined
  return named === 'user' || vouchedFor.has(String(fields.reason)) ? String(fields[named]) : undefined
}

/** What `audit.events` may name. */
export const auditedNames: readonly string[] = (Object.keys(events) as EventName[]).filter(isAudited)

/** config/EVENTS.md. */
export function eventsText(): string {
  const rows = Object.entries<Event>(events).map(([name, { level, once, counter, audit, help }]) => (
    `| \`${name}\` | ${level} | ${audit === undefined ? '' : 'yes'} | ${codes(once)} | ${counter === undefined ? '' : codes([counter])} | ${help} |\n`))
  return `# Events

Made by \`memseal config events\`; do not edit.

Each line of the log has a field \`event\`. Events that many clients can bring about are folded: of those that are alike in the fields
that the fourth column names, there is one line a minute, and 60 lines a minute of those that differ only in whose they are
(\`address\`, \`countedAs\`, \`network\`). The next line says in \`suppressed\` how many were left out.

The events with a \`yes\` in the third column go into the audit as well, whatever the level of the log: one JSON object a line, with
\`time\`, \`event\`, who (\`service\`, \`listener\`, \`client\`, \`address\`, \`port\`, \`via\`, and of a client certificate that was verified
\`subject\`, \`names\`, \`serial\`, \`fingerprint\`), what (the fields of the event, \`rule\`, \`group\`, and \`keyPattern\`,
\`keyPrefix\`, \`keyHash\` or \`key\`), and \`words\` for people. There the events that are folded have a line each for the first of a minute, by
\`countedAs\`, certificate, \`keyPattern\` and the fields of the fourth column, and one at its end with \`repeats\` and \`since\`. Of failed
handshakes the first 100 certificates of an address and minute that the CA vouches for have lines of their own (in the log the first 10).
Of refused logins the first 10 names of an address and minute have lines of their own; the line with \`repeats\` of others has the user
\`others\`. Other certificates are not told apart, since anybody can make them; where several are folded, the line with \`repeats\` names none.

| event | level | audit | folded by | metric | what it says |
|---|---|---|---|---|---|
${rows.join('')}`
}

function codes(names: readonly string[] = []): string {
  return names.map(name => `\`${name}\``).join(', ')
}
