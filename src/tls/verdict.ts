import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { printable } from '../lib/printable.ts'
import type { Loaded } from './material.ts'
import { alternativeNames, commonNames, oneLine, spkiOf } from './peer.ts'
import { weaknessOf } from './strength.ts'
import { serialOf } from './x509.ts'

// Is the certificate at the other end the one that was meant? The one place that decides, for the sidecar, the probe and
// the listeners' clients alike:
//
//   with authorities      chain ─── name ─── pin ─── accepted names
//   pinned without them   pin ─ dates, strength ─ name, if one is written ─ accepted names
//
// That the other end has the key of its certificate is proved by the handshake itself.

/** What a certificate has to be. Empty lists ask for nothing. */
export interface PeerRules {
  /** With the place where they are configured, for the words of a failure; undefined: there are none, and a pin stands for
   *  the chain. */
  readonly authorities: {
    readonly place: string
    readonly known: readonly Pick<Loaded, 'subject' | 'fingerprint'>[]
    /** Do name constraints hold for it? Then its common name is not taken for a name. Left out: that of nobody. */
    isConstrained?(certificate: X509Certificate): boolean
  } | undefined
  /** SHA-256 of certificates, as Node prints it, and of their keys, as `sha256/BASE64=`; one match is enough. */
  readonly fingerprints: readonly string[]
  readonly spki: readonly string[]
  /** One of which a name has to fit, as it stands in `alternativeNames`. */
  readonly names: readonly RegExp[]
  readonly cnAsName: boolean
  /** Serial numbers, as `serialOf` gives them, and fingerprints of certificates that are not taken whoever signed them. */
  readonly denied: ReadonlySet<string>
}

export interface RuleSettings {
  fingerprints?: readonly string[]
  spki?: readonly string[]
  names?: readonly string[]
  cn_as_name?: 'refused' | 'allowed'
  deny_certificates?: readonly string[]
}

export function peerRules(settings: RuleSettings, authorities: PeerRules['authorities']): PeerRules {
  return {
    authorities, fingerprints: settings.fingerprints ?? [], spki: settings.spki ?? [], names: (settings.names ?? []).map(nameRule),
    cnAsName: settings.cn_as_name === 'allowed', denied: new Set(settings.deny_certificates),
  }
}

export function isPinned({ fingerprints, spki }: PeerRules): boolean {
  return fingerprints.length > 0 || spki.length > 0
}

/** `code` is OpenSSL's (`CERT_HAS_EXPIRED`), or one of ours. */
export interface PeerFault { code: string, detail: string }

/** @param chainCode what OpenSSL found wrong with the chain; '' when it is good
 *  @param host name or address that the certificate has to be for; undefined: any
 *  @returns undefined when it is the one that was meant */
export function peerFault(
  certificate: X509Certificate, chainCode: string, rules: PeerRules, host: string | undefined, now = Date.now(),
): PeerFault | undefined {
  try {
    return faultOf(certificate, chainCode, rules, host, now)
  } catch (error) {
    // A stranger's certificate may be anything that OpenSSL parses: a key of an unknown kind, lengths that are no DER.
    return { code: 'CERT_UNTRUSTED', detail: `it cannot be read: ${(error as Error).message}` }
  }
}

function faultOf(
  certificate: X509Certificate, chainCode: string, rules: PeerRules, host: string | undefined, now: number,
): PeerFault | undefined {
  if (isDenied(certificate, rules)) return { code: 'CERT_DENIED', detail: `serial ${certificate.serialNumber}` }
  if (rules.authorities === undefined) {
    return pinFault(certificate, rules) ?? ownFault(certificate, now) ?? nameFault(certificate, rules, host)
  }
  const fault = chainCode === '' ? undefined
    : isAuthority(certificate, rules) && noIssuer.has(chainCode) ? ownFault(certificate, now)
      : chainFault(certificate, chainCode, rules, now)
  return fault ?? nameFault(certificate, rules, host) ?? pinFault(certificate, rules)
}

