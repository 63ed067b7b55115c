import type { KeyObject, X509Certificate } from 'node:crypto'
import { isSelfSigned } from './x509.ts'

/** The certificates of a file as they are served: its own first, then each one's issuer, what is left over last. */
export interface Chain {
  certificates: X509Certificate[]
  /** How many of them lead from its own to the last issuer that is there. */
  length: number
  /** Each of which the file has more than one copy. */
  doubled: X509Certificate[]
  /** That they stand otherwise in the file. */
  isSorted: boolean
}

/** Sorts what scripts and people put into one file: OpenSSL, stunnel and nginx serve it as it stands, and most clients find
 *  their way; those that go by the order do so as well when it is right. The certificate's own is the one that the key fits;
 *  of several the first that is valid now.
 *  @param certificates at least one   @param key undefined: it could not be read, and the first is taken */
export function chainOf(certificates: readonly X509Certificate[], key: KeyObject | undefined, now: number): Chain {
  const once = certificates.filter((each, at) => certificates.findIndex(other => isSame(each, other)) === at)
  const fitting = once.filter(each => key !== undefined && each.checkPrivateKey(key))
  const own = byDate(fitting, now)[0] ?? once[0]

  const path = [own]
  for (let at = own; !isSelfSigned(at);) {
    const issuer = byDate(once.filter(each => !path.includes(each) && isSignedBy(at, each)), now)[0]
    if (issuer === undefined) break
    path.push(issuer)
    at = issuer
  }
  const rest = once.filter(each => !path.includes(each))
  // Another certificate of an issuer, signed by another root, may be the one that a client needs.
  const related = rest.filter(each => once.some(other => other !== each && isSignedBy(other, each)))
  const sorted = [...path, ...related, ...rest.filter(each => !related.includes(each))]
  return {
    certificates: sorted, length: path.length, isSorted: sorted.some((each, at) => each !== once[at]),
    doubled: once.filter(each => certificates.filter(other => isSame(each, other)).length > 1),
  }
}

/** The names alone may deceive: an authority that was made anew has the old name and another key. */
export function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  if (!certificate.checkIssued(issuer)) return false
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false   // by an algorithm that this OpenSSL does not know
  }
}

/** Those that are valid now first, else as they stand. */
function byDate(certificates: readonly X509Certificate[], now: number): X509Certificate[] {
  const isValid = (each: X509Certificate): boolean => each.validFromDate.getTime() <= now && now < each.validToDate.getTime()
  return [...certificates.filter(isValid), ...certificates.filter(each => !isValid(each))]
}

function isSame(a: X509Certificate, b: X509Certificate): boolean {
  return a.fingerprint256 === b.fingerprint256
}
