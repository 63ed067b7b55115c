import { choice, cidr, command, count, countOrAuto, duration, endpoint, flag, path, size, type Infer } from './kinds.ts'
import { list, map, optional, section } from './sections.ts'
import { commandNames, groupNames } from '../proto/commands.ts'

// Every key once. Types, defaults, checks, messages, config/REFERENCE.md and config/schema.json all come from here.

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
    doc: 'Authorities whose client certificates are accepted, in PEM. Present: mutual TLS.',
  })),
  client_auth: choice(['required', 'optional', 'none'], {
    doc: 'Whether a client must show a certificate. `optional`: it may, and one that is shown must be good.',
    default: 'required with `client_ca`, else none',
    derive: siblings => siblings['client_ca'] === undefined ? 'none' : 'required',
  }),
  min_version: choice(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', doc: 'Oldest version of TLS that is spoken.' }),
  session_tickets: flag({ default: 'on', doc: 'Lets a client that comes back skip most of the handshake.' }),
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
  // A web host with 200 workers that each keep one connection; a fiftieth of `connections`, so one host cannot fill it.
  connections_per_client: count({
    default: '200', min: 1, max: 1_000_000,
    doc: 'Client connections from one source address (IPv6: from one /64).',
  }),
  new_connections_per_second: count({
    default: '0', min: 0, max: 100_000,
    doc: 'New connections a second from one source address. 0: no limit.',
  }),
  // Measured with a storm of 500 new connections: 16 at once keep the p99 of those already in at 8 to 13 ms, 64 at once
  // let it grow to 30 to 62 ms, and 4 at once only make the storm last longer.
  handshakes: count({ default: '16', min: 1, max: 10_000, doc: 'TLS handshakes at once; the rest wait their turn.' }),
  handshake_timeout: duration({
    default: '10s', min: '10ms', max: '5m',
    doc: 'Longest that a TLS handshake may take once its turn has come (see `handshakes`).',
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
    doc: 'Bytes of unfinished requests held for the whole service.',
  }),
  // A multiget of 60 values of 1 MiB.
  reply_backlog: size({
    default: '64MiB', min: '1KiB', max: '16GiB',
    doc: 'Bytes of replies that one slow client may leave unread before it is closed.',
  }),
  // Eight clients at their full `reply_backlog`, or 500 that leave 1 MiB each.
  reply_memory: size({
    default: '512MiB', min: '1MiB', max: '1024GiB',
    doc: 'Bytes of replies that the clients of the whole service have not taken yet.',
  }),
  // Half of memcached's own default for connections (-c 1024): the other half stays for its other users.
  private_connections: count({
    default: '512', min: 1, max: 1_000_000,
    doc: 'Private backend connections of the service: one for each client that cannot share (see `sharing`).',
  }),
  max_age: duration({
    default: 'off', off: true, min: '1s', max: '20d',
    doc: 'A client connection is closed between two requests after this long, give or take a little so that not all go ' +
      'at once.',
  }),
})

const backend = section('The memcached behind this service.', {
  connect: list(endpoint('connect', { doc: 'Where memcached listens.' }), {
    doc: 'Where memcached listens. With several, they are tried in order. Plain connections go to loopback and unix ' +
      'sockets only.',
    default: '127.0.0.1:11211', min: 1, max: 16, example: 'unix:/run/memcached/memcached.sock',
  }),
  sharing: choice(['shared', 'private'], {
    default: 'shared',
    doc: '`shared`: clients share a few backend connections, and one that does what cannot be shared gets its own. ' +
      '`private`: each client has its own.',
  }),
  connections: countOrAuto({
    default: 'auto', min: 1, max: 64,
    doc: 'Shared backend connections. `auto`: from the number of threads that memcached reports.',
  }),
  connect_timeout: duration({
    default: '1s', min: '10ms', max: '5m',
    doc: 'Longest that opening a connection to memcached may take.',
  }),
  // memcached answers within milliseconds; 5 s outlasts a host that swaps, and lets go of one that hangs.
  reply_timeout: duration({
    default: '5s', min: '10ms', max: '1h',
    doc: 'Longest wait for a reply. Past it the backend connection is closed, and what was in flight gets SERVER_ERROR.',
  }),
})

const service = section('One proxy in front of one memcached.', {
  listen: list(endpoint('listen', { doc: 'Where clients connect.' }), {
    doc: 'Where clients connect. Port 0 takes a free one, and the log says which.',
    min: 1, max: 64, example: '"0.0.0.0:11212"',
  }),
  plaintext: optional(choice(['allowed'], {
    doc: '`allowed`: takes listeners without `tls` that others than this host can reach. Everyone on the way can then ' +
      'read and change all data.',
  })),
  tls: optional(tls),
  allow: list(cidr({ doc: 'Addresses that may connect.' }), {
    doc: 'Addresses that may connect. Required when a listener can be reached from other hosts; left out on others: all ' +
      'may. An address alone is that address.',
    default: '', max: 10_000, example: '[10.0.0.0/8, "fd00::/8"]',
  }),
  deny: list(cidr({ doc: 'Addresses that may not connect.' }), {
    doc: 'Addresses that may not connect, whatever `allow` says.', default: '', max: 10_000, example: '[10.9.0.0/16]',
  }),
  limits,
  reply_coalescing: flag({
    default: 'on',
    doc: '`on`: replies that are there together leave together. `off`: each leaves as a TLS record of its own, so that ' +
      'sizes tell an observer less about batches, at a higher cost.',
  }),
  backend,
  commands: list(command({ groups: groupNames, commands: commandNames }, { doc: 'A group or a command.' }), {
    doc: 'What clients may do: groups (`read`, `write`, `delete`, `arithmetic`, `flush`, `stats`, `admin`, `all`) or ' +
      'single commands. The default leaves out `admin`; `[all]` makes a transparent proxy.',
    default: 'read, write, delete, arithmetic, flush, stats', min: 1, max: 200, example: '[read, touch]',
  }),
})

const log = section('What memseal tells of itself, and where.', {
  level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    doc: 'Least grave event that is logged.',
  }),
  format: choice(['json', 'pretty'], {
    default: 'json',
    doc: '`json`: one object a line, for machines. `pretty`: for people.',
  }),
  file: path({ default: '-', dash: 'standard output', doc: 'Where the log goes.', example: '/var/log/memseal.log' }),
})

export const schema = section('The configuration of memseal.', {
  log,
  drain_timeout: duration({
    default: '30s', min: '0s', max: '1d',
    doc: 'How long clients may take, after SIGTERM, to get the replies they are owed; the rest are then closed.',
  }),
  services: map(service, {
    doc: 'The proxies, each under a name that labels its logs and metrics.', name: 'service',
    pattern: /^[a-z][a-z0-9_-]{0,62}$/, nameFix: 'Write small letters, digits, _ and -, a letter first, 63 at the most.',
  }),
})

export type Config = Infer<typeof schema>
export type ServiceConfig = Infer<typeof service>
export type LimitsConfig = Infer<typeof limits>
export type TlsConfig = Infer<typeof tls>
export type BackendConfig = Infer<typeof backend>
export type LogConfig = Infer<typeof log>
