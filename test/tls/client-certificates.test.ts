import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { expect, test } from 'vitest'
import type { TlsSettings } from '../../src/tls/context.ts'
import { DerReader } from '../../src/tls/der.ts'
import { spkiOf } from '../../src/tls/peer.ts'
import { peerRules } from '../../src/tls/verdict.ts'
import { fileOf, odd, ofCa, type Odd } from '../support/certificates.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { edge, until, type Edge } from './edge.ts'

// Which client certificates a listener takes, for real: by chain, by pin, by name.

const keys = await pki()
const x509 = ({ cert }: Certificate) => new X509Certificate(cert)
const pinOf = (certificate: Certificate) => x509(certificate).fingerprint256
const keyPinOf = (certificate: Certificate) => spkiOf(x509(certificate))
const noCa = { client_ca: undefined }

/** What becomes of a client with this certificate: 'in', or the reason of the refusal. */
async function met(e: Edge, who: Certificate & { chain?: string } | undefined, options: ConnectionOptions = {}): Promise<string> {
  const [peers, lines] = [e.peers.length, e.log.length]
  const own = who === undefined ? {} : { cert: who.cert + (who.chain ?? ''), key: who.key }
  const socket = connectTls({ host: '127.0.0.1', port: e.port, ca: keys.ca.cert, ciphers: 'DEFAULT@SECLEVEL=0', ...own, ...options })
  socket.on('error', () => {}).on('secureConnect', () => socket.end('x')).resume()
  await once(socket, 'close').catch(() => {})
  await until(() => e.peers.length > peers || e.log.length > lines, 'it is told')
  return e.peers.length > peers ? 'in' : e.log.at(-1)!.reason
}

