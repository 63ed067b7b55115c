import { certificateId, issuerPattern, keyPattern, listenerName, namePattern, ruleName } from './access-kinds.ts'
import { addresses, cidr, groupName, groupRange, source } from './address-kinds.ts'
import {
  account, choice, command, count, countOrAuto, duration, endpoint, fileMode, fingerprint, flag, hostName, keyPin, path, pattern, peerName,
  size, userName, type Infer,
} from './kinds.ts'
import { commandNames, groupNames } from '../proto/commands.ts'
import { keyModes } from '../telemetry/audit-settings.ts'
import { auditedNames } from '../telemetry/events.ts'
import { list, map, optional, orWord, section } from './sections.ts'

// Every key once. Types, defaults, checks, messages, config/REFERENCE.md and config/schema.json all come from here.

/** Which certificates of the other side are taken, beside what else is asked of them. */
function whichCertificates(whose: string, more: string, names: string) {
  return {
    fingerprints: list(fingerprint({ doc: 'A pin.' }), {
      doc: `Pins: ${whose} has to be one of these, or its key one of \`spki\`, besides all other checks. ${more}`,
      default: '', max: 64, example: '"5E:D1:14:54:71:C2:7D:42:98:6D:36:8C:5D:1F:57:CE:AB:A3:68:90:10:44:38:35:37:D0:F9:F3:7F:50:AA:70"',
    }),
    spki: list(keyPin({ doc: 'A pin.' }), {
      doc: `Pins of keys: SHA-256 of the SubjectPublicKeyInfo of ${whose}. Unlike \`fingerprints\` they go on through a renewal ` +
        'with the same key. One match in either list is enough.',
      default: '', max: 64, example: '"sha256/XtEUVHHCfUKYbTaMXR9XzqujaJAQRDg1N9D583+qcAE="',
    }),
    names: list(peerName({ doc: 'An accepted name.' }), {
      doc: `${whose.charAt(0).toUpperCase()}${whose.slice(1)} has to carry one of these names too. A \`*\` stands for anything within a label.`,
      default: '', max: 64, example: names,
    }),
    cn_as_name: choice(['refused', 'allowed'], {
      default: 'refused',
      doc: '`allowed`: takes the common name (CN) as a DNS name where a certificate has no subject alternative name at all, and ' +
        'one CN. Not where a CA of its chain has name constraints, which do not hold for every CN.',
    }),
  }
}

