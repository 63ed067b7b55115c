import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Loaded } from '../config/load.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { endpointText } from '../lib/endpoint.ts'
import type { Login } from '../proto/login.ts'
import { backendTls, type BackendTls } from '../tls/backend.ts'
import { listenerTls, type ListenerTls } from '../tls/context.ts'
import type { MaterialFault } from '../tls/material-fault.ts'
import { readAlone, readBackendMaterial, readMaterial } from '../tls/material.ts'
import { refusedByOpenSsl } from '../tls/openssl-refusal.ts'
import { oneLine } from '../tls/peer.ts'
import { privateKeyBlock } from '../tls/pem.ts'
import { weaknessOf } from '../tls/strength.ts'
import { tryListener, tryShown, type TrialFailures, type Version } from '../tls/trial.ts'
import { buildLogin } from './backend-login.ts'

// The TLS of the services, from the files to what handshakes are done with. `check`, a start and a reload all build it here,
// so what one of them takes the others take as well, and nothing is left that could fail when it is put in force.

/** Built whole, with all else that comes from files; `undefined`: plain. */
export interface ServiceTls {
  /** By the text of the endpoint: each has ticket keys of its own. */
  listeners: ReadonlyMap<string, ListenerTls>
  backend: BackendTls | undefined
  /** What is shown to memcached itself; undefined: no `backend.auth`. */
  login: Login | undefined
}

const none: ServiceTls = { listeners: new Map(), backend: undefined, login: undefined }

export type Report = Loaded['report']

/** Reads and builds all that the configuration names, and reports all that is wrong with it; after a fault the result is not to
 *  be used.   @param inForce what serves now: it is kept where nothing is different */
export async function buildTls(
  services: Config['services'], report: Report, inForce: (name: string) => ServiceTls = () => none,
): Promise<Map<string, ServiceTls>> {
  const built = new Map<string, ServiceTls>()
  for (const [name, service] of Object.entries(services)) {
    built.set(name, {
      listeners: await buildListeners(name, service, report, inForce(name)),
      backend: await buildBackend(name, service, report, inForce(name)),
      login: buildLogin(name, service, report, inForce(name).login),
    })
  }
  return built
}

export async function buildListeners(
  name: string, { listen, tls }: Pick<ServiceConfig, 'listen' | 'tls'>, report: Report, inForce = none,
): Promise<Map<string, ListenerTls>> {
  const built = new Map<string, ListenerTls>()
  if (tls === undefined) return built
  const path = `services.${name}.tls`
  const material = told(path, readMaterial(tls, Date.now(), goodUntil([...inForce.listeners.values()][0]?.material.cert)), report)
  if (material === undefined) return built
  const { cert, key, clientCa: ca, revocation } = material
  taken(path, report, () => {
    for (const endpoint of listen.map(endpointText)) {
      built.set(endpoint, listenerTls(material, tls, `${name} ${endpoint}`, inForce.listeners.get(endpoint)))
    }
  }, error => refusedByOpenSsl('listener', { cert, key, ca, crl: revocation?.lists.map(({ pem }) => pem) }, tls, error))
  reportAuthorities(path, 'client_ca', tls.client_ca, ca, 'clients', report)
  reportShown(path, tls.cert, cert, 'clients', report)
  reportPurpose(path, tls.cert, cert, 'server', report)
  reportKeyBeside(path, tls.cert, tls.key, report)
  const [fresh] = [...built].filter(([endpoint, secure]) => inForce.listeners.get(endpoint) !== secure).map(([, secure]) => secure)
  if (fresh !== undefined) reportTrial(path, tls.cert, tls.min_version, await tryListener(fresh), report)
  return built
}

export async function buildBackend(
  name: string, { backend: { tls } }: Pick<ServiceConfig, 'backend'>, report: Report, inForce = none,
): Promise<BackendTls | undefined> {
  if (tls === undefined) return undefined
  const path = `services.${name}.backend.tls`
  const material = told(path, readBackendMaterial(tls, Date.now(), goodUntil(inForce.backend?.material.cert)), report)
  if (material === undefined) return undefined
  const { cert, key, ca } = material
  const built = taken(path, report, () => backendTls(material, tls, inForce.backend),
    error => refusedByOpenSsl('backend', { cert, key, ca, crl: undefined }, tls, error))
  reportAuthorities(path, 'ca', tls.ca, ca, 'cache hosts', report)
  if (cert === undefined || key === undefined) return built
  reportShown(path, tls.cert!, cert, 'cache hosts', report)
  reportPurpose(path, tls.cert!, cert, 'client', report)
  reportKeyBeside(path, tls.cert!, tls.key!, report)
  if (built !== undefined && built !== inForce.backend) {
    reportTrial(path, tls.cert!, tls.min_version, await tryShown(built.context, cert, key, tls.min_version), report)
  }
  return built
}

/** What can be said of the files of a section that is in doubt itself. @param files those whose names are known */
export function reportFiles(path: string, files: Parameters<typeof readAlone>[0], side: 'listener' | 'backend', report: Report): void {
  told(path, readAlone(files, side), report)
}