async function each(tls: Partial<TlsSettings>, ...clients: (Certificate & { chain?: string } | undefined)[]): Promise<string[]> {
  const told: string[] = []
  // Repeats are folded, so each has a listener of its own.
  for (const who of clients) told.push(await met(await edge({ tls }), who))
  return told
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: pins narrow the chain, of certificates and of keys; one match is enough`, async () => {
    const { client, ops, strangerClient } = keys
    const own = odd({ subject: '/CN=client', key: client })
    const limit = { minVersion: version, maxVersion: version } as const
    const told = async (tls: Partial<TlsSettings>) => await Promise.all([client, ops, strangerClient, own, undefined]
      .map(async who => await met(await edge({ tls }), who, limit)))
    const others = ['unknown-ca', 'unknown-ca', 'no-certificate']
    expect(await told({ fingerprints: [pinOf(client), pinOf(own)] })).toEqual(['in', 'wrong-pin', ...others])
    expect(await told({ spki: [keyPinOf(client)] })).toEqual(['in', 'wrong-pin', ...others])
    expect(await told({ fingerprints: [pinOf(ops)], spki: [keyPinOf(client)] })).toEqual(['in', 'in', ...others])
    // Without an authority: whoever signed it.
    expect(await told({ ...noCa, spki: [keyPinOf(client)] })).toEqual(['in', 'wrong-pin', 'wrong-pin', 'in', 'no-certificate'])
    expect(await told({ ...noCa, fingerprints: [pinOf(strangerClient)] })).toEqual(['wrong-pin', 'wrong-pin', 'in', 'wrong-pin', 'no-certificate'])
    expect(await told({ ...noCa, client_auth: 'optional', fingerprints: [pinOf(strangerClient)] })).toEqual(['wrong-pin', 'wrong-pin', 'in', 'wrong-pin', 'in'])
  })

  test(`${version}: a pinned client resumes its session, and is judged by the pins of the day`, async () => {
    const { client } = keys
    const e = await edge({ tls: { ...noCa, fingerprints: [pinOf(client)] } })
    const limit = { minVersion: version, maxVersion: version } as const
    const visit = async (session: Buffer | undefined) => {
      const socket = connectTls({ host: '127.0.0.1', port: e.port, ca: keys.ca.cert, cert: client.cert, key: client.key, session, ...limit })
      const tickets: Buffer[] = []
      socket.on('error', () => {}).on('session', ticket => tickets.push(ticket)).on('secureConnect', () => socket.write('x')).on('data', () => socket.end())
      await once(socket, 'close').catch(() => {})
      return tickets.at(-1)
    }
    const ticket = await visit(undefined)
    await visit(ticket)
    expect(e.peers.map(({ tls }) => tls!.resumed)).toEqual([false, true])

    // As if the pins had changed while the session lasts.
    Object.assign(e.listener.secure!, { rules: peerRules({ fingerprints: [pinOf(keys.ops)] }, undefined) })
    await visit(ticket)
    await until(() => e.log.length > 0, 'it is told')
    expect(e.log[0]).toMatchObject({ reason: 'wrong-pin' })
  })
}

test('a pin holds within the dates of its certificate, and for keys that are strong', async () => {
  const { expiredClient, futureClient } = keys
  const weak = odd({ key: ['rsa:1024'] })
  const tls = { ...noCa, fingerprints: [expiredClient, futureClient, weak].map(pinOf) }
  expect(await each(tls, expiredClient, futureClient, weak)).toEqual(['expired', 'not-yet-valid', 'weak-certificate'])
})

test('a refusal says what an operator compares, and can paste', async () => {
  const { client, ops } = keys
  const e = await edge({ tls: { fingerprints: [pinOf(ops)] } })
  await met(e, client)
  const detail = `its fingerprint is ${pinOf(client)}, that of its key ${keyPinOf(client)}`
  expect(e.log).toEqual([expect.objectContaining({
    event: 'handshake-failed', reason: 'wrong-pin', subject: 'O=memseal tests, OU=web, CN=client', fingerprint: pinOf(client), spki: keyPinOf(client), detail,
    words: "the client's certificate is none of those that are pinned in tls.fingerprints and tls.spki", code: 'WRONG_PIN',
    msg: `TLS handshake failed: the client's certificate is none of those that are pinned in tls.fingerprints and tls.spki (${detail})`,
  })])
  expect(e.counters.handshakesFailed['wrong-pin']).toBe(1)
})

