import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { statSync } from 'node:fs'
import { readNamed, tooOpen } from '../lib/file-fault.ts'
import { chainOf, type Chain } from './chain.ts'
import type { MaterialFault } from './material-fault.ts'
import { oneLine } from './peer.ts'
import { certificateBlocks, hasTrustSettings, insteadOfCertificates, MOST_BYTES, plainPem, privateKeyBlock } from './pem.ts'
import { readRevocation, type Revocation } from './revocation.ts'
import { signsOthers } from './x509.ts'

// Certificates and keys, read and checked against each other before any of them is used.

/** Checked PEM, as `tls.createSecureContext` takes it. */
export interface Material {
  cert: string
  key: string
  clientCa: string[] | undefined
  authorities: Loaded[]
  revocation: Revocation | undefined
  subject: string
  names: string
  fingerprint: string
  notAfter: Date
}

/** What `memseal status` shows of a certificate that is in use. */
export interface Loaded { subject: string, fingerprint: string, notAfter: Date }

/** The same for the client side of TLS, towards a backend. */
export interface BackendMaterial {
  ca: string[] | undefined     // undefined: a pin stands for them
  cert: string | undefined
  key: string | undefined
  notAfter: Date | undefined
  shown: Loaded | undefined
  authorities: Loaded[]
}

export interface BackendMaterialResult { material?: BackendMaterial, faults: MaterialFault[], warnings: MaterialFault[] }
export interface MaterialResult { material?: Material, faults: MaterialFault[], warnings: MaterialFault[] }

const DAY = 86_400_000
const SOON_DAYS = 14

/** Who meets whom: a listener shows its certificate to clients, the client side of TLS shows one to the cache host. */
const sides = {
  listener: {
    ownAfterwards: 'every client that checks it refuses it',
    notCa: "Use a certificate of this service alone; clients may refuse this one.",
    own: "this service's",
    keyPath: 'tls.key',
    peersRefused: 'no client that it signed gets in',
    signer: 'the CA that signs client certificates',
  },
  backend: {
    ownAfterwards: 'every cache host that checks it refuses it',
    notCa: "Use a certificate of this host alone; cache hosts may refuse this one.",
    own: "this host's",
    keyPath: 'backend.tls.key',
    peersRefused: 'no cache host that it signed is believed',
    signer: 'the CA that signs the certificates of the cache hosts',
  },
} as const

export interface MaterialFiles {
  cert: string
  key: string
  client_ca?: string
  crl?: string
  crl_check?: 'leaf' | 'chain'
  crl_expired?: 'refuse' | 'warn'
  crl_missing?: 'refuse' | 'admit'
}

/** Reads all files and tells all faults. `material` is there only when there is no fault.
 *  @param servesUntil how long what serves now holds, if something does: it is not given up for what does not */
export function readMaterial(tls: MaterialFiles, now = Date.now(), servesUntil?: Date): MaterialResult {
  const reading = new MaterialReading(now, 'listener', servesUntil)
  const own = reading.own(tls)
  const authorities = tls.client_ca === undefined ? undefined : reading.certificates('client_ca', tls.client_ca)
  if (authorities !== undefined) reading.checkAuthorities('client_ca', authorities, tls.client_ca!)
  const revocation = authorities === undefined ? undefined : reading.revocation(authorities.certificates, tls)

  const { faults, warnings } = reading
  if (faults.length > 0 || own === undefined) return { faults, warnings }
  const { leaf, cert, key } = own
  const material = {
    cert, key, clientCa: authorities?.blocks, revocation, authorities: (authorities?.certificates ?? []).map(loadedOf),
    subject: leaf.subject, names: leaf.subjectAltName ?? '', fingerprint: leaf.fingerprint256, notAfter: leaf.validToDate,
  }
  return { material, faults, warnings }
}

/** The same for the client side of TLS. `cert` and `key` come together or not at all, and so do `ca` and what it says. */
export function readBackendMaterial(
  tls: { ca?: string, cert?: string, key?: string }, now = Date.now(), servesUntil?: Date,
): BackendMaterialResult {
  const reading = new MaterialReading(now, 'backend', servesUntil)
  const authorities = tls.ca === undefined ? undefined : reading.certificates('ca', tls.ca)
  if (authorities !== undefined) reading.checkAuthorities('ca', authorities, tls.ca!)
  const own = tls.cert === undefined || tls.key === undefined ? undefined : reading.own({ cert: tls.cert, key: tls.key })

  const { faults, warnings } = reading
  if (faults.length > 0) return { faults, warnings }
  const material = {
    ca: authorities?.blocks, cert: own?.cert, key: own?.key, notAfter: own?.leaf.validToDate, shown: own && loadedOf(own.leaf),
    authorities: (authorities?.certificates ?? []).map(loadedOf),
  }
  return { material, faults, warnings }
}

