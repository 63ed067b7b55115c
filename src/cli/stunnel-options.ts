// What becomes of each option of stunnel (5.x, stunnel(8)): our key, or why there is none and what to do. An option that has
// both is carried over where it can be; its words are for where it cannot.

export interface StunnelOption {
  name: string           // as the manual writes it; stunnel itself takes any case
  alias?: string         // an older name for it that stunnel still takes
  level: 'global' | 'service'
  isList?: true          // may stand several times; else the last one counts
  isSecret?: true        // its value is not copied into comments
  default?: string       // the value that says nothing
  key?: string           // where it goes, below `services.NAME` unless it starts at the top
  words?: string         // why there is no key, and what to do
}

const always = (what: string): string => `Nothing to do: memseal ${what}.`
const unit = 'in the unit of systemd that runs memseal'
const engine = 'memseal takes keys and certificates from PEM files only. Export them, or issue new ones.'
const protocol = 'memseal speaks memcached inside TLS and nothing before it. Remove it, or leave this service to stunnel.'
const exec = 'memseal stands in front of a memcached that listens; it starts no programs.'
const ocsp = 'memseal asks no OCSP responder. Keep the certificates short-lived, or use a CRL.'
const suites = 'memseal offers AEAD suites with forward secrecy only, in the order that was measured best. Remove it.'
const random = always('uses the random numbers of the operating system')
const cache = always('keeps sessions in tickets, so there is no cache to size')
const gui = 'This is for stunnel on Windows. Remove it.'

