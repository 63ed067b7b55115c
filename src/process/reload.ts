import { freshAccess } from '../config/access-file.ts'
import { changeText, diffConfig, keepRestartValues, type Change } from '../config/diff.ts'
import { hasFault, issueLine, type Issue } from '../config/issue.ts'
import type { Loaded } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../telemetry/log.ts'
import type { PastReload, ReloadCause, ReloadCounts, ReloadOutcome } from '../telemetry/reload-outcome.ts'
import type { BackendMaterial, Material } from '../tls/material.ts'
import { oneLine } from '../tls/peer.ts'
import { FileWatch, signatureOf } from '../tls/watch.ts'
import { addressChanges, addressFilesOf, buildAddresses } from './service-addresses.ts'
import { buildTls, filesOf, type Report } from './service-tls.ts'
import { PrepareError, type Built, type Services } from './services.ts'

// A new configuration, new certificates or other lists of addresses, without a restart:
//
//   SIGHUP, memseal reload ── load ─┐
//   a file has changed ─────────────┴─ build ── prepare ── commit      anything wrong on the way: the old stays
//                                        │                 (cannot fail)
//                                        └─ wrong, and it was a file's change: it may be half written, try again for a while
//
// A refusal stands until what is on disk is what is in force, however that comes about: it is taken, or put back as it was.

/** After a file has changed and the set does not fit together: how long to wait before each further look. */
const retriesMs = [250, 500, 1000, 2000, 4000]
/** A broken set is told again this often, for as long as it lasts. */
const SHOUT_MS = 3_600_000

export interface ReloaderOptions {
  log: Log
  services: Services
  loaded: Loaded
  /** Loads the configuration anew from where the running one came from. */
  load: () => Loaded
  /** `signatureOf` the watched files, from before the start has read them. */
  seen: string
  /** Works out what else depends on the configuration; what it returns puts that in force, and cannot fail. */
  prepare(config: Config): () => void
  pollMs?: number
}

export class Reloader {
  readonly counts: ReloadCounts = {
    signal: { applied: 0, unchanged: 0, refused: 0 }, admin: { applied: 0, unchanged: 0, refused: 0 }, files: { applied: 0, unchanged: 0, refused: 0 },
  }
  /** When the last reload ended, in ms since 1970, and what came of it. */
  last: PastReload | undefined = undefined
  /** The last refusal, for as long as what is on disk is not what is in force. */
  refusal: PastReload | undefined = undefined
  config: Config

