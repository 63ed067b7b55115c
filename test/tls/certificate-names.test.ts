import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { Authority } from '../../src/policy/authority.ts'
import { certificateNames } from '../../src/tls/certificate-names.ts'
import { odd } from '../support/certificates.ts'
import { pki } from '../support/pki.ts'

// Who a certificate is for is read from its DER: nothing that stands within a name makes another name of it.

const namesOf = (wish: Parameters<typeof odd>[0]) => certificateNames(new X509Certificate(odd(wish).cert))

test('names as they are', async () => {
  const { client, severalNames } = await pki()
  const x509 = new X509Certificate(client.cert)
  expect(certificateNames(x509)).toEqual({
    cn: 'client', ou: ['web'], dns: ['client.test'], uri: ['spiffe://memseal.test/client'], ip: [],
    issuer: [{ type: 'O', value: 'memseal tests' }, { type: 'CN', value: 'memseal test CA' }],
    serial: x509.serialNumber, fingerprint: x509.fingerprint256, spki: expect.stringMatching(/^sha256\/.{43}=$/),
  })
  expect(certificateNames(x509)).toBe(certificateNames(new X509Certificate(client.cert)))
  // Of several nobody can say which one is meant.
  expect(certificateNames(new X509Certificate(severalNames.cert)).cn).toBeUndefined()
})

test('a comma, quotes and an equals sign within a name are a part of it', () => {
  expect(namesOf({ subject: '/CN=web-1, CN=ops' })).toMatchObject({ cn: 'web-1, CN=ops' })
  expect(namesOf({ subject: '/OU=a\\/CN=ops/CN=web-1' })).toMatchObject({ cn: 'web-1', ou: ['a/CN=ops'] })
  expect(namesOf({ subject: '/CN=x', extensions: ['subjectAltName = @n', '[n]', 'URI.1 = spiffe://x/a\\,DNS:ops.test', 'DNS.1 = web.test'] })).toMatchObject({ dns: ['web.test'] })
})

test('addresses in their short form', () => {
  expect(namesOf({ extensions: ['subjectAltName = IP:10.1.2.3, IP:2001:db8:0:0:0:0:0:1'] }).ip).toEqual(['10.1.2.3', '2001:db8::1'])
})

test('a name with a line end, a NUL or a mark that is not seen is a name for nobody', () => {
  for (const mark of ['\n', '\u0000', '\u202e', '\u200b', '\r', '\t']) {
    // In the DER, in the place of a byte or more of a name of the same length.
    const bytes = Buffer.from(mark)
    const filler = 'Z'.repeat(bytes.length)
    const der = new X509Certificate(odd({ subject: `/OU=team${filler}web/CN=ops${filler}x` }).cert).raw
    const forged = Buffer.from(der)
    for (let at = forged.indexOf(filler); at >= 0; at = forged.indexOf(filler, at + 1)) if (/team|ops/.test(forged.toString('latin1', at - 4, at))) bytes.copy(forged, at)
    const names = certificateNames(new X509Certificate(forged))
    expect([names.cn, names.ou], JSON.stringify(mark)).toEqual([undefined, []])
  }
})

test('rules fit by names that are, and by all keys of a match', async () => {
  const { client } = await pki()
  const certificate = certificateNames(new X509Certificate(client.cert))
  const none = { cn: [], ou: [], dns: [], uri: [], ip: [], issuer: [], fingerprint: [], spki: [], source: [], listener: [] }
  const fits = (match: object, identity: object = {}): boolean => new Authority({
    commands: ['read'], access_mode: 'enforce', access: [{ name: 'r', match: { ...none, ...match }, keys: [], deny_keys: [], limits: {} }],
  }).permitFor({ certificate, source: { kind: 'ip', address: '10.1.2.3' }, listener: 'l', ...identity }) !== undefined
  for (const match of [
    { cn: ['x', 'client'] }, { ou: ['w*'] }, { dns: ['*.test'] }, { uri: ['spiffe://memseal.test/**'] }, { issuer: ['memseal test *'] }, { issuer: ['O=memseal tests, CN=memseal test CA'] },
    { fingerprint: [certificate.fingerprint] }, { spki: [certificate.spki] }, { source: ['10.0.0.0/8'] }, { listener: ['l'] }, { cn: ['client'], ou: ['web'], source: ['10.1.2.3/32'] },
  ]) expect(fits(match), JSON.stringify(match)).toBe(true)
  for (const match of [
    { cn: ['Client'] }, { ou: ['ops'] }, { dns: ['*.other'] }, { uri: ['spiffe://memseal.test/x'] }, { issuer: ['another CA'] }, { issuer: ['O=memseal tests, CN=another'] }, { ip: ['10.0.0.0/8'] },
    { fingerprint: ['00'] }, { spki: ['sha256/x'] }, { source: ['192.0.2.0/24', 'unix'] }, { listener: ['m'] }, { cn: ['client'], ou: ['ops'] }, { cn: ['client'], source: ['unix'] },
  ]) expect(fits(match), JSON.stringify(match)).toBe(false)
  expect([fits({ source: ['unix'] }, { source: { kind: 'unix' } }), fits({ source: ['0.0.0.0/0'] }, { source: { kind: 'unix' } })]).toEqual([true, false])
  for (const match of [{ cn: ['*'] }, { ou: ['*'] }, { dns: ['*.test'] }, { ip: ['0.0.0.0/0'] }, { issuer: ['*'] }]) expect(fits(match, { certificate: undefined })).toBe(false)
})