const tls = section(
  'TLS on the listeners of this service. Left out: they are plain, which is accepted on loopback and unix sockets only ' +
    '(see `plaintext`). Only suites with AEAD and forward secrecy are offered.', {
  cert: path({
    example: '/etc/memseal/server.crt',
    doc: 'Certificate of this service in PEM, followed by its intermediates.',
  }),
  key: path({
    example: '/etc/memseal/server.key',
    doc: 'Private key of `cert` in PEM. Its file should be readable by memseal alone.',
  }),
  client_ca: optional(path({
    example: '/etc/memseal/clients.pem',
    doc: 'Authorities whose client certificates are accepted, in PEM. Present: mutual TLS. May be left out where `fingerprints` ' +
      'or `spki` are written: a pinned certificate is then admitted whoever signed it, while its dates hold.',
  })),
  ...whichCertificates('a client\'s certificate', 'List the next one before it is renewed.', '["dns:web-*.example.com", "uri:spiffe://example/web"]'),
  crl: optional(path({
    example: '/etc/memseal/clients.crl',
    doc: 'Revocation lists of the authorities in `client_ca`, in PEM. Read again as soon as the file changes; sessions of ' +
      'clients that are revoked meanwhile end between two requests (see `revoked`) and cannot be resumed.',
  })),
  crl_check: choice(['leaf', 'chain'], {
    default: 'leaf',
    doc: 'Whose list there has to be in `crl`. `leaf`: that of the CA that signed the client\'s certificate, as with OpenSSL\'s ' +
      'X509_V_FLAG_CRL_CHECK. `chain`: that of every CA above it too (CRL_CHECK_ALL). A list that is there holds in either case.',
  }),
  crl_missing: choice(['refuse', 'admit'], {
    default: 'refuse',
    doc: 'What becomes of clients of a CA that has no list in `crl`: `refuse` them, or `admit` them since nobody says that they ' +
      'are revoked.',
  }),
  crl_expired: choice(['refuse', 'warn'], {
    default: 'refuse',
    doc: 'When a list of `crl` is past its next update: `refuse` its clients, or go on with the old list and `warn`. It holds for ' +
      'sessions that are resumed as well.',
  }),
  deny_certificates: list(certificateId({ doc: 'A certificate.' }), {
    doc: 'Certificates that are not taken, whoever signed them: by serial number or fingerprint, as the log and `memseal connections --json` have them. ' +
      'For one that has to go at once, before its CA has made a list. Connections that are up with one of them end at the reload (see `revoked`).',
    default: '', max: 10_000, example: '"3A7F00C1"',
  }),
  client_auth: choice(['required', 'optional', 'none'], {
    doc: 'Whether a client must show a certificate. `optional`: it may, and one that is shown must be good.',
    default: 'required with `client_ca`, `fingerprints` or `spki`, else none',
    derive: siblings => [siblings['client_ca'] ?? [], siblings['fingerprints'], siblings['spki']].some(some => (some as unknown[])?.length > 0) ? 'required' : 'none',
  }),
  min_version: choice(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', doc: 'Oldest version of TLS that is spoken.' }),
  session_tickets: flag({ default: 'on', doc: 'Lets a client that comes back skip most of the handshake.' }),
})

const groupLimits = section('Limits of those clients of this service that one of `groups` names. What is left out is as for all others.', {
  connections: optional(count({
    min: 1, max: 1_000_000, example: '2000',
    doc: 'Client connections of the whole group. Past it new ones of the group are closed before TLS. They count in `limits.connections` too.',
  })),
  connections_per_client: optional(count({ min: 1, max: 1_000_000, example: '500', doc: 'Client connections from one address of the group.' })),
  new_connections_per_second: optional(count({ min: 0, max: 100_000, example: '20', doc: 'New connections a second from one client of the group. 0: no limit.' })),
  handshakes: optional(count({
    min: 1, max: 10_000, example: '4',
    doc: 'How many of `limits.handshakes` the group may have at once. Groups with a share take turns with each other and with all others, by ' +
      'the size of their shares; within a group its clients take turns.',
  })),
})

// No time is above 24 days: Node's timers count milliseconds in 31 bits and fire at once past them. `max_age` leaves room
// for its jitter.
const limits = section('What one service, and one client of it, may take up.', {
  // An idle client with mutual TLS takes 51 KB (measured on Node 26): 10,000 are about 500 MB. In file descriptors they
  // are 10,000, and one more for each `private_connections`.
  connections: count({
    default: '10000', min: 1, max: 1_000_000,
    doc: 'Client connections of this service. Past it new ones are closed before TLS.',
  }),
  connections_per_client: countOrAuto({
    default: 'auto', min: 1, max: 1_000_000,
    doc: 'Client connections from one source address. `auto`: 200, and no limit for this host itself (loopback, unix sockets, its ' +
      'own addresses), whose applications share an address. A number holds for loopback too. Many hosts behind one NAT or load ' +
      'balancer are one address: write a number that is enough for all of them.',
  }),
  ipv6_prefix: countOrAuto({
    default: 'auto', min: 16, max: 128,
    doc: 'Leading bits of an IPv6 address that make one client, for limits per client, turns of TLS handshakes and repeated lines of ' +
      'the log. `auto`: 128 for addresses that `allow` admits, 64 for those that are refused. Write 64 where `allow` names networks of ' +
      'strangers, who may take any address of their /64.',
  }),
  new_connections_per_second: count({
    default: '0', min: 0, max: 100_000,
    doc: 'New connections a second from one client (see `ipv6_prefix`). 0: no limit.',
  }),
  // Measured with a storm of 500 new connections: 16 at once keep the p99 of those already in at 8 to 13 ms, 64 at once
  // let it grow to 30 to 62 ms, and 4 at once only make the storm last longer.
  handshakes: count({
    default: '16', min: 1, max: 10_000,
    doc: 'TLS handshakes that are worked on at once. One that waits for its client gives its turn to the next; the rest wait, and clients ' +
      'take turns, those first whose handshakes did not fail or stall in the last 30 s.',
  }),
  handshake_timeout: duration({
    default: '10s', min: '10ms', max: '5m',
    doc: 'Longest that a TLS client may take until its first message (ClientHello) is there, and again longest that its handshake may ' +
      'take once its turn has come (see `handshakes`).',
  }),
  idle_timeout: duration({
    default: 'off', off: true, min: '10ms', max: '24d',
    doc: 'A client with no request in flight for this long is closed. Clients of memcached keep connections open on ' +
      'purpose, so `off` is the default.',
  }),
  // The largest request, 2 MiB, over a line of 300 kbit/s.
  request_timeout: duration({
    default: '60s', min: '10ms', max: '1h',
    doc: 'Longest a client may take to send the rest of a request that it has begun.',
  }),
  // Twice memcached's own default for an item (-I 1m): a key, flags and a header fit with room to spare.
  request_size: size({
    default: '2MiB', min: '1KiB', max: '1GiB',
    doc: 'Largest request that is held whole for a shared connection. A larger one moves its client to a private ' +
      'connection.',
  }),
  // A multiget client that pipelines 100 at a time stays a tenth of it; 1,024 records of some 200 bytes are 200 KiB.
  in_flight: count({
    default: '1024', min: 1, max: 65_536,
    doc: 'Requests of one client that await their replies; past it that client is not read until replies have left.',
  }),
  // 128 unfinished requests of the largest size, or 1,000 clients that each stop halfway through a 512 KiB set.
  request_memory: size({
    default: '256MiB', min: '1MiB', max: '1024GiB',
    doc: 'Bytes of unfinished requests held for the whole service, and of values in pieces that memcached does not take.',
  }),
  // A multiget of 60 values of 1 MiB.
  reply_backlog: size({
    default: '64MiB', min: '1KiB', max: '16GiB',
    doc: 'Bytes of replies that one slow client may leave unread before it is closed. Before that a shared connection waits ' +
      'for the client while the others use another one, so a value may be larger.',
  }),
  // Eight clients at their full `reply_backlog`, or 500 that leave 1 MiB each.
  reply_memory: size({
    default: '512MiB', min: '1MiB', max: '1024GiB',
    doc: 'Bytes of replies that the clients of the whole service have not taken yet.',
  }),
  // Half of memcached's own default for connections (-c 1024): the other half stays for its other users.
  private_connections: count({
    default: '512', min: 1, max: 1_000_000,
    doc: 'Private backend connections of the service: one for each client that cannot share (see `sharing`). Who needs one more waits for its ' +
      'turn, for `reply_timeout` at the most, and then gets SERVER_ERROR.',
  }),
  groups: optional(map(groupLimits, {
    doc: 'Limits of named groups of clients. An address that lies in several of the groups that stand here belongs to the narrowest range.',
    name: 'group', pattern: groupName.pattern, nameFix: groupName.fix, example: 'web',
  })),
  max_age: duration({
    default: 'off', off: true, min: '1s', max: '20d',
    doc: 'A client connection is closed between two requests after this long, give or take a little so that not all go ' +
      'at once.',
  }),
})

const backendTls = section(
  'TLS to the backend: this service is the sidecar of clients that know no TLS, and another memseal (or any TLS proxy) stands ' +
    'before memcached. Left out: the connection is plain. The certificate over there is checked before a byte of a request ' +
    'leaves: its chain and name, or the pin that stands for them.', {
  ca: optional(path({
    example: '/etc/memseal/cache-ca.crt',
    doc: 'Authorities that sign the certificates of the cache hosts, in PEM. Nobody else\'s are believed. May be left out where ' +
      '`fingerprints` or `spki` are written: the pinned certificate is then believed whoever signed it, while its dates hold, ' +
      'and its name is checked only when `server_name` is written.',
  })),
  cert: optional(path({
    example: '/etc/memseal/client.crt',
    doc: 'Certificate that this host shows, in PEM, followed by its intermediates. Needs `key`. Left out: none is shown.',
  })),
  key: optional(path({
    example: '/etc/memseal/client.key',
    doc: 'Private key of `cert` in PEM. Its file should be readable by memseal alone.',
  })),
  server_name: optional(hostName({
    example: 'cache-1.example.com',
    doc: 'Name to ask for (SNI) and to find in the certificate. Left out: the host in `connect`.',
  })),
  min_version: choice(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', doc: 'Oldest version of TLS that is spoken.' }),
  ...whichCertificates('the certificate of the cache host', 'List the next one before it is renewed.', '["dns:cache-*.example.com", "uri:spiffe://example/cache"]'),
})

const auth = section(
  'How memseal logs in its own connections to a memcached that wants a login: one with `-Y` (text), or with `-S` (SASL PLAIN, and ' +
    'binary alone). Clients then need no password, and share connections. Left out: each client logs in by itself, on a connection of its own.', {
  username: userName({ example: 'cache', doc: 'Name of a user of that memcached. With `-S` it may be `user@realm`.' }),
  password_file: path({
    example: '/etc/memseal/cache.pass',
    doc: 'File that holds the password and nothing else; a line end behind it is cut off. It should be readable by memseal alone. Read again as ' +
      'soon as it changes: connections are then opened with the new password, and shared ones replaced.',
  }),
})

const backend = section('The memcached behind this service.', {
  tls: optional(backendTls),
  auth: optional(auth),
  connect: list(endpoint('connect', { doc: 'Where memcached listens.' }), {
    doc: 'Where memcached listens, or the memseal before it (see `tls`); with several, `policy` says which is used. All ' +
      'addresses of a name are tried. Plain connections go to loopback and unix sockets only (see `plaintext`).',
    default: '127.0.0.1:11211', min: 1, max: 16, example: 'unix:/run/memcached/memcached.sock',
  }),
  plaintext: optional(choice(['allowed'], {
    doc: '`allowed`: connects without `tls` to other hosts too: where the network between is sealed itself, such as the inner ' +
      'network of a compose file. Everyone on it can read and change all data.',
  })),
  policy: choice(['failover', 'rotate'], {
    default: 'failover',
    doc: 'With several in `connect`. `failover`: the first that is healthy; the others are kept warm by one connection each. ' +
      '`rotate`: clients are spread over all that are healthy.',
  }),
  sharing: choice(['shared', 'private'], {
    default: 'shared',
    doc: '`shared`: clients share a few backend connections, and one that does what cannot be shared gets its own. ' +
      '`private`: each client has its own.',
  }),
  connections: countOrAuto({
    default: 'auto', min: 1, max: 64,
    doc: 'Shared backend connections. `auto`: one, which measured best however many threads memcached has, since the requests of more clients then leave together.',
  }),
  join_gets: flag({
    default: 'on',
    doc: '`on`: single gets of clients that are there together go to memcached as one get of several keys, which it answers ' +
      'in one go instead of reply by reply; before 1.6.35 those of one client too. `off`: for backends that answer the keys of one get in any order, as proxies do: the set of keys is compared then, and not their order.',
  }),
  connect_timeout: duration({
    default: '1s', min: '10ms', max: '5m',
    doc: 'Longest that opening a connection to memcached may take.',
  }),
  // memcached answers within milliseconds; 5 s outlasts a host that swaps, and lets go of one that hangs.
  reply_timeout: duration({
    default: '5s', min: '10ms', max: '1h',
    doc: 'Longest silence of the backend while a reply is owed, and longest that memcached may take nothing of a value that comes in ' +
      'pieces. Past it the backend connection is closed, and what was in flight gets SERVER_ERROR.',
  }),
  when_down: choice(['answer', 'close', 'refuse'], {
    default: 'answer',
    doc: 'What clients meet while no backend can be reached. `answer`: their connections stay, and each request gets SERVER_ERROR. `close`: ' +
      'their connections are reset, and new ones too, before TLS. `refuse`: the listeners are closed as well, so that a connection is ' +
      'refused as by a host without memcached; they open again when a backend answers. A socket that systemd passed cannot be closed: ' +
      'there `refuse` is `close`. Libraries with several servers turn to another one on a reset or a refusal (see the README).',
  }),
  // A host that went down for a restart comes up, fills and may go down again: 30 s is six probes.
  return_after: duration({
    default: '30s', min: '0s', max: '1d',
    doc: 'How long an earlier one of `connect` must have been healthy before clients go back to it (`failover`).',
  }),
  // One probe is 4 bytes and an answer of 4: 0.1 a second and connection. A host that hangs is found in 5 s + `reply_timeout`.
  probe_interval: duration({
    default: '5s', off: true, min: '10ms', max: '1h',
    doc: 'An idle connection is asked for a sign of life this often; without one within `reply_timeout` it is closed.',
  }),
  // Tries start at 50 ms and double. To memcached on this host a failed try costs some 100 us; a try over TLS may cost the
  // other side a handshake of 1 to 3 ms, and 500 web hosts that come back at once then are 250 tries a second, spread by jitter.
  longest_retry: duration({
    default: '2s with `tls`, else 500ms', example: '2s', min: '10ms', max: '10m',
    derive: siblings => siblings['tls'] === undefined ? 500 : 2000,
    doc: 'Longest pause between two tries to reach a backend that is down; pauses grow up to it.',
  }),
  // A handshake an hour and connection is nothing, and a certificate that was renewed over there is in use within the hour.
  max_age: duration({
    default: '1h with `tls`, else off', example: '1h', off: true, min: '10ms', max: '20d',
    derive: siblings => siblings['tls'] === undefined ? 0 : 3_600_000,
    doc: 'A shared connection is replaced after this long, give or take a tenth: the new one is opened first, clients move to it ' +
      'between two requests, and nothing is lost. So changed names and renewed certificates take hold.',
  }),
  // What most resolvers and clouds take for a short time to live; one look-up costs 0.1 to 1 ms.
  resolve_interval: duration({
    default: '30s', off: true, min: '10ms', max: '1d',
    doc: 'Names in `connect` are looked up again this often, and after each failure. While that fails the last answer holds. A name ' +
      'is looked for in /etc/hosts, then in DNS (servers, `search` and `options` of /etc/resolv.conf), then by the system.',
  }),
})

const socket = section('Permissions of the unix sockets in `listen`. Every program that may write to one may use this service.', {
  mode: fileMode({ default: '0660', reload: 'restart', doc: 'Who may connect: 0660 is owner and group, 0666 every user of this host.' }),
  owner: optional(account({ example: 'www-data', reload: 'restart', doc: 'User that owns it; giving it away takes root. Left out: memseal\'s.' })),
  group: optional(account({
    example: 'www-data', reload: 'restart', doc: 'Group that owns it: one that memseal\'s user is in, or any if it is root. Left out: memseal\'s.',
  })),
})

const serviceLog = section('What the log says of this service.', {
  connections: choice(['all', 'sampled', 'off'], {
    default: 'sampled',
    doc: 'Lines about connections that have ended. `all`: one for each. `sampled`: as long as a client (address and certificate) ends no ' +
      'more than 10 a minute by itself, and 3 for each other reason; the rest of that minute is told in one line, with counts. `off`: none; ' +
      'metrics count them all the same.',
  }),
})

const names = (of: ReturnType<typeof namePattern>, example: string, doc: string) => list(of, { doc, default: '', min: 1, max: 256, example })

const match = section('Whose requests a rule is for. Of each key that is written, one entry has to fit; so `cn` and `source` together ' +
  'ask for both. Names are those of the certificate that the client has shown; who has shown none fits none of them.', {
  cn: names(namePattern('text', { doc: 'A common name.' }), '"web-*"',
    'The common name (CN). A `*` stands for anything between two dots. A certificate with several common names fits none.'),
  ou: names(namePattern('text', { doc: 'An organizational unit.' }), 'web', 'One of the organizational units (OU).'),
  dns: names(namePattern('dns', { doc: 'A DNS name.' }), '"*.web.example.com"',
    'A DNS name among the subject alternative names. A `*` stands for anything within a label.'),
  uri: names(namePattern('uri', { doc: 'A URI.' }), '"spiffe://example/web/**"',
    'A URI among the subject alternative names. A `*` stands for anything within a part of the path, `/**` at the end for the rest of it.'),
  ip: list(cidr({ doc: 'An address.' }), {
    doc: 'An IP address among the subject alternative names: it, or a range that it lies in. Not where the client comes from (see `source`).',
    default: '', min: 1, max: 256, example: '10.1.2.3',
  }),
  issuer: names(issuerPattern({ doc: 'A CA.' }), '"Team CA"',
    'The name of the CA that signed the certificate: its common name, or attributes that all have to be there, such as `O=example, CN=Team CA`.'),
  fingerprint: list(fingerprint({ doc: 'A certificate.' }), {
    doc: 'SHA-256 of the certificate.', default: '', min: 1, max: 256,
    example: '"5E:D1:14:54:71:C2:7D:42:98:6D:36:8C:5D:1F:57:CE:AB:A3:68:90:10:44:38:35:37:D0:F9:F3:7F:50:AA:70"',
  }),
  spki: list(keyPin({ doc: 'A key.' }), {
    doc: 'SHA-256 of the SubjectPublicKeyInfo, which stays the same when a certificate is renewed with its key.', default: '', min: 1, max: 256,
    example: '"sha256/XtEUVHHCfUKYbTaMXR9XzqujaJAQRDg1N9D583+qcAE="',
  }),
  source: list(source({ doc: 'Addresses.' }), {
    doc: 'Where the client comes from: addresses, names of `groups`, or `unix` for unix sockets.', default: '', min: 1, max: 256, example: '[10.1.0.0/16, unix]',
  }),
  listener: list(listenerName({ doc: 'A listener.' }), {
    doc: 'Where it has connected: one of `listen`, as it stands there.', default: '', min: 1, max: 64, example: '"0.0.0.0:11212"',
  }),
})

const aCommand = command({ groups: groupNames, commands: commandNames }, { doc: 'A group or a command.' })

const ruleLimits = section('What each client of the rule may take up: who shows one certificate is one client, from however many addresses ' +
  'and over however many connections; without a certificate an address is.', {
  connections: optional(count({ min: 1, max: 1_000_000, example: '50', doc: 'Its connections. One more is refused at the end of its handshake.' })),
  requests_per_second: optional(count({
    min: 1, max: 10_000_000, example: '1000',
    doc: 'Its requests. As many may come at once; past that its connections are read no faster, in turn. Nothing is refused: it takes longer.',
  })),
  bytes_per_second: optional(size({
    min: '1KiB', max: '100GiB', example: '10MiB',
    doc: 'Its bytes, those of requests and replies together. They are charged when they have passed: behind a large reply it waits.',
  })),
  value_size: optional(size({ min: '1B', max: '1GiB', example: '64KiB', doc: 'A value that it sends. A larger one is refused: `CLIENT_ERROR memseal: value too large`. What `append` and `prepend` send counts by itself, so with them a stored value may grow past this.' })),
  keys_per_get: optional(count({ min: 1, max: 1_000_000, example: '100', doc: 'Keys of one get. More are refused: `CLIENT_ERROR memseal: too many keys in one get`.' })),
})

const rule = section('A rule: who may do what. The first one that fits decides.', {
  name: ruleName({ doc: 'Labels metrics and log lines.' }),
  match: orWord('everyone', match, '{ cn: "web-*" }'),
  commands: optional(list(aCommand, {
    doc: 'What they may do: groups and single commands, as `commands` of the service has them. Left out: those.', min: 1, max: 200, example: '[read, write]',
  })),
  keys: list(keyPattern({ doc: 'Keys.' }), {
    doc: 'The only keys that they may ask for, change or delete. A `*` stands for anything, so `web:*` is a prefix; `\\*` is a star itself. ' +
      'Commands without a key (`flush_all`, `stats`) are a matter of `commands`. What shows the keys of all (`stats cachedump`, `stats detail`, ' +
      '`lru_crawler metadump` and `mgdump`, `watch`) is refused then, unless `commands` names it itself. Left out: all.',
    default: '', min: 1, max: 1000, example: '["web:*"]',
  }),
  deny_keys: list(keyPattern({ doc: 'Keys.' }), {
    doc: 'Keys that they may not, whatever `keys` says.', default: '', min: 1, max: 1000, example: '["web:secret:*"]',
  }),
  limits: ruleLimits,
})

const proxyProtocol = section(
  'The PROXY protocol of load balancers, versions 1 and 2. What they say first on a connection is taken for its client: `allow`, `deny`, ' +
    'limits and the log see that address, and where it came from as `via`.', {
  from: list(source({ doc: 'A load balancer.' }), {
    doc: 'Addresses of the load balancers; `unix` stands for whoever connects to a unix socket of `listen`. Each connection from there has ' +
      'to begin with a PROXY header, within `handshake_timeout`, and a header from anywhere else is refused. A connection of the balancer ' +
      'itself (a health check; LOCAL, UNKNOWN) keeps its own address, and gets in if `allow` names that.',
    min: 1, max: 1_000, example: '[10.0.0.10, 10.0.0.11]',
  }),
})

const rules = optional(list(rule, {
  doc: 'Rules: who may do what, by certificate and source. The first one that fits a client decides, and who fits none is refused. ' +
    'Left out: `commands` holds for all who are admitted. The name of a file stands for the list in it, which is followed as certificates are.',
  min: 1, max: 1000, example: '[{ name: web, match: { cn: "web-*" }, keys: ["web:*"] }]',
}))

/** Or the name of a file that holds them: what stands there is read in its place. */
export const accessKind: typeof rules = { ...rules, jsonSchema: () => ({ anyOf: [{ type: 'string' }, rules.jsonSchema()] }) }

const service = section('One proxy in front of one memcached.', {
  listen: list(endpoint('listen', { doc: 'Where clients connect.' }), {
    doc: 'Where clients connect. Port 0 takes a free one, and the log says which.',
    min: 1, max: 64, example: '"0.0.0.0:11212"',
  }),
  socket,
  plaintext: optional(choice(['allowed'], {
    doc: '`allowed`: takes listeners without `tls` that others than this host can reach. Everyone on the way can then ' +
      'read and change all data.',
  })),
  tls: optional(tls),
  allow: list(addresses({ doc: 'Addresses that may connect.' }), {
    doc: 'Addresses that may connect: ranges, and names of `groups`. Required when a listener can be reached from other hosts; left out on others: all ' +
      'may. An address alone is that address.',
    default: '', max: 10_000, example: '[10.0.0.0/8, "fd00::/8"]',
  }),
  allow_file: optional(path({
    example: '/etc/memseal/clients.allow',
    doc: 'A file of more addresses that may connect: one range a line, `#` begins a comment. Read again as soon as it changes. While ' +
      'a line of it is faulty, or it holds no range, the former stays in force; a start is refused.',
  })),
  deny: list(addresses({ doc: 'Addresses that may not connect.' }), {
    doc: 'Addresses that may not connect, whatever `allow` says.', default: '', max: 10_000, example: '[10.9.0.0/16]',
  }),
  deny_file: optional(path({
    example: '/etc/memseal/clients.deny',
    doc: 'A file of more addresses that may not connect, like `allow_file`; this one may hold no range.',
  })),
  proxy_protocol: optional(proxyProtocol),
  limits,
  log: serviceLog,
  reply_coalescing: flag({
    default: 'on',
    doc: '`on`: replies that are there together leave together. `off`: each leaves as a TLS record of its own, so that ' +
      'sizes tell an observer less about batches, at a higher cost.',
  }),
  backend,
  commands: list(aCommand, {
    doc: 'What clients may do: groups (`read`, `write`, `delete`, `arithmetic`, `flush`, `stats`, `auth`, `admin`, `all`) or ' +
      'single commands. The default leaves out `admin`; `[all]` makes a transparent proxy. What each group holds, and which ' +
      'requests need two of them: see [Commands](#commands).',
    default: 'read, write, delete, arithmetic, flush, stats, auth', min: 1, max: 200, example: '[read, touch]',
  }),
  access: accessKind,
  access_mode: choice(['enforce', 'observe'], {
    default: 'enforce',
    doc: '`observe`: `access` keeps nobody from anything and `commands` of the service holds for all; what its rules would refuse is logged and counted by rule ' +
      '(limits of connections and rates are not).',
  }),
  revoked: choice(['close', 'keep'], {
    default: 'close',
    doc: 'What becomes of connections that are up when a reload ends the right of their client to be here: its certificate is revoked or denied, its CA is gone, ' +
      'or no rule is for it any more. `close`: each ends between two requests. `keep`: they stay, with what they may do, until they leave; only new ones are refused.',
  }),
})

const log = section('What memseal logs, and where.', {
  level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    doc: 'Least severe event that is logged.',
  }),
  format: choice(['json', 'pretty'], {
    default: 'json', reload: 'restart',
    doc: '`json`: one object a line, for machines. `pretty`: for people.',
  }),
  file: path({
    default: '-', dash: 'standard output', reload: 'restart',
    doc: 'Where the log goes. SIGHUP and `memseal reload` open it anew, for whoever rotates it; SIGUSR1 too, unless Node was ' +
      'started with `--disable-sigusr1`, as unit, image and the installed command do.', example: '/var/log/memseal/memseal.log',
  }),
})

