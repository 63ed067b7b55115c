import { exitStatuses } from '../errors.ts'
import { chooseConfiguration, noConfiguration, pathsOf, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'

/** All that is left to do then is writing. */
const LONGEST_END_MS = 1_000

/** `memseal run`: faults are printed and refuse the start; warnings are printed and do not. The exit status tells a service
 *  manager whether another try is of use. 78: what is written is wrong, and stays so until somebody edits it. 1: a file that is
 *  not there (yet), a port that is held, a disk that is full pass by themselves. */
export async function run(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const chosen = chooseConfiguration(flags, terminal.environment)
  if (chosen === undefined) {
    terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded } = chosen
  printIssues(loaded, terminal)
  if (loaded.config === undefined) return (loaded.isUnread ? exitStatuses.failed : exitStatuses.configuration).status
  // Loaded here and not above: the other commands do without the engine.
  const { startDaemon } = await import('../process/daemon.ts')
  // A reload reads what the start has read; that there is something to read is known by now.
  const status = await startDaemon({
    loaded, paths: chosen.file === undefined ? [] : pathsOf(chosen.file),
    load: () => chooseConfiguration(flags, terminal.environment, false)!.loaded,
  })
  // A warning of the start may still wait for somebody to read standard error. A service that has drained does not.
  setTimeout(() => process.exit(status), LONGEST_END_MS).unref()
  return status
}
