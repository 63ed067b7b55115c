import { hasFault, issueFields } from '../config/issue.ts'
import { exitStatuses } from '../errors.ts'
import { buildBackend, buildListeners } from '../process/service-tls.ts'
import { logFileFault } from '../telemetry/log-file.ts'
import { chooseConfiguration, noConfiguration, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'

/** `memseal check`: what `run` would refuse, and what the certificates and keys say of themselves. */
export async function check(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const chosen = chooseConfiguration(flags, terminal.environment)
  if (chosen === undefined) {
    if (flags['json'] === true) terminal.out(`${JSON.stringify({ error: noConfiguration.trim() })}\n`)
    else terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded, file } = chosen
  for (const [name, service] of Object.entries(loaded.services)) {
    // What is itself in doubt is not built; the rest is, so that all faults show at once.
    const isSound = (key: string): boolean => loaded.isSound(`services.${name}.${key}`)
    if (service?.tls !== undefined && isSound('tls') && isSound('listen')) await buildListeners(name, service, loaded.report)
    if (service?.backend?.tls !== undefined && isSound('backend.tls')) await buildBackend(name, service, loaded.report)
  }
  const fault = loaded.isSound('log.file') ? logFileFault(loaded.log!.file) : undefined
  if (fault !== undefined) loaded.report('fault', 'log.file', fault.message, fault.fix)
  const isFine = !hasFault(loaded.issues)
  if (flags['json'] === true) terminal.out(`${JSON.stringify({ configuration: file ?? null, isFine, issues: loaded.issues.map(issueFields) })}\n`)
  else printIssues(loaded, terminal)
  if (!isFine) return exitStatuses.configuration.status
  if (flags['json'] !== true) terminal.out(`${file ?? 'The configuration'} is fine.\n`)
  return exitStatuses.fine.status
}