const audit = section('Who did what, one JSON object a line, in a file of its own: who came and was refused, whose handshake failed, which commands were ' +
  'refused, every `flush_all` and every command of the group `admin`, and every order to memseal itself. Left out: there is none. See [Events](EVENTS.md).', {
  file: path({
    dash: 'standard output', example: '/var/log/memseal/audit.log',
    doc: 'Where it goes; opened with mode 0640 to append, and anew when the log is (see `log.file`). When it cannot be written to, memseal says so, ' +
      'keeps 8 MiB of lines, tries every second, and goes on serving (but see `required`).',
  }),
  events: list(choice(['all', ...auditedNames], { doc: 'An event.' }), {
    default: 'all', min: 1, max: 100, example: '[refused, handshake-failed, command-refused, command]',
    doc: 'Which of the events are recorded that EVENTS.md has for the audit.',
  }),
  keys: choice(keyModes, {
    default: 'none',
    doc: 'What is recorded of keys; of values it is never anything. `none`. `prefix`: the pattern of a rule in `access` that the key fits, else the key up to the first `:`, where there is one. `hash`: a hash with a secret ' +
      'that memseal makes at its start and shows nobody, so that lines of the same key can be told until the next start, and nobody can try out keys. `full`: all of it.',
  }),
  required: flag({
    default: 'off',
    doc: '`on`: while the file cannot be written to, no new client is let in, `flush_all` and commands of the group `admin` are answered with an error, ' +
      'memseal is not ready, and it does not start. Clients that are in are served. `off`: everything goes on, and what does not fit into the 8 MiB is lost and counted.',
  }),
})

