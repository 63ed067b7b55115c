import { constants, verify, type X509Certificate } from 'node:crypto'
import { canonicalName } from './canonical-name.ts'
import { DerReader, Tag } from './der.ts'
import { plainSerial, pointName, serialOf } from './x509.ts'

// Certificate revocation lists (RFC 5280, section 5), read by us and not by OpenSSL, which judges by them only while a whole
// handshake runs, only for the whole chain, and keeps to itself until when a list holds and why it does not count.

export interface RevocationList {
  pem: string
  /** The name of the CA, as `subjectOf` gives it. */
  issuer: string
  thisUpdate: Date
  /** undefined: holds for good */
  nextUpdate: Date | undefined
  /** As `serialOf` gives them. */
  serials: Set<string>
  /** It adds to another list of its CA, and is not one by itself. */
  isDelta: boolean
  covers: 'all' | 'leaves' | 'authorities'
  /** Names of distribution points, as `pointsOf` gives them: it covers certificates that name one of them. Empty: all. */
  points: string[]
  /** Why it cannot be used; a whole sentence. */
  unusable: string | undefined
  hasWeakHash: boolean
  isSignedBy(authority: X509Certificate): boolean
}

/** @throws Error when it is none */
export function parseCrl(pem: string): RevocationList {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
  const list = new DerReader(der).inside()
  const signed = list.raw()
  const algorithm = readAlgorithm(list)
  const signature = list.content().subarray(1)   // the first byte of a bit string counts its unused bits: none

  const tbs = new DerReader(signed).inside()
  tbs.optional(Tag.integer)   // version
  tbs.next()                  // algorithm, once more
  const issuer = canonicalName(tbs)
  const thisUpdate = time(tbs)
  const nextUpdate = tbs.tag === Tag.utcTime || tbs.tag === Tag.generalizedTime ? time(tbs) : undefined
  const scope: Scope = { isDelta: false, covers: 'all', points: [], unusable: algorithm.unusable }
  const serials = tbs.tag === Tag.sequence ? readEntries(tbs.inside(), scope) : new Set<string>()
  if (tbs.tag === Tag.context0) readExtensions(tbs.inside().inside(), scope)
  return {
    pem, issuer, thisUpdate, nextUpdate, serials, ...scope, hasWeakHash: algorithm.hash === 'sha1',
    isSignedBy({ publicKey }) {
      if (algorithm.unusable !== undefined) return false
      try {
        const key = algorithm.isPss ? { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING } : publicKey
        return verify(algorithm.hash, signed, key, signature)
      } catch {
        return false   // a key of another kind than the signature
      }
    },
  }
}

type Scope = Pick<RevocationList, 'isDelta' | 'covers' | 'points' | 'unusable'>

interface Extension { oid: string, isCritical: boolean, value: Buffer }

function readEntries(entries: DerReader, scope: Scope): Set<string> {
  const serials = new Set<string>()
  while (!entries.isDone) {
    const entry = entries.inside()
    const serial = plainSerial(entry.content())
    entry.next()   // since when
    let isRemoved = false
    if (!entry.isDone) {
      for (const { oid, isCritical, value } of extensionsOf(entry.inside())) {
        if (oid === reasonCode) isRemoved = value.at(-1) === REMOVED
        else if (isCritical) scope.unusable = 'it has an entry with a critical extension that is not known.'
      }
    }
    if (!isRemoved) serials.add(serial)
  }
  return serials
}

/** A critical extension that is not understood may narrow or widen what the list says, so the list is not to be used. */
function readExtensions(extensions: DerReader, scope: Scope): void {
  for (const { oid, isCritical, value } of extensionsOf(extensions)) {
    if (oid === deltaIndicator) scope.isDelta = true
    else if (oid === issuingPoint) readIssuingPoint(new DerReader(value).inside(), scope)
    else if (isCritical && oid !== authorityKey && oid !== number) scope.unusable = 'it has a critical extension that is not known.'
  }
}

