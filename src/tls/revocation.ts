import { X509Certificate } from 'node:crypto'
import { whyNotSeen } from '../lib/hidden-paths.ts'
import { FileKindError, readWholeFile } from '../lib/whole-file.ts'
import type { ListRules } from './client-judge.ts'
import { parseCrl, type RevocationList } from './crl.ts'
import type { MaterialFault } from './material-fault.ts'
import { oneLine } from './peer.ts'
import { MOST_BYTES } from './pem.ts'
import { subjectOf } from './x509.ts'

// `tls.crl`: the file, its lists, and what is wrong with them. An expired list is no fault: the CA is late, and
// `crl_expired` says what becomes of clients meanwhile.

export interface Revocation {
  lists: RevocationList[]
  /** When the first of them ends; undefined: never. */
  nextUpdate: Date | undefined
}

export interface RevocationResult { revocation?: Revocation, faults: MaterialFault[], warnings: MaterialFault[] }

export function readRevocation(file: string, authorities: readonly X509Certificate[], rules: ListRules, now: number): RevocationResult {
  const faults: MaterialFault[] = []
  const warnings: MaterialFault[] = []
  const fault = (message: string, fix: string): RevocationResult => {
    faults.push({ key: 'crl', message, fix })
    return { faults, warnings }
  }
  const warn = (message: string, fix: string): void => void warnings.push({ key: 'crl', message: `${file}: ${message}`, fix })
  let pem: string
  try {
    pem = readWholeFile(file, MOST_BYTES).toString()
  } catch (error) {
    if (error instanceof FileKindError) return fault(`${file} ${error.words}.`, error.fix)
    const { code } = error as NodeJS.ErrnoException
    const hidden = whyNotSeen(file)
    if (hidden !== undefined) return fault(`${file} cannot be read (${code}): ${hidden.words}.`, hidden.fix)
    if (code === 'ENOENT') return fault(`there is no file ${file}.`, 'Write the path of the revocation list, or put the file there.')
    return fault(`${file} cannot be read (${code}).`, "Let memseal's user read it.")
  }
  const blocks = pem.match(/-----BEGIN X509 CRL-----[^]+?-----END X509 CRL-----/g) ?? []
  if (blocks.length === 0) {
    const other = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem)?.[1]
    if (other !== undefined) {
      const what = other.endsWith('CERTIFICATE') ? 'a certificate' : other.endsWith('PRIVATE KEY') ? 'a private key' : 'something else'
      return fault(`${file} holds ${what}, and no revocation list.`, 'Write the file that holds "BEGIN X509 CRL" here.')
    }
    return fault(`${file} holds no revocation list in PEM.`, 'Convert it: openssl crl -inform der -in FILE -out FILE.pem')
  }
  const lists: RevocationList[] = []
  for (const [at, block] of blocks.entries()) {
    try {
      lists.push(parseCrl(block))
    } catch {
      return fault(`${file}: revocation list ${at + 1} of ${blocks.length} is damaged.`, 'Copy the file again, whole.')
    }
  }
  for (const [at, list] of lists.entries()) {
    const signers = authorities.filter(authority => subjectOf(authority) === list.issuer)
    const name = `revocation list ${at + 1}`
    if (signers.length === 0) {
      warn(`${name} is of no CA in client_ca, so it counts only for clients that send that CA's certificate along.`,
        'Remove the list, or add its CA.')
      continue
    }
    const whose = `${name}, of ${oneLine(signers[0].subject)},`
    if (list.unusable !== undefined) {
      return fault(`${file}: ${whose} cannot be used: ${list.unusable}`,
        'Let the CA make a whole list of its own certificates, signed with SHA-256.')
    }
    if (!signers.some(signer => list.isSignedBy(signer))) {
      return fault(`${file}: ${name} bears the name of ${oneLine(signers[0].subject)}, and its signature is another's.`,
        'Get the list again from the CA, or mend client_ca.')
    }
    if (list.hasWeakHash) warn(`${whose} is signed with SHA-1.`, 'Let the CA sign its lists with SHA-256.')
    if (list.isDelta && !lists.some(other => other.issuer === list.issuer && !other.isDelta)) {
      warn(`${whose} is a delta, which only adds to a list of that CA, and there is none.`, "Append that CA's whole list to the file.")
    }
    if (list.thisUpdate.getTime() > now) {
      warn(`${whose} holds only from ${minute(list.thisUpdate)} on.`, "Compare this host's clock with that of the CA.")
    }
    if (isSuperseded(list, lists, authorities)) {
      warn(`${whose} is older than another one of the same CA, which counts instead.`, 'Remove the older list.')
    } else if (list.nextUpdate !== undefined && list.nextUpdate.getTime() <= now) {
      warnings.push(expiredWarning(file, list.nextUpdate, rules.expired))
    }
  }
  for (const authority of authorities) {
    if (lists.some(list => isOf(list, authority)) || (rules.check === 'leaf' && signsAnother(authority, authorities, lists))) continue
    const word = rules.missing === 'refuse' ? 'clients that it signed are refused (crl_missing: refuse)' :
      'nobody says which of its clients are revoked, and all of them get in (crl_missing: admit)'
    warn(`there is no list of ${oneLine(authority.subject)} in it: ${word}.`, "Append that CA's list to the file.")
  }
  return { revocation: { lists, nextUpdate: earliest(lists.filter(list => !isSuperseded(list, lists, authorities))) }, faults, warnings }
}

export function expiredWarning(file: string, nextUpdate: Date, expired: 'refuse' | 'warn'): MaterialFault {
  const outcome = expired === 'refuse' ? 'clients of its CA are refused (crl_expired: refuse)' :
    'clients are judged by the old list (crl_expired: warn)'
  return {
    key: 'crl', message: `${file} expired on ${minute(nextUpdate)}; ${outcome}.`,
    fix: 'Get a new list from the CA.',
  }
}

function minute(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** Of several whole lists about the same certificates the newest counts; two CAs may have one name, and each its own list. */
function isSuperseded(list: RevocationList, lists: readonly RevocationList[], authorities: readonly X509Certificate[]): boolean {
  const signer = (each: RevocationList): string | undefined => authorities.find(authority => isOf(each, authority) && each.isSignedBy(authority))?.fingerprint256
  const about = ({ issuer, isDelta, covers, points }: RevocationList): string => JSON.stringify([issuer, isDelta, covers, points])
  const at = lists.indexOf(list)
  return !list.isDelta && lists.some((other, place) => about(other) === about(list) && signer(other) === signer(list) &&
    (other.thisUpdate > list.thisUpdate || (other.thisUpdate.getTime() === list.thisUpdate.getTime() && place < at)))
}

function isOf(list: RevocationList, authority: X509Certificate): boolean {
  return !list.isDelta && list.issuer === subjectOf(authority)
}

/** A CA above one that has a list: its own clients, if it has any, are the exception. */
function signsAnother(authority: X509Certificate, authorities: readonly X509Certificate[], lists: readonly RevocationList[]): boolean {
  return authorities.some(other => other !== authority && other.checkIssued(authority) && lists.some(list => isOf(list, other)))
}

function earliest(lists: readonly RevocationList[]): Date | undefined {
  const times = lists.flatMap(list => list.nextUpdate === undefined ? [] : [list.nextUpdate.getTime()])
  return times.length === 0 ? undefined : new Date(Math.min(...times))
}
