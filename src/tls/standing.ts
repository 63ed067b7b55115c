import type { X509Certificate } from 'node:crypto'
import type { ListenerTls } from './context.ts'
import { peerFault } from './verdict.ts'

/** Would a client that is in be let in today, by the CAs, lists, pins and names in force now? For those that shook hands before a
 *  reload. Dates are not asked for: a certificate or a list that ends by itself is no order to anybody to end connections.
 *  @param certificate as its socket gives it   @returns the code of what is wrong (see handshake-failure.ts) */
export function standingFault({ settings, rules, judge }: ListenerTls, certificate: X509Certificate | undefined): string | undefined {
  const { client_auth: auth } = settings
  if (auth === 'none') return undefined
  if (certificate === undefined) return auth === 'optional' ? undefined : 'NO_CERTIFICATE'
  try {
    const isSigned = rules.authorities === undefined || judge.isTrusted(certificate)
    const fault = peerFault(certificate, isSigned ? '' : 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', rules, undefined)
    if (fault !== undefined && !ofDates.has(fault.code)) return fault.code
    const code = rules.authorities === undefined ? undefined : judge.fault(certificate, false)
    return code === undefined || ofDates.has(code) ? undefined : code
  } catch {
    return 'CERT_UNTRUSTED'
  }
}

const ofDates: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'CRL_HAS_EXPIRED', 'CRL_NOT_YET_VALID'])
