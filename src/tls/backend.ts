import { createHash, type X509Certificate } from 'node:crypto'
import { createSecureContext, type ConnectionOptions, type SecureContext, type TLSSocket } from 'node:tls'
import { isIP } from 'node:net'
import type { BackendTlsConfig } from '../config/schema.ts'
import { ClientJudge } from './client-judge.ts'
import { ciphers, groups } from './context.ts'
import type { BackendMaterial, Loaded } from './material.ts'
import { oneLine } from './peer.ts'
import { peerFault, peerRules, type PeerRules } from './verdict.ts'

// The client side of TLS, towards a cache host. Its certificate is judged in every full handshake, before anything is written.

/** All that connections of one service to its backends share. */
export interface BackendTls {
  readonly settings: BackendTlsConfig
  readonly material: BackendMaterial
  /** Tells two of them apart by all that a handshake depends on. */
  readonly fingerprint: string
  readonly context: SecureContext
  readonly serverName: string | undefined
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly rules: PeerRules
}

/** @param inForce what is in use now: it is returned when nothing is different
 *  @throws Error of OpenSSL, when it does not take the material */
export function backendTls(material: BackendMaterial, settings: BackendTlsConfig, inForce?: BackendTls): BackendTls {
  const fingerprint = createHash('sha256').update(JSON.stringify([settings, material.ca, material.cert, material.key])).digest('hex')
  if (inForce?.fingerprint === fingerprint) return inForce
  const { ca, cert, key, authorities } = material
  return {
    settings, material, fingerprint,
    context: createSecureContext({
      // None, said in so many words: left out, the public ones would be loaded.
      ca: ca ?? [], cert, key, minVersion: settings.min_version, maxVersion: 'TLSv1.3', ciphers, ecdhCurve: groups,
      // Whatever stands in `ca` is believed: an intermediate alone, too, as OpenSSL's own tools take it.
      allowPartialTrustChain: true,
    }),
    serverName: settings.server_name,
    minVersion: settings.min_version,
    rules: peerRules(settings, ca && { place: 'backend.tls.ca', known: authorities, isConstrained: constraintsOf(ca) }),
  }
}

/** @param authorities PEM   @returns whether name constraints hold for a certificate that leads to one of them */
export function constraintsOf(authorities: readonly string[]): (certificate: X509Certificate) => boolean {
  const judge = new ClientJudge(authorities, undefined, { check: 'leaf', expired: 'refuse', missing: 'refuse' })
  return certificate => judge.isConstrained(certificate)
}

/** The name that has to be in the certificate; undefined: any, since a pin alone says whose it is.
 *  @param host as the configuration names it; the socket may go to any address of it */
export function expectedName({ serverName, rules }: Pick<BackendTls, 'serverName' | 'rules'>, host: string): string | undefined {
  return serverName ?? (rules.authorities === undefined ? undefined : host)
}

/** For `tls.connect`. It verifies nothing by itself: `cacheHostFault` has to be asked before anything is written. */
export function connectionOptions(tls: BackendTls, host: string): ConnectionOptions {
  const name = tls.serverName ?? host
  return {
    secureContext: tls.context,
    minVersion: tls.minVersion,
    // An address is no name to ask for (RFC 6066); Node would warn.
    servername: isIP(name) === 0 ? name : '',
    // Node would close at the first code, and know neither pins nor what is missing.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  }
}

/** The certificate there is not the one that was meant. The code is that of a `PeerFault`. */
export class CacheHostError extends Error {
  readonly code: string
  constructor(code: string, detail: string) {
    super(detail)
    this.code = code
  }
}

/** To be asked once the handshake is done. A resumed session shows no certificate: it was made from one that was found good
 *  by the same rules, and OpenSSL has kept what it found of the chain. */
export function cacheHostFault(tls: BackendTls, host: string, socket: TLSSocket): CacheHostError | undefined {
  // Typed as Error; it is the code as a string (seen on Node 24 and 26).
  const chainCode = socket.authorized ? '' : String(socket.authorizationError || 'CERT_UNTRUSTED')
  if (socket.isSessionReused()) {
    return tls.rules.authorities !== undefined && chainCode !== '' ? new CacheHostError(chainCode, '') : undefined
  }
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return new CacheHostError('CERT_UNTRUSTED', 'it showed none')
  const fault = peerFault(certificate, chainCode, tls.rules, expectedName(tls, host))
  return fault && new CacheHostError(fault.code, fault.detail)
}

/** When the first certificate of the chain ends, in ms since 1970, the authority's included: no session made from it is good for
 *  longer.   @param authorities empty: its chain does not count   @returns 0 when there is none */
export function endOfChain(certificate: X509Certificate | undefined, authorities: readonly Loaded[]): number {
  let end = certificate === undefined ? 0 : Infinity
  for (let at = certificate; at !== undefined; at = at.issuerCertificate) {
    end = Math.min(end, at.validToDate.getTime())
    const issuer = oneLine(at.issuer)
    const above = authorities.filter(({ subject }) => subject === issuer).map(({ notAfter }) => notAfter.getTime())
    if (above.length > 0) return Math.min(end, Math.max(...above))   // what else was sent is beside the chain
    if (authorities.length === 0 || at.issuerCertificate?.fingerprint256 === at.fingerprint256) break
  }
  return end
}
