// Clients that memseal itself has to keep out, since OpenSSL does not: by lists of one CA of several, by odd lists, and with
// sessions that are resumed. Each list is what a real handshake meets.

import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { beforeAll, expect, test, vi } from 'vitest'
import { listenerTls, type ListenerTls, type TlsSettings } from '../../src/tls/context.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { craftCrl, deltaOf, issuingPoint, onlyAuthorities, onlyLeaves, onlySomeReasons, pointOf, removedFromList, unknownExtension, type CraftedCrl } from '../support/craft-crl.ts'
import { authority, issue, leaf, rsa } from '../support/issue.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect, type WireOptions } from '../support/wire.ts'
import { edge, until, type Edge } from './edge.ts'

const DAY = 86_400_000

/** root ── between ── inner, gone; root ── outer; other ── stranger */
let root: Certificate, between: Certificate, inner: Certificate, gone: Certificate, outer: Certificate, other: Certificate, stranger: Certificate

beforeAll(async () => {
  [root, other] = await Promise.all([issue({ name: 'root', key: rsa(2048) }), issue({ name: 'other' })])
  between = await issue({ ca: root, name: 'between', extensions: authority })
  const chained = async (name: string): Promise<Certificate> => {
    const made = await issue({ ca: between, name, extensions: [...leaf, 'crlDistributionPoints=URI:http://crl.test/1'] })
    return { ...made, cert: made.cert + between.cert }
  }
  [inner, gone, outer, stranger] = await Promise.all([chained('inner'), chained('gone'), issue({ ca: root, name: 'outer' }), issue({ ca: other, name: 'stranger' })])
})

interface Rules extends Partial<TlsSettings> { authorities: Certificate[], lists: (CraftedCrl | string)[] }

async function read({ authorities, lists, ...more }: Rules) {
  const { server } = await pki()
  const folder = tempFolder()
  const [clientCa, crl] = [join(folder, 'ca.pem'), join(folder, 'crl.pem')]
  writeFileSync(clientCa, authorities.map(({ cert }) => cert).join(''))
  writeFileSync(crl, lists.map(list => typeof list === 'string' ? list : craftCrl(list)).join(''))
  const files = { cert: server.certFile, key: server.keyFile, client_ca: clientCa, crl, ...more }
  const { material, faults, warnings } = readMaterial(files)
  const strip = ({ message }: { message: string }): string => message.replaceAll(`${folder}/`, '').replaceAll('O=memseal tests, ', '')
  return { material, files, faults: faults.map(strip), warnings: warnings.filter(({ key }) => key === 'crl').map(strip) }
}

async function secured(rules: Rules): Promise<ListenerTls> {
  const { material, files, faults } = await read(rules)
  expect(faults).toEqual([])
  return listenerTls(material!, { client_auth: 'required', min_version: 'TLSv1.2', session_tickets: true, ...files }, 'test')
}

async function listening(rules: Rules): Promise<Edge> {
  const at = await edge()
  at.listener.update({ secure: await secured(rules), timeoutMs: 5000 })
  return at
}

/** @returns `in`, `in again` (resumed) or the reason of the refusal */
async function visit(at: Edge, who: Certificate, more: WireOptions['tls'] = {}): Promise<{ outcome: string, session: Buffer | undefined }> {
  const { ca } = await pki()
  const before = at.log.length
  try {
    const wire = await connect({ port: at.port, tls: as(who, ca, more) })
    const echoed = await wire.ask('hello', 5)
    const session = (wire.socket as TLSSocket).getSession()
    wire.destroy()
    return { outcome: echoed !== 'hello' ? 'odd' : at.peers.at(-1)!.tls!.resumed ? 'in again' : 'in', session }
  } catch {
    await until(() => at.log.length > before, 'the refusal is logged')
    return { outcome: at.log.at(-1)!['reason'], session: undefined }
  }
}

async function outcomes(rules: Rules, ...who: Certificate[]): Promise<string[]> {
  const found: string[] = []
  for (const each of who) found.push((await visit(await listening(rules), each)).outcome)   // a log of its own: refusals are folded
  return found
}

