import { Admission, type ClientCap } from '../admission/admission.ts'
import type { Bans } from '../admission/bans.ts'
import { entryPath } from '../config/endpoint.ts'
import { resolveGroups } from '../config/groups.ts'
import { collide } from '../config/rules.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import type { ListenError } from '../lib/bind.ts'
import type { Clock } from '../lib/clock.ts'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { Service } from '../proxy/service.ts'
import type { Turn } from '../proxy/turn.ts'
import { Counters } from '../telemetry/counters.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { ListenerTls } from '../tls/context.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import type { ServiceAddresses } from './service-addresses.ts'
import type { ServiceTls } from './service-tls.ts'
import { Standing } from './standing.ts'

// The services and listeners that run, and how they become others without a client noticing:
//
//   prepare ── new listeners are bound, new services made ──┬─ commit: what stays gets its new settings, what went stops listening
//   (anything may fail here; TLS and lists are built before it)        └─ rollback: what was new is closed again
//
// A service that went stays until its last client has left.

export interface RunningService {
  name: string
  config: ServiceConfig
  addresses: ServiceAddresses
  service: Service
  admission: Admission
  standing: Standing
}

interface Wanted {
  running: RunningService
  tls: ServiceTls
  /** Puts what is prepared for it in force. */
  apply(): void
}

export interface Shared { clock: Clock, turn: Turn, log: EventLog, cap: ClientCap, bans: Bans }

/** By the names of services. */
export interface Built { tls: ReadonlyMap<string, ServiceTls>, addresses: ReadonlyMap<string, ServiceAddresses> }

export interface Prepared { commit(): void, rollback(): void }

/** A listener could not be opened; `path` is where the configuration asks for it. */
export class PrepareError extends Error {
  readonly path: string
  readonly fix: string

  constructor(path: string, cause: Error) {
    const [message, ...fix] = cause.message.split(/(?<=\.) /)
    super(message, { cause })
    this.path = path
    this.fix = fix.join(' ')
  }
}

export class Services {
  readonly #shared: Shared
  readonly #running = new Map<string, RunningService>()
  /** By `keyOf`. */
  readonly #listeners = new Map<string, Listener>()
  readonly #retired = new Set<Service>()

