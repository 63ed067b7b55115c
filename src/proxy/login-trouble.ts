/** What memseal's own login to one target has come to: each state of it is logged once, and refusals are followed by longer and longer
 *  pauses, since what checks passwords may lock out who fails too often. */
import { Backoff } from '../lib/backoff.ts'
import type { Login } from '../proto/login.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { Loss } from './loss.ts'

const FIRST_RETRY_MS = 1000
const LONGEST_RETRY_MS = 30_000

export class LoginTrouble {
  readonly #log: EventLog
  readonly #about: { service: string; dialect: string; backend: string }
  readonly #backoff = new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS)
  #isRefusalTold = false
  #isNeedlessTold = false

  constructor(log: EventLog, about: { service: string; dialect: string; backend: string }) {
    this.#log = log
    this.#about = about
  }

  /** @param answer what memcached said   @returns the same in a sentence, and when to try again */
  refused(login: Login | undefined, answer: string, loss: Loss | undefined): { words: string; retryMs: number } {
    const retryMs = Math.round(this.#backoff.nextMs())
    const words = `memcached refuses the login of memseal as "${login?.username}" (${answer}): ${loss?.advice}`
    if (!this.#isRefusalTold) {
      this.#isRefusalTold = true
      this.#log.tell('backend-login-refused', { ...this.#about, username: login?.username, words: answer, ...loss, retryMs }, words)
    }
    return { words, retryMs }
  }

  /** The password may be guarding nothing. */
  notWanted(): void {
    if (this.#isNeedlessTold) return
    this.#isNeedlessTold = true
    this.#log.tell('backend-login-needless', this.#about,
      'memcached asks for no login, so whoever reaches it may use it: start it with -Y FILE or -S, or remove backend.auth')
  }

  /** A connection stands, or the login is another: what comes is news. */
  isOver(): void {
    this.#backoff.reset()
    this.#isRefusalTold = false
  }
}

/** Keeps connections of clients' own from showing a login that was refused a moment ago: each request would try it again. */
export class LoginBar {
  readonly #backoff = new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS)
  #until = 0

  isUp(now: number): boolean {
    return now < this.#until
  }

  /** @param now in the clock's ms */
  refused(now: number): void {
    if (now - this.#until > LONGEST_RETRY_MS) this.#backoff.reset()
    this.#until = now + this.#backoff.nextMs()
  }

  /** The login is another. */
  lift(): void {
    this.#backoff.reset()
    this.#until = 0
  }
}
