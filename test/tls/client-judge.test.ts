// Clients that memseal itself has to keep out, since OpenSSL does not: by lists of one CA of several, by odd lists, and with
// sessions that are resumed. Each list is what a real handshake meets.

import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test, vi } from 'vitest'
import { listenerTls, type ListenerTls, type TlsSettings } from '../../src/tls/context.ts'
import { canonicalName } from '../../src/tls/canonical-name.ts'
import { DerReader } from '../../src/tls/der.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { plainSerial } from '../../src/tls/x509.ts'
import { craftCrl, deltaOf, folderPointOf, issuingPoint, nameOf, onlyAuthorities, onlyLeaves, onlySomeReasons, pointOf, removedFromList, unknownExtension, type CraftedCrl } from '../support/craft-crl.ts'
import { authority, issue, leaf, rsa } from '../support/issue.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { edge, visit, type Edge } from './edge.ts'

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

test('of two CAs with one name each has its own list: the newer one of the other takes nothing off', async () => {
  const twins = await Promise.all(['twin', 'twin'].map(name => issue({ name })))
  const [revoked, good] = await Promise.all(['revoked', 'good'].map(name => issue({ ca: twins[0], name })))
  const lists = [{ ca: twins[0], revoked: [{ certificate: revoked }], thisUpdate: new Date(Date.now() - 2 * DAY) }, { ca: twins[1] }]
  for (const order of [lists, lists.toReversed()]) expect(await outcomes({ authorities: twins, lists: order }, revoked, good)).toEqual(['revoked', 'in'])
  expect((await read({ authorities: twins, lists })).warnings).toEqual([])
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

test.each([
  ['-3804', 'f124'], ['-1', 'ff'], ['-128', '80'], ['-32768', '8000'], ['127', '7f'], ['128', '0080'], ['255', '00ff'], ['65280', '00ff00'],
  ['-0x7123456789abcdef1122334455667788', '8edcba9876543210eeddccbbaa998878'],
])('a revoked certificate with the serial number %s stays out, and its neighbours come in', async (serial, bytes) => {
  const [client, opposite] = await Promise.all([serial, serial.startsWith('-') ? serial.slice(1) : `-${serial}`].map(each => issue({ ca: root, name: 'odd serial', serial: each })))
  const rules = (...lists: string[]): Rules => ({ authorities: [root], lists: lists.map(each => ({ ca: root, revoked: [{ certificate: client, serial: Buffer.from(each, 'hex') }] })) })
  expect(await outcomes(rules(bytes), client, opposite)).toEqual(['revoked', 'in'])
})

test('zeros and ones before a serial number that only repeat its sign are of no matter', () => {
  const plain = (hex: string): string => plainSerial(Buffer.from(hex, 'hex'))
  for (const [padded, minimal] of [['00007f', '7f'], ['000080', '0080'], ['ffff80', '80'], ['ffff7f', 'ff7f'], ['0000', '00'], ['ffff', 'ff'], ['00ff', '00ff'], ['ff00', 'ff00'], ['0f', '0f'], ['00', '00']]) {
    expect(`${padded} ${plain(padded)}`).toBe(`${padded} ${minimal}`)
  }
})

const wide = (text: string, width: 2 | 4): Buffer => Buffer.concat([...text].map(letter => Buffer.from([...Array<number>(width - 1).fill(0), letter.charCodeAt(0)])))

test.each([
  ['PrintableString', nameOf(['O', 0x13, 'memseal tests'], ['CN', 0x13, 'root'])],
  ['IA5String and T61String', nameOf(['O', 0x16, 'memseal tests'], ['CN', 0x14, 'root'])],
  ['BMPString and UniversalString', nameOf(['O', 0x1e, wide('memseal tests', 2)], ['CN', 0x1c, wide('root', 4)])],
  ['other case', nameOf(['O', 0x0c, 'MemSeal TESTS'], ['CN', 0x0c, 'Root'])],
  ['outer and inner blanks', nameOf(['O', 0x0c, '  memseal   tests '], ['CN', 0x0c, '\troot '])],
])("a list whose issuer is the CA's name in another way is that CA's list: %s", async (_, issuer) => {
  const rules: Rules = { authorities: [root], lists: [{ ca: root, issuer, revoked: [{ certificate: outer }] }], crl_missing: 'admit' }
  expect((await read(rules)).warnings).toEqual([])
  expect(await outcomes(rules, outer)).toEqual(['revoked'])
})

test.each([
  ['another order', nameOf(['CN', 0x0c, 'root'], ['O', 0x0c, 'memseal tests'])], ['another kind of part', nameOf(['OU', 0x0c, 'memseal tests'], ['CN', 0x0c, 'root'])],
  ['blanks left out', nameOf(['O', 0x0c, 'memsealtests'], ['CN', 0x0c, 'root'])], ['one part fewer', nameOf(['CN', 0x0c, 'root'])],
  ['a NUL more', nameOf(['O', 0x0c, 'memseal tests'], ['CN', 0x0c, 'root\0'])], ['a string of another kind', nameOf(['O', 0x0c, 'memseal tests'], ['CN', 0x12, 'root'])],
])('a list of another name is not the CA\'s, though the CA has signed it: %s', async (_, issuer) => {
  const rules: Rules = { authorities: [root], lists: [{ ca: root, issuer, revoked: [{ certificate: outer }] }] }
  expect((await read(rules)).warnings[0]).toContain('revocation list 1 is of no CA in client_ca')
  expect(await outcomes(rules, outer)).toEqual(['crl-missing'])
})

test('letters that are not ASCII keep their case, in whichever string they stand', () => {
  const name = (tag: number, text: string | Buffer): string => canonicalName(new DerReader(nameOf(['CN', tag, text])))
  const small = name(0x0c, 'caf\u00e9')
  expect(name(0x14, Buffer.from('CAF\xe9', 'latin1'))).toBe(small)
  expect(name(0x1e, Buffer.from('CAF\u00e9', 'utf16le').swap16())).toBe(small)
  expect(name(0x0c, 'CAF\u00c9')).not.toBe(small)
  expect(() => name(0x1e, Buffer.from('d800', 'hex'))).toThrow('a name that cannot be read')
})

test('a distribution point that is a distinguished name is compared as one', async () => {
  const section = ['[point]', 'fullname=dirName:folder', '[folder]', 'CN=Lists of Root']
  const client = await issue({ ca: root, name: 'pointed', extensions: [...leaf, 'crlDistributionPoints=point', ...section] })
  const list = (text: string): CraftedCrl => ({ ca: root, revoked: [{ certificate: client }], extensions: [issuingPoint(folderPointOf(nameOf(['CN', 0x13, text])))] })
  expect(await outcomes({ authorities: [root], lists: [list('lists of  root')], crl_missing: 'admit' }, client)).toEqual(['revoked'])
  expect(await outcomes({ authorities: [root], lists: [list('others')] }, client)).toEqual(['crl-missing'])
})