/** Each file for itself, where others of its section are in doubt: whether it is there and holds what it should. */
export function readAlone(files: Partial<Record<MaterialFault['key'], string>>, side: keyof typeof sides): Pick<MaterialResult, 'faults' | 'warnings'> {
  const reading = new MaterialReading(Date.now(), side, undefined)
  for (const key of ['cert', 'client_ca', 'ca'] as const) if (files[key] !== undefined) reading.certificates(key, files[key])
  if (files.key !== undefined) reading.privateKey(files.key)
  if (files.crl !== undefined) reading.readable('crl', files.crl)
  return reading
}

export function loadedOf({ subject, fingerprint256, validToDate }: X509Certificate): Loaded {
  return { subject: oneLine(subject), fingerprint: fingerprint256, notAfter: validToDate }
}

interface CertificateFile { blocks: string[], certificates: X509Certificate[] }

/** Its own certificate, and the PEM that is served. */
interface Own { leaf: X509Certificate, cert: string, key: string }

class MaterialReading {
  readonly faults: MaterialFault[] = []
  readonly warnings: MaterialFault[] = []
  #now: number
  #servesUntil: Date | undefined
  #words: typeof sides[keyof typeof sides]

  constructor(now: number, side: keyof typeof sides, servesUntil: Date | undefined) {
    this.#now = now
    this.#servesUntil = servesUntil
    this.#words = sides[side]
  }

  /** Certificate, chain and key that are shown to the other side. */
  own(files: { cert: string, key: string }): Own | undefined {
    const found = this.certificates('cert', files.cert)
    const key = this.privateKey(files.key)
    if (found === undefined) return undefined
    const chain = chainOf(found.certificates, key?.object, this.#now)
    const [leaf] = chain.certificates
    this.#checkChain(chain, files.cert)
    if (key === undefined) return undefined
    if (leaf.checkPrivateKey(key.object)) return { leaf, cert: chain.certificates.map(plainPem).join(''), key: key.pem }
    this.#fault('key', `${files.key} does not belong to the certificate in ${files.cert}.`,
      'Write the key that the certificate was requested with.')
    return undefined
  }

  certificates(key: 'cert' | 'client_ca' | 'ca', file: string): CertificateFile | undefined {
    const bytes = this.readable(key, file)
    if (bytes === undefined) return undefined
    const blocks = certificateBlocks(bytes.toString('latin1'))
    if (blocks.length === 0) {
      this.#fault(key, ...insteadOfCertificates(bytes, file, this.#words.keyPath))
      return undefined
    }
    const certificates: X509Certificate[] = []
    for (const [at, block] of blocks.entries()) {
      try {
        certificates.push(new X509Certificate(block))
      } catch {
        this.#fault(key, `${file}: certificate ${at + 1} of ${blocks.length} is damaged.`, 'Copy the file again, whole.')
        return undefined
      }
    }
    return { blocks, certificates }
  }

