import { X509Certificate } from 'node:crypto'
import { putBounded } from '../lib/bounded.ts'
import { names, type RevocationList } from './crl.ts'
import { hasNameConstraints, pointsOf, subjectOf } from './x509.ts'

// What OpenSSL does not say of a client's certificate, or not any more. It looks at dates and lists while a whole handshake
// runs; a session that is resumed was judged then, and a client that always comes back in time would never be judged again.
// And it asks for a list of every CA of a chain, or of none.
//
//   certificate ── path: its issuer, that one's issuer … the CA of `client_ca` ──┬─ dates, when the session is resumed
//                  (each signature checked)                                     └─ lists, always
//
// With a resumed session comes the client's own certificate alone, so intermediates that came with whole handshakes are kept.

export interface ListRules {
  /** Whose list there has to be: that of the CA that signed the client's certificate, or of each CA up to the root. */
  check: 'leaf' | 'chain'
  expired: 'refuse' | 'warn'
  missing: 'refuse' | 'admit'
}

/** From the client's certificate to one of `client_ca`. */
type Path = readonly X509Certificate[]

const MOST_INTERMEDIATES = 1_000
const MOST_PATHS = 4_096
const LONGEST_PATH = 8

export class ClientJudge {
  readonly #authorities: readonly X509Certificate[]
  readonly #lists: readonly RevocationList[] | undefined
  readonly #rules: ListRules
  readonly #intermediates = new Map<string, X509Certificate>()
  readonly #paths = new Map<string, Path>()
  /** By list and by the fingerprint of a CA: did that CA sign it? */
  readonly #signed = new Map<RevocationList, Map<string, boolean>>()
  readonly #subjects = new WeakMap<X509Certificate, string>()

  /** @param authorities PEM   @param lists undefined: nobody is revoked */
  constructor(authorities: readonly string[], lists: readonly RevocationList[] | undefined, rules: ListRules) {
    this.#authorities = authorities.map(pem => new X509Certificate(pem))
    this.#lists = lists?.filter(({ unusable }) => unusable === undefined)
    this.#rules = rules
  }

  /** @param certificate of a client, as the socket gives it: with a whole handshake, what was sent along hangs on it
   *  @returns the code of OpenSSL for what is wrong; undefined: all is well */
  fault(certificate: X509Certificate, isResumed: boolean, now = Date.now()): string | undefined {
    if (!isResumed) this.#learn(certificate)
    else {
      const late = this.#path(certificate, now).map(each => dateFault(each, now)).find(fault => fault !== undefined)
      if (late !== undefined) return late
    }
    return this.#lists === undefined ? undefined : this.#listFault(certificate, this.#lists, now)
  }

  /** Is it signed by one of `client_ca`, or by a CA that one of them has signed, or does it stand there itself? Whatever the dates. */
  isTrusted(certificate: X509Certificate, now = Date.now()): boolean {
    this.#learn(certificate)
    return this.#isAuthority(certificate.fingerprint256) || this.#path(certificate, now).length > 1
  }

  /** Knows what else stands in a client's file, as if the client had sent it along. */
  know(sent: readonly X509Certificate[]): void {
    for (const each of sent) this.#intermediates.set(each.fingerprint256, each)
  }

