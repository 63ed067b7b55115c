import { isDeepStrictEqual } from 'node:util'
import { Admission, type ClientCap } from '../admission/admission.ts'
import { endpointText, type Endpoint } from '../config/endpoint.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import { Service } from '../proxy/service.ts'
import type { Turn } from '../proxy/turn.ts'
import { Counters } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import { backendTls, type BackendTls } from '../tls/backend.ts'
import { listenerTls, type ListenerTls } from '../tls/context.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import type { Materials, ServiceMaterial } from './materials.ts'

// The services and listeners that run, and how they become others without a client noticing:
//
//   prepare ── new listeners are bound, new services made ──┬─ commit: what stays gets its new settings, what went stops listening
//              (anything may fail here)                     └─ rollback: what was new is closed again
//
// A service that went stays until its last client has left.

export interface RunningService {
  name: string
  config: ServiceConfig
  service: Service
  admission: Admission
  material: ServiceMaterial
}

interface Wanted extends RunningService {
  isNew: boolean
  /** There when the files of `backend.tls` hold something else than before, or the backend is another. */
  backendTls: BackendTls | undefined
}

export interface Shared { clock: Clock, turn: Turn, log: Logger, cap: ClientCap }

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

  /** @throws PrepareError; then nothing has changed */
  async prepare(config: Config, materials: Materials): Promise<Prepared> {
    const wanted = Object.entries(config.services).map(([name, service]) => this.#wanted(name, service, materials.get(name)!))
    const opened = new Map<string, Listener>()
    const rollback = (): void => {
      for (const listener of opened.values()) listener.close()
      for (const { service, isNew } of wanted) if (isNew) service.close('drain')
    }
    try {
      for (const next of wanted) await this.#open(next, opened)
    } catch (error) {
      rollback()
      throw error
    }
    return { rollback, commit: () => this.#commit(wanted, opened) }
  }

  #wanted(name: string, config: ServiceConfig, material: ServiceMaterial): Wanted {
    const running = this.#running.get(name)
    if (running !== undefined) return { ...running, config, material, isNew: false, backendTls: backendTlsOf(running, config, material) }
    const { log, cap } = this.#shared
    const { allow, deny, limits } = config
    return {
      name, config, material, isNew: true, backendTls: undefined,
      service: new Service(name, config, this.#shared),
      admission: new Admission({ service: name, allow, deny, limits, counters: new Counters(), log, cap }),
    }
  }

  async #open(next: RunningService, opened: Map<string, Listener>): Promise<void> {
    for (const [at, endpoint] of next.config.listen.entries()) {
      const name = endpointText(endpoint)
      const key = keyOf(next.name, endpoint, at)
      if (this.#listeners.has(key)) continue
      const listener = new Listener({
        endpoint, name, service: next.config, secure: secureOf(next, name), log: this.#shared.log, ...ownerOf(next),
      })
      try {
        const { address, port } = await listener.listen()
        opened.set(key, listener)
        listener.address = port === undefined ? address : `${address}:${port}`
        this.#shared.log.info({ event: 'listening', service: next.name, listener: name, address, port, tls: next.config.tls !== undefined },
          `listening on ${name}`)
      } catch (error) {
        throw new PrepareError(`services.${next.name}.listen${next.config.listen.length > 1 ? `[${at}]` : ''}`, error as Error)
      }
    }
  }

  #commit(wanted: readonly Wanted[], opened: ReadonlyMap<string, Listener>): void {
    const keys = new Set(wanted.flatMap(({ name, config }) => config.listen.map((endpoint, at) => keyOf(name, endpoint, at))))
    for (const [key, listener] of this.#listeners) {
      if (!keys.has(key)) this.#closeListener(key, listener)
    }
    const names = new Set(wanted.map(({ name }) => name))
    for (const { name, service } of this.running) {
      if (!names.has(name)) this.#retire(name, service)
    }
    for (const { isNew, backendTls, ...next } of wanted) {
      if (!isNew) {
        next.admission.update(next.config)
        next.service.apply(next.config, backendTls)
      }
      this.#running.set(next.name, next)
      for (const [at, endpoint] of next.config.listen.entries()) {
        this.#listeners.get(keyOf(next.name, endpoint, at))?.update({
          secure: secureOf(next, endpointText(endpoint)), timeoutMs: next.config.limits.handshake_timeout, owner: ownerOf(next),
        })
      }
    }
    for (const [key, listener] of opened) this.#listeners.set(key, listener)
  }

  #closeListener(key: string, listener: Listener): void {
    listener.close()
    this.#listeners.delete(key)
    this.#shared.log.info({ event: 'listener-closed', listener: listener.name }, `no longer listening on ${listener.name}`)
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

/** The same endpoint is the same listener, whichever service it belongs to; port 0 is another port each time. */
function keyOf(service: string, endpoint: Endpoint, at: number): string {
  const isAnyPort = endpoint.kind === 'tcp' && endpoint.port === 0
  return isAnyPort ? `${endpointText(endpoint)} of ${service}, ${at}` : endpointText(endpoint)
}

function secureOf({ name, config, material }: RunningService, listener: string): ListenerTls | undefined {
  if (config.tls === undefined) return undefined
  return listenerTls(material.listener!, config.tls, `${name} ${listener}`)
}

function backendTlsOf(running: RunningService, { backend }: ServiceConfig, material: ServiceMaterial): BackendTls | undefined {
  if (backend.tls === undefined || material.backend === undefined) return undefined
  const isSame = isDeepStrictEqual(running.config.backend, backend) && isDeepStrictEqual(running.material.backend, material.backend)
  return isSame ? undefined : backendTls(material.backend, backend.tls)
}

function ownerOf({ admission, service }: RunningService): Pick<ListenerOptions, 'admission' | 'onClient'> {
  return { admission, onClient: (socket, peer) => service.serve(socket, peer) }
}
