import { createHash, X509Certificate } from 'node:crypto'
import { checkServerIdentity, createSecureContext, type ConnectionOptions, type PeerCertificate, type SecureContext } from 'node:tls'
import { isIP } from 'node:net'
import type { BackendTlsConfig } from '../config/schema.ts'
import { ciphers, groups } from './context.ts'
import type { BackendMaterial } from './material.ts'
import { alternativeNames } from './peer.ts'

// The client side of TLS, towards a cache host. Chain and name are checked in every full handshake, then pins and accepted
// names; all before 'secureConnect', and nothing is written before that.

/** All that connections of one service to its backends share. */
export interface BackendTls {
  readonly settings: BackendTlsConfig
  readonly material: BackendMaterial
  /** Tells two of them apart by all that a handshake depends on. */
  readonly fingerprint: string
  readonly context: SecureContext
  readonly serverName: string | undefined
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly fingerprints: readonly string[]
  readonly names: readonly RegExp[]
  readonly showsCertificate: boolean
}

/** @param inForce what is in use now: it is returned when nothing is different
 *  @throws Error of OpenSSL, when it does not take the material */
export function backendTls(material: BackendMaterial, settings: BackendTlsConfig, inForce?: BackendTls): BackendTls {
  const fingerprint = createHash('sha256').update(JSON.stringify([settings, material.ca, material.cert, material.key])).digest('hex')
  if (inForce?.fingerprint === fingerprint) return inForce
  return {
    settings, material, fingerprint,
    context: createSecureContext({
      ca: material.ca, cert: material.cert, key: material.key, minVersion: settings.min_version, maxVersion: 'TLSv1.3', ciphers, ecdhCurve: groups,
    }),
    serverName: settings.server_name,
    minVersion: settings.min_version,
    fingerprints: settings.fingerprints,
    names: settings.names.map(nameRule),
    showsCertificate: material.cert !== undefined,
  }
}

/** The name that is asked for and has to be in the certificate. */
export function expectedName(tls: BackendTls, host: string): string {
  return tls.serverName ?? host
}

/** For `tls.connect`. @param host as the configuration names it; the socket may go to any address of it */
export function connectionOptions(tls: BackendTls, host: string): ConnectionOptions {
  const name = expectedName(tls, host)
  return {
    secureContext: tls.context,
    minVersion: tls.minVersion,
    // An address is no name to ask for (RFC 6066); Node would warn.
    servername: isIP(name) === 0 ? name : '',
    // Said in so many words: NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment turns only the default off.
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => identityFault(tls, name, certificate),
  }
}

/** The certificate's chain is good; is it the one that was meant? Its code says what is wrong. */
export class IdentityError extends Error {
  readonly code: 'WRONG_NAME' | 'WRONG_PIN' | 'NAME_NOT_ACCEPTED'
  constructor(code: IdentityError['code'], detail: string) {
    super(detail)
    this.code = code
  }
}

function identityFault(tls: BackendTls, name: string, certificate: PeerCertificate): IdentityError | undefined {
  const names = alternativeNames(new X509Certificate(certificate.raw))
  const shown = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
  if (checkServerIdentity(name, certificate) !== undefined) return new IdentityError('WRONG_NAME', `expected ${name}; ${shown}`)
  if (tls.fingerprints.length > 0 && !tls.fingerprints.includes(certificate.fingerprint256)) {
    return new IdentityError('WRONG_PIN', `its fingerprint is ${certificate.fingerprint256}`)
  }
  if (tls.names.length > 0 && !names.some(each => tls.names.some(rule => rule.test(each)))) {
    return new IdentityError('NAME_NOT_ACCEPTED', shown)
  }
  return undefined
}

/** `dns:*.cache.example` as it would stand in `alternativeNames`. Within a label: dots and slashes part labels. */
function nameRule(text: string): RegExp {
  const [kind, name] = [text.slice(0, 3), text.slice(4)]
  const escaped = name.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', kind === 'dns' ? '[^.]*' : '[^./:]*')
  return new RegExp(`^${kind === 'dns' ? 'DNS' : 'URI'}:${escaped}$`, kind === 'dns' ? 'i' : '')
}