  revocation(authorities: X509Certificate[], { crl, crl_check: check = 'leaf', crl_expired: expired = 'refuse', crl_missing: missing = 'refuse' }: MaterialFiles): Revocation | undefined {
    if (crl === undefined) return undefined
    const { revocation, faults, warnings } = readRevocation(crl, authorities, { check, expired, missing }, this.#now)
    this.faults.push(...faults)
    this.warnings.push(...warnings)
    return revocation
  }

  privateKey(file: string): { pem: string, object: KeyObject } | undefined {
    const bytes = this.readable('key', file)
    if (bytes === undefined) return undefined
    const open = tooOpen(file, statSync(file).mode)
    if (open !== undefined) this.#warn('key', open.message, open.fix)
    const pem = privateKeyBlock(bytes.toString('latin1')) ?? ''
    try {
      return { pem, object: createPrivateKey(pem) }
    } catch (error) {
      if (pem.includes('ENCRYPTED') || (error as NodeJS.ErrnoException).code === 'ERR_MISSING_PASSPHRASE') {
        this.#fault('key', `${file} is encrypted with a passphrase.`,
          'Decrypt it: openssl pkey -in FILE -out FILE.plain, readable by memseal alone.')
      } else if (pem !== '') this.#fault('key', `${file}: the private key is damaged.`, 'Copy the file again, whole.')
      else if (bytes[0] === 0x30) {
        this.#fault('key', `${file} holds no private key in PEM; it may be DER.`,
          'Convert it: openssl pkey -inform der -in FILE -out FILE.pem, readable by memseal alone.')
      } else this.#fault('key', `${file} holds no private key in PEM.`, 'Write the file that holds "BEGIN PRIVATE KEY" here.')
      return undefined
    }
  }

  /** Whatever OpenSSL serves is served; what is odd about it is told. */
  #checkChain({ certificates, length, doubled, isSorted }: Chain, file: string): void {
    const [leaf] = certificates
    this.#checkDates(leaf, file)
    if (leaf.ca) this.#warn('cert', `${file}: the certificate is a CA's.`, this.#words.notCa)
    for (const each of doubled) {
      this.#warn('cert', `${file}: ${oneLine(each.subject)} stands there more than once; it is served once.`, 'Remove the others.')
    }
    if (isSorted) {
      this.#warn('cert', `${file}: its certificates do not stand in the order in which they signed each other; they are served in it.`,
        `Put ${this.#words.own} own certificate first, then its issuer, and so on.`)
    }
    for (const [at, each] of certificates.entries()) {
      if (at === 0) continue
      const [name, end, isEnded] = [oneLine(each.subject), day(each.validToDate), each.validToDate.getTime() <= this.#now]
      if (at >= length) {
        const ended = isEnded ? ` expired on ${end} and` : ''
        this.#warn('cert', `${file}: ${name}${ended} is not needed for the chain; it is served last.`, 'Remove it.')
      } else if (isEnded) {
        this.#warn('cert', `${file}: ${name}, which is in the chain, expired on ${end}; whoever needs it refuses the chain.`,
          'Replace it, or remove it.')
      } else this.#warnOfEnd('cert', each, file)
    }
  }

  /** Whatever stands in the file is taken as the end of a chain, as OpenSSL's own tools take it; what an operator might not
   *  expect of it is told. Dates are no fault here: an authority that has expired lets nobody in, and takes no service down. */
  checkAuthorities(key: 'client_ca' | 'ca', { blocks, certificates }: CertificateFile, file: string): void {
    for (const [at, authority] of certificates.entries()) {
      const name = oneLine(authority.subject)
      if (authority.validToDate.getTime() <= this.#now) {
        this.#warn(key, `${file}: ${name} expired on ${day(authority.validToDate)}; ${this.#words.peersRefused}.`,
          'Replace it, or remove it.')
        continue
      }
      this.#warnOfEnd(key, authority, file)
      if (hasTrustSettings(blocks[at])) {
        this.#warn(key, `${file}: ${name} carries trust settings of its own, and they hold.`,
          'To be without them: openssl x509 -in FILE -out FILE.pem')
      }
      const signs = signsOthers(authority)
      if (signs === 'unmarked') {
        this.#warn(key, `${file}: ${name} does not say that it is a CA's certificate; it is taken for one.`,
          'Replace it by one with basicConstraints CA:TRUE some day.')
      } else if (signs === 'no') {
        this.#warn(key, `${file}: ${name} is not a CA's certificate; it is believed itself, and none that it signed.`,
          `If it is not meant to stand for itself, write ${this.#words.signer}.`)
      }
    }
  }

  /** A date takes no service down: with a certificate that has ended, clients that do not look go on, and with none nobody
   *  does, nor do the other services of this process. But what serves now is better, as long as it holds. */
  #checkDates(leaf: X509Certificate, file: string): void {
    const [from, until] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()]
    if (until > this.#now && from <= this.#now) return this.#warnOfEnd('cert', leaf, file)
    const fault = until <= this.#now ? `expired on ${day(leaf.validToDate)}` : `is valid only from ${day(leaf.validFromDate)} on`
    const message = `${file}: ${oneLine(leaf.subject)} ${fault}`
    const fix = until <= this.#now ? 'Renew it.' : "Check this host's clock, or wait, or use another."
    if (this.#servesUntil !== undefined && this.#servesUntil.getTime() > this.#now) {
      this.#fault('cert', `${message}, and the one that serves now is good until ${day(this.#servesUntil)}.`, fix)
    } else this.#warn('cert', `${message}: ${this.#words.ownAfterwards}.`, fix)
  }

  #warnOfEnd(key: MaterialFault['key'], certificate: X509Certificate, file: string): void {
    const days = Math.floor((certificate.validToDate.getTime() - this.#now) / DAY)
    if (days >= SOON_DAYS) return
    this.#warn(key, `${file}: ${oneLine(certificate.subject)} expires in ${days === 1 ? '1 day' : `${days} days`}, on ${day(certificate.validToDate)}.`, 'Renew it.')
  }

  readable(key: MaterialFault['key'], file: string): Buffer | undefined {
    const { bytes, fault } = readNamed(file, MOST_BYTES)
    if (fault !== undefined) this.#fault(key, fault.message, fault.fix)
    return bytes
  }

  #fault(key: MaterialFault['key'], message: string, fix: string): void {
    this.faults.push({ key, message, fix })
  }

  #warn(key: MaterialFault['key'], message: string, fix: string): void {
    this.warnings.push({ key, message, fix })
  }
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
