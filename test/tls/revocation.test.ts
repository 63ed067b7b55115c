import { join } from 'node:path'
import { expect, test } from 'vitest'
import { listenerTls, type TlsSettings } from '../../src/tls/context.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { makeCrl } from '../support/crl.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { edge, visit } from './edge.ts'

interface Rules { revoked?: Certificate[], isExpired?: boolean, crl_expired?: 'refuse' | 'warn', ca?: Certificate }

/** TLS rules of the edge's listener with a revocation list. */
async function rules({ ca, crl_expired = 'refuse', ...list }: Rules) {
  const made = await pki()
  const crl = join(tempFolder(), 'clients.crl')
  await makeCrl(crl, { ca: ca ?? made.ca, ...list })
  const settings: TlsSettings = { client_auth: 'required', min_version: 'TLSv1.2', session_tickets: true, crl_expired }
  const { material } = readMaterial({ cert: made.server.certFile, key: made.server.keyFile, client_ca: made.ca.certFile, crl, crl_expired })
  return listenerTls(material!, settings, 'test')
}

test.each(['refuse', 'warn'] as const)('a list that holds keeps out whom it names, and nobody else (crl_expired: %s)', async crl_expired => {
  const { client, ops } = await pki()
  const at = await edge()
  at.listener.update({ secure: await rules({ revoked: [client], crl_expired }), timeoutMs: 5000 })
  expect((await visit(at, client)).outcome).toBe('revoked')
  expect((await visit(at, ops)).outcome).toBe('in')
})

test('past its next update a list keeps out everybody, or only whom it names', async () => {
  const { client, ops } = await pki()
  const at = await edge()
  at.listener.update({ secure: await rules({ revoked: [client], isExpired: true }), timeoutMs: 5000 })
  expect((await visit(at, ops)).outcome).toBe('crl-expired')
  at.listener.update({ secure: await rules({ revoked: [client], isExpired: true, crl_expired: 'warn' }), timeoutMs: 5000 })
  expect((await visit(at, ops)).outcome).toBe('in')
  expect((await visit(at, client)).outcome).toBe('revoked')
})

test('a list of another CA admits nobody', async () => {
  const { ops, otherCa } = await pki()
  const at = await edge()
  at.listener.update({ secure: await rules({ ca: otherCa }), timeoutMs: 5000 })
  expect((await visit(at, ops)).outcome).toBe('crl-missing')
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)('a session of a client that has been revoked is not resumed (%s)', async version => {
  const { client } = await pki()
  const at = await edge()
  at.listener.update({ secure: await rules({}), timeoutMs: 5000 })
  const pinned = { minVersion: version, maxVersion: version }
  const { outcome, session } = await visit(at, client, pinned)
  expect(outcome).toBe('in')
  expect((await visit(at, client, { ...pinned, session })).outcome).toBe('in again')
  at.listener.update({ secure: await rules({ revoked: [client] }), timeoutMs: 5000 })
  expect((await visit(at, client, { ...pinned, session })).outcome).toBe('revoked')
})

test('rules that are the same are not swapped: sessions can still be resumed', async () => {
  const { client } = await pki()
  const at = await edge()
  const same = await rules({})
  at.listener.update({ secure: same, timeoutMs: 5000 })
  const { session } = await visit(at, client)
  at.listener.update({ secure: { ...same }, timeoutMs: 5000 })
  expect((await visit(at, client, { session })).outcome).toBe('in again')
})
