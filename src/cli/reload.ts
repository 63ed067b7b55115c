import { hasFault } from '../config/issue.ts'
import { exitStatuses } from '../errors.ts'
import type { ReloadOutcome } from '../telemetry/reload-outcome.ts'
import { AdminError, asking, configurationOf, ConfigurationError } from './admin-client.ts'
import type { Terminal } from './terminal.ts'

/** `memseal reload`: waits for what comes of it. 0: done; 78: refused, and nothing has changed. */
export function reload(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  return asking('reload', flags, terminal, async client => {
    let answer: { body: string, value: ReloadOutcome }
    try {
      answer = await client.askFor<ReloadOutcome>('POST', '/reload', [200, 409])
    } catch (error) {
      // Whoever reloads a broken file is told what is wrong with it, even if nobody is there to tell.
      const chosen = client.meantFor === undefined ? undefined : configurationOf(flags, terminal.environment)
      if (error instanceof AdminError && chosen !== undefined && hasFault(chosen.loaded.issues)) throw new ConfigurationError(chosen, error.message)
      throw error
    }
    const { body, value: outcome } = answer
    if (flags['json'] === true) terminal.out(body)
    else tell(outcome, terminal)
    return (outcome.result === 'refused' ? exitStatuses.configuration : exitStatuses.fine).status
  })
}

function tell({ result, changes, reasons, warnings }: ReloadOutcome, terminal: Terminal): void {
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  for (const reason of reasons) terminal.err(`${reason}\n`)
  if (result === 'refused') terminal.err('Nothing was changed: memseal goes on with what it had.\n')
  else if (changes.length === 0) terminal.out('Nothing has changed.\n')
  else terminal.out(changes.map(change => `${change}\n`).join(''))
}
