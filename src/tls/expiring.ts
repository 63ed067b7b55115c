import type { BackendTls } from './backend.ts'
import type { ListenerTls } from './context.ts'

/** A certificate or revocation list in use, and when it runs out. */
export interface Expiring {
  service: string
  key: 'cert' | 'crl' | 'backend_cert'
  file: string
  notAfter: Date
  crlExpired?: 'refuse' | 'warn'
}

/** @param listener undefined: plain */
export function expiringOf(service: string, listener: ListenerTls | undefined, backend: BackendTls | undefined): Expiring[] {
  const found: Expiring[] = []
  if (listener !== undefined) {
    const { material: { notAfter, revocation }, settings: { cert = '', crl = '', crl_expired: crlExpired } } = listener
    found.push({ service, key: 'cert', file: cert, notAfter })
    if (revocation?.nextUpdate !== undefined) found.push({ service, key: 'crl', file: crl, notAfter: revocation.nextUpdate, crlExpired })
  }
  const shownUntil = backend?.material.notAfter
  if (shownUntil !== undefined) found.push({ service, key: 'backend_cert', file: backend!.settings.cert!, notAfter: shownUntil })
  return found
}
