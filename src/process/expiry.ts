import type { EventLog } from '../telemetry/event-log.ts'
import type { Expiring } from '../tls/expiring.ts'
import { expiredWarning } from '../tls/revocation.ts'

// Certificates and revocation lists that run out while memseal runs: told every hour, for as long as it lasts.

const CHECK_MS = 60_000
const REPEAT_MS = 3_600_000
const SOON_MS = 14 * 86_400_000

export class ExpiryWatch {
  readonly #timer: NodeJS.Timeout
  readonly #told = new Map<string, number>()

  /** @param current what is in force when it is asked */
  constructor(log: EventLog, current: () => Expiring[]) {
    this.#timer = setInterval(() => this.check(log, current(), Date.now()), CHECK_MS)
    this.#timer.unref()
  }

  check(log: EventLog, expiring: readonly Expiring[], now: number): void {
    for (const { service, key, file, notAfter, crlExpired = 'refuse' } of expiring) {
      const leftMs = notAfter.getTime() - now
      // A list is renewed by the day or the hour; that it ends soon is no news.
      if (leftMs > (key === 'crl' ? 0 : SOON_MS) || now - (this.#told.get(file) ?? -Infinity) < REPEAT_MS) continue
      this.#told.set(file, now)
      const fields = { service, key, file, notAfter: notAfter.toISOString() }
      const day = notAfter.toISOString().slice(0, 10)
      if (key === 'crl') {
        const { message, fix } = expiredWarning(file, notAfter, crlExpired)
        log.tell('expiry', fields, `${message} ${fix}`, 'error')
      } else if (leftMs <= 0) log.tell('expiry', fields, `${file} expired on ${day}: whoever checks it refuses us. Renew it.`, 'error')
      else log.tell('expiry', fields, `${file} expires on ${day}. Renew it.`, 'warn')
    }
    if (this.#told.size > 10_000) this.#told.clear()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