function isDenied(certificate: X509Certificate, { denied }: PeerRules): boolean {
  return denied.size > 0 && (denied.has(certificate.fingerprint256) || denied.has(serialOf(certificate)))
}

/** Whoever shows a certificate that stands among the authorities itself needs nobody who signed it. OpenSSL sees it so too,
 *  where it is told to end a chain anywhere (see asAnchor for why a listener cannot tell it to). */
function isAuthority({ fingerprint256 }: X509Certificate, { authorities }: PeerRules): boolean {
  return authorities?.known.some(({ fingerprint }) => fingerprint === fingerprint256) === true
}

const noIssuer = new Set(['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'])

/** The code alone says little, and at times too little: OpenSSL's newer ones reach us as UNSPECIFIED, and where several
 *  things are wrong only the last is told. The certificates say the rest. */
function chainFault(certificate: X509Certificate, code: string, rules: PeerRules, now: number): PeerFault {
  const chain = chainOf(certificate)
  switch (code) {
    case 'CERT_HAS_EXPIRED': {
      const expired = chain.find(each => each.validToDate.getTime() <= now)
      return { code, detail: expired === undefined ? ofAuthority : `${oneLine(expired.subject)} on ${day(expired.validToDate)}` }
    }
    case 'CERT_NOT_YET_VALID': {
      const early = chain.find(each => each.validFromDate.getTime() > now)
      return { code, detail: early === undefined ? ofAuthority : `${oneLine(early.subject)} from ${day(early.validFromDate)} on` }
    }
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE': case 'UNABLE_TO_GET_ISSUER_CERT': case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN': case 'DEPTH_ZERO_SELF_SIGNED_CERT': case 'CERT_UNTRUSTED': case 'CERT_SIGNATURE_FAILURE':
      return { code, detail: missingAuthority(chain, rules) }
    case 'UNSPECIFIED': case 'EE_KEY_TOO_SMALL': case 'CA_KEY_TOO_SMALL': case 'CA_MD_TOO_WEAK': {
      for (const each of chain) {
        const weakness = weaknessOf(each)
        if (weakness !== undefined) return { code: weakness.code, detail: `${oneLine(each.subject)}: ${weakness.words}` }
      }
      return { code, detail: '' }
    }
    default: return { code, detail: '' }
  }
}

const ofAuthority = 'that of the authority'

/** Where the chain that was sent ends, and what would have to follow. */
function missingAuthority(chain: X509Certificate[], { authorities }: PeerRules): string {
  const [last, isAlone] = [chain.at(-1)!, chain.length === 1]
  const [missing, place] = [oneLine(last.issuer), authorities?.place]
  const hasName = authorities?.known.some(({ subject }) => subject === missing)
  const lack = hasName ? `and ${place} has another certificate of that name, with another key` : `which ${place} does not have`
  if (last.subject === last.issuer) return `${isAlone ? 'it has signed itself as' : 'its chain ends with'} ${missing}, ${lack}`
  return `${isAlone ? 'it' : oneLine(last.subject)} is signed by ${missing}, ${lack}`
}

/** What the other side sent, from its own certificate upward. */
function chainOf(certificate: X509Certificate): X509Certificate[] {
  const chain = [certificate]
  for (let at = certificate.issuerCertificate; at !== undefined && chain.length < 10; at = at.issuerCertificate) {
    if (chain.some(each => each.fingerprint256 === at!.fingerprint256)) break
    chain.push(at)
  }
  return chain
}

/** Dates and strength of a certificate that is believed without a chain. */
function ownFault(certificate: X509Certificate, now: number): PeerFault | undefined {
  if (certificate.validToDate.getTime() <= now) return chainFault(certificate, 'CERT_HAS_EXPIRED', noRules, now)
  if (certificate.validFromDate.getTime() > now) return chainFault(certificate, 'CERT_NOT_YET_VALID', noRules, now)
  const weakness = weaknessOf(certificate)
  // Nobody asks for the signature of a pinned certificate, so its hash is of no matter.
  return weakness?.code === 'WEAK_KEY' ? { code: weakness.code, detail: weakness.words } : undefined
}