test('the list of the CA that signs the clients is enough, unless every CA above has to have one', async () => {
  const authorities = [root, between]
  const own = { ca: between, revoked: [{ certificate: gone }] }
  expect(await outcomes({ authorities, lists: [own] }, inner, gone)).toEqual(['in', 'revoked'])
  expect(await outcomes({ authorities: [root], lists: [own] }, inner, gone)).toEqual(['in', 'revoked'])
  expect(await outcomes({ authorities, lists: [own], crl_check: 'chain' }, inner, gone)).toEqual(['crl-missing', 'revoked'])
  expect(await outcomes({ authorities, lists: [own, { ca: root }], crl_check: 'chain' }, inner, gone)).toEqual(['in', 'revoked'])
})

test.each(['leaf', 'chain'] as const)('a CA that is revoked takes its clients along (crl_check: %s)', async crl_check => {
  const lists = [{ ca: between }, { ca: root, revoked: [{ certificate: between }] }]
  expect(await outcomes({ authorities: [root], lists, crl_check }, inner, outer)).toEqual(['revoked', 'in'])
  expect(await outcomes({ authorities: [root, between], lists, crl_check }, inner, outer)).toEqual(['revoked', 'in'])
})

test('clients of a CA without a list are refused, or admitted by a setting; the warning names that CA', async () => {
  const rules = { authorities: [between, other, root], lists: [{ ca: between, revoked: [{ certificate: gone }] }] }
  expect(await outcomes(rules, inner, gone, stranger, outer)).toEqual(['in', 'revoked', 'crl-missing', 'crl-missing'])
  expect((await read(rules)).warnings).toEqual(['crl.pem: there is no list of CN=other in it: clients that it signed are refused (crl_missing: refuse).'])
  expect(await outcomes({ ...rules, crl_missing: 'admit' }, inner, gone, stranger)).toEqual(['in', 'revoked', 'in'])
  expect((await read({ ...rules, crl_missing: 'admit' })).warnings).toEqual(['crl.pem: there is no list of CN=other in it: nobody says which of its clients are revoked, and all of them get in (crl_missing: admit).'])
})

test('lists that nobody can go by are faults of their file', async () => {
  const faultsOf = async (list: CraftedCrl | string): Promise<string[]> => (await read({ authorities: [root], lists: [list] })).faults
  const cannot = 'crl.pem: revocation list 1, of CN=root, cannot be used: '
  expect(await faultsOf({ ca: root, extensions: [unknownExtension(true)] })).toEqual([`${cannot}it has a critical extension that is not known.`])
  expect(await faultsOf({ ca: root, revoked: [{ certificate: outer, extensions: [unknownExtension(true)] }] })).toEqual([`${cannot}it has an entry with a critical extension that is not known.`])
  expect(await faultsOf({ ca: root, extensions: [issuingPoint(onlySomeReasons)] })).toEqual([`${cannot}it is about some reasons, attribute certificates or other CAs only, which is not supported.`])
  expect(await faultsOf({ ca: root, hash: 'md5' })).toEqual([`${cannot}it is signed in a way that is too weak or not known.`])
  expect(await faultsOf('')).toEqual(['crl.pem holds no revocation list in PEM.'])
  expect(await faultsOf({ ca: root, extensions: [unknownExtension(false)] })).toEqual([])
})

test('a list that we can read and OpenSSL cannot is refused when the listener is built', async () => {
  const entries = Buffer.from('30080201051703303030', 'hex')   // its time of revocation is not a time
  const { material, files, faults } = await read({ authorities: [root], lists: [{ ca: root, entries }] })
  expect(faults).toEqual([])
  expect(() => listenerTls(material!, { client_auth: 'required', min_version: 'TLSv1.2', session_tickets: true, ...files }, 'test')).toThrow(/CRL/)
})

