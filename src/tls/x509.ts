import type { X509Certificate } from 'node:crypto'
import { DerReader, Tag } from './der.ts'

// What stands in a certificate and Node's X509Certificate does not tell. Source: RFC 5280, section 4.1.

/** Object identifiers as DER in hex. */
export const Extension = { keyUsage: '551d0f', basicConstraints: '551d13' } as const

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
function extensionsOf(certificate: X509Certificate): Map<string, Buffer> | undefined {
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

const [context3, boolean] = [0xa3, 0x01]
