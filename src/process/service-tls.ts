import { X509Certificate } from 'node:crypto'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { endpointText } from '../config/endpoint.ts'
import { backendTls, type BackendTls } from '../tls/backend.ts'
import { listenerTls, type ListenerTls } from '../tls/context.ts'
import { readBackendMaterial, readMaterial, type MaterialFault } from '../tls/material.ts'
import { refusedByOpenSsl } from '../tls/openssl-refusal.ts'

// The TLS of the services, from the files to what handshakes are done with. `check`, a start and a reload all build it here,
// so what one of them takes the others take as well, and nothing is left that could fail when it is put in force.

/** Built whole; `undefined`: plain. */
export interface ServiceTls {
  /** By the text of the endpoint: each has ticket keys of its own. */
  listeners: ReadonlyMap<string, ListenerTls>
  backend: BackendTls | undefined
}

const none: ServiceTls = { listeners: new Map(), backend: undefined }

export type Report = (severity: 'fault' | 'warning', path: string, message: string, fix: string) => void

/** Reads and builds all that the configuration names, and reports all that is wrong with it; after a fault the result is not to
 *  be used.   @param inForce what serves now: it is kept where nothing is different */
export function buildTls(services: Config['services'], report: Report, inForce: (name: string) => ServiceTls = () => none): Map<string, ServiceTls> {
  return new Map(Object.entries(services).map(([name, service]) => [name, {
    listeners: buildListeners(name, service, report, inForce(name)),
    backend: buildBackend(name, service, report, inForce(name)),
  }]))
}

export function buildListeners(name: string, { listen, tls }: Pick<ServiceConfig, 'listen' | 'tls'>, report: Report, inForce = none): Map<string, ListenerTls> {
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
  return built
}

export function buildBackend(name: string, { backend: { tls } }: Pick<ServiceConfig, 'backend'>, report: Report, inForce = none): BackendTls | undefined {
  if (tls === undefined) return undefined
  const path = `services.${name}.backend.tls`
  const material = told(path, readBackendMaterial(tls, Date.now(), goodUntil(inForce.backend?.material.cert)), report)
  if (material === undefined) return undefined
  const { cert, key, ca } = material
  return taken(path, report, () => backendTls(material, tls, inForce.backend),
    error => refusedByOpenSsl('backend', { cert, key, ca, crl: undefined }, tls, error))
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
    [tls?.cert, tls?.key, tls?.client_ca, tls?.crl, backend.tls?.ca, backend.tls?.cert, backend.tls?.key]
  )).filter(file => file !== undefined)
}
