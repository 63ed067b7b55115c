import { expect, test } from 'vitest'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { check } from '../../src/cli/check.ts'
import { runCommandLine } from '../../src/cli/commands.ts'
import { acceptAddress, connectAddress } from '../../src/cli/stunnel-address.ts'
import { stunnelOption, stunnelOptions } from '../../src/cli/stunnel-options.ts'
import { loadText } from '../../src/config/load.ts'
import { referenceText } from '../../src/config/reference.ts'
import { odd, ofCa } from '../support/certificates.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

const keys = await pki()
const fixture = (name: string) => fileURLToPath(new URL(`stunnel/${name}`, import.meta.url))

async function run(...args: string[]) {
  let [out, err] = ['', '']
  const terminal = { environment: {}, out: (text: string) => void (out += text), err: (text: string) => void (err += text) }
  const status = await runCommandLine(['import', 'stunnel', ...args], terminal)
  return { status, out, err }
}

function fileWith(text: string, name = 'stunnel.conf'): string {
  const file = join(tempFolder(), name)
  writeFileSync(file, text)
  return file
}

/** What openssl says of the key in this certificate. */
function pinOf(file: string): string {
  const command = `openssl x509 -in ${file} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64`
  return `sha256/${spawnSync('sh', ['-c', command], { encoding: 'utf8' }).stdout.trim()}`
}

