import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { whyNotSeen } from '../lib/hidden-paths.ts'
import { oneLine } from './peer.ts'
import { readRevocation, type Revocation } from './revocation.ts'

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

/** `key` is the configuration key (below `tls.`) that it is about. */
export interface MaterialFault { key: 'cert' | 'key' | 'client_ca' | 'crl' | 'ca', message: string, fix: string }
export interface BackendMaterialResult { material?: BackendMaterial, faults: MaterialFault[], warnings: MaterialFault[] }
export interface MaterialResult { material?: Material, faults: MaterialFault[], warnings: MaterialFault[] }

const DAY = 86_400_000
const SOON_DAYS = 14

/** Who meets whom: a listener shows its certificate to clients, the client side of TLS shows one to the cache host. */
const sides = {
  listener: {
    ownAfterwards: 'every client that checks it would refuse it',
    notCa: "Use a certificate of this service alone; clients may refuse this one.",
    own: "this service's",
    peersRefused: 'no client that it signed gets in',
    signedRefused: 'clients that it signed are refused',
    signer: 'the CA that signs client certificates',
    useless: 'no CA that could admit a client',
  },
  backend: {
    ownAfterwards: 'every cache host that checks it would refuse it',
    notCa: "Use a certificate of this host alone; cache hosts may refuse this one.",
    own: "this host's",
    peersRefused: 'no cache host that it signed is believed',
    signedRefused: 'cache hosts that it signed are not believed',
    signer: 'the CA that signs the certificates of the cache hosts',
    useless: 'no CA that could vouch for a cache host',
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

/** Reads all files and tells all faults. `material` is there only when there is no fault. */
export function readMaterial(tls: MaterialFiles, now = Date.now()): MaterialResult {
  const reading = new MaterialReading(now, 'listener')
  const chain = reading.certificates('cert', tls.cert)
  const key = reading.privateKey(tls.key)
  const authorities = tls.client_ca === undefined ? undefined : reading.certificates('client_ca', tls.client_ca)

  if (chain !== undefined) reading.checkChain(chain.certificates, tls.cert)
  if (chain !== undefined && key !== undefined) reading.checkFit(chain.certificates[0], key.object, tls)
  if (authorities !== undefined) reading.checkAuthorities('client_ca', authorities.certificates, tls.client_ca!)
  const revocation = authorities === undefined ? undefined : reading.revocation(authorities.certificates, tls)

  const { faults, warnings } = reading
  if (faults.length > 0 || chain === undefined || key === undefined) return { faults, warnings }
  const [leaf] = chain.certificates
  const material = {
    cert: chain.pem, key: key.pem, clientCa: authorities?.blocks,
    revocation, authorities: (authorities?.certificates ?? []).map(loadedOf), subject: leaf.subject, names: leaf.subjectAltName ?? '', fingerprint: leaf.fingerprint256, notAfter: leaf.validToDate,
  }
  return { material, faults, warnings }
}

/** Reads all files and tells all faults, for the client side of TLS. `cert` and `key` come together or not at all. */
export function readBackendMaterial(tls: { ca?: string, cert?: string, key?: string }, now = Date.now()): BackendMaterialResult {
  const reading = new MaterialReading(now, 'backend')
  const authorities = tls.ca === undefined ? undefined : reading.certificates('ca', tls.ca)
  const chain = tls.cert === undefined ? undefined : reading.certificates('cert', tls.cert)
  const key = tls.key === undefined ? undefined : reading.privateKey(tls.key)

  if (authorities !== undefined) reading.checkAuthorities('ca', authorities.certificates, tls.ca!)
  if (chain !== undefined) reading.checkChain(chain.certificates, tls.cert!)
  if (chain !== undefined && key !== undefined) reading.checkFit(chain.certificates[0], key.object, { cert: tls.cert!, key: tls.key! })

  const { faults, warnings } = reading
  if (faults.length > 0) return { faults, warnings }
  const material = {
    ca: authorities?.blocks, cert: chain?.pem, key: key?.pem, notAfter: chain?.certificates[0].validToDate,
    shown: chain && loadedOf(chain.certificates[0]), authorities: (authorities?.certificates ?? []).map(loadedOf),
  }
  return { material, faults, warnings }
}

function loadedOf({ subject, fingerprint256, validToDate }: X509Certificate): Loaded {
  return { subject: oneLine(subject), fingerprint: fingerprint256, notAfter: validToDate }
}

interface CertificateFile { pem: string, blocks: string[], certificates: X509Certificate[] }

class MaterialReading {
  readonly faults: MaterialFault[] = []
  readonly warnings: MaterialFault[] = []
  #now: number
  #words: typeof sides[keyof typeof sides]

  constructor(now: number, side: keyof typeof sides) {
    this.#now = now
    this.#words = sides[side]
  }

  certificates(key: 'cert' | 'client_ca' | 'ca', file: string): CertificateFile | undefined {
    const pem = this.#read(key, file)
    if (pem === undefined) return undefined
    const blocks = pem.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^]+?-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? []
    if (blocks.length === 0) {
      const isKey = pem.includes('PRIVATE KEY-----')
      this.#fault(key, isKey ? `${file} holds a private key, not a certificate.` : `${file} holds no certificate in PEM.`,
        isKey ? 'Write the file with the certificate here, and the key under tls.key.' : 'Convert it: openssl x509 -inform der -in FILE -out FILE.pem')
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
    return { pem, blocks, certificates }
  }

  revocation(authorities: X509Certificate[], { crl, crl_check: check = 'leaf', crl_expired: expired = 'refuse', crl_missing: missing = 'refuse' }: MaterialFiles): Revocation | undefined {
    if (crl === undefined) return undefined
    const { revocation, faults, warnings } = readRevocation(crl, authorities, { check, expired, missing }, this.#now)
    this.faults.push(...faults)
    this.warnings.push(...warnings)
    return revocation
  }

  privateKey(file: string): { pem: string, object: KeyObject } | undefined {
    const pem = this.#read('key', file)
    if (pem === undefined) return undefined
    const mode = statSync(file).mode
    if ((mode & 0o004) !== 0) {
      this.#warn('key', `${file} can be read by every user of this host (mode ${(mode & 0o777).toString(8)}).`, `Run chmod 640 ${file} (or 600), owned by the user or group of memseal.`)
    }
    try {
      return { pem, object: createPrivateKey(pem) }
    } catch (error) {
      const isEncrypted = pem.includes('ENCRYPTED') || (error as NodeJS.ErrnoException).code === 'ERR_MISSING_PASSPHRASE'
      const message = isEncrypted ? `${file} is encrypted with a passphrase.` : `${file} holds no private key in PEM.`
      this.#fault('key', message, isEncrypted ? 'Decrypt it: openssl pkey -in FILE -out FILE.plain, readable by memseal alone.' : 'Write the file that holds "BEGIN PRIVATE KEY" here.')
      return undefined
    }
  }

  /** The listener's certificate first, then each one's issuer. */
  checkChain(chain: X509Certificate[], file: string): void {
    for (const certificate of chain) this.#checkDates('cert', certificate, file)
    if (chain[0].ca) {
      const isInverted = chain.length > 1 && !chain.at(-1)!.ca
      if (isInverted) this.#fault('cert', `${file} starts with a CA's certificate.`, `Put ${this.#words.own} own certificate first, then its intermediates.`)
      else this.#warn('cert', `${file}: the certificate is a CA's.`, this.#words.notCa)
      if (isInverted) return
    }
    for (let at = 1; at < chain.length; at++) {
      if (chain[at - 1].checkIssued(chain[at])) continue
      this.#fault('cert', `${file}: certificate ${at + 1} (${oneLine(chain[at].subject)}) did not sign certificate ${at}.`,
        `After ${oneLine(chain[at - 1].subject)} put its issuer, ${oneLine(chain[at - 1].issuer)}.`)
      return
    }
  }

  checkFit(certificate: X509Certificate, key: KeyObject, tls: { cert: string, key: string }): void {
    if (certificate.checkPrivateKey(key)) return
    this.#fault('key', `${tls.key} does not belong to the certificate in ${tls.cert}.`, 'Write the key that the certificate was requested with.')
  }

  checkAuthorities(key: 'client_ca' | 'ca', authorities: X509Certificate[], file: string): void {
    let usable = 0
    for (const authority of authorities) {
      const name = oneLine(authority.subject)
      if (Date.parse(authority.validTo) <= this.#now) {
        this.#warn(key, `${file}: ${name} expired on ${day(authority.validToDate)}; ${this.#words.peersRefused}.`, 'Replace it, or remove it.')
        continue
      }
      this.#warnOfEnd(key, authority, file)
      if (authority.ca) usable += 1
      else this.#warn(key, `${file}: ${name} is not a CA's certificate; ${this.#words.signedRefused}.`, `Write ${this.#words.signer}.`)
    }
    if (usable === 0) this.#fault(key, `${file} holds ${this.#words.useless}.`, `Write the certificate (basicConstraints CA:TRUE, not expired) of ${this.#words.signer}.`)
  }

  #checkDates(key: 'cert', certificate: X509Certificate, file: string): void {
    const name = oneLine(certificate.subject)
    if (certificate.validToDate.getTime() <= this.#now) {
      this.#fault(key, `${file}: ${name} expired on ${day(certificate.validToDate)}.`, `Renew it: ${this.#words.ownAfterwards}.`)
    } else if (certificate.validFromDate.getTime() > this.#now) {
      this.#fault(key, `${file}: ${name} is valid only from ${day(certificate.validFromDate)} on.`, "Check this host's clock, or wait, or use another.")
    } else {
      this.#warnOfEnd(key, certificate, file)
    }
  }

  #warnOfEnd(key: MaterialFault['key'], certificate: X509Certificate, file: string): void {
    const days = Math.floor((certificate.validToDate.getTime() - this.#now) / DAY)
    if (days >= SOON_DAYS) return
    this.#warn(key, `${file}: ${oneLine(certificate.subject)} expires in ${days === 1 ? '1 day' : `${days} days`}, on ${day(certificate.validToDate)}.`, 'Renew it.')
  }

  #read(key: MaterialFault['key'], file: string): string | undefined {
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const hidden = whyNotSeen(file)
      if (hidden !== undefined) this.#fault(key, `${file} cannot be read (${code}): ${hidden.words}.`, hidden.fix)
      else if (code === 'ENOENT') this.#fault(key, `there is no file ${file}.`, 'Write the path of the file, or put the file there.')
      else if (code === 'EACCES') this.#fault(key, `${file} may not be read by this user.`, `Let memseal's user read it: chgrp memseal ${file} && chmod 640 ${file}`)
      else if (code === 'EISDIR') this.#fault(key, `${file} is a folder.`, 'Write the path of the file in it.')
      else this.#fault(key, `${file} cannot be read (${code}).`, 'Check the file and the disk.')
      return undefined
    }
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