test('a list signed with SHA-1 holds, with a warning; the newest of several counts; a delta adds to it', async () => {
  const old = { ca: root, revoked: [{ certificate: outer }], thisUpdate: new Date(Date.now() - 2 * DAY) }
  expect(await outcomes({ authorities: [root], lists: [{ ...old, hash: 'sha1' }] }, outer)).toEqual(['revoked'])
  expect((await read({ authorities: [root], lists: [{ ...old, hash: 'sha1' }] })).warnings).toEqual(['crl.pem: revocation list 1, of CN=root, is signed with SHA-1.'])
  expect(await outcomes({ authorities: [root], lists: [old, { ca: root }] }, outer)).toEqual(['in'])
  expect((await read({ authorities: [root], lists: [old, { ca: root }] })).warnings).toEqual(['crl.pem: revocation list 1, of CN=root, is older than another one of the same CA, which counts instead.'])
  const delta = { ca: root, revoked: [{ certificate: outer }], extensions: [deltaOf] }
  expect(await outcomes({ authorities: [root], lists: [{ ca: root }, delta] }, outer)).toEqual(['revoked'])
  expect(await outcomes({ authorities: [root, other], lists: [{ ca: other }, { ...delta, revoked: [] }] }, outer)).toEqual(['crl-missing'])
  expect((await read({ authorities: [root], lists: [delta] })).warnings[0]).toMatch('is a delta, which only adds')
  const released = { ca: root, revoked: [{ certificate: outer, extensions: [removedFromList] }] }
  expect(await outcomes({ authorities: [root], lists: [released] }, outer)).toEqual(['in'])
})

test('a list of some certificates of a CA is a list for those alone', async () => {
  const authorities = [root, between]
  const of = (part: Buffer): CraftedCrl => ({ ca: between, extensions: [issuingPoint(part)], revoked: [{ certificate: gone }] })
  expect(await outcomes({ authorities, lists: [of(onlyLeaves)] }, inner, gone)).toEqual(['in', 'revoked'])
  expect(await outcomes({ authorities, lists: [of(onlyAuthorities)] }, inner, gone)).toEqual(['crl-missing', 'crl-missing'])
  expect(await outcomes({ authorities, lists: [of(pointOf('http://crl.test/1'))] }, inner, gone)).toEqual(['in', 'revoked'])
  expect(await outcomes({ authorities, lists: [of(pointOf('http://crl.test/2'))] }, inner, gone)).toEqual(['crl-missing', 'crl-missing'])
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)('the dates and lists of today hold for a session that is resumed (%s)', async version => {
  const pinned = { minVersion: version, maxVersion: version }
  const list = { ca: between, nextUpdate: new Date(Date.now() + DAY) }
  const soon = new X509Certificate(inner.cert).validToDate.getTime()
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    for (const [crl_expired, later, outcome] of [['refuse', 2 * DAY, 'crl-expired'], ['warn', 2 * DAY, 'in again'], ['warn', soon + 1 - Date.now(), 'expired']] as const) {
      const at = await listening({ authorities: [root], lists: [list], crl_expired })
      const { session } = await visit(at, inner, pinned)
      expect((await visit(at, inner, { ...pinned, session })).outcome).toBe('in again')
      const now = Date.now()
      vi.setSystemTime(now + later)
      expect((await visit(at, inner, { ...pinned, session })).outcome).toBe(outcome)
      vi.setSystemTime(now)
    }
  } finally {
    vi.useRealTimers()
  }
})

test('an intermediate that has ended ends the sessions of its clients', async () => {
  const short = await issue({ ca: root, name: 'short', extensions: authority, days: 1 })
  const made = await issue({ ca: short, name: 'client' })
  const at = await listening({ authorities: [root], lists: [{ ca: root }, { ca: short, nextUpdate: new Date(Date.now() + 9 * DAY) }] })
  const client = { ...made, cert: made.cert + short.cert }
  const { session } = await visit(at, client)
  expect((await visit(at, client, { session })).outcome).toBe('in again')
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * DAY })
  try {
    expect((await visit(at, client, { session })).outcome).toBe('expired')
  } finally {
    vi.useRealTimers()
  }
})
