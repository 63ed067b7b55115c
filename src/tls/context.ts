import { createHash, constants } from 'node:crypto'
import { createSecureContext, getCiphers, Server, type TlsOptions } from 'node:tls'
import { ClientJudge } from './client-judge.ts'
import type { Material, MaterialFiles } from './material.ts'
import { asAnchor } from './pem.ts'
import { isPinned, peerRules, type PeerRules, type RuleSettings } from './verdict.ts'

export type ClientAuth = 'required' | 'optional' | 'none'

export interface TlsSettings extends Partial<MaterialFiles>, RuleSettings {
  client_auth: ClientAuth
  min_version: 'TLSv1.2' | 'TLSv1.3'
  session_tickets: boolean
}

/** The TLS of one listener, built whole: whatever OpenSSL refuses of it was refused when this was made. */
export interface ListenerTls {
  readonly settings: TlsSettings
  readonly material: Material
  readonly options: TlsOptions
  /** Made of `options`, its ticket keys its own. It holds nothing of the system: one that is never used costs nothing. */
  readonly server: Server
  /** Tells two of them apart by all that a handshake depends on: the same, and a reload has nothing to do. */
  readonly fingerprint: string
  /** Of client certificates, beside OpenSSL. */
  readonly judge: ClientJudge
  /** Which of them are taken. */
  readonly rules: PeerRules
}

// AEAD with forward secrecy, and nothing else. AES-256 before AES-128 is within the noise; ChaCha20 costs 31 % more CPU
// where AES is in hardware, so it is last, for clients that offer nothing else.
const wantedCiphers = [
  'TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305',
]

// The post-quantum hybrid first: it costs nothing that could be measured (2.57 ms a handshake against 2.75 of X25519).
const wantedGroups = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384']

// OpenSSL takes a list of groups whole or not at all, and those of Node 24.0 to 24.4 and of some distributions know no
// post-quantum one. Suites may be missing where OpenSSL is held to FIPS.
const known = {
  ciphers: wantedCiphers.filter(name => getCiphers().includes(name.toLowerCase())),
  groups: wantedGroups.filter(isKnownGroup),
}

/** What both sides of TLS offer, for OpenSSL. The level is the same whichever OpenSSL this is: keys of 112 bits of security
 *  (RSA 2048, EC P-224), signatures better than SHA-1. */
export const ciphers = [...known.ciphers, '@SECLEVEL=2'].join(':')
export const groups = known.groups.join(':')

/** What would be offered too if this OpenSSL knew it. */
export const leftOut: readonly string[] = [
  ...wantedCiphers.filter(name => !known.ciphers.includes(name)), ...wantedGroups.filter(name => !known.groups.includes(name)),
]

function isKnownGroup(name: string): boolean {
  try {
    createSecureContext({ ecdhCurve: name, ca: [] })   // without `ca` it would read all public ones
    return true
  } catch {
    return false
  }
}

/** @param scope names the listener (service and address): a session of one listener is never resumed on another, where
 *  other clients may be admitted.
 *  @param inForce what serves there now: it is returned when nothing is different, so that its tickets go on holding
 *  @throws Error of OpenSSL, when it does not take the material */
export function listenerTls(material: Material, settings: TlsSettings, scope: string, inForce?: ListenerTls): ListenerTls {
  const { clientCa } = material
  const { crl_check: check = 'leaf', crl_expired: expired = 'refuse', crl_missing: missing = 'refuse' } = settings
  const judge = new ClientJudge(clientCa ?? [], material.revocation?.lists, { check, expired, missing })
  if (inForce !== undefined) judge.inherit(inForce.judge)
  const rules = peerRules(settings, clientCa && {
    place: 'tls.client_ca', known: material.authorities, isConstrained: certificate => judge.isConstrained(certificate),
  })
  // With neither, whoever shows a certificate would be let in.
  if (settings.client_auth !== 'none' && !clientCa?.length && !isPinned(rules)) {
    throw new Error(`tls.client_auth ${settings.client_auth} needs tls.client_ca`)
  }
  const fingerprint = fingerprintOf(material, settings, scope)
  if (inForce?.fingerprint === fingerprint) return inForce
  const { revocation } = material
  // What OpenSSL cannot read is not to be trusted with a verdict, though it is not OpenSSL that judges by it.
  if (revocation !== undefined) createSecureContext({ ca: [], crl: revocation.lists.map(({ pem }) => pem) })
  const options = optionsOf(material, settings, scope)
  return { settings, material, options, fingerprint, judge, rules, server: new Server(options) }
}

function optionsOf(material: Material, settings: TlsSettings, scope: string): TlsOptions {
  const asksForCertificate = settings.client_auth !== 'none'
  return {
    cert: material.cert,
    key: material.key,
    // None, said in so many words: left out, Node would take the public ones.
    ca: asksForCertificate ? (material.clientCa ?? []).map(asAnchor) : undefined,
    minVersion: settings.min_version,
    maxVersion: 'TLSv1.3',
    ciphers,
    ecdhCurve: groups,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (settings.session_tickets ? 0 : constants.SSL_OP_NO_TICKET),
    sessionIdContext: sessionScope(material, settings, scope),
    requestCert: asksForCertificate,
    // `tls.Server` would close a connection with a bad certificate before we could read whose it is. The acceptor
    // judges `authorized` itself, in one place, before anybody else sees the socket.
    rejectUnauthorized: false,
    // The acceptor's own timer runs from the handshake's start; the server's would start anew with each sign of life.
    handshakeTimeout: 0,
  }
}

function fingerprintOf(material: Material, settings: TlsSettings, scope: string): string {
  const lists = material.revocation?.lists.map(list => list.pem)
  const all = [scope, settings, material.cert, material.key, material.clientCa, lists]
  return createHash('sha256').update(JSON.stringify(all)).digest('hex')
}

/** At most 32 bytes (OpenSSL). Stable over restarts, so that workers and a later process agree on it. */
function sessionScope(material: Material, settings: TlsSettings, scope: string): string {
  const { client_auth, min_version, crl_check, crl_expired, crl_missing } = settings
  const hash = createHash('sha256').update(JSON.stringify([scope, client_auth, min_version, crl_check, crl_expired, crl_missing]))
  for (const ca of material.clientCa ?? []) hash.update(ca)
  for (const list of material.revocation?.lists ?? []) hash.update(list.pem)
  return hash.digest('hex').slice(0, 32)
}
