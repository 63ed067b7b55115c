import { X509Certificate } from 'node:crypto'
import type { PeerCertificate } from 'node:tls'
import { expect, test } from 'vitest'
import { backendTls, connectionOptions, expectedName, type IdentityError } from '../../src/tls/backend.ts'
import { backendFailure, backendFailures } from '../../src/tls/backend-failure.ts'
import { readBackendMaterial } from '../../src/tls/material.ts'
import { pki, type Certificate } from '../support/pki.ts'

interface Settings { server_name?: string, fingerprints?: string[], names?: string[] }

async function judged(certificate: Certificate, settings: Settings, host = 'localhost'): Promise<string | undefined> {
  const { ca } = await pki()
  const all = { ca: ca.certFile, cert: undefined, key: undefined, server_name: undefined, min_version: 'TLSv1.2' as const, fingerprints: [], names: [], ...settings }
  const tls = backendTls(readBackendMaterial(all).material!, all)
  const x509 = new X509Certificate(certificate.cert)
  const options = connectionOptions(tls, host)
  const shown = { ...x509.toLegacyObject(), raw: x509.raw } as PeerCertificate
  return (options.checkServerIdentity!(expectedName(tls, host), shown) as IdentityError | undefined)?.code
}

test('the name is that of `connect`, or server_name; addresses count as names', async () => {
  const { server } = await pki()
  expect(await judged(server, {})).toBeUndefined()
  expect(await judged(server, {}, '127.0.0.1')).toBeUndefined()
  expect(await judged(server, {}, '127.0.0.2')).toBe('WRONG_NAME')
  expect(await judged(server, {}, 'cache.example')).toBe('WRONG_NAME')
  expect(await judged(server, { server_name: 'localhost' }, 'cache.example')).toBeUndefined()
  expect(await judged(server, { server_name: 'cache.example' })).toBe('WRONG_NAME')
})

test('pins and accepted names narrow further, and never widen', async () => {
  const { server, client } = await pki()
  const pin = new X509Certificate(server.cert).fingerprint256
  const other = new X509Certificate(client.cert).fingerprint256
  expect(await judged(server, { fingerprints: [other, pin] })).toBeUndefined()
  expect(await judged(server, { fingerprints: [other] })).toBe('WRONG_PIN')
  expect(await judged(server, { fingerprints: [pin] }, 'cache.example')).toBe('WRONG_NAME')
  expect(await judged(server, { names: ['dns:LOCALHOST'] })).toBeUndefined()
  expect(await judged(server, { names: ['dns:local'] })).toBe('NAME_NOT_ACCEPTED')
  expect(await judged(server, { names: ['uri:localhost:x'] })).toBe('NAME_NOT_ACCEPTED')
  expect(await judged(client, { server_name: 'client.test', names: ['uri:spiffe://memseal.test/*'] })).toBeUndefined()
  expect(await judged(client, { server_name: 'client.test', names: ['uri:spiffe://*/client'] })).toBe('NAME_NOT_ACCEPTED')   // `*` is no dot
  expect(await judged(client, { server_name: 'client.test', names: ['uri:SPIFFE://memseal.test/client'] })).toBe('NAME_NOT_ACCEPTED')
  expect(await judged(client, { server_name: 'client.test', names: ['dns:*.test'] })).toBeUndefined()
  expect(await judged(client, { server_name: 'client.test', names: ['dns:*'] })).toBe('NAME_NOT_ACCEPTED')
})

test('an address is not asked for by name', async () => {
  const { ca } = await pki()
  const settings = { ca: ca.certFile, cert: undefined, key: undefined, server_name: undefined, min_version: 'TLSv1.2' as const, fingerprints: [], names: [] }
  const tls = backendTls(readBackendMaterial(settings).material!, settings)
  expect(connectionOptions(tls, '10.0.0.1').servername).toBe('')
  expect(connectionOptions(tls, 'cache.example')).toMatchObject({ servername: 'cache.example', rejectUnauthorized: true })
})

test('every failure has words and advice; codes that nobody knows are told as they are', () => {
  const reasonOf = (code: string, isSecured = false) => backendFailure(code, isSecured, '').reason
  for (const [code, reason] of [
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'wrong-ca'], ['CERT_HAS_EXPIRED', 'expired'], ['CERT_NOT_YET_VALID', 'not-yet-valid'], ['CERT_REVOKED', 'revoked'],
    ['INVALID_PURPOSE', 'bad-certificate'], ['EE_KEY_TOO_SMALL', 'bad-certificate'], ['ERR_SSL_WRONG_VERSION_NUMBER', 'plain-text'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'certificate-refused'], ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'certificate-refused'],
    ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'certificate-refused'], ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls-version'],
    ['ERR_SSL_NEW_AND_UNHEARD_OF', 'handshake-failed'],
  ]) expect(`${code} ${reasonOf(code)}`).toBe(`${code} ${reason}`)
  expect([reasonOf('ECONNRESET'), reasonOf('CLOSED', true)]).toEqual(['closed-in-handshake', 'closed-after-handshake'])
  expect(backendFailure('ERR_SSL_NEW', false, 'ERR_SSL_NEW').words).toBe('the TLS handshake failed (ERR_SSL_NEW)')
  expect(new Set(backendFailures).size).toBe(backendFailures.length)
})
