import type { Logger } from '../telemetry/log.ts'
import type { BackendTls } from '../tls/backend.ts'
import type { ListenerTls } from '../tls/context.ts'
import { expiredWarning } from '../tls/revocation.ts'

// Certificates and revocation lists that run out while memseal runs: told every hour, for as long as it lasts.

const CHECK_MS = 60_000
const REPEAT_MS = 3_600_000
const SOON_MS = 14 * 86_400_000

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

export class ExpiryWatch {
  readonly #timer: NodeJS.Timeout
  readonly #told = new Map<string, number>()

  /** @param current what is in force when it is asked */
  constructor(log: Logger, current: () => Expiring[]) {
    this.#timer = setInterval(() => this.check(log, current(), Date.now()), CHECK_MS)
    this.#timer.unref()
  }

  check(log: Logger, expiring: readonly Expiring[], now: number): void {
    for (const { service, key, file, notAfter, crlExpired = 'refuse' } of expiring) {
      const leftMs = notAfter.getTime() - now
      // A list is renewed by the day or the hour; that it ends soon is no news.
      if (leftMs > (key === 'crl' ? 0 : SOON_MS) || now - (this.#told.get(file) ?? -Infinity) < REPEAT_MS) continue
      this.#told.set(file, now)
      const fields = { event: 'expiry', service, key, file, notAfter: notAfter.toISOString() }
      const day = notAfter.toISOString().slice(0, 10)
      if (key === 'crl') {
        const { message, fix } = expiredWarning(file, notAfter, crlExpired)
        log.error(fields, `${message} ${fix}`)
      } else if (leftMs <= 0) log.error(fields, `${file} expired on ${day}: whoever checks it refuses us. Renew it.`)
      else log.warn(fields, `${file} expires on ${day}. Renew it.`)
    }
    if (this.#told.size > 10_000) this.#told.clear()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
