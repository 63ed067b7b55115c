/** The running proxy: services and their listeners, from start to the end of the drain. */
import { AdminServer, type Administered } from '../admin/server.ts'
import { plain, type ConnectionsNow, type Snapshot } from '../admin/snapshot.ts'
import type { ClientCap } from '../admission/admission.ts'
import { Bans } from '../admission/bans.ts'
import { resolveGroups } from '../config/groups.ts'
import { hasFault, issueLine } from '../config/issue.ts'
import type { Loaded } from '../config/load.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { Clock } from '../lib/clock.ts'
import { counted } from '../lib/counted.ts'
import { names } from '../lib/names.ts'
import { mostLanes } from '../proxy/pool.ts'
import { Turn } from '../proxy/turn.ts'
import { isStream, LogFileError } from '../telemetry/log-file.ts'
import { createLogger, type Log } from '../telemetry/log.ts'
import { LoopDelay } from '../telemetry/loop-delay.ts'
import type { ReloadOutcome } from '../telemetry/reload-outcome.ts'
import { Suspicions } from '../telemetry/suspicions.ts'
import { expiringOf, type Expiring } from '../tls/expiring.ts'
import { TicketRotation } from '../tls/tickets.ts'
import { signatureOf } from '../tls/watch.ts'
import { Auditing } from './auditing.ts'
import { ExpiryWatch } from './expiry.ts'
import { planFds, readFdLimit, type FdPlan } from './fd-limit.ts'
import { Reloader, watchedFiles } from './reload.ts'
import { buildAddresses } from './service-addresses.ts'
import { buildTls } from './service-tls.ts'
import { Services } from './services.ts'
import { connectionsNow, takeSnapshot, type Running } from './snapshot.ts'
import { ServiceManager } from './systemd.ts'

/** Where the configuration comes from, at the start and at each reload. */
export interface ConfigurationSource {
  /** Without faults. */
  loaded: Loaded
  load: () => Loaded
  /** Names of its file from the root, the one that was given first; none: flags and variables. */
  paths: readonly string[]
}

/** Runs until it is told to end. @returns the exit status */
export async function startDaemon(source: ConfigurationSource): Promise<number> {
  const written = source.loaded.config!.log   // with a fault that is found later there is no configuration any more
  const log = createLogger(written)
  const daemon = new Daemon(source, log)
  try {
    await daemon.start()
  } catch (error) {
    const { message, fix = '' } = error as Error & { fix?: string }
    const words = `${message} ${fix}`.trim()
    log.log.tell('start-failed', {}, words)
    daemon.close()
    await daemon.auditing.flush()
    await log.flush()
    // Whoever starts it looks at the terminal or the journal, and into no file.
    if (!isStream(written.file)) process.stderr.write(`memseal could not start: ${words}\n`)
    return 1
  }
  const status = await daemon.untilEnd()
  await daemon.auditing.flush()
  await log.flush()
  return status
}

export class Daemon implements Administered, Running {
  readonly source: ConfigurationSource
  readonly startedAt = Date.now()
  readonly services: Services
  readonly bans: Bans
  fdPlan: FdPlan
  readonly #fdLimit = readFdLimit()
  readonly #cap: ClientCap = { limit: Infinity, open: 0 }
  readonly loopDelay = new LoopDelay()
  reloader!: Reloader
  #resolved: { of: Config | undefined, config: Config } = { of: undefined, config: undefined! }
  isDraining = false
  readonly #log: Log
  readonly auditing: Auditing
  readonly suspicions: Suspicions
  readonly #clock = new Clock()
  readonly #admin: AdminServer
  readonly #manager: ServiceManager
  #expiry: ExpiryWatch | undefined
  readonly #tickets = new TicketRotation(() => this.services.listeners.flatMap(({ secure }) => secure ?? []))
  readonly #started = Promise.withResolvers<void>()
  #ended: ((status: number) => void) | undefined

