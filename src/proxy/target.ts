/** One entry of `backend.connect`: where it is now, by DNS, and what is remembered of it. */
import { isIP, type LookupFunction } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { answering, LookupError, names, type Lookup } from '../lib/names.ts'
import type { BackendTls } from '../tls/backend.ts'

/** Where one connection goes. */
export interface Route {
  /** As the configuration names it; certificates are checked against it. */
  host: string
  /** `lookup`: the host is a name, and this says where it is. */
  address: { path: string } | { host: string; port: number; lookup?: LookupFunction }
  tls: BackendTls | undefined
  tickets: Tickets
}

export class Target {
  readonly text: string
  tickets = new Tickets()
  /** Why the last look-up failed; '' when it did not. */
  lookupFault = ''

  readonly #endpoint: Endpoint & { kind: 'tcp' | 'unix' }
  #tls: BackendTls | undefined
  readonly #lookup: Lookup
  readonly #lookupTimeoutMs: number
  /** Of a name, what the last look-up that went well said. */
  #addresses: string[] = []
  #next = 0
  #failures = 0
  #running: Promise<void> | undefined
  /** The question that is not answered yet, perhaps long after we stopped waiting. There is never a second one of the same target. */
  #asked: Promise<void> | undefined
  #lookedUpAt = -Infinity

  constructor(endpoint: Endpoint & { kind: 'tcp' | 'unix' }, tls: BackendTls | undefined, lookupTimeoutMs: number, lookup: Lookup = names.lookUp) {
    this.#endpoint = endpoint
    this.text = endpointText(endpoint)
    this.#tls = tls
    this.#lookup = lookup
    this.#lookupTimeoutMs = lookupTimeoutMs
    if (endpoint.kind === 'tcp' && isIP(endpoint.host) !== 0) this.#addresses = [endpoint.host]
  }

  get #isName(): boolean {
    return this.#endpoint.kind === 'tcp' && isIP(this.#endpoint.host) === 0
  }

  get isTls(): boolean {
    return this.#tls !== undefined
  }

  /** From the next connection on. */
  useTls(tls: BackendTls | undefined): void {
    this.#tls = tls
    // Connections that are up, and were judged by the old rules, may still be sent some: they go where nobody looks.
    this.tickets = new Tickets()
  }

  /** The address to try; undefined while no look-up has ever gone well. */
  get route(): Route | undefined {
    const endpoint = this.#endpoint
    const common = { tls: this.#tls, tickets: this.tickets }
    if (endpoint.kind === 'unix') return { ...common, host: '', address: { path: endpoint.path } }
    const address = this.#addresses[this.#next % this.#addresses.length]
    return address === undefined ? undefined : { ...common, host: endpoint.host, address: { host: address, port: endpoint.port } }
  }

  /** The same for a client that does not wait: before the first answer the socket does. */
  get routeNow(): Route {
    return this.route ?? this.routeByName
  }

  /** The socket tries all addresses of the name: where no lane finds out which of them answers. */
  get routeByName(): Route {
    const endpoint = this.#endpoint
    if (endpoint.kind === 'unix') return this.route!
    return { tls: this.#tls, tickets: this.tickets, host: endpoint.host, address: { host: endpoint.host, port: endpoint.port, lookup: this.#lookUpForSocket } }
  }

  /** A connection by this route could not be opened: the next one goes to the next address.
   *  @returns whether there is an address left that was not tried since the last success */
  failed(route: Route): boolean {
    this.tickets.forget()
    const current = this.route
    if (current === undefined || this.#addresses.length < 2) return false
    if (JSON.stringify(current.address) !== JSON.stringify(route.address)) return true
    this.#next++
    return ++this.#failures % this.#addresses.length !== 0
  }

  succeeded(): void {
    this.#failures = 0
  }

  /** Asks again. While DNS is down the old answer holds. Never rejects, and takes no longer than `connect_timeout`. */
  lookUp(): Promise<void> {
    if (!this.#isName) return Promise.resolve()
    this.#running ??= this.#ask().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** @param intervalMs 0: never */
  lookUpIfOlder(intervalMs: number, now: number): void {
    if (intervalMs === 0 || now - this.#lookedUpAt < intervalMs) return
    this.#lookedUpAt = now
    void this.lookUp()
  }

  /** Not dead as long as it was ever known: the last answer holds, and the next connection has a newer one. */
  readonly #lookUpForSocket: LookupFunction = (name, options, done) => {
    const asked = this.lookUp()
    void (this.#addresses.length > 0 ? Promise.resolve() : asked).then(() => {
      if (this.#addresses.length > 0) answering(this.#addresses)(name, options, done)
      else done(new LookupError('ENOTFOUND', this.lookupFault), '')
    })
  }

  async #ask(): Promise<void> {
    const { host } = this.#endpoint as Endpoint & { kind: 'tcp' }
    // Heard also when nobody waits for it any more.
    this.#asked ??= this.#lookup(host).then((addresses) => this.#learn(addresses)).finally(() => {
      this.#asked = undefined
    })
    const isAnswered = new AbortController()
    const late = sleep(this.#lookupTimeoutMs, undefined, { signal: isAnswered.signal }).then(() => {
      throw new Error(`no answer within ${this.#lookupTimeoutMs} ms`)
    })
    try {
      await Promise.race([this.#asked, late])
    } catch (error) {
      this.lookupFault = `the name ${host} cannot be looked up: ${(error as Error).message}`
    } finally {
      isAnswered.abort()
    }
  }

  #learn(addresses: string[]): void {
    if (addresses.length === 0) throw new Error('it has no address')
    this.lookupFault = ''
    if (addresses.join() === this.#addresses.join()) return
    this.#addresses = addresses
    this.#next = 0
  }
}

/** Session tickets of one target, so that a new connection skips most of the handshake. */
export class Tickets {
  readonly #kept: Buffer[] = []
  #goodUntil = 0

  /** The certificate that the sessions from now on stem from was found good.   @param until in ms since 1970 */
  verified(until: number): void {
    this.#goodUntil = until
  }

  keep(ticket: Buffer): void {
    this.#kept.push(ticket)
    if (this.#kept.length > 4) this.#kept.shift()
  }

  take(): Buffer | undefined {
    if (Date.now() > this.#goodUntil) this.forget()
    return this.#kept.pop()
  }

  /** Something went wrong: the next handshake is a whole one. */
  forget(): void {
    this.#kept.length = 0
  }
}
