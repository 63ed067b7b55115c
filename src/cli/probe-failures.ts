// Where a probe can end, in words: what it means, what to do, and what it says of a host that is to be kept out.

/** What the words may speak of. */
export interface ProbeFacts {
  target: string          // cache1:11212
  host: string
  own: string             // subject of our certificate; empty without one
  ownFault: string        // what is wrong with it, as far as can be seen from here; else empty
  user: string            // whose login is shown; empty: none is
  detail: string          // the system's or OpenSSL's word, or what was answered
  hasCa: boolean
  timeout: string
}

/** `kept-out`: somebody is there and refused this host. `unreachable`: nobody took the connection, whether or not somebody is
 *  there. `let-in`: it was taken and not refused, whatever failed after. `untold`: nothing was found out. */
export type Standing = 'kept-out' | 'unreachable' | 'let-in' | 'untold'

interface Row { standing: Standing, means(facts: ProbeFacts): string, fix(facts: ProbeFacts): string }

export const probeFailures = {
  'name-unknown': {
    standing: 'untold',
    means: f => `The name ${f.host} has no address: ${f.detail}.`,
    fix: f => `Compare the name; ask DNS (getent hosts ${f.host}); or write the address itself.`,
  },
  'name-silent': {
    standing: 'untold',
    means: f => `The name ${f.host} could not be looked up within ${f.timeout}: ${f.detail}.`,
    fix: () => 'See whether the name servers in /etc/resolv.conf answer; or write the address itself.',
  },
  'connection-refused': {
    standing: 'unreachable',
    means: f => `The host is there, and nothing listens on ${f.target}; or a firewall rejects this host.`,
    fix: () => 'On that host look whether memseal runs (systemctl status memseal) and where it listens (ss -ltnp).',
  },
  'connect-timeout': {
    standing: 'unreachable',
    means: f => `Nothing answered within ${f.timeout}: a firewall drops the packets, or the host is down.`,
    fix: () => 'Let its firewall take TCP to this port from this host; see whether the host answers anything else.',
  },
  'unreachable': {
    standing: 'unreachable',
    means: f => `There is no way from here to ${f.host}: ${f.detail}.`,
    fix: f => `Look at the routes (ip route get ${f.host}); a firewall may reject this host, too.`,
  },
  'connect-failed': {
    standing: 'untold',
    means: f => `The connection could not be opened: ${f.detail}.`,
    fix: f => f.host.startsWith('unix:') ? 'Compare the path, its permissions, and whether somebody listens there (ss -lx).'
      : 'Look up that error.',
  },
  'not-admitted': {
    standing: 'kept-out',
    means: () => 'The connection was taken and closed again before a byte was said: so does a memseal that does not ' +
      'admit this address (not in `allow`, in `deny`, banned, or over a limit).',
    fix: () => "Ask memseal there: its log says which rule it was (event refused: add this host's address to `allow`, or take it out of `deny`), " +
      'and of a banned address only that and when the ban began (event banned; `memseal ban list`, then `memseal ban remove`).',
  },
  'plain-memcached': {
    standing: 'let-in',
    means: f => `Plain memcached answers on ${f.target}: there is no TLS. Whoever reaches this port reads and writes everything.`,
    fix: () => 'Bind memcached to loopback (-l 127.0.0.1) and put memseal in front of it; for a test of it as it is, --plain.',
  },
  'not-tls': {
    standing: 'let-in',
    means: f => `What listens there speaks no TLS; it answered ${f.detail}.`,
    fix: () => 'Compare the port. A plain memcached is probed with --plain.',
  },
  'tls-there': {
    standing: 'let-in',
    means: () => 'What listens there answered with TLS.',
    fix: () => 'Leave out --plain.',
  },
  'tls-silent': {
    standing: 'let-in',
    means: f => `The connection stands, and the TLS handshake was not answered within ${f.timeout}: another service listens ` +
      'there, or the process hangs, or has so many new connections that this one waits.',
    fix: () => 'On that host see what listens (ss -ltnp) and whether it is busy or stopped; try a longer --timeout.',
  },
  'tls-version': {
    standing: 'let-in',
    means: f => `That side speaks no TLS version that this one takes, TLS 1.2 and 1.3 (${f.detail}).`,
    fix: () => 'Let it offer TLS 1.2 or 1.3.',
  },
  'tls-failed': {
    standing: 'let-in',
    means: f => `The TLS handshake was begun and broke (${f.detail}).`,
    fix: () => 'The log of that side says why; compare versions, ciphers and groups.',
  },
  'unknown-ca': {
    standing: 'let-in',
    means: f => `The certificate there is not believed: ${f.detail}.`,
    fix: f => `${f.hasCa ? 'Add that authority' : 'Give that authority with --ca FILE'}, or let that side send what is ` +
      'missing between (append it to tls.cert there). If neither explains it, somebody else may be answering.',
  },
  'wrong-name': {
    standing: 'let-in',
    means: f => `The certificate there is for another name: ${f.detail}.`,
    fix: () => 'Connect by one of these names, give the right one with --server-name, or issue a certificate that has it.',
  },
  'cn-only': {
    standing: 'let-in',
    means: f => `The certificate there has no subject alternative name, and its common name, which would fit (${f.detail}), ` +
      'is not taken for one.',
    fix: () => 'Issue a certificate with a subject alternative name; or write cn_as_name: allowed below backend.tls.',
  },
  'wrong-fingerprint': {
    standing: 'let-in',
    means: f => `The certificate there is not one of those that are pinned: ${f.detail}.`,
    fix: () => 'If it was renewed on purpose, add that to backend.tls.fingerprints or spki; else somebody else may be answering.',
  },
  'name-not-accepted': {
    standing: 'let-in',
    means: f => `The certificate there has none of the names in backend.tls.names: ${f.detail}.`,
    fix: () => 'Add one of its names there, or issue a certificate that has one of those.',
  },
  'expired': {
    standing: 'let-in',
    means: f => `The certificate there, or one that signed it, has expired: ${f.detail}.`,
    fix: () => "Renew it there; if it looks valid, compare this host's clock (date).",
  },
  'not-yet-valid': {
    standing: 'let-in',
    means: f => `The certificate there, or one that signed it, is not valid yet: ${f.detail}.`,
    fix: () => "Compare this host's clock (date) with that of the host that issued it.",
  },
  'weak-certificate': {
    standing: 'let-in',
    means: f => `The certificate there, or one that signed it, is too weak: ${f.detail}.`,
    fix: () => 'Issue it anew: RSA with 2048 bits at least, or P-256, signed with SHA-256.',
  },
  'bad-certificate': {
    standing: 'let-in',
    means: f => `The certificate there does not verify (${f.detail}).`,
    fix: () => 'Look at it: openssl s_client -showcerts; certificates for other purposes are refused.',
  },
  'client-certificate-missing': {
    standing: 'kept-out',
    means: () => 'That side takes clients with a certificate only, and none was shown.',
    fix: () => 'Give --cert and --key, signed by the authority in its tls.client_ca.',
  },
  'client-certificate-refused': {
    standing: 'kept-out',
    means: f => `That side asked for a client certificate and did not accept ${f.own}${f.ownFault === '' ? '' : `: it ${f.ownFault}`}` +
      `${f.detail === '' ? '' : ` (${f.detail})`}.`,
    fix: f => f.ownFault === ''
      ? 'Its log says why (event handshake-failed). Compare its tls.client_ca with the issuer of --cert; see whether its CRL or deny_certificates ' +
        'names this certificate, and whether a rule of `access` fits it (reason no-rule: the line has a match that would).'
      : 'Issue another client certificate.',
  },
  'closed-without-answer': {
    standing: 'let-in',
    means: f => `The connection was closed before \`version\` was answered${f.detail === '' ? '' : ` (${f.detail})`}: ` +
      'the memcached behind it may be down (other proxies than memseal say so in this way), or this is no memcached.',
    fix: () => 'On that host look at the log of what listens there, and whether memcached runs.',
  },
  'no-answer': {
    standing: 'let-in',
    means: f => `\`version\` was not answered within ${f.timeout}: memcached hangs, or what listens there is no memcached.`,
    fix: () => 'On that host ask memcached itself: memseal probe 127.0.0.1:11211 --plain.',
  },
  'backend-unavailable': {
    standing: 'let-in',
    means: f => `memseal is there and well, and its memcached is not: it answered ${f.detail}.`,
    fix: () => "On that host look whether memcached runs, and at memseal's backend.connect.",
  },
  'not-permitted': {
    standing: 'let-in',
    means: f => `\`version\` was refused: ${f.detail}.`,
    fix: () => 'Allow it there (commands, access), or take it as the proof that commands are being refused.',
  },
  'backend-login-refused': {
    standing: 'let-in',
    means: f => `memseal is there and well, and its memcached refuses memseal's own login: it answered ${f.detail}.`,
    fix: () => "On that host compare backend.auth (username, password_file) with memcached's list; memseal's log says more (event backend-login-refused).",
  },
  'login-wanted': {
    standing: 'let-in',
    means: () => 'memcached answers, and serves those alone who log in.',
    fix: () => 'Give --user and --password-file. For clients that have no password, write backend.auth there, and memseal logs in.',
  },
  'login-refused': {
    standing: 'let-in',
    means: f => `memcached refused the login of ${f.user}: it answered ${f.detail}.`,
    fix: () => "Compare name and password with the file of memcached's -Y, which it reads at its start and at SIGHUP; with -S, with the " +
      'users of its SASL (sasldblistusers2), and see that mech_list has plain.',
  },
  'login-not-permitted': {
    standing: 'let-in',
    means: f => `memcached wants a login, and memseal does not let clients log in: it answered ${f.detail}.`,
    fix: () => 'Name auth in `commands` there (or in the rule of `access`); or write backend.auth there, and memseal logs in.',
  },
  'login-unanswered': {
    standing: 'let-in',
    means: f => `The login of ${f.user} was not answered within ${f.timeout}, or the connection was closed instead.`,
    fix: () => 'On that host see whether what checks the passwords answers (saslauthd, LDAP), and try a longer --timeout.',
  },
  'too-many-connections': {
    standing: 'let-in',
    means: f => `memcached takes no more connections: it answered ${f.detail}.`,
    fix: () => 'Raise its -c, or find who holds them (memseal shares few among many clients).',
  },
  'not-memcached': {
    standing: 'let-in',
    means: f => `What listens there is no memcached; it answered ${f.detail}.`,
    fix: () => 'Compare host and port.',
  },
} satisfies Record<string, Row>

export type ProbeFailureCode = keyof typeof probeFailures