function pinFault(certificate: X509Certificate, rules: PeerRules): PeerFault | undefined {
  const { fingerprints, spki } = rules
  if (!isPinned(rules) || fingerprints.includes(certificate.fingerprint256)) return undefined
  if (spki.length > 0 && spki.includes(spkiOf(certificate))) return undefined
  return { code: 'WRONG_PIN', detail: `its fingerprint is ${certificate.fingerprint256}, that of its key ${spkiOf(certificate)}` }
}

function nameFault(certificate: X509Certificate, rules: PeerRules, host: string | undefined): PeerFault | undefined {
  const isFor = (takesCn: boolean): boolean => host === undefined || isForHost(certificate, host, takesCn)
  const isAccepted = (takesCn: boolean): boolean =>
    rules.names.length === 0 || namesOf(certificate, takesCn).some(name => rules.names.some(rule => rule.test(name)))
  const isConstrained = rules.cnAsName && hasOnlyCn(certificate) && rules.authorities?.isConstrained?.(certificate) === true
  const takesCn = rules.cnAsName && !isConstrained
  if (isFor(takesCn) && isAccepted(takesCn)) return undefined
  if (!takesCn && isFor(true) && isAccepted(true)) {
    const why = isConstrained ? ', and a CA of its chain has name constraints: no common name counts there' : ''
    return { code: 'CN_ONLY', detail: `CN=${shown(commonNames(certificate)[0])}${why}` }
  }
  if (!isFor(takesCn)) return { code: 'WRONG_NAME', detail: `expected ${host}; ${namesText(certificate)}` }
  return { code: 'NAME_NOT_ACCEPTED', detail: namesText(certificate) }
}

/** OpenSSL's own comparison, told in so many words whether the common name counts. */
function isForHost(certificate: X509Certificate, host: string, takesCn: boolean): boolean {
  if (isIP(host) !== 0) return certificate.checkIP(host) !== undefined
  const subject = takesCn && hasOnlyCn(certificate) ? 'always' : 'never'
  return certificate.checkHost(host.replace(/\.$/, ''), { subject, partialWildcards: false }) !== undefined
}

function namesOf(certificate: X509Certificate, takesCn: boolean): string[] {
  return takesCn && hasOnlyCn(certificate) ? [`DNS:${commonNames(certificate)[0]}`] : alternativeNames(certificate)
}

/** Of several common names nobody can say which one is meant. */
function hasOnlyCn(certificate: X509Certificate): boolean {
  return certificate.subjectAltName === undefined && commonNames(certificate).length === 1
}

/** The names of a certificate in words. */
export function namesText(certificate: X509Certificate): string {
  const names = alternativeNames(certificate)
  if (names.length > 0) return `it has ${names.map(shown).join(', ')}`
  const common = commonNames(certificate).map(name => `CN=${shown(name)}`)
  if (common.length === 0) return 'it has none'
  return `it has none but ${common.join(', ')}, and a common name ${common.length === 1 ? 'is not taken for one' : 'of several is none'}`
}

/** `dns:*.cache.example` as it would stand in `alternativeNames`. A `*` stays within a label, and takes what a name is made
 *  of and nothing else: no NUL, blank or line end, which some reader may take for the name's end. */
export function nameRule(text: string): RegExp {
  const [kind, name] = [text.slice(0, 3), text.slice(4)]
  const star = kind === 'dns' ? '[\\w-]*' : '[^\\s./:,"\\\\\\x00-\\x20\\x7f-\\uffff]*'
  const escaped = name.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', star)
  return new RegExp(`^${kind === 'dns' ? 'DNS' : 'URI'}:${escaped}$`, kind === 'dns' ? 'i' : '')
}

const noRules = peerRules({}, undefined)

function shown(name: string): string {
  const bytes = Buffer.from(name)
  return printable(bytes, 0, bytes.length, 300)
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