const alerts = section('What looks like an attack: events of level warn, in the audit too, and counted in `memseal_suspicions_total`. Plain memcached or HTTP on a ' +
  'listener with TLS is always told (`plain-on-tls`). What memseal knows of its clients it forgets when it ends.', {
  scan: count({
    default: '20', min: 0, max: 10_000,
    doc: 'Addresses of one network (/24, IPv6 /64) that are refused within a minute, or whose handshakes fail for what is wrong with them, until that is told as ' +
      'a scan (`scan-suspected`). 0: never.',
  }),
  new_network: flag({
    default: 'off', doc: '`on`: a certificate that comes from a network (/24, IPv6 /64) from which it has not come since the start is told (`new-network`). For clients that keep their addresses.',
  }),
  new_command: flag({
    default: 'off', doc: '`on`: a client (by its certificate, else by its address) that uses a group of commands which it has not used so far is told (`new-command`), once it is known for long enough.',
  }),
  new_command_after: duration({
    default: '1h', min: '0s', max: '30d', doc: 'How long a client has to be known until `new_command` tells of it.',
  }),
})

const admin = section(
  'Where the running daemon can be asked how it is, in HTTP: `/healthz`, `/readyz`, `/metrics`, `/status`, `/connections`, `/bans`; and, ' +
    'over a unix socket alone, be told to reload, drain, close a connection or ban a client. `memseal status`, `reload`, `drain`, `kill` and `ban` use it.', {
  listen: list(endpoint('listen', { doc: 'A unix socket, or a TCP address.' }), {
    doc: 'A unix socket (mode 0660: its owner and group may give orders), and TCP addresses if something has to read there: of ' +
      'loopback, where every user of this host may, or others with `allow`. Left out: none.',
    default: '', max: 8, example: '"unix:/run/memseal/admin.sock"', reload: 'restart',
  }),
  allow: list(addresses({ doc: 'An address or a network.' }), {
    doc: 'Who, besides this host itself, may read over TCP: Prometheus, kubelets, load balancers. What is read there (addresses and ' +
      'names of clients among it) passes in plain text. Needed when `listen` names an address that is not loopback.',
    default: '', max: 10_000, example: '[10.0.0.5, 10.8.0.0/24]',
  }),
})

