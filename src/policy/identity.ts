/** Who a client is, for the rules of `access`: what its verified certificate says of it, and where it comes from. */
import type { CertificateNames } from '../tls/certificate-names.ts'
import type { Peer } from './peer.ts'

export interface Identity {
  /** Undefined: it showed none. */
  readonly certificate: CertificateNames | undefined
  readonly source: Source
  /** As the configuration writes it: `0.0.0.0:11212`, `unix:/path`. */
  readonly listener: string
}

export type Source = { readonly kind: 'unix' } | { readonly kind: 'ip'; readonly address: string }

export function identityOf({ names, address, listener }: Peer): Identity {
  return { certificate: names, source: address === 'unix' ? { kind: 'unix' } : { kind: 'ip', address }, listener }
}

/** What limits of a rule count by: the certificate, else the address; all that come over unix sockets without one are one. */
export function countedAs({ certificate, source }: Identity): string {
  return certificate?.fingerprint ?? (source.kind === 'unix' ? 'unix' : source.address)
}
