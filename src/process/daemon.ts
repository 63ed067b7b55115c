/** The running proxy: services and their listeners, from start to the end of the drain. */
import { Admission } from '../admission/admission.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { endpointText } from '../config/endpoint.ts'
import { Clock } from '../lib/clock.ts'
import { Service } from '../proxy/service.ts'
import { Turn } from '../proxy/turn.ts'
import { Counters } from '../telemetry/counters.ts'
import { createLogger, type Log } from '../telemetry/log.ts'
import { listenerTls } from '../tls/context.ts'
import { readMaterial } from '../tls/material.ts'
import { planFds, readFdLimit, type FdPlan } from './fd-limit.ts'
import { Listener } from './listener.ts'

/** Runs until it is told to end. @returns the exit status */
export async function startDaemon(config: Config): Promise<number> {
  const log = createLogger(config.log)
  const daemon = new Daemon(config, log)
  try {
    await daemon.listen()
  } catch (error) {
    log.log.fatal({ event: 'start-failed' }, (error as Error).message)
    daemon.close()
    log.flush()
    return 1
  }
  const status = await daemon.untilSignal()
  log.flush()
  return status
}

class Daemon {
  readonly #config: Config
  readonly #log: Log
  readonly #clock = new Clock()
  readonly #turn = new Turn()
  readonly #services: Service[] = []
  readonly #listeners: Listener[] = []

  constructor(config: Config, log: Log) {
    this.#config = config
    this.#log = log
  }

  async listen(): Promise<void> {
    const cap = this.#fdPlan()
    for (const [name, config] of Object.entries(this.#config.services)) {
      const service = new Service(name, config, { clock: this.#clock, turn: this.#turn, log: this.#log.log })
      this.#services.push(service)
      await this.#listenFor(service, name, config, cap)
    }
  }

  #fdPlan(): FdPlan {
    const services = Object.values(this.#config.services)
    const sum = (of: (service: ServiceConfig) => number): number => services.reduce((total, service) => total + of(service), 0)
    const plan = planFds(readFdLimit(), {
      listeners: sum((service) => service.listen.length),
      sharedBackends: sum((service) => (service.backend.connections === 'auto' ? 1 : service.backend.connections) * 2),
      clients: sum((service) => service.limits.connections),
      privateBackends: sum((service) => (service.backend.sharing === 'private' ? service.limits.connections : service.limits.private_connections)),
    })
    this.#log.log.info({ event: 'fd-limit', limit: plan.fdLimit, clients: plan.limit }, `up to ${plan.limit} client connections`)
    if (plan.warning !== undefined) this.#log.log.warn({ event: 'fd-limit-low' }, plan.warning)
    return plan
  }

  async #listenFor(service: Service, name: string, config: ServiceConfig, cap: FdPlan): Promise<void> {
    const admission = new Admission({
      service: name, allow: config.allow, deny: config.deny, limits: config.limits, counters: new Counters(), log: this.#log.log, cap,
    })
    for (const endpoint of config.listen) {
      const listenerName = endpointText(endpoint)
      const listener = new Listener({
        endpoint, name: listenerName, service: config, admission, log: this.#log.log, secure: this.#secure(name, config, listenerName),
        onClient: (socket, peer) => service.serve(socket, peer),
      })
      const { address, port } = await listener.listen()
      this.#listeners.push(listener)
      this.#log.log.info({ event: 'listening', service: name, listener: listenerName, address, port, tls: config.tls !== undefined }, `listening on ${listenerName}`)
    }
  }

  #secure(name: string, config: ServiceConfig, listenerName: string): ReturnType<typeof listenerTls> | undefined {
    if (config.tls === undefined) return undefined
    const { material, faults } = readMaterial(config.tls)
    if (material === undefined) throw new Error(faults.map((fault) => `services.${name}.tls.${fault.key}: ${fault.message} ${fault.fix}`).join('\n'))
    return listenerTls(material, config.tls, `${name} ${listenerName}`)
  }

  /** SIGTERM or SIGINT: drain; a second one ends at once. */
  untilSignal(): Promise<number> {
    return new Promise((resolve) => {
      let isDraining = false
      const onSignal = (signal: NodeJS.Signals): void => {
        if (isDraining) {
          this.#log.log.warn({ event: 'ended', signal }, 'ended at once')
          this.close()
          resolve(0)
          return
        }
        isDraining = true
        void this.#drain(signal).then(() => resolve(0))
      }
      process.on('SIGTERM', onSignal)
      process.on('SIGINT', onSignal)
    })
  }

  async #drain(signal: string): Promise<void> {
    const clients = this.#services.reduce((total, service) => total + service.clients, 0)
    this.#log.log.info({ event: 'draining', signal, clients }, `draining ${clients} clients`)
    for (const listener of this.#listeners) listener.close()
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#config.drain_timeout)
    })
    await Promise.race([Promise.all(this.#services.map((service) => service.drain())), timeout])
    clearTimeout(timer)
    this.close()
    this.#log.log.info({ event: 'ended' }, 'drained')
  }

  close(): void {
    for (const listener of this.#listeners) listener.close()
    for (const service of this.#services) service.close('drain-timeout')
    this.#clock.stop()
  }
}
