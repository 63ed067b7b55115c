import { verify, X509Certificate } from 'node:crypto'
import { DerReader, Tag } from './der.ts'

// Certificate revocation lists (RFC 5280, section 5). OpenSSL judges clients by them; we read them for what it does not
// tell: until when a list holds, whose it is, and (with `crl_expired: warn`, where OpenSSL would refuse everybody) which
// certificates it names.

export interface RevocationList {
  pem: string
  /** The name of the CA, as DER in hex. */
  issuer: string
  thisUpdate: Date
  /** undefined: holds for good */
  nextUpdate: Date | undefined
  /** Serial numbers in hex, without leading zeros. */
  serials: Set<string>
  isSignedBy(authority: X509Certificate): boolean | 'unknown algorithm'
}

/** @throws Error when it is none */
export function parseCrl(pem: string): RevocationList {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
  const list = new DerReader(der).inside()
  const signed = list.raw()
  const algorithm = list.inside().content().toString('hex')
  const signature = list.content().subarray(1)   // the first byte of a bit string counts its unused bits: none

  const tbs = new DerReader(signed).inside()
  tbs.optional(Tag.integer)   // version
  tbs.next()                  // algorithm, once more
  const issuer = tbs.raw().toString('hex')
  const thisUpdate = time(tbs)
  const nextUpdate = tbs.tag === Tag.utcTime || tbs.tag === Tag.generalizedTime ? time(tbs) : undefined
  const serials = new Set<string>()
  if (tbs.tag === Tag.sequence) {
    for (const entries = tbs.inside(); !entries.isDone;) serials.add(plainSerial(entries.inside().content().toString('hex')))
  }
  return {
    pem, issuer, thisUpdate, nextUpdate, serials,
    isSignedBy: authority => {
      const hash = hashes[algorithm]
      if (hash === undefined) return 'unknown algorithm'
      return verify(hash === 'none' ? null : hash, signed, authority.publicKey, signature)
    },
  }
}

/** Does one of the lists name this certificate? */
export function isRevoked(certificate: X509Certificate, lists: readonly RevocationList[]): boolean {
  const { issuer } = namesOf(certificate)
  const serial = plainSerial(certificate.serialNumber)
  return lists.some(list => list.issuer === issuer && list.serials.has(serial))
}

/** Issuer and subject as DER in hex: the only form in which names can be compared. */
export function namesOf(certificate: X509Certificate): { issuer: string, subject: string } {
  const tbs = new DerReader(certificate.raw).inside().inside()
  tbs.optional(Tag.context0)   // version
  tbs.next()                   // serial
  tbs.next()                   // algorithm
  const issuer = tbs.raw().toString('hex')
  tbs.next()                   // validity
  return { issuer, subject: tbs.raw().toString('hex') }
}

function plainSerial(hex: string): string {
  return hex.toUpperCase().replace(/^0+(?=.)/, '')
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

/** Object identifiers as DER in hex. */
const hashes: Record<string, string | undefined> = {
  '2a8648ce3d040302': 'sha256', '2a8648ce3d040303': 'sha384', '2a8648ce3d040304': 'sha512',           // ECDSA
  '2a864886f70d01010b': 'sha256', '2a864886f70d01010c': 'sha384', '2a864886f70d01010d': 'sha512',     // RSA
  '2b6570': 'none',                                                                                   // Ed25519
}