  readonly #options: ReloaderOptions
  readonly #watch: FileWatch
  #loaded: Loaded
  #running: Promise<unknown> = Promise.resolve()
  #retry: NodeJS.Timeout | undefined
  /** The files of the configuration that was last asked for: while it is refused, putting them back ends the refusal. */
  #asked: readonly string[] = []
  /** The refusal that stands is one of an order: the configuration was read, not the files of TLS alone. */
  #isConfigurationRefused = false
  /** Told at the last reload, and not again at this one. */
  #warned = new Set<string>()
  #isClosed = false

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#loaded = options.loaded
    this.config = options.loaded.config!
    this.#watch = new FileWatch({ onChange: () => this.#filesChanged(0), pollMs: options.pollMs })
    // Rules were read before `seen` was taken, so their files are looked at once more.
    this.#watch.set(this.#filesToWatch(), options.loaded.accessFiles.size === 0 ? options.seen : '')
  }

  /** Reads everything anew. Never rejects; reloads that were asked for meanwhile follow one after the other. */
  reload(cause: 'signal' | 'admin'): Promise<ReloadOutcome> {
    return this.#next(cause, () => {
      const before = this.#look()
      const loaded = this.#options.load()
      this.#asked = loaded.files
      return loaded.config === undefined ? refused(loaded.issues) : this.#apply(loaded, before)
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#watch.close()
  }

  /** The configuration's own file may be in the middle of being edited, so it is left alone. */
  #filesChanged(tries: number): void {
    clearTimeout(this.#retry)
    void this.#next('files', () => this.#applyFiles(), tries < retriesMs.length).then(outcome => {
      if (outcome.result !== 'refused' || this.#isClosed) return
      this.#retry = setTimeout(() => this.#filesChanged(tries + 1), retriesMs[tries] ?? SHOUT_MS)
      this.#retry.unref()
    })
  }

  #applyFiles(): ReloadOutcome | Promise<ReloadOutcome> {
    const before = this.#look()
    const fresh = freshAccess(this.#loaded, process.env)
    if (fresh.config === undefined) return refused(fresh.issues)
    return this.#apply(diffConfig(this.#loaded.config!, fresh.config).length === 0 ? this.#loaded : fresh, before)
  }

  /** What is watched, as it was before it was read. */
  #look(): { files: readonly string[], seen: string } {
    const files = this.#filesToWatch()
    return { files, seen: signatureOf(files) }
  }

  /** @param isPatient a refusal is not told yet: it may be over in a moment */
  #next(cause: ReloadCause, run: () => ReloadOutcome | Promise<ReloadOutcome>, isPatient = false): Promise<ReloadOutcome> {
    const outcome = this.#running.then(run).catch((error: Error): ReloadOutcome => (
      { result: 'refused', changes: [], reasons: [`the reload failed: ${error.message}`], warnings: [] }))
    this.#running = outcome.then(done => this.#tell(cause, done, isPatient))
    return outcome
  }

  async #apply(loaded: Loaded, before: { files: readonly string[], seen: string }): Promise<ReloadOutcome> {
    if (this.#isClosed) return shuttingDown
    const found: Issue[] = loaded === this.#loaded ? [] : [...loaded.issues]
    const report: Report = (severity, path, message, fix, at = loaded.originOf(path)) => void found.push({ severity, path, message, fix, origin: at })
    const configChanges = loaded === this.#loaded ? [] : diffConfig(this.config, loaded.config!)
    const config = loaded === this.#loaded ? this.config : keepRestartValues(this.config, loaded.config!, configChanges)
    const { services, log } = this.#options
    const files = this.#filesToWatch(config, loaded)
    const seen = String(files) === String(before.files) ? before.seen : signatureOf(files)
    const built: Built = {
      tls: await buildTls(config.services, report, name => services.tlsOf(name)),
      addresses: await buildAddresses(config, report, name => services.addressesOf(name)),
    }
    if (hasFault(found)) return refused(found)

    const fileChanges = this.#fileChanges(built, configChanges)
    const alsoApply = this.#options.prepare(config)
    try {
      const prepared = await services.prepare(config, built)
      if (this.#isClosed) {
        prepared.rollback()
        return shuttingDown
      }
      prepared.commit()
    } catch (error) {
      if (!(error instanceof PrepareError)) throw error
      report('fault', error.path, error.message, error.fix)
      return refused(found)
    }
    alsoApply()
    log.log.level = config.log.level
    this.#loaded = loaded
    this.config = config
    this.#watch.set(files, seen)
    const changes = [...configChanges.map(changeText), ...fileChanges]
    const warnings = found.map(issueLine)
    return { result: changes.length === 0 ? 'unchanged' : 'applied', changes, reasons: [], warnings }
  }

  #fileChanges({ tls, addresses }: Built, configChanges: readonly Change[]): string[] {
    const { services } = this.#options
    return [...tls].flatMap(([name, { listeners, backend, login }]) => {
      if (configChanges.some(({ path }) => path === `services.${name}`)) return []
      const old = services.tlsOf(name)
      const [listener] = listeners.values()
      const [oldListener] = old.listeners.values()
      return [
        ...listenerChanges(`services.${name}.tls`, oldListener?.material, listener?.material),
        ...backendChanges(`services.${name}.backend.tls`, old.backend?.material, backend?.material),
        ...(old.login === login ? [] : [`services.${name}.backend.auth.password_file: another password`]),
        ...addressChanges(name, services.addressesOf(name), addresses.get(name)!),
      ]
    })
  }

  #tell(cause: ReloadCause, outcome: ReloadOutcome, isPatient: boolean): void {
    const { log } = this.#options.log
    const { result, changes, reasons, warnings } = outcome
    if (result === 'refused' && isPatient) {
      log.tell('reload-waits', { cause, reasons }, 'changed files do not fit together yet')
      return
    }
    const endsRefusal = result !== 'refused' && this.refusal !== undefined &&
      (cause !== 'files' || !this.#isConfigurationRefused || this.#isConfigurationInForce())
    if (cause === 'files' && result === 'unchanged' && !endsRefusal) {   // touched
      if (this.refusal !== undefined) log.tell('reload-still-refused', {}, 'files have changed, and the configuration is still another than the one in force')
      return
    }
    this.counts[cause][result] += 1
    this.last = { at: Date.now(), cause, outcome }
    if (result === 'refused') this.#stands(this.last)
    else if (endsRefusal) this.#ends()
    for (const warning of warnings) {
      if (!this.#warned.has(warning)) log.tell('configuration-warning', { cause }, warning)
    }
    this.#warned = new Set(warnings)
    for (const reason of reasons) log.tell('reload-refused', { cause }, `nothing was changed: ${reason}`)
    if (result === 'applied') log.tell('reloaded', { cause, changes }, `reloaded: ${changes.join('; ')}`)
    else if (result === 'unchanged') {
      const words = endsRefusal ? 'what is on disk is in force again, so nothing is refused any longer' : 'reloaded: nothing has changed'
      log.tell('reloaded', { cause, changes }, words)
    }
  }

  #stands(refusal: PastReload): void {
    this.refusal = refusal
    if (refusal.cause === 'files') return
    this.#isConfigurationRefused = true
    this.#watch.set(this.#filesToWatch())
  }

  /** Those of the configuration too, while it is refused. */
  #filesToWatch(config = this.config, { accessFiles } = this.#loaded): string[] {
    return [...watchedFiles(config.services), ...accessFiles.values(), ...this.#isConfigurationRefused ? this.#asked : []]
  }

  #ends(): void {
    this.refusal = undefined
    this.#isConfigurationRefused = false
    const files = this.#filesToWatch(this.config)
    this.#watch.set(files, signatureOf(files))
  }

  /** Is the configuration on disk the one that was taken last? */
  #isConfigurationInForce(): boolean {
    const { config, files } = this.#options.load()
    // It may include others by now, and those may be what is wrong with it.
    if (String(files) !== String(this.#asked)) {
      this.#asked = files
      this.#watch.set(this.#filesToWatch(this.config))
    }
    return config !== undefined && diffConfig(this.#loaded.config!, config).length === 0
  }
}

