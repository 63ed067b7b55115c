import type { X509Certificate } from 'node:crypto'
import { canonicalName } from './canonical-name.ts'
import { DerReader, Tag } from './der.ts'

// What stands in a certificate and Node's X509Certificate does not tell. Source: RFC 5280, section 4.1.

/** Object identifiers as DER in hex. */
export const Extension = {
  subjectAltName: '551d11', keyUsage: '551d0f', basicConstraints: '551d13', nameConstraints: '551d1e', distributionPoints: '551d1f',
} as const

/** Its subject, in the form in which names are compared. */
export function subjectOf(certificate: X509Certificate): string {
  const tbs = tbsOf(certificate)
  for (const _ of ['serial', 'algorithm', 'issuer', 'validity']) tbs.next()
  return canonicalName(tbs)
}

/** Its serial number, as `plainSerial` gives it. */
export function serialOf(certificate: X509Certificate): string {
  return plainSerial(tbsOf(certificate).content())
}

/** The bytes of an integer of DER in hex, without such as only repeat its sign. Node's own `serialNumber` has another form
 *  for one below zero, which a CA must not give and some do. */
export function plainSerial(content: Buffer): string {
  return content.toString('hex').replace(/^(?:00(?=[0-7].)|ff(?=[89a-f].))+/, '')
}

/** Does it say which names those that it signs may have? */
export function hasNameConstraints(certificate: X509Certificate): boolean {
  return extensionsOf(certificate)?.has(Extension.nameConstraints) === true
}

/** The distribution points that it names, as `pointName` gives them. */
export function pointsOf(certificate: X509Certificate): string[] {
  const value = extensionsOf(certificate)?.get(Extension.distributionPoints)
  if (value === undefined) return []
  const found: string[] = []
  for (const points = new DerReader(value).inside(); !points.isDone;) {
    const point = points.inside()
    const name = point.tag === Tag.context0 ? point.inside() : undefined
    if (name?.tag !== Tag.context0) continue   // relative to its issuer: not supported
    for (const names = name.inside(); !names.isDone;) found.push(pointName(names))
  }
  return found
}

/** A general name as it is compared; a folder of a directory is a distinguished name. */
export function pointName(names: DerReader): string {
  return names.tag === directoryName ? canonicalName(names.inside()) : names.raw().toString('hex')
}

/** May it sign others, as OpenSSL sees the end of a chain?
 *   ca          basicConstraints says so
 *   unmarked    nothing says otherwise: version 1, or keyUsage with keyCertSign alone
 *   no          it stands for itself alone */
export function signsOthers(certificate: X509Certificate): 'ca' | 'unmarked' | 'no' {
  if (certificate.ca) return 'ca'
  const extensions = extensionsOf(certificate)
  if (extensions === undefined) return isSelfSigned(certificate) ? 'unmarked' : 'no'
  const usage = extensions.get(Extension.keyUsage)
  const signsCertificates = usage !== undefined && (new DerReader(usage).content()[1] & keyCertSign) !== 0
  return signsCertificates && !extensions.has(Extension.basicConstraints) ? 'unmarked' : 'no'
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate)
}

/** Bit 5 of a bit string, whose first bit is the highest; its first byte counts unused bits. */
const keyCertSign = 0x04

/** Undefined in version 1, which knows none. */
export function extensionsOf(certificate: X509Certificate): Map<string, Buffer> | undefined {
  const tbs = new DerReader(certificate.raw).inside().inside()
  if (tbs.optional(Tag.context0) === undefined) return undefined
  const found = new Map<string, Buffer>()
  while (!tbs.isDone) {
    if (tbs.tag !== context3) {
      tbs.next()
      continue
    }
    for (const list = tbs.inside().inside(); !list.isDone;) {
      const extension = list.inside()
      const id = extension.content().toString('hex')
      extension.optional(boolean)   // critical
      found.set(id, extension.content())
    }
  }
  return found
}

/** Behind its version: at the serial number. */
function tbsOf(certificate: X509Certificate): DerReader {
  const tbs = new DerReader(certificate.raw).inside().inside()
  tbs.optional(Tag.context0)
  return tbs
}

const [context3, boolean, directoryName] = [0xa3, 0x01, 0xa4]