  /** Knows the intermediates that another one has learned: with resumed sessions none come. Each path is checked all the same. */
  inherit(other: ClientJudge): void {
    for (const [fingerprint, each] of other.#intermediates) this.#intermediates.set(fingerprint, each)
  }

  /** Does a CA on its path say which names it may give, or does nobody know the path? OpenSSL does not hold a common name of
   *  one label against such constraints. */
  isConstrained(certificate: X509Certificate, now = Date.now()): boolean {
    this.#learn(certificate)
    const path = this.#path(certificate, now)
    return path.length === 1 && !this.#isAuthority(certificate.fingerprint256) || path.some(hasNameConstraints)
  }

  #listFault(certificate: X509Certificate, lists: readonly RevocationList[], now: number): string | undefined {
    const path = this.#path(certificate, now)
    for (const [at, each] of path.entries()) {
      const issuer = path[at + 1]
      if (issuer === undefined && at > 0) break   // the CA itself: that it counts is said by `client_ca`
      const verdict = issuer === undefined ? 'UNABLE_TO_GET_CRL' : this.#verdictOf(each, issuer, at, lists, now)
      if (verdict === 'CERT_REVOKED') return verdict
      if (verdict === undefined || (at > 0 && this.#rules.check === 'leaf')) continue
      if (verdict === 'CRL_HAS_EXPIRED' ? this.#rules.expired === 'refuse' : this.#rules.missing === 'refuse') return verdict
    }
    return undefined
  }

  #verdictOf(
    certificate: X509Certificate, issuer: X509Certificate, depth: number, lists: readonly RevocationList[], now: number,
  ): string | undefined {
    const subject = this.#subject(issuer)
    const own = lists.filter(list => list.issuer === subject && covers(list, certificate, depth) && this.#isSigned(list, issuer))
    const whole = own.filter(({ isDelta }) => !isDelta).toSorted((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
    const begun = whole.filter(({ thisUpdate }) => thisUpdate.getTime() <= now)
    const list = begun[0] ?? whole[0]
    // Two CAs may have one name: the newer list of the other one's key takes nothing off what this one's key has signed.
    const ofItsKey = begun.find(each => this.#hasSigned(issuer, each))
    if ([list, ofItsKey, ...own.filter(({ isDelta }) => isDelta)].some(each => each !== undefined && names(each, certificate))) return 'CERT_REVOKED'
    if (list === undefined) return 'UNABLE_TO_GET_CRL'
    if (begun.length === 0) return 'CRL_NOT_YET_VALID'
    return list.nextUpdate !== undefined && list.nextUpdate.getTime() <= now ? 'CRL_HAS_EXPIRED' : undefined
  }

  /** By this CA, or by another of its name in `client_ca`: a CA that has got a new key signs its lists with that one. */
  #isSigned(list: RevocationList, issuer: X509Certificate): boolean {
    return [issuer, ...this.#authorities.filter(each => this.#subject(each) === list.issuer)].some(authority => this.#hasSigned(authority, list))
  }

  #hasSigned(authority: X509Certificate, list: RevocationList): boolean {
    let known = this.#signed.get(list)
    if (known === undefined) this.#signed.set(list, known = new Map())
    const key = authority.fingerprint256
    let isSigned = known.get(key)
    if (isSigned === undefined) known.set(key, isSigned = list.isSignedBy(authority))
    if (known.size > MOST_INTERMEDIATES) known.clear()
    return isSigned
  }

  /** What was sent along is kept if it leads to one of `client_ca`. */
  #learn(certificate: X509Certificate): void {
    const isKnown = (fingerprint: string): boolean => this.#intermediates.has(fingerprint) || this.#isAuthority(fingerprint)
    const sent = sentWith(certificate).filter(({ fingerprint256 }) => !isKnown(fingerprint256))
    if (sent.length === 0) return
    for (const each of this.#search(certificate, sent, Date.now()) ?? []) {
      if (each === certificate || !sent.includes(each)) continue
      putBounded(this.#intermediates, each.fingerprint256, each, MOST_INTERMEDIATES)
    }
  }

  /** @returns the certificate alone when its path is not known: it was believed without one */
  #path(certificate: X509Certificate, now: number): Path {
    const key = certificate.fingerprint256
    const kept = this.#paths.get(key)
    if (kept?.every(each => dateFault(each, now) === undefined)) return kept
    const found = this.#search(certificate, [...this.#intermediates.values()], now)
    if (found === undefined) return [certificate]
    if (this.#paths.size >= MOST_PATHS) this.#paths.clear()
    this.#paths.set(key, found)
    return found
  }

  /** The shortest way that holds today, else one that does not. */
  #search(certificate: X509Certificate, between: readonly X509Certificate[], now: number): Path | undefined {
    const ways: Path[] = []
    let open: Path[] = [[certificate]]
    for (let length = 1; length <= LONGEST_PATH && open.length > 0 && ways.length === 0; length++) {
      const next: Path[] = []
      for (const path of open) {
        const last = path.at(-1)!
        const above = this.#authorities.filter(each => isIssuer(each, last))
        for (const each of above) ways.push(this.#upwards([...path, each]))
        if (above.length === 0 && this.#isAuthority(last.fingerprint256)) ways.push(path)
        for (const each of between) if (!path.includes(each) && isIssuer(each, last)) next.push([...path, each])
      }
      const good = ways.find(way => way.every(each => dateFault(each, now) === undefined))
      if (good !== undefined) return good
      open = next
    }
    return ways[0]
  }

  /** An intermediate of `client_ca` is a CA that counts; those above it that stand there too have their say over it. */
  #upwards(path: Path): Path {
    const last = path.at(-1)!
    const isInPath = (authority: X509Certificate): boolean => path.some(({ fingerprint256 }) => fingerprint256 === authority.fingerprint256)
    const above = this.#authorities.find(each => !isInPath(each) && isIssuer(each, last))
    return above === undefined || path.length >= LONGEST_PATH ? path : this.#upwards([...path, above])
  }

  #isAuthority(fingerprint: string): boolean {
    return this.#authorities.some(({ fingerprint256 }) => fingerprint256 === fingerprint)
  }

  #subject(certificate: X509Certificate): string {
    let subject = this.#subjects.get(certificate)
    if (subject === undefined) this.#subjects.set(certificate, subject = subjectOf(certificate))
    return subject
  }
}

function isIssuer(authority: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

function covers({ covers, points }: RevocationList, certificate: X509Certificate, depth: number): boolean {
  if (covers !== 'all' && (covers === 'leaves') !== (depth === 0)) return false
  if (points.length === 0) return true
  const own = pointsOf(certificate)
  return points.some(point => own.includes(point))
}

function sentWith(certificate: X509Certificate): X509Certificate[] {
  const sent: X509Certificate[] = []
  for (let at = certificate.issuerCertificate; at !== undefined && sent.length < LONGEST_PATH; at = at.issuerCertificate) {
    if (sent.some(({ fingerprint256 }) => fingerprint256 === at!.fingerprint256)) break
    sent.push(at)
  }
  return sent
}

function dateFault({ validFromDate, validToDate }: X509Certificate, now: number): string | undefined {
  if (validToDate.getTime() <= now) return 'CERT_HAS_EXPIRED'
  return validFromDate.getTime() > now ? 'CERT_NOT_YET_VALID' : undefined
}
