import { referenceText, schemaText } from '../config/reference.ts'
import { showConfig } from '../config/show.ts'
import { exitStatuses } from '../errors.ts'
import { eventsText } from '../telemetry/events.ts'
import { metricsText } from '../telemetry/metrics.ts'
import { chooseConfiguration, noConfiguration, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'

/** `memseal config reference`: config/REFERENCE.md. */
export async function configReference(_flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  terminal.out(referenceText())
  return exitStatuses.fine.status
}

/** `memseal config schema`: config/schema.json. */
export async function configSchema(_flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  terminal.out(schemaText())
  return exitStatuses.fine.status
}

/** `memseal config metrics`: config/METRICS.md. */
export async function configMetrics(_flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  terminal.out(metricsText())
  return exitStatuses.fine.status
}

/** `memseal config events`: config/EVENTS.md. */
export async function configEvents(_flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  terminal.out(eventsText())
  return exitStatuses.fine.status
}

/** `memseal config show`: what would run, defaults written out, with each value's origin. */
export async function configShow(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const chosen = chooseConfiguration(flags, terminal.environment)
  if (chosen === undefined) {
    terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded } = chosen
  printIssues(loaded, terminal)
  if (loaded.config === undefined) return exitStatuses.configuration.status
  terminal.out(showConfig(loaded.config, loaded.origins))
  return exitStatuses.fine.status
}