/** The same certificate with a length that is no DER in its key, as OpenSSL takes it. */
function indefinite(certificate: Certificate): Certificate {
  const parts = (reader: DerReader) => {
    const found: Buffer[] = []
    while (!reader.isDone) found.push(reader.raw())
    return found
  }
  const sequence = (...content: Buffer[]) => {
    const body = Buffer.concat(content)
    return Buffer.concat([Buffer.from([0x30, 0x82, body.length >> 8, body.length & 255]), body])
  }
  const [tbs, ...rest] = parts(new DerReader(x509(certificate).raw).inside())
  const fields = parts(new DerReader(tbs).inside())
  const at = fields.length - (fields.at(-1)![0] === 0xa3 ? 2 : 1)
  fields[at] = Buffer.concat([Buffer.from([0x30, 0x80]), ...parts(new DerReader(fields[at]).inside()), Buffer.from([0, 0])])
  const der = sequence(sequence(...fields), ...rest)
  return { ...certificate, cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64').match(/.{1,64}/g)!.join('\n')}\n-----END CERTIFICATE-----\n` }
}

test('a certificate that is no DER is refused, and the listener goes on', async () => {
  const strange = indefinite(odd({ subject: '/CN=strange' }))
  expect(spkiOf(x509(strange))).toBe('')
  for (const tls of [{}, { ...noCa, spki: [keyPinOf(keys.client)] }]) {
    const e = await edge({ tls })
    expect(await met(e, strange)).toMatch(/^(unknown-ca|wrong-pin)$/)
    expect(await met(e, keys.client)).toBe('in')
  }
})

test('names narrow the chain; a common name only where it is allowed', async () => {
  const { client, ops, strangerClient, severalNames } = keys
  const signed = (subject: string) => odd({ subject, signer: keys.ca })
  const named = signed('/CN=web-1.example')
  expect(await each({ names: ['dns:*.test'] }, client, ops, strangerClient, named)).toEqual(['in', 'in', 'unknown-ca', 'name-not-accepted'])
  expect(await each({ names: ['uri:spiffe://memseal.test/client'] }, client, ops)).toEqual(['in', 'name-not-accepted'])
  const names = ['dns:web-*.example']
  expect(await each({ names }, named, severalNames)).toEqual(['cn-only', 'name-not-accepted'])
  expect(await each({ names, cn_as_name: 'allowed' }, named, signed('/CN=web-1.example/CN=web-2.example'), signed('/CN=db-1.example'), severalNames))
    .toEqual(['in', 'name-not-accepted', 'name-not-accepted', 'name-not-accepted'])
  expect(await each({ ...noCa, spki: [keyPinOf(client)], names: ['dns:ops.test'] }, client)).toEqual(['name-not-accepted'])
})

test('weak keys and hashes are told as such', async () => {
  const weak = (options: Odd) => odd({ subject: '/CN=weak', signer: keys.ca, ...options })
  expect(await each({}, weak({ key: ['rsa:1024'] }), weak({ hash: 'sha1' }))).toEqual(['weak-certificate', 'weak-certificate'])
  const e = await edge()
  await met(e, weak({ key: ['rsa:1024'] }))
  expect(e.log[0]).toMatchObject({ subject: 'CN=weak', detail: 'CN=weak: a key of RSA with 1024 bits, and 2048 are the least' })
})

const past = { from: '20200101000000Z', to: '20210101000000Z' }
const root = odd({ subject: '/CN=root', extensions: ofCa })
const int = odd({ subject: '/CN=int', signer: root, extensions: ofCa })
const below = odd({ subject: '/CN=below', signer: int })
const withInt = { ...below, chain: int.cert }
const caFile = (...certificates: Certificate[]) => ({ client_ca: fileOf(...certificates.map(({ cert }) => cert)) })

test('an intermediate alone is an authority, whatever else the client sends', async () => {
  const beside = odd({ subject: '/CN=beside', signer: root })
  expect(await each(caFile(int), below, withInt, { ...below, chain: int.cert + root.cert }, beside)).toEqual(['in', 'in', 'in', 'unknown-ca'])
  expect(await each(caFile(root), below, withInt, beside)).toEqual(['unknown-ca', 'in', 'in'])
  expect(await each(caFile(root, int), below, withInt, beside, keys.client)).toEqual(['in', 'in', 'in', 'unknown-ca'])
})

test('a certificate of its own is an authority of itself: self-signed or not, and of nobody else', async () => {
  const self = odd({ subject: '/CN=self', extensions: ['basicConstraints = critical,CA:FALSE'] })
  const child = { ...odd({ subject: '/CN=child', signer: self }), chain: self.cert }
  const imposter = odd({ subject: '/CN=self', extensions: ['basicConstraints = critical,CA:FALSE'] })
  expect(await each(caFile(self), self, child, imposter, below)).toEqual(['in', expect.not.stringMatching('in$'), 'unknown-ca', 'unknown-ca'])
  expect(await each(caFile(below), below, withInt, self)).toEqual(['in', 'in', 'unknown-ca'])
  const ended = odd({ subject: '/CN=ended', signer: int, ...past })
  const endedSelf = odd({ subject: '/CN=ended', ...past })
  expect(await each(caFile(ended, endedSelf), ended, endedSelf)).toEqual(['expired', 'expired'])
})

test('a root of version 1 is an authority', async () => {
  const first = odd({ subject: '/CN=first' })
  expect(await each(caFile(first), odd({ subject: '/CN=its', signer: first }), below)).toEqual(['in', 'unknown-ca'])
})

test('an authority that is not trusted for clients, by its own settings, is none', async () => {
  const trusted = (...args: string[]) => fileOf(execFileSync('openssl', ['x509', '-in', root.certFile, '-trustout', ...args], { encoding: 'utf8' }))
  expect(await each({ client_ca: trusted('-addtrust', 'clientAuth') }, withInt)).toEqual(['in'])
  expect(await each({ client_ca: trusted('-addreject', 'clientAuth') }, withInt)).toEqual(['wrong-purpose'])
})

test('the words name what is missing', async () => {
  const remade = odd({ subject: '/CN=root', extensions: ofCa })
  const detail = async (tls: Partial<TlsSettings>, who: Certificate & { chain?: string }) => {
    const e = await edge({ tls })
    await met(e, who)
    return e.log[0].detail
  }
  expect(await detail({}, below)).toBe('it is signed by CN=int, which tls.client_ca does not have')
  expect(await detail({}, withInt)).toBe('CN=int is signed by CN=root, which tls.client_ca does not have')
  expect(await detail(caFile(remade), withInt)).toBe('CN=int is signed by CN=root, and tls.client_ca has another certificate of that name, with another key')
  expect(await detail(caFile(root), odd({ subject: '/CN=self' }))).toBe('it has signed itself as CN=self, which tls.client_ca does not have')
  expect(await detail(caFile(root), odd({ subject: '/CN=gone', signer: root, ...past }))).toBe('CN=gone on 2021-01-01')
})

const constrained = [...ofCa, 'nameConstraints = critical,permitted;DNS:example.com']
const top = odd({ subject: '/CN=top', extensions: ofCa })
const free = odd({ subject: '/CN=free', signer: top, extensions: ofCa })
const bound = odd({ subject: '/CN=bound', signer: top, extensions: constrained })
const boundTop = odd({ subject: '/CN=bound top', extensions: constrained })

test.each([
  ['the intermediate is sent along', [top], bound, bound.cert], ['the intermediate stands in client_ca', [top, bound], bound, ''],
  ['the root itself is constrained', [boundTop], boundTop, ''], ['the intermediate alone is trusted', [bound], bound, ''],
])('with name constraints in the chain a common name is not taken for a name: %s', async (_, trusted, signer, chain) => {
  const tls = { client_ca: fileOf(...trusted.map(({ cert }) => cert)), names: ['dns:web1', 'dns:web1.example.com'], cn_as_name: 'allowed' } as const
  for (const name of ['web1', 'web1.example.com']) {
    const e = await edge({ tls })   // a log of its own: repeats are folded
    expect(await met(e, { ...odd({ subject: `/CN=${name}`, signer }), chain })).toBe('cn-only')
    expect(e.log.at(-1)).toMatchObject({ detail: `CN=${name}, and a CA of its chain has name constraints: no common name counts there` })
  }
  expect(await met(await edge({ tls }), { ...odd({ subject: '/CN=web1', signer, extensions: ['subjectAltName = DNS:web1.example.com'] }), chain })).toBe('in')
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)('without name constraints the common name counts, beside a CA that has them, and in a session that is resumed (%s)', async maxVersion => {
  const e = await edge({ tls: { client_ca: fileOf(top.cert, boundTop.cert), names: ['dns:web1'], cn_as_name: 'allowed' } })
  const client = odd({ subject: '/CN=web1', signer: free })
  let session: Buffer | undefined
  const options = { cert: client.cert + free.cert, key: client.key, ca: keys.ca.cert, host: '127.0.0.1', port: e.port, maxVersion }
  for (const isAgain of [false, true]) {
    const socket = connectTls({ ...options, session }).on('error', () => {}).on('session', each => { session = each })
    await once(socket, 'secureConnect')
    socket.write('x')
    await once(socket, 'data')
    socket.end()
    expect(e.peers.at(-1)!.tls!.resumed).toBe(isAgain)
  }
})
