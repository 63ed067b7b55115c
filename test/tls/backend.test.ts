import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { backendTls, connectionOptions, endOfChain, expectedName } from '../../src/tls/backend.ts'
import { backendFailure, backendFailures } from '../../src/tls/backend-failure.ts'
import { readBackendMaterial } from '../../src/tls/material.ts'
import { authority, issue } from '../support/issue.ts'
import { pki, type Certificate } from '../support/pki.ts'

const settings = {
  ca: undefined, cert: undefined, key: undefined, server_name: undefined, min_version: 'TLSv1.2' as const,
  fingerprints: [], spki: [], names: [], cn_as_name: 'refused' as const,
}

function made(more: object) {
  const all = { ...settings, ...more }
  return backendTls(readBackendMaterial(all).material!, all)
}

test('the name is that of `connect`, or server_name; of a pin alone none is expected but one that is written', async () => {
  const { ca: { certFile: ca } } = await pki()
  const name = (more: object) => expectedName(made(more), 'cache.example')
  expect(name({ ca })).toBe('cache.example')
  expect(name({ ca, server_name: 'x.example' })).toBe('x.example')
  expect(name({ spki: ['sha256/x'] })).toBeUndefined()
  expect(name({ spki: ['sha256/x'], server_name: 'x.example' })).toBe('x.example')
})

test('an address is not asked for by name', async () => {
  const { ca } = await pki()
  const tls = made({ ca: ca.certFile })
  expect(connectionOptions(tls, '10.0.0.1').servername).toBe('')
  expect(connectionOptions(tls, 'cache.example')).toMatchObject({ servername: 'cache.example' })
})

test('every failure has words and advice; codes that nobody knows are told as they are', () => {
  const reasonOf = (code: string, isSecured = false) => backendFailure(code, isSecured, '').reason
  for (const [code, reason] of [
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'wrong-ca'], ['CERT_HAS_EXPIRED', 'expired'], ['CERT_NOT_YET_VALID', 'not-yet-valid'], ['CERT_REVOKED', 'revoked'],
    ['INVALID_PURPOSE', 'bad-certificate'], ['WEAK_KEY', 'weak-certificate'], ['CN_ONLY', 'cn-only'], ['EE_KEY_TOO_SMALL', 'bad-certificate'], ['ERR_SSL_WRONG_VERSION_NUMBER', 'plain-text'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'certificate-refused'], ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'certificate-refused'],
    ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'certificate-refused'], ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls-version'],
    ['ERR_SSL_NEW_AND_UNHEARD_OF', 'handshake-failed'],
  ]) expect(`${code} ${reasonOf(code)}`).toBe(`${code} ${reason}`)
  expect([reasonOf('ECONNRESET'), reasonOf('CLOSED', true)]).toEqual(['closed-in-handshake', 'closed-after-handshake'])
  expect(backendFailure('ERR_SSL_NEW', false, 'ERR_SSL_NEW').words).toBe('the TLS handshake failed (ERR_SSL_NEW)')
  expect(new Set(backendFailures).size).toBe(backendFailures.length)
})

test('a session is good for no longer than the first certificate of its chain, the authority included', async () => {
  const root = await issue({ name: 'root', days: 40 })
  const between = await issue({ ca: root, name: 'between', extensions: authority, days: 5 })
  const certificate = (cert: string): X509Certificate => new X509Certificate(cert)
  const endOf = ({ cert }: { cert: string }): number => certificate(cert).validToDate.getTime()
  /** As a socket gives it: the sent issuer hangs on it. */
  const shown = async (days: number, sent?: Certificate): Promise<X509Certificate> => {
    const it = certificate((await issue({ ca: sent ?? root, days })).cert)
    if (sent !== undefined) Object.defineProperty(it, 'issuerCertificate', { value: certificate(sent.cert) })
    return it
  }
  const believed = [{ subject: 'O=memseal tests, CN=root', fingerprint: '', notAfter: new Date(endOf(root)) }]
  const [long, short] = [await shown(50), await shown(3)]
  expect(endOfChain(long, believed)).toBe(endOf(root))
  expect(endOfChain(short, believed)).toBe(short.validToDate.getTime())
  expect(endOfChain(await shown(30, between), believed)).toBe(endOf(between))
  expect(endOfChain(await shown(30, between), [])).toBeGreaterThan(endOf(between))
  expect(endOfChain(undefined, believed)).toBe(0)
})
