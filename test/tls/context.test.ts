import { createSecureContext } from 'node:tls'
import { expect, test } from 'vitest'
import { listenerTls, type TlsSettings } from '../../src/tls/context.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { pki } from '../support/pki.ts'

const settings: TlsSettings = { client_auth: 'required', min_version: 'TLSv1.2', session_tickets: true }

test('asking for certificates without a CA of our own is a fault, else the public CAs would decide', async () => {
  const { server } = await pki()
  const { material } = readMaterial({ cert: server.certFile, key: server.keyFile })
  expect(() => listenerTls(material!, settings, 'a')).toThrow('needs tls.client_ca')
  expect(() => listenerTls(material!, { ...settings, client_auth: 'optional' }, 'a')).toThrow('needs tls.client_ca')
  expect(listenerTls(material!, { ...settings, client_auth: 'none' }, 'a').options.requestCert).toBe(false)
})

test('the scope of sessions is that of the listener, its CA and what it asks of clients, and the same after a restart', async () => {
  const { server, ca, otherCa } = await pki()
  const scope = (clientCa: string, more: Partial<TlsSettings>, name: string) => {
    const { material } = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: clientCa })
    const { options } = listenerTls(material!, { ...settings, ...more }, name)
    createSecureContext(options)
    return options.sessionIdContext!
  }
  const scopes = [scope(ca.certFile, {}, 'a'), scope(ca.certFile, {}, 'b'), scope(otherCa.certFile, {}, 'a'), scope(ca.certFile, { client_auth: 'optional' }, 'a')]
  expect(new Set(scopes).size).toBe(4)
  expect(scope(ca.certFile, {}, 'a')).toBe(scopes[0])
  for (const each of scopes) expect(Buffer.byteLength(each)).toBeLessThanOrEqual(32)
})
