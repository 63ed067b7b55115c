import { createHash, type X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { DerReader, Tag } from './der.ts'

/** What the log and the access rules know of a TLS client. The four last are empty without a client certificate. */
export interface PeerTls {
  version: string        // TLSv1.3
  cipher: string         // TLS_AES_256_GCM_SHA384
  resumed: boolean
  subject: string        // O=example, OU=web, CN=web-1
  names: string[]        // DNS:web-1.example, URI:spiffe://…, as in subjectAltName
  serial: string         // hex
  fingerprint: string    // SHA-256, hex pairs with colons
}

/** Read once, when the handshake is done: reading the certificate costs up to 5 % of a handshake.   @param certificate that the socket gave */
export function peerTls(socket: TLSSocket, certificate: X509Certificate | undefined): PeerTls {
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().standardName,
    resumed: socket.isSessionReused(),
    subject: certificate === undefined ? '' : oneLine(certificate.subject),
    names: certificate === undefined ? [] : alternativeNames(certificate),
    serial: certificate?.serialNumber ?? '',
    fingerprint: certificate?.fingerprint256 ?? '',
  }
}

/** `O=example, CN=web-1`; Node gives a line for each part. */
export function oneLine(subject: string | undefined): string {
  return (subject ?? '').replaceAll('\n', ', ')
}

/** Node joins the names with ', ' and puts those that hold a comma, a quote or the like into JSON quotes. */
export function alternativeNames(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName?.match(/[^:,]+:(?:"(?:[^"\\]|\\.)*"|[^,]*)/g) ?? []
  return names.map(name => {
    const [, kind, value] = /^ ?([^:]+):(.*)$/s.exec(name)!
    return `${kind}:${value.startsWith('"') ? JSON.parse(value) : value}`
  })
}

/** The common names as they are, without any escapes: none, one, or several. */
export function commonNames(certificate: X509Certificate): string[] {
  const { CN } = certificate.toLegacyObject().subject as { CN?: string | string[] }
  return CN === undefined ? [] : [CN].flat()
}

/** SHA-256 of the SubjectPublicKeyInfo, as `sha256/BASE64=` (RFC 7469): of the bytes as they stand in the certificate. '' when
 *  they are not DER: OpenSSL takes lengths that are indefinite, from strangers as well. */
export function spkiOf(certificate: X509Certificate): string {
  try {
    const tbs = new DerReader(certificate.raw).inside().inside()
    tbs.optional(Tag.context0)                                                       // version
    for (const _ of ['serial', 'algorithm', 'issuer', 'validity', 'subject']) tbs.next()
    return `sha256/${createHash('sha256').update(tbs.raw()).digest('base64')}`
  } catch {
    return ''
  }
}