/** All files, but for the configuration itself, whose changes are to be noticed. */
export function watchedFiles(services: Config['services']): string[] {
  return [...filesOf(services), ...addressFilesOf(services)]
}

const shuttingDown: ReloadOutcome = { result: 'refused', changes: [], reasons: ['memseal is shutting down.'], warnings: [] }

function refused(issues: readonly Issue[]): ReloadOutcome {
  const of = (severity: Issue['severity']): string[] => issues.filter(issue => issue.severity === severity).map(issueLine)
  return { result: 'refused', changes: [], reasons: of('fault'), warnings: of('warning') }
}

function listenerChanges(path: string, old: Material | undefined, next: Material | undefined): string[] {
  if (old === undefined || next === undefined) return []   // the configuration has changed, and says so
  const changes: string[] = []
  if (old.cert !== next.cert) changes.push(`${path}.cert: ${oneLine(next.subject)}, ${next.fingerprint}, good until ${day(next.notAfter)}`)
  if (old.key !== next.key) changes.push(`${path}.key: another key`)
  if (String(old.clientCa) !== String(next.clientCa)) changes.push(`${path}.client_ca: ${certificates(next.clientCa?.length ?? 0)}`)
  if (listsOf(old) !== listsOf(next)) changes.push(`${path}.crl: ${certificates(revokedIn(next), 'revoked ')}`)
  return changes
}

function backendChanges(path: string, old: BackendMaterial | undefined, next: BackendMaterial | undefined): string[] {
  if (old === undefined || next === undefined) return []
  const changes: string[] = []
  if (String(old.ca) !== String(next.ca)) changes.push(`${path}.ca: ${certificates(next.ca?.length ?? 0)}`)
  if (old.cert !== next.cert) changes.push(`${path}.cert: another certificate`)
  if (old.key !== next.key) changes.push(`${path}.key: another key`)
  return changes
}

function listsOf({ revocation }: Material): string {
  return revocation?.lists.map(({ pem }) => pem).join() ?? ''
}

function revokedIn({ revocation }: Material): number {
  return revocation?.lists.reduce((sum, { serials }) => sum + serials.size, 0) ?? 0
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}

function certificates(count: number, which = ''): string {
  return `${count} ${which}${count === 1 ? 'certificate' : 'certificates'}`
}
