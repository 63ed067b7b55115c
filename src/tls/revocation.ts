import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { namesOf, parseCrl, type RevocationList } from './crl.ts'
import type { MaterialFault } from './material.ts'
import { oneLine } from './peer.ts'

// `tls.crl`: the file, its lists, and what is wrong with them. An expired list is no fault: the CA is late, and
// `crl_expired` says what becomes of clients meanwhile.

export interface Revocation {
  lists: RevocationList[]
  /** When the first of them ends; undefined: never. */
  nextUpdate: Date | undefined
}

export interface RevocationResult { revocation?: Revocation, faults: MaterialFault[], warnings: MaterialFault[] }

export function readRevocation(file: string, authorities: readonly X509Certificate[], expired: 'refuse' | 'warn', now: number): RevocationResult {
  const faults: MaterialFault[] = []
  const warnings: MaterialFault[] = []
  const fault = (message: string, fix: string): RevocationResult => {
    faults.push({ key: 'crl', message, fix })
    return { faults, warnings }
  }
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return fault(`there is no file ${file}.`, 'Write the path of the revocation list, or put the file there.')
    return fault(`${file} cannot be read (${code}).`, "Let memseal's user read it.")
  }
  const blocks = pem.match(/-----BEGIN X509 CRL-----[^]+?-----END X509 CRL-----/g) ?? []
  if (blocks.length === 0) return fault(`${file} holds no revocation list in PEM.`, 'Convert it: openssl crl -inform der -in FILE -out FILE.pem')
  const lists: RevocationList[] = []
  for (const [at, block] of blocks.entries()) {
    try {
      lists.push(parseCrl(block))
    } catch {
      return fault(`${file}: revocation list ${at + 1} of ${blocks.length} is damaged.`, 'Copy the file again, whole.')
    }
  }
  for (const [at, list] of lists.entries()) {
    const signer = authorities.find(authority => namesOf(authority).subject === list.issuer)
    if (signer !== undefined && list.isSignedBy(signer) === false) {
      return fault(`${file}: revocation list ${at + 1} bears the name of ${oneLine(signer.subject)}, and its signature is another's.`,
        'Get the list again from the CA, or mend client_ca.')
    }
    if (signer === undefined) {
      warnings.push({ key: 'crl', message: `${file}: revocation list ${at + 1} is of no CA in client_ca.`, fix: 'Remove it, or add its CA.' })
    }
    if (list.nextUpdate !== undefined && list.nextUpdate.getTime() <= now) warnings.push(expiredWarning(file, list.nextUpdate, expired))
  }
  for (const authority of authorities) {
    const { subject } = namesOf(authority)
    if (lists.some(list => list.issuer === subject)) continue
    const word = expired === 'refuse' ? 'so no client that it signed gets in' : 'so nobody can say which of its clients are revoked'
    warnings.push({ key: 'crl', message: `${file} has no list of ${oneLine(authority.subject)}, ${word}.`, fix: "Append that CA's list to the file." })
  }
  return { revocation: { lists, nextUpdate: earliest(lists) }, faults, warnings }
}

export function expiredWarning(file: string, nextUpdate: Date, expired: 'refuse' | 'warn'): MaterialFault {
  const outcome = expired === 'refuse' ? 'clients of its CA are refused (crl_expired: refuse)' : 'clients are judged by the old list (crl_expired: warn)'
  return {
    key: 'crl', message: `${file} expired on ${nextUpdate.toISOString().slice(0, 16).replace('T', ' ')} UTC; ${outcome}.`,
    fix: 'Get a new list from the CA.',
  }
}

function earliest(lists: readonly RevocationList[]): Date | undefined {
  const times = lists.flatMap(list => list.nextUpdate === undefined ? [] : [list.nextUpdate.getTime()])
  return times.length === 0 ? undefined : new Date(Math.min(...times))
}
