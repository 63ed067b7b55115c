import type { X509Certificate } from 'node:crypto'
import { DerReader } from './der.ts'

/** `WEAK_KEY`: OpenSSL at its level 2 takes no such key. `WEAK_HASH`: nor a signature over such a hash. */
export interface Weakness { code: 'WEAK_KEY' | 'WEAK_HASH', words: string }

/** What OpenSSL refuses a certificate for at security level 2 (112 bits): it says so in a code that Node does not pass on. */
export function weaknessOf(certificate: X509Certificate): Weakness | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey
  const bits = details?.modulusLength
  if (bits !== undefined && bits < 2048) {
    return { code: 'WEAK_KEY', words: `a key of ${type?.toUpperCase()} with ${bits} bits, and 2048 are the least` }
  }
  const curve = details?.namedCurve
  if (curve !== undefined && weakCurve.test(curve)) {
    return { code: 'WEAK_KEY', words: `a key on the curve ${curve}, and P-256 is the least` }
  }
  const hash = weakHashes[signatureAlgorithm(certificate)]
  // A root's signature over itself proves nothing, and nobody looks at it.
  if (hash === undefined || certificate.subject === certificate.issuer) return undefined
  return { code: 'WEAK_HASH', words: `a signature with ${hash}` }
}

/** Curves of less than 224 bits. */
const weakCurve = /^(?:secp|sect|prime|wap-wsg|brainpool|c2)\D*(?:1\d\d|20\d)(?!\d)/i

/** Object identifier as DER in hex. */
function signatureAlgorithm(certificate: X509Certificate): string {
  const outer = new DerReader(certificate.raw).inside()
  outer.next()   // what is signed
  return outer.inside().content().toString('hex')
}

const weakHashes: Record<string, string | undefined> = {
  '2a864886f70d010102': 'MD2', '2a864886f70d010104': 'MD5', '2a864886f70d010105': 'SHA-1', '2b0e03021d': 'SHA-1',   // RSA
  '2a8648ce3d0401': 'SHA-1', '2a8648ce380403': 'SHA-1',                                                              // ECDSA, DSA
}
