import type { Config } from '../config/schema.ts'
import type { Logger } from '../telemetry/log.ts'
import { expiredWarning } from '../tls/revocation.ts'
import type { Materials } from './materials.ts'

// Certificates and revocation lists that run out while memseal runs: told every hour, for as long as it lasts.

const CHECK_MS = 60_000
const REPEAT_MS = 3_600_000
const SOON_MS = 14 * 86_400_000

export interface Expiring { service: string, key: 'cert' | 'crl' | 'backend_cert', file: string, notAfter: Date }

export function expiringOf(services: Config['services'], materials: Materials): Expiring[] {
  const found: Expiring[] = []
  for (const [service, { listener, backend }] of materials) {
    const { tls, backend: { tls: behind } } = services[service]
    if (listener !== undefined) found.push({ service, key: 'cert', file: tls!.cert, notAfter: listener.notAfter })
    const nextUpdate = listener?.revocation?.nextUpdate
    if (nextUpdate !== undefined) found.push({ service, key: 'crl', file: tls!.crl!, notAfter: nextUpdate })
    if (backend?.notAfter !== undefined) found.push({ service, key: 'backend_cert', file: behind!.cert!, notAfter: backend.notAfter })
  }
  return found
}

export class ExpiryWatch {
  readonly #timer: NodeJS.Timeout
  readonly #told = new Map<string, number>()

  /** @param current what is in force when it is asked */
  constructor(log: Logger, current: () => { services: Config['services'], materials: Materials }) {
    this.#timer = setInterval(() => this.check(log, current(), Date.now()), CHECK_MS)
    this.#timer.unref()
  }

  check(log: Logger, { services, materials }: { services: Config['services'], materials: Materials }, now: number): void {
    for (const { service, key, file, notAfter } of expiringOf(services, materials)) {
      const leftMs = notAfter.getTime() - now
      // A list is renewed by the day or the hour; that it ends soon is no news.
      if (leftMs > (key === 'crl' ? 0 : SOON_MS) || now - (this.#told.get(file) ?? -Infinity) < REPEAT_MS) continue
      this.#told.set(file, now)
      const fields = { event: 'expiry', service, key, file, notAfter: notAfter.toISOString() }
      const day = notAfter.toISOString().slice(0, 10)
      if (key === 'crl') {
        const { message, fix } = expiredWarning(file, notAfter, services[service].tls!.crl_expired)
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