/** Which certificates the list is about. What is said of reasons and of other CAs' certificates is not supported, nor by OpenSSL. */
function readIssuingPoint(point: DerReader, scope: Scope): void {
  while (!point.isDone) {
    const { tag } = point
    if (tag === Tag.context0) {
      const name = point.inside()
      if (name.tag !== Tag.context0) scope.unusable = 'it names its distribution point in a way that is not supported.'
      else for (const names = name.inside(); !names.isDone;) scope.points.push(pointName(names))
      continue
    }
    const content = point.content()
    if (tag === 0x81) scope.covers = content[0] === 0 ? scope.covers : 'leaves'
    else if (tag === 0x82) scope.covers = content[0] === 0 ? scope.covers : 'authorities'
    else if (tag === 0x83 || content[0] !== 0) {
      scope.unusable = 'it is about some reasons, attribute certificates or other CAs only, which is not supported.'
    }
  }
}

function extensionsOf(reader: DerReader): Extension[] {
  const found: Extension[] = []
  while (!reader.isDone) {
    const extension = reader.inside()
    const oid = extension.content().toString('hex')
    const isCritical = extension.tag === Tag.boolean && extension.content()[0] !== 0
    found.push({ oid, isCritical, value: extension.content() })
  }
  return found
}

/** Object identifiers as DER in hex. */
const [reasonCode, deltaIndicator, issuingPoint, authorityKey, number] = ['551d15', '551d1b', '551d1c', '551d23', '551d14']
/** `removeFromCRL`: it was on hold, and is good again. */
const REMOVED = 8

/** Does the list name this certificate? That it is the list of its issuer is known. */
export function names(list: RevocationList, certificate: X509Certificate): boolean {
  return list.serials.has(serialOf(certificate))
}

/** UTCTime is YYMMDDHHMMSSZ, from 1950 to 2049 (RFC 5280, 4.1.2.5.1); GeneralizedTime has four digits of the year. */
function time(reader: DerReader): Date {
  const isShort = reader.tag === Tag.utcTime
  const text = reader.content().toString('latin1')
  const full = isShort ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? []
  if (year === undefined) throw new Error('a time that cannot be read')
  return new Date(Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)))
}

interface Algorithm { hash: string | null, isPss: boolean, unusable: string | undefined }

function readAlgorithm(list: DerReader): Algorithm {
  const algorithm = list.inside()
  const oid = algorithm.content().toString('hex')
  // Parameters of RSA-PSS: the hash in [0], SHA-1 when it is left out.
  const isPss = oid === '2a864886f70d01010a'
  const parameters = isPss ? algorithm.inside() : undefined
  const hashOid = parameters?.tag === Tag.context0 ? parameters.inside().inside().content().toString('hex') : ''
  const hash = isPss ? pssHashes[hashOid] : hashes[oid]
  if (hash === undefined) return { hash: null, isPss, unusable: 'it is signed in a way that is too weak or not known.' }
  return { hash: hash === 'none' ? null : hash, isPss, unusable: undefined }
}

/** MD5 is not among them: whoever can make two texts with one MD5 could make a list. */
const hashes: Record<string, string | undefined> = {
  '2a8648ce3d0401': 'sha1', '2a8648ce3d040301': 'sha224',                                              // ECDSA
  '2a8648ce3d040302': 'sha256', '2a8648ce3d040303': 'sha384', '2a8648ce3d040304': 'sha512',
  '2a864886f70d010105': 'sha1', '2a864886f70d01010e': 'sha224',                                        // RSA
  '2a864886f70d01010b': 'sha256', '2a864886f70d01010c': 'sha384', '2a864886f70d01010d': 'sha512',
  '2b6570': 'none', '2b6571': 'none',                                                                  // Ed25519, Ed448
}
const pssHashes: Record<string, string | undefined> = {
  '': 'sha1', '2b0e03021a': 'sha1', '608648016503040201': 'sha256', '608648016503040202': 'sha384', '608648016503040203': 'sha512',
}