  constructor(source: ConfigurationSource, log: Log) {
    this.source = source
    this.#log = log
    this.auditing = new Auditing(log.log, this.configuration)
    this.suspicions = log.log.watcher = new Suspicions(source.loaded.config!.alerts, log.log)
    this.fdPlan = planFor(source.loaded.config!, this.#fdLimit)
    this.#cap.limit = capOf(this.fdPlan)
    this.bans = new Bans(log.log)
    this.services = new Services({ clock: this.#clock, turn: new Turn(), log: log.log, cap: this.#cap, bans: this.bans })
    this.#admin = new AdminServer(this, log.log)
    this.#manager = new ServiceManager(process.env, log.log)
  }

  /** @throws Error that says what is wrong and what to do */
  async start(): Promise<void> {
    this.#followSignals()
    const { loaded, load } = this.source
    const config = loaded.config!
    this.auditing.use(config.audit)
    if (this.auditing.fault !== undefined) throw this.auditing.fault
    this.#tellFds()
    const seen = signatureOf(watchedFiles(config.services))
    const known = new Set(loaded.issues.map(issueLine))
    const tls = await buildTls(config.services, loaded.report)
    const addresses = await buildAddresses(config, loaded.report)
    if (hasFault(loaded.issues)) throw new Error(loaded.issues.filter(({ severity }) => severity === 'fault').map(issueLine).join('\n'))
    for (const warning of loaded.issues.map(issueLine)) {
      if (!known.has(warning)) this.#log.log.tell('configuration-warning', { cause: 'start' }, warning)
    }
    this.bans.use(resolveGroups(config).ban)
    const prepared = await this.services.prepare(config, { tls, addresses })
    prepared.commit()
    this.#tickets.every(config.ticket_rotation)
    this.reloader = new Reloader({
      log: this.#log, services: this.services, loaded, load, seen,
      prepare: config => {
        const plan = planFor(config, this.#fdLimit)
        const { ban } = resolveGroups(config)
        return () => {
          this.fdPlan = plan
          this.bans.use(ban)
          this.#cap.limit = capOf(plan)
          this.#tickets.every(config.ticket_rotation)
          if (this.auditing.use(config.audit)) for (const service of this.services.services) service.auditBegins()
          this.suspicions.settings = config.alerts
        }
      },
    })
    this.#expiry = new ExpiryWatch(this.#log.log, () => this.#expiring())
    await this.#admin.listen(config.admin.listen)
    this.#manager.ready(() => [...this.readiness(), ...this.#admin.missing], () => this.services.running.flatMap(({ service }) => service.remarks()))
    this.#started.resolve()
  }

  /** Whose daemon this is, for people. */
  get configuration(): string {
    return this.source.paths[0] ?? 'flags and variables'
  }

  /** What is in force, without names of groups. */
  get config(): Config {
    const { config } = this.reloader
    if (this.#resolved.of !== config) this.#resolved = { of: config, config: resolveGroups(config) }
    return this.#resolved.config
  }

  #tellFds(): void {
    const { fdLimit, limit, warning } = this.fdPlan
    this.#log.log.tell('fd-limit', { limit: fdLimit, clients: limit }, `up to ${counted(limit, 'client connection')}`)
    if (warning !== undefined) this.#log.log.tell('fd-limit-low', {}, warning)
  }

  /** Why a load balancer should send nobody here; empty: all is well. */
  readiness(): string[] {
    if (this.isDraining) return ['memseal is draining: it ends as soon as its clients have what they are owed']
    const now = Date.now()
    const expired = this.#expiring().filter(({ key, notAfter }) => key !== 'crl' && notAfter.getTime() <= now)
      .map(({ service, file, notAfter }) => `service ${service}: the certificate in ${file} expired on ${notAfter.toISOString().slice(0, 10)}`)
    const { fault } = this.auditing
    const blind = fault === undefined ? [] : [`${fault.message} Nobody new is let in (audit.required)`]
    return [...this.services.running.flatMap(({ service }) => service.readiness()), ...expired, ...blind]
  }

  snapshot(): Snapshot {
    return takeSnapshot(this)
  }

  connections(limit: number): Promise<ConnectionsNow> {
    return connectionsNow(this, limit)
  }

  /** Those that are no end. None of them may find Node's own answer, not even during the start: a debugger, or death. */
  #followSignals(): void {
    process.on('SIGHUP', () => void this.reload('signal'))
    process.on('SIGUSR1', () => void this.reopenFiles('SIGUSR1'))
    process.on('SIGUSR2', () => void this.#tellStatus())
  }

  /** Takes what is on disk now, and opens the log anew: whoever rotates it need not know more than one order. */
  async reload(cause: 'signal' | 'admin'): Promise<ReloadOutcome> {
    await this.#started.promise
    const faults = await this.reopenFiles(cause)
    const outcome = await this.reloader.reload(cause)
    return { ...outcome, warnings: [...outcome.warnings, ...faults] }
  }

  /** Log and audit. @returns why one of them goes on in the file that it had */
  async reopenFiles(cause: string): Promise<string[]> {
    const faults = [await this.#reopenLog(cause), await this.auditing.reopen(cause)]
    return faults.filter(fault => fault !== undefined)
  }

  async #reopenLog(cause: string): Promise<string | undefined> {
    const { log } = this.#log
    try {
      if (await this.#log.reopen()) log.tell('log-reopened', { cause }, 'the log goes on here')
      return undefined
    } catch (error) {
      if (!(error instanceof LogFileError)) throw error
      const words = `${error.message} ${error.fix} Until then it goes on in the file that was open.`
      log.tell('log-reopen-failed', { cause }, words)
      return words
    }
  }

  /** Whoever asks is answered, however little is logged. */
  async #tellStatus(): Promise<void> {
    await this.#started.promise
    const { log } = this.#log
    const snapshot = this.snapshot()
    const words = snapshot.notReady.length === 0 ? 'ready' : `not ready: ${snapshot.notReady.join('; ')}`
    log.tell('status', { status: plain(snapshot) }, words)
  }

  #expiring(): Expiring[] {
    return this.services.running.flatMap(({ name }) => {
      const { listeners, backend } = this.services.tlsOf(name)
      const [listener] = listeners.values()
      return expiringOf(name, listener, backend)
    })
  }

  /** SIGTERM or SIGINT: drain; a second one ends at once. */
  untilEnd(): Promise<number> {
    return new Promise((resolve) => {
      this.#ended = resolve
      const onSignal = (signal: NodeJS.Signals): void => {
        if (!this.isDraining) return void this.drain(signal)
        this.#log.log.tell('ended', { signal }, 'ended at once', 'warn')
        this.close()
        resolve(0)
      }
      process.on('SIGTERM', onSignal)
      process.on('SIGINT', onSignal)
    })
  }

  /** Stops accepting, and ends when all clients have what they are owed, after `drain_timeout` at the latest.
   *  @param cause a signal's name, or `admin` */
  async drain(cause: string): Promise<void> {
    if (this.isDraining) return
    this.isDraining = true
    this.reloader.close()
    const services = this.services.services
    const clients = services.reduce((total, service) => total + service.clients, 0)
    this.#log.log.tell('draining', { cause, clients }, `draining ${counted(clients, 'client')}`)
    this.#manager.stopping(`draining ${counted(clients, 'client')}`)
    this.services.closeListeners()
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.config.drain_timeout)
    })
    await Promise.race([Promise.all(services.map((service) => service.drain())), timeout])
    clearTimeout(timer)
    this.close()
    this.#log.log.tell('ended', {}, 'drained', 'info')
    this.#ended?.(0)
  }

  close(): void {
    this.services.closeListeners()
    for (const service of this.services.services) service.close('drain-timeout')
    names.cancel()
    this.reloader?.close()
    this.#expiry?.close()
    this.#tickets.close()
    this.#admin.close()
    this.#manager.close()
    this.loopDelay.close()
    this.#clock.stop()
  }
}

/** Where the open-files limit carries all that the services permit, those limits are the ones that clients meet. */
function capOf({ warning, limit }: FdPlan): number {
  return warning === undefined ? Infinity : limit
}

function planFor(config: Config, fdLimit: number | undefined): FdPlan {
  const services = Object.values(config.services)
  const sum = (of: (service: ServiceConfig) => number): number => services.reduce((total, service) => total + of(service), 0)
  return planFds(fdLimit, {
    listeners: sum((service) => service.listen.length) + config.admin.listen.length,
    sharedBackends: sum((service) => mostLanes(service.backend)),
    clients: sum((service) => service.limits.connections),
    privateBackends: sum((service) => (service.backend.sharing === 'private' ? service.limits.connections : service.limits.private_connections)),
  })
}
