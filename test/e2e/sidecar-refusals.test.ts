// A cache host that is not the one that was meant: no byte of a request leaves, the client is told at once, and the log says
// what is wrong and what to do. The other side is a TLS server that keeps every byte it is sent.
import { X509Certificate } from 'node:crypto'
import { createServer as createPlainServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer, type TlsOptions } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { startMemcached } from '../support/memcached.ts'
import { spkiOf } from '../../src/tls/peer.ts'
import { odd } from '../support/certificates.ts'
import { pki, type Pki } from '../support/pki.ts'
import { ready, startCacheHost, startSidecar } from './support/sidecar.ts'

interface Impostor { port: number, heard: () => string, connections: () => number }

/** Answers `version` as memcached would, so that nothing but TLS keeps a client from being served. */
async function impostor(options: TlsOptions | 'plain'): Promise<Impostor> {
  let heard = ''
  let connections = 0
  const sockets = new Set<Socket>()
  const serve = (socket: Socket) => {
    socket.on('error', () => {})
    socket.on('data', bytes => {
      heard += bytes.toString('latin1')
      socket.write('VERSION 1.6.18\r\n')
    })
  }
  const server: Server = options === 'plain' ? createPlainServer(serve) : createServer(options, serve)
  server.on('connection', (socket: Socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, heard: () => heard, connections: () => connections }
}

interface Case {
  name: string
  server: (pki: Pki) => TlsOptions | 'plain'
  tls?: (pki: Pki) => Record<string, unknown>
  reason: string
  words: string | RegExp
  advice: string
  /** Plain text goes to a server that takes it for TLS, so it hears the handshake. */
  hearsHandshake?: true
}

const otherPin = 'AB:'.repeat(31) + 'AB'
const pinOf = ({ server }: Pki) => new X509Certificate(server.cert).fingerprint256

const keys = await pki()

const cases: Case[] = [
  { name: 'wrong CA', server: ({ server }) => server, tls: ({ otherCa }) => ({ ca: otherCa.certFile }), reason: 'wrong-ca',
    words: 'its certificate is not signed by a CA in backend.tls.ca', advice: 'add the CA of the cache host' },
  { name: 'wrong name', server: ({ server }) => server, tls: () => ({ server_name: 'cache-1.example.com' }), reason: 'wrong-name',
    words: 'its certificate is for another name (expected cache-1.example.com; it has DNS:localhost, IP Address:127.0.0.1', advice: 'backend.tls.server_name' },
  { name: 'expired', server: ({ expiredServer }) => expiredServer, reason: 'expired',
    words: 'its certificate has expired', advice: 'renew it on the cache host' },
  { name: 'wrong pin', server: ({ server }) => server, tls: () => ({ fingerprints: otherPin }), reason: 'wrong-pin',
    words: 'its certificate is none of those that are pinned in backend.tls.fingerprints and spki (its fingerprint is ', advice: 'add the new fingerprint' },
  { name: 'wrong pin, and no authority', server: ({ server }) => server, tls: () => ({ ca: undefined, spki: otherPin }), reason: 'wrong-pin',
    words: `that of its key sha256/`, advice: 'add the new fingerprint' },
  { name: 'the pinned one, which has expired', server: ({ expiredServer }) => expiredServer, reason: 'expired',
    tls: ({ expiredServer }) => ({ ca: undefined, fingerprints: new X509Certificate(expiredServer.cert).fingerprint256 }),
    words: 'CN=localhost on 2021-01-01', advice: 'renew it on the cache host' },
  { name: 'the pinned one, for another name than server_name', server: ({ server }) => server, reason: 'wrong-name',
    tls: pki => ({ ca: undefined, fingerprints: pinOf(pki), server_name: 'cache-1.example.com' }), words: 'expected cache-1.example.com', advice: 'server_name' },
  { name: 'a common name alone', server: () => odd({ subject: '/CN=localhost', signer: keys.ca }), reason: 'cn-only',
    words: 'the common name that would fit is not taken for one (CN=localhost)', advice: 'cn_as_name: allowed' },
  { name: 'a weak key', server: () => ({ ...odd({ subject: '/CN=localhost', signer: keys.ca, key: ['rsa:1024'] }), ciphers: 'DEFAULT@SECLEVEL=0' }),
    reason: 'weak-certificate', words: 'CN=localhost: a key of RSA with 1024 bits', advice: 'RSA with 2048 bits at least' },
  { name: 'none of the accepted names', server: ({ server }) => server, tls: () => ({ names: ['dns:*.localhost', 'uri:spiffe://memseal.test/cache'] }),
    reason: 'name-not-accepted', words: 'carries none of backend.tls.names (it has DNS:localhost', advice: 'add one of its names' },
  { name: 'a certificate of a client', server: ({ client }) => client, reason: 'bad-certificate', words: 'could not be used', advice: 'extendedKeyUsage serverAuth' },
  { name: 'plain text', server: () => 'plain', reason: 'plain-text', words: 'it does not speak TLS', advice: 'compare the port', hearsHandshake: true },
  { name: 'an old version of TLS', server: ({ server }) => ({ ...server, maxVersion: 'TLSv1.2' }), tls: () => ({ min_version: 'TLSv1.3' }),
    reason: 'tls-version', words: 'no TLS version', advice: 'min_version' },
]

test.each(cases)('$name: no byte of a request leaves, the client gets an error at once, the log says what to do', async ({ server, tls, reason, words, advice, hearsHandshake }) => {
  const certificates = await pki()
  const there = await impostor(server(certificates))
  const sidecar = await startSidecar({ connect: `127.0.0.1:${there.port}`, tls: tls?.(certificates) })
  const line = await sidecar.daemon.waitForLog('backend-lost')
  expect(line).toMatchObject({ reason, level: 'warn' })
  expect(line.words).toMatch(typeof words === 'string' ? new RegExp(words.replace(/[.()*]/g, '\\$&')) : words)
  expect(line.advice).toContain(advice)

  for (let n = 0; n < 3; n++) {
    const wire = await sidecar.connect()
    await wire.write('set secret 0 0 6\r\nsecret\r\nget secret\r\n')
    for (let reply = 0; reply < 2; reply++) expect(await wire.readLine()).toBe('SERVER_ERROR memseal: backend unavailable')
  }
  // A private connection is no way around it.
  const wire = await sidecar.connect()
  await wire.write('stats\r\n')
  expect(await wire.readLine()).toMatch(/^SERVER_ERROR memseal: /)

  await sidecar.daemon.waitForLog('not-ready')
  expect(there.connections()).toBeGreaterThan(1)
  if (hearsHandshake) expect(there.heard()).not.toContain('secret')
  else expect(there.heard()).toBe('')
  expect(sidecar.told('backend-ready')).toEqual([])
  // Once per state, not once per try.
  expect(sidecar.told('backend-lost')).toHaveLength(1)
})

test('the right pin and an accepted name let through', async () => {
  const certificates = await pki()
  const cache = await startCacheHost()
  const sidecar = await startSidecar({
    connect: cache.address, tls: { fingerprints: [otherPin, pinOf(certificates)], names: ['uri:spiffe://memseal.test/*', 'dns:local*'] },
  })
  await ready(sidecar)
  expect(await (await sidecar.connect()).ask('set k 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
})

test.each([
  ['a pin of the certificate, without an authority', undefined, { ca: undefined, server_name: undefined, fingerprints: pinOf(keys) }],
  ['a pin of the key, of a certificate that has signed itself', odd({ key: keys.server }),
    { ca: undefined, server_name: undefined, spki: spkiOf(new X509Certificate(keys.server.cert)) }],
  ['a common name', odd({ subject: '/CN=localhost', signer: keys.ca }), { cn_as_name: 'allowed' }],
])('%s lets through where the configuration says so', async (_, certificate, tls) => {
  const cache = await startCacheHost()
  if (certificate !== undefined) {
    await cache.kill()
    await cache.start(certificate)
  }
  const sidecar = await startSidecar({ connect: cache.address, tls })
  await ready(sidecar)
  expect(await (await sidecar.connect()).ask('set k 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
})

test('the name in `connect` is the one that is expected when there is no server_name; an address may be one', async () => {
  const cache = await startCacheHost()
  for (const host of ['localhost', '127.0.0.1']) {
    const sidecar = await startSidecar({ connect: `${host}:${cache.port}`, tls: { server_name: undefined } })
    await ready(sidecar)
  }
})

test.each([
  ['none', { cert: undefined, key: undefined }],
  ['one of another CA', undefined],
])('our certificate is refused over there (%s): the log says so', async (_, none) => {
  const { strangerClient } = await pki()
  const cache = await startCacheHost()
  const sidecar = await startSidecar({ connect: cache.address, tls: none ?? { cert: strangerClient.certFile, key: strangerClient.keyFile } })
  const line = await sidecar.daemon.waitForLog('backend-lost')
  expect(line.reason).toMatch(/^(closed-after-handshake|certificate-refused)$/)
  expect(line.advice).toContain('backend.tls.cert')
  expect(await (await sidecar.connect()).ask('get k\r\n', 42)).toMatch(/^SERVER_ERROR memseal: /)
})

test('a host that is not in the allow list over there learns that', async () => {
  const cache = await startCacheHost({ service: { allow: ['10.0.0.0/8'] } })
  const sidecar = await startSidecar({ connect: cache.address })
  const line = await sidecar.daemon.waitForLog('backend-lost')
  expect(line).toMatchObject({ reason: 'closed-in-handshake', words: 'it closed the connection before the TLS handshake was done' })
  expect(line.advice).toContain('allow list')
})

test('memcached itself, without TLS, is told apart from a memseal', async () => {
  const memcached = await startMemcached()
  const sidecar = await startSidecar({ connect: memcached.address })
  expect(await sidecar.daemon.waitForLog('backend-lost')).toMatchObject({ reason: expect.stringMatching(/^(plain-text|closed-in-handshake|connect-timeout)$/) })
  expect(await (await sidecar.connect()).ask('get k\r\n', 42)).toMatch(/^SERVER_ERROR memseal: /)
})
