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

/** A match for a rule that would fit it, by the name that says most.   @param address where it comes from, or `unix` */
export function matchFor(names: CertificateNames | undefined, address: string): string {
  const [key, value] = names === undefined ? ['source', address] : names.uri.length > 0 ? ['uri', names.uri[0]]
    : names.dns.length > 0 ? ['dns', names.dns[0]] : names.cn !== undefined ? ['cn', names.cn] : ['fingerprint', names.fingerprint]
  return `{ ${key}: ${JSON.stringify(value)} }`
}