const ban = section(
  'Shuts out clients that fail again and again: addresses that are refused, handshakes that fail for want of a certificate that is taken, what ' +
    'is not TLS or not memcached, and commands that are refused. Limits that are full, time-outs, clients that leave, and certificates that ' +
    'have merely expired do not count. Left out: nobody, but by `memseal ban add`.', {
  after: count({ default: '20', min: 1, max: 1_000, doc: 'Failures of one client (see `ipv6_prefix`) that are too many.' }),
  within: duration({ default: '1m', min: '1s', max: '1d', doc: 'In which time they are.' }),
  for: duration({ default: '10m', min: '1s', max: '30d', doc: 'How long it is shut out. Its connections are ended, and new ones are reset before TLS.' }),
  never: list(addresses({ doc: 'Addresses.' }), {
    doc: 'Who is never banned for failures: ranges, and names of `groups`. This host (loopback, its own addresses, unix sockets) and load balancers in ' +
      '`proxy_protocol.from` never are. Write what many clients share: NAT, and load balancers that send no PROXY header.',
    default: '', max: 10_000, example: '[10.0.0.0/24]',
  }),
})

export const schema = section('The configuration of memseal.', {
  log,
  audit: optional(audit),
  alerts,
  admin,
  groups: optional(map(list(groupRange({ doc: 'Addresses of the group.' }), { doc: 'The addresses of the group.', min: 1, max: 10_000, example: '[10.1.0.0/16]' }), {
    doc: 'Names for addresses: `{ web: [10.1.0.0/16], batch: [10.2.0.0/16, "fd00:2::/32"] }`. A name may stand wherever addresses say who comes ' +
      '(`allow`, `deny`, `source`, `proxy_protocol.from`, `ban.never`, `admin.allow`), and has limits of its own below `limits.groups`.',
    name: 'group', pattern: groupName.pattern, nameFix: groupName.fix,
  })),
  ban: optional(ban),
  drain_timeout: duration({
    default: '30s', min: '0s', max: '1d',
    doc: 'How long clients may take, after SIGTERM, to get the replies they are owed; the rest are then closed.',
  }),
  // A ticket is good for 5 minutes, so a rotation costs a few clients one whole handshake, twice a day.
  ticket_rotation: duration({
    default: '12h', min: '1m', max: '7d',
    doc: 'How often each listener gets new keys for its session tickets (see `session_tickets`). Whoever steals a key can read ' +
      'the sessions of that time alone. A client with an older ticket does a whole handshake.',
  }),
  include: list(pattern({ doc: 'A file, or several by wildcards.' }), {
    doc: 'More files, each with `services` and nothing else; so that every cache host can have a file of its own.',
    default: '', max: 100, example: '/etc/memseal/services.d/*.yaml',
  }),
  services: map(service, {
    doc: 'The proxies, each under a name that labels its logs and metrics.', name: 'service', example: 'memcached',
    pattern: /^[a-z][a-z0-9_-]{0,62}$/, nameFix: 'Write small letters, digits, _ and -, a letter first, 63 at the most.',
  }),
})

export type Config = Infer<typeof schema>
export type ServiceConfig = Infer<typeof service>
export type RuleConfig = Infer<typeof rule>
export type LimitsConfig = Infer<typeof limits>
export type TlsConfig = Infer<typeof tls>
export type BackendConfig = Infer<typeof backend>
export type BackendTlsConfig = Infer<typeof backendTls>
export type LogConfig = Infer<typeof log>
