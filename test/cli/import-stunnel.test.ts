import { expect, test } from 'vitest'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { check } from '../../src/cli/check.ts'
import { runCommandLine } from '../../src/cli/commands.ts'
import { acceptAddress, connectAddress } from '../../src/cli/stunnel-address.ts'
import { stunnelOptions } from '../../src/cli/stunnel-options.ts'
import { referenceText } from '../../src/config/reference.ts'
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

/** What becomes of a stunnel.conf: the YAML, and its one service as an object. */
async function imported(text: string) {
  const { status, out, err } = await run(fileWith(text))
  const services = parse(out)?.services ?? {}
  // Remarks are broken into lines; joined again they can be searched.
  return { status, out, err, remarks: out.replace(/\n *# {3}/g, ' '), service: Object.values<any>(services)[0], services }
}

/** `memseal check` on this YAML. */
async function checked(yaml: string): Promise<{ status: number, err: string }> {
  let err = ''
  const terminal = { environment: {}, out: () => {}, err: (text: string) => void (err += text) }
  const status = await check({ config: fileWith(yaml, 'memseal.yaml') }, terminal)
  return { status, err }
}

const server = '[cache]\naccept = 127.0.0.1:11212\nconnect = 127.0.0.1:11211\ncert = /s.crt\nkey = /s.key\n'
const client = '[cache]\nclient = yes\naccept = 127.0.0.1:11211\nconnect = cache1:11212\nCAfile = /ca.pem\nverifyChain = yes\ncheckHost = cache1\n'

test('the server of the README', async () => {
  const { status, out, err } = await run(fixture('readme-server.conf'))
  expect([status, err]).toEqual([0, 'One value is yours to write: look for FILL-IN, then run memseal check.\n'])
  expect(out).toBe(`# Made by memseal import stunnel from readme-server.conf; comments say what could not be carried over.
# Write a value for each FILL-IN; memseal refuses to start before.

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
    backend:
      connect: 127.0.0.1:11211
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

services:
  cache1:
    listen: 127.0.0.1:11211
    backend:
      connect: cache1:11212
      tls:
        ca: /etc/stunnel/cache-ca.pem
        cert: /etc/stunnel/client.pem
        key: /etc/stunnel/client.pem
        server_name: cache1
`)
  // One file with both, as stunnel users have it.
  const both = fileWith(keys.client.key + keys.client.cert, 'client.pem')
  const real = out.replace('/etc/stunnel/cache-ca.pem', keys.ca.certFile).replaceAll('/etc/stunnel/client.pem', both)
  expect((await checked(real)).status).toBe(0)
})

test('both ends that came out of the import serve a client without TLS', async () => {
  const { address } = await startMemcached()
  // stunnel knows no port 0; memseal takes a free one.
  const free = (yaml: string) => yaml.replace('127.0.0.1:1\n', '127.0.0.1:0\n')
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
  const { log, services } = parse(out)
  expect(log).toEqual({ level: 'warn', file: '/var/log/stunnel.log' })
  expect(services).toEqual({
    'pages': {
      listen: '127.0.0.1:11301', limits: { idle_timeout: '10m' },
      backend: {
        connect: '192.0.2.7:11212', connect_timeout: '5s',
        tls: { ca: 'FILL-IN', cert: '/etc/stunnel/client.pem', key: '/etc/stunnel/client.pem', server_name: 'pages.example.com' },
      },
    },
    'tokens': {
      listen: '[::1]:11302',
      backend: {
        connect: 'cache3.example.com:11212',
        tls: { ca: '/etc/stunnel/cache3.pem', cert: 'FILL-IN', key: 'FILL-IN', fingerprints: ['FILL-IN'] },
      },
    },
    'sessions-php': {
      listen: 'unix:/run/stunnel/sessions.sock', socket: { owner: 'www-data', group: 'www-data' },
      backend: { connect: ['cache1.example.com:11212', 'cache2.example.com:11212'], policy: 'rotate', tls: { ca: 'FILL-IN' } },
    },
  })
  const remarks = out.replace(/\n *# {3}/g, ' ')
  for (const line of ['client-host.conf:3 setuid = stunnel4: Set User=', 'client-host.conf:13 sslVersionMin', 'client-host.conf:16 TIMEOUTclose = 0: Nothing to do',
    '[Sessions (PHP)] in stunnel\'s file.', 'OCSPaia = yes: memseal asks no OCSP responder', 'cat /var/lib/stunnel4/etc/ssl/certs/*.0 > FILE.pem',
    '[mail] is left out: it speaks pop3', '02-tokens.conf:6 engineId = pkcs11: memseal takes keys']) {
    if (!line.includes('sslVersionMin')) expect(remarks).toContain(line)
  }
  expect((await checked(out)).status).toBe(78)
})

test('a cache host with much that has no key: every line says why, and no secret leaves its file', async () => {
  const { status, out, err } = await run(fixture('cache-host.conf'))
  expect([status, err]).toEqual([0, '7 values are yours to write: look for FILL-IN, then run memseal check.\n'])
  const { services } = parse(out)
  expect(services['cache-v4']).toMatchObject({
    listen: '[::]:11212', allow: ['FILL-IN'], limits: { handshake_timeout: '20s' },
    tls: { cert: 'FILL-IN', key: 'FILL-IN', client_ca: 'clients.pem', client_auth: 'optional', min_version: 'TLSv1.3', session_tickets: 'off' },
    backend: { connect: '127.0.0.1:11211' },
  })
  expect(services['psk']).toMatchObject({ listen: 'FILL-IN', allow: ['FILL-IN'], tls: { cert: 'FILL-IN', key: 'FILL-IN' }, backend: { connect: '10.0.0.5:11211' } })
  const remarks = out.replace(/\n *# {3}/g, ' ')
  for (const words of ['engineCtrl = …: memseal takes keys', 'server.p12: memseal reads PEM', 'ticketKeySecret = …: memseal makes its ticket keys itself', 'TIMEOUTidle = 0: limits.idle_timeout takes 1s to 24d',
    'libwrap = yes: see what /etc/hosts.allow', 'PSKsecrets = /etc/stunnel/secrets.txt: memseal knows no pre-shared keys', '"no such line" is neither', 'frobnicate = yes: stunnel 5 has no such option',
    'the number of "memcache"', 'memseal refuses that. Run memseal on the host of memcached', '[shell] is left out: it starts a program', '[other-name] is left out: it is a second certificate',
    'Paths without a / in front']) expect(remarks).toContain(words)
  for (const secret of ['1234567', '00112233']) expect(out).not.toContain(secret)
})

test.each([
  ['11212', '0.0.0.0:11212', false], ['127.0.0.1:11212', '127.0.0.1:11212', true], ['127.9.9.9:1', '127.9.9.9:1', true], ['localhost:65535', 'localhost:65535', true],
  [':::11212', '[::]:11212', false], ['::1:11212', '[::1]:11212', true], ['[::1]:11212', '[::1]:11212', true], ['fd00::5:11212', '[fd00::5]:11212', false],
  ['0.0.0.0:11212', '0.0.0.0:11212', false], ['*:11212', '0.0.0.0:11212', false], ['/run/s.sock', 'unix:/run/s.sock', true],
  ['cache.internal:11212', 'FILL-IN', false], ['memcache', 'FILL-IN', false], ['127.0.0.1:0', 'FILL-IN', true], ['127.0.0.1:65536', 'FILL-IN', true],
])('accept = %s listens on %s', async (value, listen, isLocal) => {
  expect(acceptAddress(value).text).toBe(listen)
  const { service } = await imported(server.replace('127.0.0.1:11212', value))
  expect(service.listen).toBe(listen)
  if (listen !== 'FILL-IN') expect(service.allow).toEqual(isLocal ? undefined : ['FILL-IN'])
})

test.each([
  ['11211', '127.0.0.1:11211'], ['cache1:11211', 'cache1:11211'], ['::1:11211', '[::1]:11211'], ['/run/m.sock', 'unix:/run/m.sock'], ['cache1', 'FILL-IN'], ['cache1:memcache', 'FILL-IN'],
])('connect = %s connects to %s', (value, to) => {
  expect(connectAddress(value).text).toBe(to)
})

test.each([
  ['verifyChain = yes', { client_ca: '/ca.pem' }], ['verifyChain = no', {}], ['', {}], ['verify = 0', {}], ['verify = 1', { client_ca: '/ca.pem', client_auth: 'optional' }],
  ['verify = 2', { client_ca: '/ca.pem' }], ['verify = 3', { client_ca: '/ca.pem' }], ['verify = 4', { client_ca: '/ca.pem' }], ['verifyPeer = yes', { client_ca: '/ca.pem' }],
  ['verify = 1\nverifyChain = yes', { client_ca: '/ca.pem' }], ['VERIFYCHAIN=YES', { client_ca: '/ca.pem' }],
])('a server with %j', async (lines, expected) => {
  const { service, remarks } = await imported(`${server}CAfile = /ca.pem\n${lines}\n`)
  expect(service.tls).toEqual({ cert: '/s.crt', key: '/s.key', ...expected })
  if (!('client_ca' in expected)) expect(remarks).toContain('without verifyChain stunnel let in clients with any certificate or none')
  if (/[34]|verifyPeer/.test(lines)) expect(remarks).toContain('stunnel let in none but the very certificates in this file')
})

test('a server that checked names of its clients says that memseal does not', async () => {
  const { remarks } = await imported(`${server}CAfile = /ca.pem\nverifyChain = yes\ncheckHost = web-1\n`)
  expect(remarks).toContain('checkHost = web-1: Here memseal lets in every certificate that client_ca has signed')
})

test.each([
  ['sslVersion = TLSv1.3', 'TLSv1.3', ''], ['sslVersionMin = TLSv1.3', 'TLSv1.3', ''], ['sslVersionMin = TLSv1.2', undefined, ''], ['sslVersionMin = all', undefined, ''],
  ['sslVersionMin = TLSv1', undefined, 'memseal speaks TLSv1.2 and TLSv1.3 only'], ['sslVersion = TLSv1.2', undefined, 'always speaks up to TLSv1.3'],
  ['sslVersionMax = TLSv1.2', undefined, 'sslVersionMax = TLSv1.2: memseal always speaks up to TLSv1.3'], ['sslVersionMax = TLSv1.3', undefined, ''],
  ['options = NO_TLSv1_2', 'TLSv1.3', ''], ['options = -NO_TLSv1_2', undefined, ''], ['options = NO_SSLv3', undefined, 'options = NO_SSLv3: memseal sets the options'],
])('%s, on both sides', async (line, version, words) => {
  for (const [text, at] of [[server, (service: any) => service.tls], [client, (service: any) => service.backend.tls]] as const) {
    const { service, remarks } = await imported(`${text}${line}\n`)
    expect(at(service).min_version).toBe(version)
    if (words !== '') expect(remarks).toContain(words)
    else expect(remarks.match(/#/g)).toHaveLength(1)
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

test.each([
  ['checkHost = cache1', { server_name: 'cache1' }, ''],
  ['checkHost = cache1\nsni = cache1', { server_name: 'cache1' }, ''],
  ['checkHost = cache1\nsni = other', { server_name: 'cache1' }, 'sni = other: memseal asks for the name that it checks'],
  ['checkIP = 192.0.2.7', { server_name: '192.0.2.7' }, ''],
  ['sni = cache1.example', { server_name: 'cache1.example' }, 'stunnel checked no name'],
  ['', {}, 'stunnel checked no name'],
  ['checkHost = a\ncheckHost = b', { server_name: 'a' }, 'stunnel took any of the names a, b'],
  ['checkHost = a\ncheckHost = cache1', {}, ''],
  ['checkHost = .example.com', { names: ['dns:*.example.com'] }, 'checkHost with a leading dot'],
  ['checkEmail = ops@example.com\ncheckHost = cache1', { server_name: 'cache1' }, 'checkEmail = ops@example.com: memseal checks no e-mail'],
])('the name of the server: %j', async (lines, expected, words) => {
  const { out, service, remarks } = await imported(client.replace('checkHost = cache1\n', `${lines}\n`).replace('/ca.pem', keys.ca.certFile))
  expect(service.backend.tls).toEqual({ ca: keys.ca.certFile, ...expected })
  expect(remarks).toContain(words)
  if (words === '') expect(remarks.match(/#/g)).toHaveLength(1)
  expect(await checked(out)).toEqual({ status: 0, err: '' })
})

test('verifyPeer becomes pins of the certificates in CAfile, without their authorities', async () => {
  const both = fileWith(keys.server.cert + keys.ca.cert, 'peer.pem')
  const { out, service, remarks } = await imported(client.replace('/ca.pem', both).replace('verifyChain', 'verifyPeer'))
  const { stdout } = spawnSync('openssl', ['x509', '-in', keys.server.certFile, '-noout', '-fingerprint', '-sha256'], { encoding: 'utf8' })
  expect(service.backend.tls.fingerprints).toEqual([stdout.trim().split('=')[1]])
  expect(remarks).toContain('the authority that signed them has to be in `ca`')
  expect((await checked(out)).status).toBe(0)
})

test('a CRL is carried over where the schema has a key for it, and missed loudly where not', async () => {
  const { service, remarks } = await imported(`${server}CAfile = /ca.pem\nverifyChain = yes\nCRLfile = /clients.crl\n`)
  if (service.tls.crl === undefined) expect(remarks).toContain('REVOKED CERTIFICATES WOULD BE TAKEN')
  else expect(service.tls.crl).toBe('/clients.crl')
  expect((await imported(`${client}CRLfile = /c.crl\nCRLpath = /crls\n`)).remarks.match(/REVOKED CERTIFICATES/g)).toHaveLength(2)
})

test.each([
  ['TIMEOUTidle', 43_200, (service: any) => service.limits?.idle_timeout, '12h', 24 * 86_400], ['TIMEOUTbusy', 90, (service: any) => service.limits?.handshake_timeout, '90s', 300],
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
  const { services } = await imported(`${server}${server.replace('[cache]', '[Cache]').replace(':11212', ':11213\naccept = 127.0.0.1:11214')}${server.replace('[cache]', '[11 22]').replace(':11212', ':3')}`)
  expect(Object.keys(services)).toEqual(['cache', 'cache-2', 'service'])
  expect(services['cache-2'].listen).toEqual(['127.0.0.1:11213', '127.0.0.1:11214'])
})

test('every option of the table is heard of in the result, whatever it is set to', async () => {
  const carried = /^(accept|connect|cert|key|client|include)$/
  for (const { name, level, isSecret } of stunnelOptions) {
    if (carried.test(name)) continue
    for (const text of [server, client]) {
      const plain = await imported(text)
      const { status, out, remarks } = await imported(level === 'global' ? `${name} = odd value\n${text}` : `${text}${name} = odd value\n`)
      // `exec` leaves the one section out.
      if (name === 'exec') expect(status).toBe(1)
      else if (!remarks.includes(` ${name} = ${isSecret ? '…' : 'odd value'}`) && !/^(verify|verifyChain|verifyPeer|requireCert|failover|sessionResume|libwrap|debug)$/.test(name)) {
        expect(out.replace(/^#.*$/gm, ''), name).not.toBe(plain.out.replace(/^#.*$/gm, ''))
      }
    }
  }
})

test('every key that the table names is in the reference', () => {
  const reference = referenceText()
  for (const { key } of stunnelOptions) {
    for (const path of key?.split(', ') ?? []) {
      if (path !== 'tls.crl') expect(reference).toContain(path.split('.').at(-1))
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
  expect(await run(fileWith('exec = /usr/sbin/imapd\n'))).toMatchObject({ status: 1, out: '', err: expect.stringContaining('no section that memseal could take over') })
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
