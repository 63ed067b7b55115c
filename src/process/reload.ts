import { changeText, diffConfig, keepRestartValues, type Change } from '../config/diff.ts'
import { hasFault, issueLine, type Issue } from '../config/issue.ts'
import type { Loaded } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../telemetry/log.ts'
import type { BackendMaterial, Material } from '../tls/material.ts'
import { oneLine } from '../tls/peer.ts'
import { FileWatch } from '../tls/watch.ts'
import { filesOf, readMaterials, type Materials } from './materials.ts'
import { PrepareError, type Services } from './services.ts'

// A new configuration, or new certificates, without a restart:
//
//   SIGHUP, memseal reload ── load ─┐
//   a file has changed ─────────────┴─ read certificates ── prepare ── commit      anything wrong on the way: the old stays
//                                          │
//                                          └─ wrong, and it was a file's change: it may be half written, try again for a while

export type ReloadCause = 'signal' | 'admin' | 'files'
export type ReloadResult = 'applied' | 'unchanged' | 'refused'

export interface ReloadOutcome {
  result: ReloadResult
  /** What is different now; with `needs a restart` what is not yet. */
  changes: string[]
  /** Why nothing has changed: one line each, with file:line:column. */
  reasons: string[]
  warnings: string[]
}

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
  materials: Materials
  /** Whatever else depends on the configuration. */
  onApplied(config: Config): void
  pollMs?: number
}

export class Reloader {
  readonly counts: Record<ReloadCause, Record<ReloadResult, number>> = {
    signal: { applied: 0, unchanged: 0, refused: 0 }, admin: { applied: 0, unchanged: 0, refused: 0 }, files: { applied: 0, unchanged: 0, refused: 0 },
  }
  /** When the last reload ended, in ms since 1970, and what came of it. */
  last: { at: number, cause: ReloadCause, outcome: ReloadOutcome } | undefined = undefined
  config: Config

