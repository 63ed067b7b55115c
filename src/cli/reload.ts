import type { ReloadOutcome } from '../process/reload.ts'
import { exitStatuses } from '../errors.ts'
import { asking } from './admin-client.ts'
import type { Terminal } from './terminal.ts'

/** `memseal reload`: waits for what comes of it. 0: done; 78: refused, and nothing has changed. */
export function reload(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  return asking('reload', flags, terminal, async client => {
    const { status, body } = await client.ask('POST', '/reload')
    if (status !== 200 && status !== 409) {
      terminal.err(`memseal reload: ${body}`)
      return exitStatuses.failed.status
    }
    const outcome = JSON.parse(body) as ReloadOutcome
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
