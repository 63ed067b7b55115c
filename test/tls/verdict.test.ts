import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { constraintsOf } from '../../src/tls/backend.ts'
import { peerFault, peerRules, type RuleSettings } from '../../src/tls/verdict.ts'
import { odd, ofCa, type Odd } from '../support/certificates.ts'
import { pki, type Certificate } from '../support/pki.ts'

const keys = await pki()
const of = ({ cert }: { cert: string }) => new X509Certificate(cert)
const pinOf = (certificate: Certificate) => of(certificate).fingerprint256
const keyPinOf = ({ certFile }: Certificate) => `sha256/${execFileSync('sh', ['-c',
  `openssl x509 -in ${certFile} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64`], { encoding: 'utf8' }).trim()}`
const other = pinOf(keys.client)

/** Judged as if its chain were good, or as the code says. */
function judged(certificate: Certificate, settings: RuleSettings, host: string | 'any' = 'localhost', chainCode = ''): string | undefined {
  return peerFault(of(certificate), chainCode, peerRules(settings, { place: 'tls.ca', known: [] }), host === 'any' ? undefined : host)?.code
}

/** Pinned, and no authority is known. */
function pinned(certificate: Certificate, settings: RuleSettings, host?: string, now?: number) {
  return peerFault(of(certificate), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', peerRules(settings, undefined), host, now)
}

test('with authorities: chain, name, pins and accepted names all have to be good', () => {
  const { server, client } = keys
  expect(judged(server, {})).toBeUndefined()
  expect(judged(server, {}, '127.0.0.1')).toBeUndefined()
  expect(judged(server, {}, '127.0.0.2')).toBe('WRONG_NAME')
  expect(judged(server, {}, 'localhost.')).toBeUndefined()
  expect(judged(server, {}, 'LOCALHOST')).toBeUndefined()
  expect(judged(server, {}, 'cache.example')).toBe('WRONG_NAME')
  expect(judged(server, { fingerprints: [pinOf(server)] }, 'localhost', 'SELF_SIGNED_CERT_IN_CHAIN')).toBe('SELF_SIGNED_CERT_IN_CHAIN')
  expect(judged(server, { fingerprints: [pinOf(server)] }, 'cache.example')).toBe('WRONG_NAME')
  expect(judged(server, { fingerprints: [other, pinOf(server)] })).toBeUndefined()
  expect(judged(server, { fingerprints: [other] })).toBe('WRONG_PIN')
  expect(judged(server, { spki: [keyPinOf(client), keyPinOf(server)] })).toBeUndefined()
  expect(judged(server, { spki: [keyPinOf(client)] })).toBe('WRONG_PIN')
  expect(judged(server, { fingerprints: [other], spki: [keyPinOf(server)] })).toBeUndefined()
  expect(judged(server, { fingerprints: [pinOf(server)], spki: [keyPinOf(client)] })).toBeUndefined()
})

test('a pin alone: whoever signed it, but within its dates, and with a name only where one is written', () => {
  const { server, expiredServer } = keys
  const pins = { spki: [keyPinOf(server)] }
  expect(pinned(server, pins)).toBeUndefined()
  expect(pinned(server, { fingerprints: [pinOf(server)] })).toBeUndefined()
  expect(pinned(server, { fingerprints: [other] })).toEqual({ code: 'WRONG_PIN', detail: `its fingerprint is ${pinOf(server)}, that of its key ${keyPinOf(server)}` })
  expect(pinned(server, pins, 'localhost')).toBeUndefined()
  expect(pinned(server, pins, 'cache.example')).toMatchObject({ code: 'WRONG_NAME', detail: expect.stringContaining('expected cache.example; it has DNS:localhost') })
  expect(pinned(server, { ...pins, names: ['dns:cache.example'] })?.code).toBe('NAME_NOT_ACCEPTED')
  expect(pinned(expiredServer, { spki: [keyPinOf(expiredServer)] })).toEqual({ code: 'CERT_HAS_EXPIRED', detail: 'O=memseal tests, CN=localhost on 2021-01-01' })

  const { validFromDate, validToDate } = of(server)
  const at = (date: Date, ms: number) => pinned(server, pins, undefined, date.getTime() + ms)?.code
  expect([at(validFromDate, -1), at(validFromDate, 0), at(validToDate, -1), at(validToDate, 0)])
    .toEqual(['CERT_NOT_YET_VALID', undefined, undefined, 'CERT_HAS_EXPIRED'])
})

test("without a pin and without authorities nobody would be told from a stranger, so that is refused by the configuration's rules; here nothing is", () => {
  expect(pinned(keys.server, {})).toBeUndefined()
})

test('a pin of the key goes on through a renewal with the same key, one of the certificate does not', () => {
  const renewed = odd({ subject: '/CN=localhost', key: keys.server })
  expect(pinned(renewed, { spki: [keyPinOf(keys.server)] })).toBeUndefined()
  expect(pinned(renewed, { fingerprints: [pinOf(keys.server)] })?.code).toBe('WRONG_PIN')
})

test('a pinned key that is weak is not believed; its certificate may be signed with what it likes', () => {
  const weak = odd({ key: ['rsa:1024'] })
  expect(pinned(weak, { fingerprints: [pinOf(weak)] })).toEqual({ code: 'WEAK_KEY', detail: 'a key of RSA with 1024 bits, and 2048 are the least' })
  const least = odd({ key: ['rsa:2048'], hash: 'sha1' })
  expect(pinned(least, { fingerprints: [pinOf(least)] })).toBeUndefined()
})

test('accepted names: a star stays within a label, and takes nothing that a name is not made of', () => {
  const { server, client } = keys
  const names = (certificate: Certificate, ...accepted: string[]) => judged(certificate, { names: accepted }, 'any') ?? 'fine'
  expect(names(server, 'dns:LOCALHOST')).toBe('fine')
  expect(names(server, 'dns:local')).toBe('NAME_NOT_ACCEPTED')
  expect(names(server, 'uri:localhost:x')).toBe('NAME_NOT_ACCEPTED')
  expect(names(client, 'uri:spiffe://memseal.test/*')).toBe('fine')
  expect(names(client, 'uri:spiffe://*/client')).toBe('NAME_NOT_ACCEPTED')   // `*` is no dot
  expect(names(client, 'uri:SPIFFE://memseal.test/client')).toBe('NAME_NOT_ACCEPTED')
  expect(names(client, 'dns:nobody', 'dns:*.test')).toBe('fine')
  expect(names(client, 'dns:*')).toBe('NAME_NOT_ACCEPTED')
  expect(names(server, 'dns:')).toBe('NAME_NOT_ACCEPTED')
})

/** A subject alternative name of any bytes, as DER. */
function san(tag: number, bytes: string): string[] {
  const name = Buffer.from(bytes, 'latin1')
  const der = Buffer.concat([Buffer.from([0x30, name.length + 2, tag, name.length]), name])
  return [`subjectAltName = DER:${der.toString('hex').match(/../g)!.join(':')}`]
}

test.each([
  ['NUL', 'cache-1\0.example.com'], ['NUL at the end', 'cache-1.example.com\0.evil.example'], ['comma', 'x, DNS:cache-1.example.com'],
  ['quote', 'x", DNS:cache-1.example.com, "'], ['line end', 'x\nDNS:cache-1.example.com'], ['line end at the end', 'cache-1.example.com\n'],
  ['blank', 'cache-1 .example.com'], ['backslash', 'cache-\\1.example.com'], ['high byte', 'cache-\xe9.example.com'],
])('a name with a %s is no other name', (_, name) => {
  for (const [tag, kind] of [[0x82, 'dns'], [0x86, 'uri']] as const) {
    const certificate = odd({ extensions: san(tag, name) })
    const accepted = kind === 'dns' ? ['dns:cache-1.example.com', 'dns:cache-*.example.com', 'dns:*.example.com'] : ['uri:x:cache-1.example.com', 'uri:*:cache-1.example.com']
    for (const each of accepted) expect(`${each} ${judged(certificate, { names: [each], cn_as_name: 'allowed' }, 'any')}`).toBe(`${each} NAME_NOT_ACCEPTED`)
    expect(judged(certificate, { cn_as_name: 'allowed' }, 'cache-1.example.com')).toBe('WRONG_NAME')
    expect(peerFault(of(certificate), '', peerRules({}, { place: 'tls.ca', known: [] }), 'cache-1.example.com')!.detail).toMatch(/^[ -~]+$/)
  }
})

test('the common name counts when it is allowed, alone, and there is no subject alternative name', () => {
  const all = (options: Odd, host = 'cache-1.example') => {
    const certificate = odd({ subject: '/CN=cache-1.example', ...options })
    return (['refused', 'allowed'] as const).map(cn_as_name => [
      judged(certificate, { cn_as_name }, host) ?? 'fine', judged(certificate, { cn_as_name, names: ['dns:cache-*.example'] }, 'any') ?? 'fine',
    ].join(' '))
  }
  expect(all({})).toEqual(['CN_ONLY CN_ONLY', 'fine fine'])
  expect(all({ subject: '/CN=*.cache.example' }, 'a.cache.example')).toEqual(['CN_ONLY NAME_NOT_ACCEPTED', 'fine NAME_NOT_ACCEPTED'])
  expect(all({ subject: '/CN=cache-2.example' })).toEqual(['WRONG_NAME CN_ONLY', 'WRONG_NAME fine'])
  expect(all({ subject: '/CN=10.0.0.1' }, '10.0.0.1')).toEqual(['WRONG_NAME NAME_NOT_ACCEPTED', 'WRONG_NAME NAME_NOT_ACCEPTED'])
  for (const extensions of [['subjectAltName = DNS:x.example'], ['subjectAltName = IP:10.0.0.1'], ['subjectAltName = email:a@b.example'], ['subjectAltName = DER:30:00']]) {
    expect(all({ extensions })).toEqual(['WRONG_NAME NAME_NOT_ACCEPTED', 'WRONG_NAME NAME_NOT_ACCEPTED'])
  }
  for (const subject of ['/CN=cache-1.example/CN=cache-2.example', '/O=cache-1.example', '/CN=cache-1.example, OU=x', '/CN=x\\, CN=cache-1.example']) {
    expect(all({ subject })).toEqual(['WRONG_NAME NAME_NOT_ACCEPTED', 'WRONG_NAME NAME_NOT_ACCEPTED'])
  }
})

test('a refusal names the common name that was found', () => {
  const detail = (options: Odd, host: string) => peerFault(of(odd(options)), '', peerRules({}, { place: 'tls.ca', known: [] }), host)!.detail
  expect(detail({ subject: '/CN=cache-1.example' }, 'cache-1.example')).toBe('CN=cache-1.example')
  expect(detail({ subject: '/CN=cache-1.example' }, 'b.example')).toBe('expected b.example; it has none but CN=cache-1.example, and a common name is not taken for one')
  expect(detail({ subject: '/O=x' }, 'b.example')).toBe('expected b.example; it has none')
  expect(detail({ subject: '/CN=a/CN=b' }, 'a')).toBe('expected a; it has none but CN=a, CN=b, and a common name of several is none')
})

test('the words say what is missing, and it is so', () => {
  const root = odd({ subject: '/CN=root', extensions: ofCa })
  const leaf = odd({ subject: '/CN=leaf', signer: root })
  const missing = (certificate: Certificate, authorities: string[]) =>
    peerFault(of(certificate), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', peerRules({}, { place: 'tls.ca', known: authorities.map(subject => ({ subject, fingerprint: '' })) }), undefined)!.detail
  expect(missing(leaf, ['CN=ca'])).toBe('it is signed by CN=root, which tls.ca does not have')
  expect(missing(leaf, ['CN=root'])).toBe('it is signed by CN=root, and tls.ca has another certificate of that name, with another key')
  expect(missing(root, ['CN=ca'])).toBe('it has signed itself as CN=root, which tls.ca does not have')
})

test('weak keys and hashes are told as such, though OpenSSL says UNSPECIFIED', () => {
  const weak = (options: Odd) => peerFault(of(odd({ signer: keys.ca, subject: '/CN=x', ...options })), 'UNSPECIFIED', peerRules({}, { place: 'tls.ca', known: [] }), undefined)
  expect(weak({ key: ['rsa:1024'] })).toEqual({ code: 'WEAK_KEY', detail: 'CN=x: a key of RSA with 1024 bits, and 2048 are the least' })
  expect(weak({ key: ['rsa:2047'] })?.code).toBe('WEAK_KEY')
  expect(weak({ key: ['rsa:2048'] })).toEqual({ code: 'UNSPECIFIED', detail: '' })
  expect(weak({ key: ['ec', '-pkeyopt', 'ec_paramgen_curve:prime192v1'] })).toEqual({ code: 'WEAK_KEY', detail: 'CN=x: a key on the curve prime192v1, and P-256 is the least' })
  expect(weak({ key: ['ec', '-pkeyopt', 'ec_paramgen_curve:secp224r1'] })?.code).toBe('UNSPECIFIED')
  expect(weak({ hash: 'sha1' })).toEqual({ code: 'WEAK_HASH', detail: 'CN=x: a signature with SHA-1' })
  const rsa = odd({ subject: '/CN=rsa', key: ['rsa:2048'], extensions: ofCa })
  expect(weak({ hash: 'md5', signer: rsa })?.detail).toBe('CN=x: a signature with MD5')
  expect(weak({ hash: 'sha1', signer: rsa })?.code).toBe('WEAK_HASH')
  expect(weak({})?.code).toBe('UNSPECIFIED')
})

test('a common name counts where no name constraints hold', () => {
  const certificate = of(odd({ subject: '/CN=cache-1' }))
  const code = (isConstrained: boolean) => peerFault(certificate, '', peerRules({ cn_as_name: 'allowed' }, { place: 'tls.ca', known: [], isConstrained: () => isConstrained }), 'cache-1')?.code
  expect([code(true), code(false)]).toEqual(['CN_ONLY', undefined])
})

test('the client side of TLS sees the name constraints of a chain', () => {
  const root = odd({ subject: '/CN=root', extensions: [...ofCa, 'nameConstraints = permitted;DNS:example.com'] })
  const plain = odd({ subject: '/CN=plain', extensions: ofCa })
  const isConstrained = constraintsOf([root.cert, plain.cert])
  expect([root, plain].map(signer => isConstrained(of(odd({ subject: '/CN=cache-1', signer }))))).toEqual([true, false])
  expect(isConstrained(of(odd({ subject: '/CN=stranger' })))).toBe(true)
})