  readonly #options: ReloaderOptions
  readonly #watch: FileWatch
  #loaded: Loaded
  #materials: Materials
  #running: Promise<unknown> = Promise.resolve()
  #retry: NodeJS.Timeout | undefined
  /** Told at the last reload, and not again at this one. */
  #warned = new Set<string>()
  #isClosed = false

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#loaded = options.loaded
    this.config = options.loaded.config!
    this.#materials = options.materials
    this.#watch = new FileWatch({ onChange: () => this.#filesChanged(0), pollMs: options.pollMs })
    this.#watch.set(filesOf(this.config.services))
  }

  /** What is in force, which need not be what is on disk. */
  get materials(): Materials {
    return this.#materials
  }

  /** Reads everything anew. Never rejects; reloads that were asked for meanwhile follow one after the other. */
  reload(cause: 'signal' | 'admin'): Promise<ReloadOutcome> {
    return this.#next(cause, () => {
      const loaded = this.#options.load()
      return loaded.config === undefined ? refused(loaded.issues) : this.#apply(loaded)
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
    void this.#next('files', () => this.#apply(this.#loaded), tries < retriesMs.length).then(outcome => {
      if (outcome.result !== 'refused' || this.#isClosed) return
      this.#retry = setTimeout(() => this.#filesChanged(tries + 1), retriesMs[tries] ?? SHOUT_MS)
      this.#retry.unref()
    })
  }

  /** @param isPatient a refusal is not told yet: it may be over in a moment */
  #next(cause: ReloadCause, run: () => ReloadOutcome | Promise<ReloadOutcome>, isPatient = false): Promise<ReloadOutcome> {
    const outcome = this.#running.then(run).catch((error: Error): ReloadOutcome => (
      { result: 'refused', changes: [], reasons: [`the reload failed: ${error.message}`], warnings: [] }))
    this.#running = outcome.then(done => this.#tell(cause, done, isPatient))
    return outcome
  }

  async #apply(loaded: Loaded): Promise<ReloadOutcome> {
    if (this.#isClosed) return { result: 'refused', changes: [], reasons: ['memseal is shutting down.'], warnings: [] }
    const found: Issue[] = loaded === this.#loaded ? [] : [...loaded.issues]
    const report = (severity: Issue['severity'], path: string, message: string, fix: string): void =>
      void found.push({ severity, path, message, fix, origin: loaded.originOf(path) })
    const materials = readMaterials(loaded.config!.services, report)
    if (hasFault(found)) return refused(found)

    const configChanges = loaded === this.#loaded ? [] : diffConfig(this.config, loaded.config!)
    const config = loaded === this.#loaded ? this.config : keepRestartValues(this.config, loaded.config!, configChanges)
    try {
      const prepared = await this.#options.services.prepare(config, materials)
      if (this.#isClosed) prepared.rollback()
      else prepared.commit()
    } catch (error) {
      if (!(error instanceof PrepareError)) throw error
      report('fault', error.path, error.message, error.fix)
      return refused(found)
    }
    this.#options.log.log.level = config.log.level
    this.#options.onApplied(config)
    const changes = [...configChanges.map(changeText), ...this.#materialChanges(materials, configChanges)]
    this.#materials = materials
    this.#loaded = loaded
    this.config = config
    this.#watch.set(filesOf(config.services))
    const warnings = found.map(issueLine)
    return { result: changes.length === 0 ? 'unchanged' : 'applied', changes, reasons: [], warnings }
  }

  #materialChanges(next: Materials, configChanges: readonly Change[]): string[] {
    return [...next].flatMap(([name, { listener, backend }]) => {
      const old = this.#materials.get(name)
      if (old === undefined || configChanges.some(({ path }) => path === `services.${name}`)) return []
      return [
        ...listenerChanges(`services.${name}.tls`, old.listener, listener),
        ...backendChanges(`services.${name}.backend.tls`, old.backend, backend),
      ]
    })
  }

  #tell(cause: ReloadCause, outcome: ReloadOutcome, isPatient: boolean): void {
    const { log } = this.#options.log
    const { result, changes, reasons, warnings } = outcome
    if (result === 'refused' && isPatient) {
      log.debug({ event: 'reload-waits', cause, reasons }, 'changed files do not fit together yet')
      return
    }
    if (cause === 'files' && result === 'unchanged') return   // touched, or looked at for the first time
    this.counts[cause][result] += 1
    this.last = { at: Date.now(), cause, outcome }
    for (const warning of warnings) {
      if (!this.#warned.has(warning)) log.warn({ event: 'configuration-warning', cause }, warning)
    }
    this.#warned = new Set(warnings)
    for (const reason of reasons) log.error({ event: 'reload-refused', cause }, `nothing was changed: ${reason}`)
    if (result === 'applied') log.info({ event: 'reloaded', cause, changes }, `reloaded: ${changes.join('; ')}`)
    else if (result === 'unchanged') log.info({ event: 'reloaded', cause, changes }, 'reloaded: nothing has changed')
  }
}

function refused(issues: readonly Issue[]): ReloadOutcome {
  const of = (severity: Issue['severity']): string[] => issues.filter(issue => issue.severity === severity).map(issueLine)
  return { result: 'refused', changes: [], reasons: of('fault'), warnings: of('warning') }
}

function listenerChanges(path: string, old: Material | undefined, next: Material | undefined): string[] {
  if (old === undefined || next === undefined) return []   // the configuration has changed, and says so
  const changes: string[] = []
  if (old.cert !== next.cert) changes.push(`${path}.cert: ${oneLine(next.subject)}, ${next.fingerprint}, good until ${day(next.notAfter)}`)
  if (old.key !== next.key) changes.push(`${path}.key: another key`)
  if (String(old.clientCa) !== String(next.clientCa)) changes.push(`${path}.client_ca: ${next.clientCa?.length} certificates`)
  if (listsOf(old) !== listsOf(next)) changes.push(`${path}.crl: ${revokedIn(next)} revoked certificates`)
  return changes
}

function backendChanges(path: string, old: BackendMaterial | undefined, next: BackendMaterial | undefined): string[] {
  if (old === undefined || next === undefined) return []
  const changes: string[] = []
  if (String(old.ca) !== String(next.ca)) changes.push(`${path}.ca: ${next.ca.length} certificates`)
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