  constructor(shared: Shared) {
    this.#shared = shared
    // In a turn of its own: a client may be in the midst of what it is banned for.
    shared.bans.onBan = (client, isIn) => void setImmediate(() => this.#shutOut(client, isIn))
  }

  get running(): RunningService[] {
    return [...this.#running.values()]
  }

  /** Those that still have clients but no listener are among them. */
  get services(): Service[] {
    return [...this.running.map(({ service }) => service), ...this.#retired]
  }

  get listeners(): Listener[] {
    return [...this.#listeners.values()]
  }

  /** The TLS that handshakes get now, asked of those who do them. */
  tlsOf(name: string): ServiceTls {
    const listeners = new Map<string, ListenerTls>()
    for (const { service, name: endpoint, secure } of this.listeners) {
      if (service === name && secure !== undefined) listeners.set(endpoint, secure)
    }
    const service = this.#running.get(name)?.service
    return { listeners, backend: service?.backendTls, login: service?.login }
  }

  addressesOf(name: string): ServiceAddresses | undefined {
    return this.#running.get(name)?.addresses
  }

  /** @param built what was made for `config`   @throws PrepareError; then nothing has changed */
  async prepare(written: Config, built: Built): Promise<Prepared> {
    const config = resolveGroups(written)
    const made: Service[] = []
    const opened = new Map<string, Listener>()
    const rollback = (): void => {
      for (const listener of opened.values()) listener.close()
      for (const service of made) service.close('drain')
    }
    try {
      const wanted = Object.entries(config.services).map(([name, service]) => this.#wanted(name, service, built, made))
      for (const next of wanted) await this.#open(next, opened)
      return { rollback, commit: () => this.#commit(wanted, opened) }
    } catch (error) {
      rollback()
      throw error
    }
  }

  #wanted(name: string, config: ServiceConfig, built: Built, made: Service[]): Wanted {
    const [tls, addresses] = [built.tls.get(name)!, built.addresses.get(name)!]
    const { limits } = config
    const running = this.#running.get(name)
    if (running !== undefined) {
      const change = running.service.prepare(config, tls.backend, tls.login)
      const apply = (): void => {
        running.admission.use({ addresses: addresses.rules, limits })
        change()
      }
      return { running: { ...running, config, addresses }, tls, apply }
    }
    const { log, cap, bans } = this.#shared
    const service = new Service(name, config, {
      ...this.#shared, onAway: () => this.#follow(), onFailure: (peer, failure) => {
        if (failure === 'proxy-header') admission.refuseClaim(peer, peer.countedAs)
        else admission.failed(failure, peer.address, peer.countedAs)
      },
    }, tls.backend, tls.login)
    const admission: Admission = new Admission({ service: name, addresses: addresses.rules, limits, counters: new Counters(), log, cap, bans, isAway: () => service.isAway })
    made.push(service)
    return { running: { name, config, addresses, service, admission, standing: new Standing(service) }, tls, apply: () => {} }
  }

  async #open({ running, tls }: Wanted, opened: Map<string, Listener>): Promise<void> {
    const { name: service, config } = running
    for (const [at, endpoint] of config.listen.entries()) {
      const name = endpointText(endpoint)
      const key = keyOf(service, endpoint, at)
      if (this.#listeners.has(key)) continue
      const listener = new Listener({
        endpoint, name, service: config, secure: tls.listeners.get(name), log: this.#shared.log, ...ownerOf(running),
      })
      try {
        const { address, port } = await listener.listen()
        opened.set(key, listener)
        listener.address = port === undefined ? address : endpointText({ kind: 'tcp', host: address, port })
        this.#shared.log.tell('listening', { service, listener: name, address, port, tls: config.tls !== undefined },
          `listening on ${name}`)
      } catch (error) {
        throw new PrepareError(entryPath(`services.${service}.listen`, config.listen, at), this.#inOwnWay(endpoint, error as ListenError) ?? error as Error)
      }
    }
  }

  /** The place may be taken by a listener of ours under another name, such as 127.0.0.1:P by 0.0.0.0:P. */
  #inOwnWay(endpoint: Endpoint, { code }: ListenError): Error | undefined {
    const ours = code === 'EADDRINUSE' ? this.listeners.find(other => collide(other.endpoint, endpoint)) : undefined
    return ours === undefined ? undefined
      : new Error(`cannot listen on ${endpointText(endpoint)}: memseal itself listens on ${ours.name}. Restart it, which lets go of the one before it takes the other.`)
  }

  /** Nothing in here may fail, or one half of the services would be new and the other old. */
  #commit(wanted: readonly Wanted[], opened: ReadonlyMap<string, Listener>): void {
    const keys = new Set(wanted.flatMap(({ running: { name, config } }) => config.listen.map((endpoint, at) => keyOf(name, endpoint, at))))
    for (const [key, listener] of this.#listeners) {
      if (!keys.has(key)) this.#closeListener(key, listener)
    }
    const names = new Set(wanted.map(({ running }) => running.name))
    for (const { name, service } of this.running) {
      if (!names.has(name)) this.#retire(name, service)
    }
    for (const { running, tls, apply } of wanted) {
      const { name, config } = running
      apply()
      this.#running.set(name, running)
      const changed = new Map<string, ListenerTls>()
      for (const [at, endpoint] of config.listen.entries()) {
        const listener = this.#listeners.get(keyOf(name, endpoint, at))
        const secure = tls.listeners.get(endpointText(endpoint))
        if (listener !== undefined && secure !== undefined && listener.secure?.fingerprint !== secure.fingerprint) changed.set(listener.name, secure)
        listener?.update({ secure, timeoutMs: config.limits.handshake_timeout, owner: ownerOf(running) })
      }
      if (changed.size > 0) void running.standing.judge(changed)
    }
    for (const [key, listener] of opened) this.#listeners.set(key, listener)
    this.#follow()
  }

  /** Listeners of a service whose backends are all away are shut, if it says so, and open again. */
  #follow(): void {
    for (const listener of this.listeners) listener.shut(this.#running.get(listener.service)?.service.shutsListeners === true)
  }

  /** Ends connections and handshakes of those who are banned now.   @param client one, by its key; undefined: a range */
  #shutOut(client: string | undefined, isIn: (address: string) => boolean): void {
    const isBanned: IsBanned = (address, countedAs, via) => client === undefined ? isIn(address) || (via !== undefined && isIn(via)) : countedAs === client
    for (const { service, admission } of this.#running.values()) {
      if (client === undefined || admission.isIn(client)) endSessions(service, isBanned)
    }
    for (const service of this.#retired) endSessions(service, isBanned)
    for (const listener of this.listeners) listener.endBanned(isBanned)
  }

  #closeListener(key: string, listener: Listener): void {
    listener.close()
    this.#listeners.delete(key)
    this.#shared.log.tell('listener-closed', { listener: listener.name }, `no longer listening on ${listener.name}`)
  }

  #retire(name: string, service: Service): void {
    this.#running.delete(name)
    this.#retired.add(service)
    void service.whenEmpty().then(() => {
      service.close('drain')
      this.#retired.delete(service)
    })
  }

  closeListeners(): void {
    for (const listener of this.listeners) listener.close()
  }
}

/** @param via the load balancer that it came by */
type IsBanned = (address: string, client: string, via?: string) => boolean

function endSessions(service: Service, isBanned: IsBanned): void {
  for (const session of [...service.sessions]) {
    const { address, countedAs, via } = session.peer
    if (isBanned(address, countedAs, via)) session.destroy('banned')
  }
}

/** The same endpoint is the same listener, whichever service it belongs to; port 0 is another port each time. */
function keyOf(service: string, endpoint: Endpoint, at: number): string {
  const isAnyPort = endpoint.kind === 'tcp' && endpoint.port === 0
  return isAnyPort ? `${endpointText(endpoint)} of ${service}, ${at}` : endpointText(endpoint)
}

function ownerOf({ admission, service }: RunningService): Pick<ListenerOptions, 'admission' | 'refusalOf' | 'onClient'> {
  return { admission, refusalOf: peer => service.refusalOf(peer), onClient: (socket, peer, tcp) => service.serve(socket, peer, tcp) }
}