/** Remarks are broken into lines; joined again they can be searched. */
function remarksOf(out: string): string {
  return out.replace(/\n *# {3}/g, ' ')
}

/** What becomes of a stunnel.conf: the YAML, and its one service as an object. */
async function imported(text: string) {
  const { status, out, err } = await run(fileWith(text))
  const services = parse(out)?.services ?? {}
  return { status, out, err, remarks: remarksOf(out), service: Object.values<any>(services)[0], services }
}

/** `memseal check` on this YAML. */
async function checked(yaml: string): Promise<{ status: number, err: string }> {
  let err = ''
  const terminal = { environment: {}, out: () => {}, err: (text: string) => void (err += text) }
  const status = await check({ config: fileWith(yaml, 'memseal.yaml') }, terminal)
  return { status, err }
}

const commands = ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats', 'auth']
const server = '[cache]\naccept = 127.0.0.1:11212\nconnect = 127.0.0.1:11211\ncert = /s.crt\nkey = /s.key\n'
const client = '[cache]\nclient = yes\naccept = 127.0.0.1:11211\nconnect = cache1:11212\nCAfile = /ca.pem\nverifyChain = yes\ncheckHost = cache1\n'

test('the server of the README', async () => {
  const { status, out, err } = await run(fixture('readme-server.conf'))
  expect([status, err]).toEqual([0, 'One value is yours to write: look for FILL-IN, then run memseal check.\n'])
  expect(out).toBe(`# Made by memseal import stunnel from readme-server.conf; comments say what could not be carried over.
# Write a value for each FILL-IN; memseal refuses to start before.

admin:
  listen: unix:/run/memseal/admin.sock
services:
  memcached:
    listen: 0.0.0.0:11212
    # stunnel takes connections from everywhere. memseal takes them from the addresses that stand here, and does
    #   not start without. Write those of your clients, such as [10.0.0.0/8, "fd00::/8"].
    allow: [FILL-IN]
    tls:
      cert: /etc/stunnel/server.crt
      key: /etc/stunnel/server.key
      client_ca: /etc/stunnel/clients.pem
    limits:
      # stunnel had no such limit. memseal takes 200 connections from each address (auto); this host itself has
      #   no limit. Write a number for hosts that open more, and where many hosts come from one address (NAT,
      #   load balancer).
      connections_per_client: auto
    backend:
      connect: 127.0.0.1:11211
    # stunnel passed every command. memseal passes these, and refuses the group \`admin\`: shutdown, dumps, watch
    #   and the like. Clients that log in (SASL, or a memcached with -Y) go on as they did, each on a connection
    #   of its own; with auth below backend memseal logs in, and they need no password. Tools that dump need
    #   [all].
    commands: [read, write, delete, arithmetic, flush, stats, auth]
`)
  const real = out.replace('/etc/stunnel/server.crt', keys.server.certFile).replace('/etc/stunnel/server.key', keys.server.keyFile)
    .replace('/etc/stunnel/clients.pem', keys.ca.certFile)
  expect(await checked(real)).toEqual({ status: 78, err: expect.stringMatching(/memseal\.yaml:\d+:\d+ {2}services\.memcached\.allow\S*: FILL-IN still stands here/) })
  expect(await checked(real.replace('[FILL-IN]', '[10.0.0.0/8]'))).toEqual({ status: 0, err: '' })
})

test('the client of the README', async () => {
  const { status, out, err } = await run(fixture('readme-client.conf'))
  expect([status, err]).toEqual([0, ''])
  expect(out).toBe(`# Made by memseal import stunnel from readme-client.conf; comments say what could not be carried over.

admin:
  listen: unix:/run/memseal/admin.sock
services:
  cache1:
    listen: 127.0.0.1:11211
    backend:
      connect: cache1:11212
      tls:
        ca: /etc/stunnel/cache-ca.pem
        # stunnel takes the common name (CN) of a certificate that has no other names. Remove this once yours all
        #   have a subjectAltName.
        cn_as_name: allowed
        server_name: cache1
        cert: /etc/stunnel/client.pem
        key: /etc/stunnel/client.pem
    # stunnel passed every command. memseal passes these, and refuses the group \`admin\`: shutdown, dumps, watch
    #   and the like. Clients that log in (SASL, or a memcached with -Y) go on as they did, each on a connection
    #   of its own; with auth below backend memseal logs in, and they need no password. Tools that dump need
    #   [all].
    commands: [read, write, delete, arithmetic, flush, stats, auth]
`)
  // One file with both, as stunnel users have it.
  const both = fileWith(keys.client.key + keys.client.cert, 'client.pem')
  const real = out.replace('/etc/stunnel/cache-ca.pem', keys.ca.certFile).replaceAll('/etc/stunnel/client.pem', both)
  expect((await checked(real)).status).toBe(0)
})

test('both ends that came out of the import serve a client without TLS', async () => {
  const { address } = await startMemcached()
  // stunnel knows no port 0; memseal takes a free one.
  const free = (yaml: string) => yaml.replace('127.0.0.1:1\n', '127.0.0.1:0\n').replace('admin:\n  listen: unix:/run/memseal/admin.sock\n', '')
  const back = await imported(`[cache]\naccept = 127.0.0.1:1\nconnect = ${address}\ncert = ${keys.server.certFile}\nkey = ${keys.server.keyFile}\n` +
    `CAfile = ${keys.ca.certFile}\nverifyChain = yes\n`)
  const server = await startDaemon(free(back.out))
  const front = await imported(`client = yes\n[cache]\naccept = 127.0.0.1:1\nconnect = 127.0.0.1:${server.port()}\ncert = ${keys.client.certFile}\nkey = ${keys.client.keyFile}\n` +
    `CAfile = ${keys.ca.certFile}\nverifyChain = yes\ncheckHost = localhost\n`)
  const sidecar = await startDaemon(free(front.out))
  const wire = await connect({ port: sidecar.port() })
  expect(await wire.ask('set a 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  wire.destroy()
})

test('a client host with defaults, an included folder, several targets and another service', async () => {
  const { status, out } = await run(fixture('client-host.conf'))
  expect(status).toBe(0)
  const { log, admin, services } = parse(out)
  expect(admin).toEqual({ listen: 'unix:/run/memseal/admin.sock' })
  // The log is opened inside the chroot.
  expect(log).toEqual({ level: 'warn', file: '/var/lib/stunnel4/var/log/stunnel.log' })
  expect(services).toEqual({
    'pages': {
      listen: '127.0.0.1:11301', limits: { idle_timeout: '10m' },
      backend: {
        connect: '192.0.2.7:11212', connect_timeout: '5s',
        tls: { ca: 'FILL-IN', cert: '/etc/stunnel/client.pem', key: '/etc/stunnel/client.pem', server_name: 'pages.example.com', min_version: 'TLSv1.2' },
      },
      commands,
    },
    'tokens': {
      listen: '[::1]:11302',
      backend: {
        connect: 'cache3.example.com:11212',
        tls: { cert: 'FILL-IN', key: 'FILL-IN', spki: ['FILL-IN'], min_version: 'TLSv1.2' },
      },
      commands,
    },
    'sessions-php': {
      listen: 'unix:/run/stunnel/sessions.sock', socket: { owner: 'www-data', group: 'www-data' },
      backend: {
        connect: ['cache1.example.com:11212', 'cache2.example.com:11212'], policy: 'rotate',
        tls: { ca: 'FILL-IN', cn_as_name: 'allowed', fingerprints: ['FILL-IN'], min_version: 'TLSv1.2' },
      },
      commands,
    },
  })
  const remarks = remarksOf(out)
  for (const line of ['client-host.conf:3 setuid = stunnel4: Set User=', 'client-host.conf:16 TIMEOUTclose = 0: Nothing to do',
    '[Sessions (PHP)] in stunnel\'s file.', 'OCSPaia = yes: REVOKED CERTIFICATES WOULD BE TAKEN', 'cat /var/lib/stunnel4/etc/ssl/certs/*.0 > FILE.pem',
    '[mail] is left out: it speaks pop3', '02-tokens.conf:6 engineId = pkcs11: memseal takes keys']) expect(remarks).toContain(line)
  expect((await checked(out)).status).toBe(78)
})

test('a cache host with much that has no key: every line says why, and no secret leaves its file', async () => {
  const { status, out, err } = await run(fixture('cache-host.conf'))
  expect([status, err]).toEqual([0, '8 values are yours to write: look for FILL-IN, then run memseal check.\n'])
  const { services } = parse(out)
  expect(services['cache-v4']).toMatchObject({
    listen: '[::]:11212', allow: ['FILL-IN'], limits: { handshake_timeout: '20s' },
    tls: { cert: 'FILL-IN', key: 'FILL-IN', client_ca: 'clients.pem', client_auth: 'optional', min_version: 'TLSv1.3', session_tickets: 'off' },
    backend: { connect: '127.0.0.1:11211' },
  })
  expect(services['psk']).toMatchObject({ listen: 'FILL-IN', allow: ['FILL-IN'], tls: { cert: 'FILL-IN', key: 'FILL-IN', client_ca: 'FILL-IN' }, backend: { connect: '10.0.0.5:11211' } })
  const remarks = remarksOf(out)
  for (const words of ['engineCtrl = …: memseal takes keys', 'server.p12: memseal reads PEM', 'ticketKeySecret = …: memseal makes its ticket keys itself', 'TIMEOUTidle = 0: limits.idle_timeout takes 1s to 24d',
    'libwrap = yes: see what /etc/hosts.allow', 'PSKsecrets = /etc/stunnel/secrets.txt: stunnel let in whoever had one of these keys', '"no such line" is neither', 'frobnicate = yes: stunnel 5 does not have this option',
    'the number of "memcache"', 'memseal refuses that. Run memseal on the host of memcached', '[shell] is left out: it starts a program', '[other-name] is left out: it is a second certificate',
    'Paths without a / in front']) expect(remarks).toContain(words)
  for (const secret of ['1234567', '00112233']) expect(out).not.toContain(secret)
})

test.each([
  ['11212', '0.0.0.0:11212', false], ['127.0.0.1:11212', '127.0.0.1:11212', true], ['127.9.9.9:1', '127.9.9.9:1', true],
  ['localhost:65535', 'localhost:65535', true],
  [':::11212', '[::]:11212', false], ['::1:11212', '[::1]:11212', true], ['[::1]:11212', '[::1]:11212', true],
  ['fd00::5:11212', '[fd00::5]:11212', false],
  ['0.0.0.0:11212', '0.0.0.0:11212', false], ['*:11212', '0.0.0.0:11212', false], ['/run/s.sock', 'unix:/run/s.sock', true],
  ['cache.internal:11212', 'FILL-IN', false], ['memcache', 'FILL-IN', false], ['127.0.0.1:0', 'FILL-IN', true],
  ['127.0.0.1:65536', 'FILL-IN', true],
])('accept = %s listens on %s', async (value, listen, isLocal) => {
  expect(acceptAddress(value).text).toBe(listen)
  const { service } = await imported(server.replace('127.0.0.1:11212', value))
  expect(service.listen).toBe(listen)
  if (listen !== 'FILL-IN') expect(service.allow).toEqual(isLocal ? undefined : ['FILL-IN'])
})

test.each([
  ['11211', '127.0.0.1:11211'], ['cache1:11211', 'cache1:11211'], ['::1:11211', '[::1]:11211'], ['/run/m.sock', 'unix:/run/m.sock'],
  ['cache1', 'FILL-IN'], ['cache1:memcache', 'FILL-IN'],
])('connect = %s connects to %s', (value, to) => {
  expect(connectAddress(value).text).toBe(to)
})

// What stunnel 5.68 does with each: the lines set what they say one after the other.
test.each([
  ['verifyChain = yes', { client_ca: '/ca.pem' }], ['verifyChain = no', {}], ['', {}], ['verify = 0', {}],
  ['verify = 1', { client_ca: '/ca.pem', client_auth: 'optional' }],
  ['verify = 2', { client_ca: '/ca.pem' }], ['VERIFYCHAIN=YES', { client_ca: '/ca.pem' }],
  ['verify = 1\nverifyChain = yes', { client_ca: '/ca.pem' }],
  ['verifyChain = yes\nverify = 1', { client_ca: '/ca.pem', client_auth: 'optional' }],
  ['verifyChain = yes\nrequireCert = no', { client_ca: '/ca.pem', client_auth: 'optional' }],
  ['requireCert = no\nverifyChain = yes', { client_ca: '/ca.pem' }],
  ['verify = 3', { client_ca: '/ca.pem', spki: ['FILL-IN'] }], ['verify = 4', { spki: ['FILL-IN'] }],
  ['verifyPeer = yes', { spki: ['FILL-IN'] }],
  ['verifyPeer = yes\nrequireCert = no', { spki: ['FILL-IN'], client_auth: 'optional' }],
  ['requireCert = yes', { client_ca: 'FILL-IN' }], ['verify = 2\nverifyChain = no', { client_ca: 'FILL-IN' }],
])('a server with %j', async (lines, expected) => {
  const { service, remarks } = await imported(`${server}CAfile = /ca.pem\n${lines}\n`)
  expect(service.tls).toEqual({ cert: '/s.crt', key: '/s.key', ...expected })
  if (!('client_ca' in expected) && !('spki' in expected)) expect(remarks).toContain('without verifyChain stunnel let in clients with any certificate or none')
  if ('spki' in expected) expect(remarks).toContain('openssl x509 -in /ca.pem -noout -pubkey | openssl pkey -pubin -outform der')
})

test('a server that knew its clients by sight knows them by their keys, and no authority beside them', async () => {
  const pinned = fileWith(keys.client.cert + keys.ca.cert, 'peers.pem')
  for (const [lines, ca] of [['verify = 4', undefined], ['verify = 3', pinned]]) {
    const { service, out, remarks } = await imported(`${server.replace('/s.crt', keys.server.certFile).replace('/s.key', keys.server.keyFile)}CAfile = ${pinned}\n${lines}\n`)
    expect(service.tls).toEqual({ cert: keys.server.certFile, key: keys.server.keyFile, ...ca && { client_ca: ca }, spki: [pinOf(keys.client.certFile)] })
    expect(remarks).toContain('verifyPeer took the keys of its certificates and no others. These are they: ')
    expect((await checked(out)).status).toBe(0)
  }
})

test('a server that knew authorities by sight, and none of their clients, is a FILL-IN', async () => {
  const root = odd({ subject: '/CN=Root', extensions: ofCa })
  const intermediate = odd({ subject: '/CN=Intermediate', signer: root, extensions: ofCa })
  const { service, remarks } = await imported(`${server}CAfile = ${fileWith(root.cert + intermediate.cert, 'authorities.pem')}\nverify = 3\n`)
  expect(service.tls.spki).toEqual(['FILL-IN'])
  expect(remarks).toContain('It holds authorities alone')
  // `openssl req -x509` makes a certificate with CA:TRUE, and that is many a peer's own.
  const own = odd({ subject: '/CN=peer', extensions: ofCa })
  expect((await imported(`${server}CAfile = ${fileWith(own.cert, 'peer.pem')}\nverify = 4\n`)).service.tls.spki).toEqual([pinOf(own.certFile)])
})

test('an intermediate whose root is not there admitted nobody with stunnel, and does so here until somebody asks for it', async () => {
  const root = odd({ subject: '/CN=Root', extensions: ofCa })
  const intermediate = odd({ subject: '/CN=Intermediate', signer: root, extensions: ofCa })
  const lines = (file: string) => `CAfile = ${file}\nverifyChain = yes\n`
  const stray = await imported(`${server}${lines(fileWith(keys.ca.cert + intermediate.cert, 'stray.pem'))}`)
  expect(stray.service.tls.client_ca).toBe('FILL-IN')
  expect(stray.remarks).toContain('the authority of CN=Intermediate is not in it')
  const whole = fileWith(keys.ca.cert + intermediate.cert + root.cert, 'whole.pem')
  expect((await imported(`${server}${lines(whole)}`)).service.tls.client_ca).toBe(whole)
  expect((await imported(client.replace('/ca.pem', fileWith(intermediate.cert, 'alone.pem')))).service.backend.tls.ca).toBe('FILL-IN')
})

test.each([
  ['checkHost = web-1\n', { names: ['dns:web-1'], cn_as_name: 'allowed' }, ''],
  ['checkHost = web-1\ncheckHost = .batch.example\n', { names: ['dns:web-1', 'dns:*.batch.example'], cn_as_name: 'allowed' }, 'at any depth'],
  ['checkHost = web-1\ncheckIP = 10.0.0.1\n', { names: ['dns:web-1'], cn_as_name: 'allowed' }, 'checkIP = 10.0.0.1: memseal knows the names dns: and uri:'],
  ['checkIP = 10.0.0.1\n', { names: ['FILL-IN'] }, 'checkIP = 10.0.0.1: memseal knows the names dns: and uri:'],
  ['checkEmail = a@example.com\n', { names: ['FILL-IN'] }, 'checkEmail = a@example.com: memseal knows the names dns: and uri:'],
])('a server that checked names of its clients: %j', async (lines, expected, words) => {
  const { service, remarks } = await imported(`${server}CAfile = /ca.pem\nverifyChain = yes\n${lines}`)
  expect(service.tls).toEqual({ cert: '/s.crt', key: '/s.key', client_ca: '/ca.pem', ...expected })
  expect(remarks).toContain(words)
})

test.each([
  ['CRLfile = /c.crl\n', { crl: '/c.crl' }, ''], ['CRLpath = /crls\n', { crl: 'FILL-IN' }, 'cat /crls/*.r0 > FILE.pem'],
  ['CRLfile = /c.crl\nCRLpath = /crls\n', { crl: 'FILL-IN' }, 'cat /c.crl /crls/*.r0 > FILE.pem'],
  ['OCSPaia = yes\n', { crl: 'FILL-IN' }, 'OCSPaia = yes: memseal asks no OCSP responder'],
  ['OCSPaia = no\n', {}, 'OCSPaia = no: Nothing to do'], ['OCSP = http://ocsp\nCRLfile = /c.crl\n', { crl: 'FILL-IN' }, 'such as /c.crl'],
])('who is revoked stays out, or a FILL-IN stands there: %j', async (lines, expected, words) => {
  const { service, remarks } = await imported(`${server}CAfile = /ca.pem\nverifyChain = yes\n${lines}`)
  expect(service.tls).toEqual({ cert: '/s.crt', key: '/s.key', client_ca: '/ca.pem', ...expected })
  expect(remarks).toContain(words)
  // A sidecar has no key for it.
  const side = await imported(`${client}${lines}`)
  const isStrict = lines !== 'OCSPaia = no\n'
  expect(side.service.backend.tls.fingerprints).toEqual(isStrict ? Array(lines.trim().split('\n').length).fill('FILL-IN') : undefined)
  if (isStrict) expect(side.remarks).toContain('REVOKED CERTIFICATES WOULD BE TAKEN')
})

test('who came in by a pre-shared key, from one interface, by hosts.allow or IDENT does not come in unasked', async () => {
  const psk = await imported(`${server}PSKsecrets = /psk\n`)
  expect(psk.service.tls).toEqual({ cert: '/s.crt', key: '/s.key', client_ca: 'FILL-IN' })
  for (const line of ['libwrap = yes', 'ident = alice']) {
    const { service, remarks } = await imported(`${server}${line}\n`)
    expect(service.allow).toEqual(['FILL-IN'])
    expect(remarks).toContain(`stunnel.conf:6 ${line}: `)
  }
  expect((await imported(`${server}socket = a:SO_BINDTODEVICE=eth1\n`)).remarks).toContain('SO_BINDTODEVICE=eth1: memseal binds to addresses')
})

test.each([
  ['sslVersion = TLSv1.3', 'TLSv1.3', ''], ['sslVersionMin = TLSv1.3', 'TLSv1.3', ''], ['sslVersionMin = TLSv1.2', 'TLSv1.2', ''],
  ['sslVersionMin = all', undefined, 'sslVersionMin = all: memseal speaks TLSv1.2 and TLSv1.3 only'],
  ['sslVersion = all', undefined, 'sslVersion = all: memseal speaks TLSv1.2 and TLSv1.3 only'],
  ['sslVersionMin = TLSv1', undefined, 'sslVersionMin = TLSv1: memseal speaks TLSv1.2 and TLSv1.3 only'],
  ['sslVersion = TLSv1.2', 'TLSv1.2', 'sslVersion = TLSv1.2: memseal always speaks up to TLSv1.3'],
  ['sslVersionMax = TLSv1.2', undefined, 'sslVersionMax = TLSv1.2: memseal always speaks up to TLSv1.3'],
  ['sslVersionMax = TLSv1.3', undefined, 'sslVersionMax = TLSv1.3: Nothing to do'],
  ['sslVersion = TLSv1.2\nsslVersionMin = TLSv1.3', 'TLSv1.3', 'sslVersion = TLSv1.2: memseal always'],
  ['sslVersionMin = TLSv1.3\nsslVersion = TLSv1.2', 'TLSv1.2', 'sslVersion = TLSv1.2: memseal always'],
  ['sslVersion = TLSv1\nsslVersionMin = TLSv1.2\nsslVersionMax = TLSv1.3', 'TLSv1.2', 'sslVersion = TLSv1: sslVersionMin and sslVersionMax behind it override it'],
  ['sslVersionMin = TLSv1.2\nsslVersionMin = TLSv1.3', 'TLSv1.3', 'sslVersionMin = TLSv1.2: stunnel.conf:'],
  ['options = NO_TLSv1_2', 'TLSv1.3', ''], ['options = -NO_TLSv1_2', undefined, 'options = -NO_TLSv1_2: memseal sets the options'],
  ['options = NO_SSLv3', undefined, 'options = NO_SSLv3: memseal sets the options'],
])('%j, on both sides', async (line, version, words) => {
  for (const [text, at] of [[server, (service: any) => service.tls], [client, (service: any) => service.backend.tls]] as const) {
    const { service, remarks } = await imported(`${text}${line}\n`)
    expect(at(service).min_version).toBe(version)
    expect(remarks).toContain(words)
  }
})

test('a server whose memcached is on another host is told the ways out, and each of them passes `check`', async () => {
  const { certFile, keyFile } = keys.server
  const { out, remarks } = await imported(server.replace('127.0.0.1:11211', '10.0.0.5:11211').replace('/s.crt', certFile).replace('/s.key', keyFile))
  expect(remarks).toContain('memseal refuses that. Run memseal on the host of memcached and write 127.0.0.1')
  expect((await checked(out)).err).toContain('10.0.0.5:11211 is on another host')
  for (const way of ['connect: 127.0.0.1:11211', `connect: 10.0.0.5:11211\n      tls: { ca: ${keys.ca.certFile} }`, 'connect: 10.0.0.5:11211\n      plaintext: allowed']) {
    expect(await checked(out.replace('connect: 10.0.0.5:11211', way))).toEqual({ status: 0, err: '' })
  }
})

test('a client that verified nothing is told so, and verifies from now on', async () => {
  const { service, remarks } = await imported('[cache]\nclient = yes\naccept = 127.0.0.1:11211\nconnect = cache1:11212\n')
  expect(service.backend.tls).toEqual({ ca: 'FILL-IN' })
  expect(remarks).toContain('Without verifyChain stunnel did not verify the server')
  expect(remarks).toContain('stunnel checked no name in the certificate')
})

test('a client on all addresses is pointed to loopback, and `check` refuses it as it is', async () => {
  const { out, service, remarks } = await imported(client.replace('127.0.0.1:11211', '11211').replace('/ca.pem', keys.ca.certFile))
  expect(service).toMatchObject({ listen: '0.0.0.0:11211', allow: ['FILL-IN'] })
  expect(remarks).toContain('Write 127.0.0.1 and the port, and remove allow; or')
  expect((await checked(out.replace('[FILL-IN]', '[10.0.0.0/8]'))).err).toContain('plaintext: allowed')
  expect(await checked(out.replace('[FILL-IN]', '[10.0.0.0/8]').replace('    allow:', '    plaintext: allowed\n    allow:'))).toEqual({ status: 0, err: '' })
})

const cn = { cn_as_name: 'allowed' }
test.each([
  ['checkHost = cache1', { server_name: 'cache1', ...cn }, ''],
  ['checkHost = cache1\nsni = cache1', { server_name: 'cache1', ...cn }, ''],
  ['checkHost = cache1\nsni = other', { server_name: 'cache1', ...cn }, 'sni = other: memseal asks for the name that it checks'],
  ['checkIP = 192.0.2.7', { server_name: '192.0.2.7' }, ''],
  ['sni = cache1.example', { server_name: 'cache1.example' }, 'stunnel checked no name'],
  ['sni =', {}, 'stunnel.conf:7 sni = : stunnel named no server (SNI)'],
  ['sni = 10.0.0.1', {}, 'sni = 10.0.0.1: this is not a name of a host'],
  ['', {}, 'stunnel checked no name'],
  ['checkHost = a\ncheckHost = b', { server_name: 'a', ...cn }, 'stunnel took any of the names a, b'],
  ['checkHost = a\ncheckHost = cache1', { ...cn }, ''],
  ['checkHost = .example.com', { names: ['dns:*.example.com'], ...cn }, 'checkHost with a leading dot'],
  ['checkEmail = ops@example.com\ncheckHost = cache1', { server_name: 'cache1', ...cn }, 'checkEmail = ops@example.com: memseal knows the names dns: and uri:'],
])('the name of the server: %j', async (lines, expected, words) => {
  const { out, service, remarks } = await imported(client.replace('checkHost = cache1\n', `${lines}\n`).replace('/ca.pem', keys.ca.certFile))
  expect(service.backend.tls).toEqual({ ca: keys.ca.certFile, ...expected })
  expect(remarks).toContain(words)
  expect(await checked(out)).toEqual({ status: 0, err: '' })
})

test('a server that was known by its e-mail address alone is a FILL-IN', async () => {
  const { service } = await imported(client.replace('checkHost = cache1', 'checkEmail = ops@example.com'))
  expect(service.backend.tls).toEqual({ ca: '/ca.pem', names: ['FILL-IN'] })
})

test('a client that knew its server by sight believes its key, whoever signed it', async () => {
  const both = fileWith(keys.server.cert + keys.ca.cert, 'peer.pem')
  const { out, service, remarks } = await imported(client.replace('/ca.pem', both).replace('verifyChain', 'verifyPeer').replace('checkHost = cache1\n', 'sni = cache1\n'))
  expect(service.backend.tls).toEqual({ spki: [pinOf(keys.server.certFile)], server_name: 'cache1' })
  expect(remarks).toContain('sni = cache1: memseal looks for this name in the certificate too')
  expect(await checked(out)).toEqual({ status: 0, err: '' })
  // Pins beside pins would admit those that are in either list.
  const listed = await imported(`${client.replace('/ca.pem', both).replace('verifyChain', 'verifyPeer')}CRLfile = /c.crl\n`)
  expect(listed.service.backend.tls).toMatchObject({ spki: [pinOf(keys.server.certFile), 'FILL-IN'] })
  expect(listed.service.backend.tls.fingerprints).toBeUndefined()
  expect((await imported(client.replace('/ca.pem', both).replace('verifyChain = yes', 'verify = 3'))).service.backend.tls)
    .toEqual({ ca: both, spki: [pinOf(keys.server.certFile)], server_name: 'cache1', ...cn })
  expect((await imported(client.replace('CAfile = /ca.pem', `CAfile = ${both}\nCApath = /peers`).replace('verifyChain', 'verifyPeer'))).service.backend.tls.spki)
    .toEqual([pinOf(keys.server.certFile), 'FILL-IN'])
})

test.each([
  ['TIMEOUTidle', 43_200, (service: any) => service.limits?.idle_timeout, '12h', 24 * 86_400],
  ['TIMEOUTbusy', 90, (service: any) => service.limits?.handshake_timeout, '90s', 300],
  ['TIMEOUTconnect', 10, (service: any) => service.backend.connect_timeout, '10s', 300],
])('%s in seconds, up to what our key takes', async (option, seconds, value, text, most) => {
  expect(value((await imported(`${server}${option} = ${seconds}\n`)).service)).toBe(text)
  expect(value((await imported(`${server}${option} = ${most}\n`)).service)).toBeDefined()
  for (const odd of [0, most + 1, 'x']) {
    const { service, remarks } = await imported(`${server}${option} = ${odd}\n`)
    expect(value(service)).toBeUndefined()
    expect(remarks).toContain(`stunnel.conf:6 ${option} = ${odd}: `)
  }
})

test.each([['emerg', 'fatal'], ['3', 'error'], ['warning', 'warn'], ['daemon.notice', 'info'], ['info', 'info'], ['7', 'debug'], ['DEBUG', 'debug']])('debug = %s is level %s', async (debug, level) => {
  expect(parse((await imported(`debug = ${debug}\noutput = /dev/stdout\n${server}`)).out).log).toEqual({ level, file: '-' })
})

test('several targets: the order, or in turn', async () => {
  const several = server.replace('connect = 127.0.0.1:11211', 'connect = 127.0.0.1:11211\nconnect = /run/m.sock')
  const plain = await imported(several)
  expect(plain.service.backend).toEqual({ connect: ['127.0.0.1:11211', 'unix:/run/m.sock'], policy: 'failover' })
  expect(plain.remarks).toContain('old versions in turn')
  expect((await imported(`${several}failover = prio\n`)).service.backend.policy).toBe('failover')
  expect((await imported(`${several}failover = rr\n`)).service.backend.policy).toBe('rotate')
})

test('two accepts, names that are alike, and what is no name of ours', async () => {
  const { services, remarks } = await imported(`${server}${server.replace('[cache]', '[Cache]').replace(':11212', ':11213\naccept = 127.0.0.1:11214')}${server.replace('[cache]', '[11 22]').replace(':11212', ':3')}`)
  expect(Object.keys(services)).toEqual(['cache', 'cache-2', 'service'])
  expect(services['cache-2'].listen).toEqual(['127.0.0.1:11213', '127.0.0.1:11214'])
  expect(remarks).toContain("[Cache] in stunnel's file. The name cache is taken by [cache] at stunnel.conf:1.")
  expect(remarks).toContain("[11 22] in stunnel's file.")
})

test.each([['127.0.0.1:11212'], ['11212'], [':::11212'], ['localhost:11212']])('two sections that want one address: accept = %s', async value => {
  const { remarks } = await imported(`${server}${server.replace('[cache]', '[other]').replace('127.0.0.1:11212', value)}`)
  expect(remarks).toContain(`${acceptAddress(value).text} is taken by 127.0.0.1:11212 of [cache]; memseal refuses to listen twice`)
})

test('paths inside a chroot are those that stunnel saw, and those of before it are not', async () => {
  const { service, out, remarks } = await imported(`chroot = /jail\noutput = /log/s.log\n${server.replace('127.0.0.1:11212', '/run/front.sock').replace('127.0.0.1:11211', '/run/m.sock')}` +
    'CAfile = /ca.pem\nverifyChain = yes\nCRLpath = /crls\n')
  expect(service).toMatchObject({ listen: 'unix:/run/front.sock', backend: { connect: 'unix:/jail/run/m.sock' }, tls: { cert: '/s.crt', client_ca: '/ca.pem' } })
  expect(parse(out).log.file).toBe('/jail/log/s.log')
  expect(remarks).toContain('cat /jail/crls/*.r0 > FILE.pem')
})

test('an option of before the sections that one of them has no use for is remarked upon there', async () => {
  const { remarks, services } = await imported(`TIMEOUTbusy = 20\nCRLfile = /c.crl\nCAfile = /ca.pem\nverifyChain = yes\n${server}${client.replace('[cache]', '[side]')}`)
  expect(services.cache).toMatchObject({ limits: { handshake_timeout: '20s' }, tls: { crl: '/c.crl' } })
  expect(services.side.backend.tls.fingerprints).toEqual(['FILL-IN'])
  expect(remarks).toContain('stunnel.conf:1 TIMEOUTbusy = 20: Towards a backend')
})

test('what goes through another proxy first is left to stunnel', async () => {
  for (const protocol of ['connect', 'socks', 'smtp']) {
    const { status, err } = await imported(`${client}protocol = ${protocol}\n`)
    expect([status, err]).toEqual([1, expect.stringContaining(`it speaks ${protocol}, and memseal speaks memcached only`)])
  }
})

test('standard input instead of a file', () => {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const { stdout, status } = spawnSync(process.execPath, [main, 'import', 'stunnel', '-'], { input: `${server}no such line\n`, encoding: 'utf8' })
  expect(status).toBe(0)
  expect(stdout).toContain('# Made by memseal import stunnel from standard input;')
  expect(stdout).toContain('stdin:6 "no such line" is neither')
  expect(parse(stdout).services.cache.listen).toBe('127.0.0.1:11212')
})

test('what the import writes for `commands` is what holds without it', async () => {
  const { service } = await imported(server)
  const { config } = loadText('services: { m: { listen: "127.0.0.1:1" } }', 'm.yaml', { environment: {} })
  expect(service.commands).toEqual(config!.services['m'].commands)
})

// A line that shows nowhere may be the one that kept somebody out.
test.each(stunnelOptions.flatMap(option => [option.name, ...option.alias === undefined ? [] : [option.alias]]))('every value of %s shows in the result', async name => {
  const { level, isSecret } = stunnelOption(name)!
  if (/^(accept|connect|cert|key|client)$/.test(name)) return
  for (const value of ['odd value', 'yes', 'no', '2', '']) {
    for (const text of [server, client.replace('verifyChain = yes\n', '').replace('checkHost = cache1\n', '')]) {
      const line = `${name} = ${value}`
      const [plain, got] = [await imported(text), await imported(level === 'global' ? `${line}\n${text}` : `${text}${line}\n`)]
      // `exec` leaves the one section out.
      if (name === 'exec') expect(got.status).toBe(1)
      else if (!got.remarks.includes(` ${name} = ${isSecret ? '…' : value}`)) {
        expect(got.out.replace(/^ *#.*$/gm, ''), line).not.toBe(plain.out.replace(/^ *#.*$/gm, ''))
      }
    }
  }
})

test('every key that the table names is in the reference', () => {
  const reference = referenceText()
  for (const { key } of stunnelOptions) {
    for (const path of key?.split(', ') ?? []) {
      expect(reference).toContain(path.split('.').at(-1))
    }
  }
})

const help = spawnSync('stunnel', ['-help'], { encoding: 'utf8' })

test.skipIf(help.error !== undefined)('the table knows every option of the stunnel that is installed', () => {
  const options = help.stderr.match(/^[A-Za-z]+(?= += )/gm)?.filter(option => option !== 'include') ?? []
  expect(options.length).toBeGreaterThan(60)
  expect(options.filter(option => !stunnelOptions.some(({ name }) => name === option))).toEqual([])
})

const sample = '/usr/share/doc/stunnel4/examples/stunnel.conf-sample'

test.skipIf(!existsSync(sample))("Debian's sample, as it is and with every example in it switched on", async () => {
  expect((await run(sample)).status).toBe(0)
  const all = readFileSync(sample, 'utf8').replace(/^;(?=[\[a-zA-Z]+[\w-]*\]?( *=.*)?$)/gm, '').replace(/^include.*$/m, '')
  const { status, services, remarks } = await imported(all)
  expect(status).toBe(0)
  expect(Object.keys(services)).toEqual(expect.arrayContaining(['gmail-pop3', 'example-pkcs11', 'https', 'mysql']))
  expect(services.mysql).toMatchObject({ listen: '0.0.0.0:3307', backend: { connect: 'unix:/run/mysqld/mysqld.sock' } })
  expect(remarks).toContain('Is this a memcached?')
  expect(remarks).toContain('[shell] is left out')
})

test('a file without a service that fits fails, and says why', async () => {
  expect(await run(fileWith('exec = /usr/sbin/imapd\n'))).toMatchObject({ status: 1, out: '', err: expect.stringContaining('has no [section]') })
  expect(await run(fileWith('[a]\naccept = 1\n'))).toMatchObject({ status: 1, err: expect.stringContaining('[a] is left out: it has no `connect`') })
})

test('--out writes a new file and keeps one that is there', async () => {
  const out = join(tempFolder(), 'memseal.yaml')
  expect(await run(fixture('readme-client.conf'), '--out', out)).toEqual({ status: 0, out: '', err: '' })
  expect(readFileSync(out, 'utf8')).toContain('connect: cache1:11212')
  expect(statSync(out).mode & 0o007).toBe(0)
  expect(await run(fixture('readme-client.conf'), '--out', out)).toMatchObject({ status: 2, err: expect.stringContaining('is there already, and is kept.') })
  expect(await run(fixture('readme-client.conf'), '--out', '/no/folder/x')).toMatchObject({ status: 2, err: expect.stringContaining('(ENOENT)') })
})

test('wrong usage: no file, a file that is not there', async () => {
  expect(await run()).toMatchObject({ status: 2, err: 'memseal import stunnel: FILE is missing.\nWrite memseal import stunnel FILE.\n' })
  expect(await run('/no/stunnel.conf')).toMatchObject({ status: 2, err: expect.stringContaining('cannot be read (ENOENT)') })
})

test('control codes and YAML of a stranger\'s file stay text', async () => {
  const { services, out } = await imported(`[a\x1b[31m: {b}]\naccept = 127.0.0.1:1\nconnect = 127.0.0.1:2\ncert = /a b: {c} # d\nfrob\x07 = \x1b[0m\n`)
  expect(Object.values<any>(services)[0].tls).toEqual({ cert: '/a b: {c} # d', key: '/a b: {c} # d' })
  expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
})

test('folders that include themselves come to an end', async () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'a.conf'), `include = ${folder}\n`)
  expect((await imported(`${server}include = ${folder}\ninclude = /no/folder\n`)).remarks).toMatch(/more than 10 folders[^]*\/no\/folder: cannot be read here \(ENOENT\)/)
})

const secret = keys.server.key

test.each([
  ['a key', secret, 'is PEM: a certificate or a key, not a stunnel.conf.'],
  ['a key with text above it', `Bag Attributes\n    friendlyName: x = y\n${secret}`, 'is PEM'],
  ['a key in DER', Buffer.from(secret.replace(/-----.*-----|\s/g, ''), 'base64'), 'is not a text file'],
  ['a configuration of ours', 'services: { a: { listen: 127.0.0.1:1 } }\n', 'is not a stunnel.conf: it has no [section], and no option of stunnel either.'],
  ['settings of somebody else', 'password = hunter2\n', 'is not a stunnel.conf'],
  ['nothing', '', 'is not a stunnel.conf'],
  ['a file for inetd', 'cert = /c.pem\nclient = no\nverify = 2\n', 'for a stunnel that inetd starts, and memseal listens itself. Write two lines at its end, [memcached] and accept = PORT'],
])('%s in place of a stunnel.conf: one sentence, and nothing of what stands in it', async (_, text, words) => {
  const file = join(tempFolder(), 'given')
  writeFileSync(file, text)
  const { status, out, err } = await run(file)
  expect({ status, out, lines: err.split('\n').length }).toEqual({ status: 1, out: '', lines: 2 })
  expect(err).toContain(`${file} `)
  expect(err).toContain(words)
})

test('what the import says of a file for inetd makes one that it takes', async () => {
  const { service } = await imported('cert = /c.pem\nconnect = 11211\nverify = 2\nCAfile = /ca.pem\n[memcached]\naccept = 11212\n')
  expect(service).toMatchObject({ listen: '0.0.0.0:11212', tls: { cert: '/c.pem', client_ca: '/ca.pem' }, backend: { connect: '127.0.0.1:11211' } })
})

test('a key within a stunnel.conf is told, and not shown', async () => {
  const { status, out, err } = await imported(`[m]\naccept = 1\n${secret}connect = 2\n`)
  expect(status).toBe(0)
  expect(remarksOf(out)).toContain('stunnel.conf:3 A certificate or key (PEM) stands here.')
  for (const line of secret.split('\n').filter(each => /^[A-Za-z0-9+/=]+$/.test(each))) expect(out + err).not.toContain(line)
  expect(parse(out).services.m.backend.connect).toBe('127.0.0.1:2')
})

test('letters of another encoding in a comment are text', async () => {
  const file = join(tempFolder(), 'stunnel.conf')
  writeFileSync(file, Buffer.from('; f\xfcr die Caches\n[m]\naccept = 1\nconnect = 2\n', 'latin1'))
  expect((await run(file)).status).toBe(0)
})