export const stunnelOptions: readonly StunnelOption[] = [
  { name: 'chroot', level: 'global', words: `Confine memseal ${unit}: ProtectSystem=strict, or RootDirectory=.` },
  { name: 'compression', level: 'global', words: 'memseal never compresses below TLS (CRIME). Remove it.' },
  { name: 'EGD', level: 'global', words: random },
  { name: 'engine', level: 'global', words: engine },
  { name: 'engineCtrl', level: 'global', isList: true, isSecret: true, words: engine },
  { name: 'engineDefault', level: 'global', words: engine },
  { name: 'fips', level: 'global', words: 'The OpenSSL of Node decides. Start it with --enable-fips, or OPENSSL_CONF, where that is needed.' },
  { name: 'foreground', level: 'global', words: always('stays in the foreground, as systemd and containers want it') },
  { name: 'iconActive', level: 'global', words: gui },
  { name: 'iconError', level: 'global', words: gui },
  { name: 'iconIdle', level: 'global', words: gui },
  { name: 'log', level: 'global', words: always('appends to its log') },
  { name: 'output', level: 'global', key: 'log.file' },
  { name: 'pid', level: 'global', words: always('needs no pid file; systemd knows its process') },
  { name: 'provider', level: 'global', words: engine },
  { name: 'providerParameter', level: 'global', isList: true, isSecret: true, words: engine },
  { name: 'RNDbytes', level: 'global', words: random },
  { name: 'RNDfile', level: 'global', words: random },
  { name: 'RNDoverwrite', level: 'global', words: random },
  { name: 'service', level: 'global', words: 'memseal names log lines by service. Remove it.' },
  { name: 'setEnv', level: 'global', isList: true, isSecret: true, words: `Set Environment= ${unit}, if memseal needs it.` },
  { name: 'syslog', level: 'global', words: 'memseal writes to standard output, which systemd keeps in the journal (journalctl -u memseal).' },
  { name: 'taskbar', level: 'global', words: gui },

  { name: 'accept', level: 'service', isList: true, key: 'listen' },
  { name: 'CAengine', level: 'service', isList: true, words: engine },
  { name: 'CAfile', level: 'service', key: 'tls.client_ca, tls.spki, backend.tls.ca, backend.tls.spki' },
  { name: 'CApath', level: 'service', key: 'tls.client_ca, backend.tls.ca', words: 'memseal takes the authorities from one file.' },
  { name: 'CAstore', level: 'service', key: 'tls.client_ca, backend.tls.ca', words: 'memseal takes the authorities from a file in PEM.' },
  { name: 'cert', level: 'service', key: 'tls.cert, backend.tls.cert' },
  { name: 'checkEmail', level: 'service', isList: true, key: 'tls.names, backend.tls.names', words: 'Without verifyChain or verifyPeer it has no effect.' },
  { name: 'checkHost', level: 'service', isList: true, key: 'tls.names, backend.tls.server_name', words: 'Without verifyChain or verifyPeer it has no effect.' },
  { name: 'checkIP', level: 'service', isList: true, key: 'tls.names, backend.tls.server_name', words: 'Without verifyChain or verifyPeer it has no effect.' },
  { name: 'ciphers', level: 'service', words: suites },
  { name: 'ciphersuites', level: 'service', words: suites },
  { name: 'client', level: 'service', default: 'no', key: 'backend.tls' },
  { name: 'config', level: 'service', isList: true, words: 'memseal runs no OpenSSL commands. Look for a key in config/REFERENCE.md that does it, or remove it.' },
  { name: 'connect', level: 'service', isList: true, key: 'backend.connect' },
  { name: 'CRLfile', level: 'service', key: 'tls.crl', words: 'Without verifyChain or verifyPeer it has no effect.' },
  { name: 'CRLpath', level: 'service', key: 'tls.crl', words: 'Without verifyChain or verifyPeer it has no effect.' },
  { name: 'curves', alias: 'curve', level: 'service', words: 'memseal offers X25519MLKEM768, X25519, P-256 and P-384. Remove it.' },
  { name: 'debug', level: 'service', key: 'log.level', words: 'memseal has one log level for all services: log.level.' },
  { name: 'delay', level: 'service', words: always('looks names up when it needs them, and again while it runs') },
  { name: 'engineId', level: 'service', words: engine },
  { name: 'engineNum', level: 'service', words: engine },
  { name: 'exec', level: 'service', words: exec },
  { name: 'execArgs', level: 'service', words: exec },
  { name: 'failover', level: 'service', default: 'prio', key: 'backend.policy' },
  { name: 'ident', level: 'service', words: 'memseal asks no IDENT server; anybody can run one. Use client certificates and allow.' },
  { name: 'key', level: 'service', key: 'tls.key, backend.tls.key' },
  { name: 'libwrap', level: 'service', default: 'no', key: 'allow', words: 'memseal reads neither hosts.allow nor hosts.deny. Write their rules for this service into allow and deny.' },
  { name: 'local', level: 'service', words: 'memseal lets the routes choose the source address. Set it on the route (ip route … src), if the other side depends on it.' },
  { name: 'logId', level: 'service', words: always('numbers connections (c17) in every line of its log') },
  { name: 'OCSP', level: 'service', words: ocsp },
  { name: 'OCSPaia', level: 'service', default: 'no', words: ocsp },
  { name: 'OCSPflag', level: 'service', isList: true, words: ocsp },
  { name: 'OCSPnonce', level: 'service', words: ocsp },
  { name: 'OCSPrequire', level: 'service', words: ocsp },
  { name: 'options', level: 'service', isList: true, words: 'memseal sets the options of OpenSSL itself. Remove it.' },
  { name: 'protocol', level: 'service', words: protocol },
  { name: 'protocolAuthentication', level: 'service', words: protocol },
  { name: 'protocolDomain', level: 'service', words: protocol },
  { name: 'protocolHeader', level: 'service', isList: true, isSecret: true, words: protocol },
  { name: 'protocolHost', level: 'service', words: protocol },
  { name: 'protocolPassword', level: 'service', isSecret: true, words: protocol },
  { name: 'protocolUsername', level: 'service', words: protocol },
  { name: 'PSKidentity', level: 'service', words: 'memseal knows no pre-shared keys. Issue a client certificate instead.' },
  { name: 'PSKsecrets', level: 'service', words: 'memseal knows no pre-shared keys. Issue certificates instead: one for the server, one for each client, and client_ca.' },
  { name: 'pty', level: 'service', words: exec },
  { name: 'redirect', level: 'service', words: 'memseal closes on a client whose certificate it refuses. Remove it.' },
  { name: 'renegotiation', level: 'service', words: always('never renegotiates') },
  { name: 'requireCert', level: 'service', default: 'no', key: 'tls.client_auth', words: 'It says something of clients with certificates only where they are verified.' },
  { name: 'reset', level: 'service', words: always('resets a connection that it refuses and closes the others in order') },
  { name: 'retry', level: 'service', words: always('connects again by itself (backend.longest_retry)') },
  { name: 'securityLevel', level: 'service', words: 'memseal offers strong suites only, and leaves key sizes to level 2 of OpenSSL. Remove it; for stronger keys issue them.' },
  { name: 'sessionCacheSize', level: 'service', words: cache },
  { name: 'sessionCacheTimeout', alias: 'session', level: 'service', words: cache },
  { name: 'sessionResume', level: 'service', default: 'yes', key: 'tls.session_tickets', words: always('resumes the sessions of its own connections') },
  { name: 'sessiond', level: 'service', words: cache },
  { name: 'setgid', level: 'service', key: 'socket.group', words: `Set Group= ${unit}.` },
  { name: 'setuid', level: 'service', key: 'socket.owner', words: `Set User= ${unit}; memseal needs root for nothing.` },
  { name: 'sni', level: 'service', key: 'backend.tls.server_name', words: 'A listener of memseal has one certificate. Put all names into it, or give this service a port of its own.' },
  { name: 'socket', level: 'service', isList: true, words: 'memseal sets the options of its sockets itself (TCP_NODELAY, keepalive). Remove it.' },
  { name: 'sslVersion', level: 'service', key: 'tls.min_version, backend.tls.min_version', words: 'sslVersionMin and sslVersionMax behind it override it. Remove it.' },
  { name: 'sslVersionMax', level: 'service', words: 'memseal always speaks up to TLSv1.3. Remove it.' },
  { name: 'sslVersionMin', level: 'service', key: 'tls.min_version, backend.tls.min_version' },
  { name: 'stack', level: 'service', words: always('has no thread for each connection') },
  { name: 'ticketKeySecret', level: 'service', isSecret: true, words: 'memseal makes its ticket keys itself. Remove it: after a restart clients make one full handshake.' },
  { name: 'ticketMacSecret', level: 'service', isSecret: true, words: 'memseal makes its ticket keys itself. Remove it: after a restart clients make one full handshake.' },
  { name: 'TIMEOUTbusy', level: 'service', key: 'limits.handshake_timeout', words: 'Towards a backend connect_timeout and reply_timeout bound every wait.' },
  { name: 'TIMEOUTclose', level: 'service', words: always('sends close_notify and waits for none') },
  { name: 'TIMEOUTconnect', level: 'service', key: 'backend.connect_timeout' },
  { name: 'TIMEOUTidle', level: 'service', key: 'limits.idle_timeout' },
  { name: 'TIMEOUTocsp', level: 'service', words: ocsp },
  { name: 'transparent', level: 'service', words: "memseal connects from its own address, and its log has the client's. Remove it." },
  { name: 'verify', level: 'service', key: 'tls.client_auth', words: 'stunnel asked for certificates and let in whoever showed any, or none. For mutual TLS write client_ca.' },
  { name: 'verifyChain', level: 'service', default: 'no', key: 'tls.client_ca' },
  { name: 'verifyPeer', level: 'service', default: 'no', key: 'tls.spki, backend.tls.spki' },
]

export function stunnelOption(name: string): StunnelOption | undefined {
  const lower = name.toLowerCase()
  return stunnelOptions.find(option => option.name.toLowerCase() === lower || option.alias === lower)
}
