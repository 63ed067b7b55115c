import type { Config } from '../config/schema.ts'
import { readBackendMaterial, readMaterial, type BackendMaterial, type Material, type MaterialFault } from '../tls/material.ts'

/** Certificates and keys of one service: of its listeners, and of its connections to the backend; undefined: plain. */
export interface ServiceMaterial { listener: Material | undefined, backend: BackendMaterial | undefined }
export type Materials = ReadonlyMap<string, ServiceMaterial>

export type Report = (severity: 'fault' | 'warning', path: string, message: string, fix: string) => void

/** Reads all that the configuration names, and reports all that is wrong with it; after a fault the result is of no use. */
export function readMaterials(services: Config['services'], report: Report): Materials {
  const materials = new Map<string, ServiceMaterial>()
  for (const [name, { tls, backend }] of Object.entries(services)) {
    materials.set(name, {
      listener: tls && told(`services.${name}.tls`, readMaterial(tls), report),
      backend: backend.tls && told(`services.${name}.backend.tls`, readBackendMaterial(backend.tls), report),
    })
  }
  return materials
}

function told<M>(path: string, read: { material?: M, faults: MaterialFault[], warnings: MaterialFault[] }, report: Report): M | undefined {
  for (const { key, message, fix } of read.faults) report('fault', `${path}.${key}`, message, fix)
  for (const { key, message, fix } of read.warnings) report('warning', `${path}.${key}`, message, fix)
  return read.material
}

/** All files whose changes are to be noticed. */
export function filesOf(services: Config['services']): string[] {
  return Object.values(services).flatMap(({ tls, backend }) => (
    [tls?.cert, tls?.key, tls?.client_ca, tls?.crl, backend.tls?.ca, backend.tls?.cert, backend.tls?.key]
  )).filter(file => file !== undefined)
}