/** OpenSSL takes an authority with a weak key, and then refuses each peer that it signed. */
function reportAuthorities(
  path: string, key: 'client_ca' | 'ca', file: string | undefined, blocks: readonly string[] | undefined, peers: string, report: Report,
): void {
  if (file === undefined || blocks === undefined) return
  const fix = 'Renew it with a key of RSA 2048 bits or more, or of EC P-256.'
  const weak = blocks.map(pem => new X509Certificate(pem)).filter(authority => weaknessOf(authority)?.code === 'WEAK_KEY')
  for (const authority of weak) {
    const words = `${file}: ${oneLine(authority.subject)} has ${weaknessOf(authority)!.words}`
    report('warning', `${path}.${key}`, `${words}: ${peers} that it signed are refused.`, fix)
  }
  if (weak.length === blocks.length) {
    report('fault', `${path}.${key}`, `${file} holds no CA whose ${peers} could be believed: each has a weak key.`, fix)
  }
}

/** OpenSSL takes a certificate of ours with an old signature, and its peers refuse it. */
function reportShown(path: string, file: string, pem: string, peers: string, report: Report): void {
  for (const block of pem.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^]+?-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? []) {
    const certificate = new X509Certificate(block)
    const weakness = weaknessOf(certificate)
    if (weakness?.code !== 'WEAK_HASH') continue
    const words = `${file}: ${oneLine(certificate.subject)} has ${weakness.words}, which ${peers} of today refuse.`
    report('warning', `${path}.cert`, words, 'Renew it, signed with SHA-256.')
  }
}

const purposes = {
  server: { oid: '1.3.6.1.5.5.7.3.1', name: 'serverAuth', peers: 'clients' },
  client: { oid: '1.3.6.1.5.5.7.3.2', name: 'clientAuth', peers: 'cache hosts' },
} as const
const ANY_PURPOSE = '2.5.29.37.0'

/** OpenSSL shows a certificate that was made for the other side, and its peers refuse it.   @param pem our own first */
function reportPurpose(path: string, file: string, pem: string, side: keyof typeof purposes, report: Report): void {
  const { oid, name, peers } = purposes[side]
  // Node calls the extended key usage so; it is undefined where the certificate is good for all.
  const written = new X509Certificate(pem).keyUsage as string[] | undefined
  if (written === undefined || written.includes(oid) || written.includes(ANY_PURPOSE)) return
  report('warning', `${path}.cert`, `${file}: its extendedKeyUsage lacks ${name}, so ${peers} that look at it refuse it.`,
    `Renew it with ${name} in extendedKeyUsage.`)
}

/** A key in the file of the certificate, beside the one that is used. */
function reportKeyBeside(path: string, file: string, keyFile: string, report: Report): void {
  if (file === keyFile) return   // told of the key
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o004) === 0 || privateKeyBlock(readFileSync(file, 'latin1')) === undefined) return
  report('warning', `${path}.cert`, `${file} holds a private key too, and can be read by every user of this host (mode ${(mode & 0o777).toString(8)}).`,
    `Take the key out of it, or run chmod 640 ${file} (or 600), owned by the user or group of memseal.`)
}

function reportTrial(path: string, file: string, minVersion: Version, failures: TrialFailures, report: Report): void {
  const fix = 'Use a certificate with a key of EC P-256 or RSA 2048 bits or more; if it has a keyUsage, with digitalSignature in it.'
  const codes = [...failures].map(([version, code]) => `${version}: ${code}`).join(', ')
  if (failures.size === 0) return
  const isUseless = failures.size === (minVersion === 'TLSv1.2' ? 2 : 1)
  const words = `${file}: ${isUseless ? 'no' : 'not every'} TLS handshake can be done with it (${codes}).`
  report(isUseless ? 'fault' : 'warning', `${path}.cert`, words, fix)
}

function told<M>(path: string, read: { material?: M, faults: MaterialFault[], warnings: MaterialFault[] }, report: Report): M | undefined {
  for (const { key, message, fix } of read.faults) report('fault', `${path}.${key}`, message, fix)
  for (const { key, message, fix } of read.warnings) report('warning', `${path}.${key}`, message, fix)
  return read.material
}

/** Until when what serves now holds; undefined when it does not, or nothing serves. */
function goodUntil(cert: string | undefined): Date | undefined {
  if (cert === undefined) return undefined
  const { validFromDate, validToDate } = new X509Certificate(cert)
  return validFromDate.getTime() <= Date.now() ? validToDate : undefined
}

/** What OpenSSL throws becomes a fault of the file that it is about. */
function taken<T>(path: string, report: Report, build: () => T, blame: (error: Error) => MaterialFault): T | undefined {
  try {
    return build()
  } catch (error) {
    const { key, message, fix } = blame(error as Error)
    report('fault', `${path}.${key}`, message, fix)
    return undefined
  }
}

/** All files whose changes are to be noticed. */
export function filesOf(services: Config['services']): string[] {
  return Object.values(services).flatMap(({ tls, backend }) => (
    [tls?.cert, tls?.key, tls?.client_ca, tls?.crl, backend.tls?.ca, backend.tls?.cert, backend.tls?.key, backend.auth?.password_file]
  )).filter(file => file !== undefined)
}
