import { hasFault } from '../config/issue.ts'
import { exitStatuses } from '../errors.ts'
import { logFileFault } from '../telemetry/log-file.ts'
import { readBackendMaterial, readMaterial, type MaterialFault } from '../tls/material.ts'
import { chooseConfiguration, noConfiguration, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'

/** `memseal check`: what `run` would refuse, and what the certificates and keys say of themselves. */
export async function check(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const chosen = chooseConfiguration(flags, terminal.environment)
  if (chosen === undefined) {
    terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded, file } = chosen
  for (const [name, service] of Object.entries(loaded.services)) {
    // Paths that are themselves in doubt are not read; the rest is, so that all faults show at once.
    const tell = (path: string, { faults, warnings }: { faults: MaterialFault[], warnings: MaterialFault[] }): void => {
      for (const { key, message, fix } of faults) loaded.report('fault', `${path}.${key}`, message, fix)
      for (const { key, message, fix } of warnings) loaded.report('warning', `${path}.${key}`, message, fix)
    }
    const [front, back] = [`services.${name}.tls`, `services.${name}.backend.tls`]
    if (service?.tls !== undefined && loaded.isSound(front)) tell(front, readMaterial(service.tls))
    if (service?.backend?.tls !== undefined && loaded.isSound(back)) tell(back, readBackendMaterial(service.backend.tls))
  }
  const fault = loaded.isSound('log.file') ? logFileFault(loaded.log!.file) : undefined
  if (fault !== undefined) loaded.report('fault', 'log.file', fault.message, fault.fix)
  printIssues(loaded, terminal)
  if (hasFault(loaded.issues)) return exitStatuses.configuration.status
  terminal.out(`${file ?? 'The configuration'} is fine.\n`)
  return exitStatuses.fine.status
}
