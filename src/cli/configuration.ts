import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { warnOfHiddenPaths } from '../config/hidden-paths.ts'
import { issueText } from '../config/issue.ts'
import { loadFile, loadGiven, type Loaded } from '../config/load.ts'
import { givenByEnvironment, givenByFlags, setupOptions, type Given } from '../config/setup.ts'
import { isForUnit, isUnit } from '../lib/hidden-paths.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

export const defaultFile = '/etc/memseal/memseal.yaml'

export interface Chosen {
  file: string | undefined
  loaded: Loaded
}

/** Finds the configuration that flags, environment and the default file make together, and loads it.
 *  A file that is named wins over variables; flags and a named file are one too many; flags win over the default file.
 *  @param isFirst a file that is named may be a pipe, which is read once; a reload waits for nobody
 *  @returns undefined when there is none at all */
export function chooseConfiguration(flags: Record<string, unknown>, environment: NodeJS.ProcessEnv, isFirst = true): Chosen | undefined {
  const fromFlags = givenByFlags(flags)
  const fromEnvironment = givenByEnvironment(environment)
  const setup = fromFlags.filter(isSetup)
  const flag = flags['config'] as string | undefined
  const named = flag ?? (environment['MEMSEAL_CONFIG'] || undefined)
  if (named !== undefined && setup.length > 0) {
    const names = setup.map(({ origin }) => origin.kind === 'flag' ? origin.name : '').join(', ')
    const naming = flag === undefined ? 'MEMSEAL_CONFIG' : `the file ${flag}`
    throw new UsageError(`${names} and ${naming} cannot go together: the file says all of it.\n` +
      `Write the values into ${named}, or leave the file out.`)
  }
  // Variables first, so that flags win.
  const log = [...fromEnvironment, ...fromFlags].filter(given => !isSetup(given))
  const file = named ?? (setup.length === 0 && existsSync(defaultFile) ? defaultFile : undefined)
  if (file !== undefined) {
    const loaded = loadFile(file, { environment, given: log, takesPipe: isFirst && named !== undefined })
    if (isUnit(environment) || isForUnit(file)) warnOfHiddenPaths(loaded)
    return { file, loaded }
  }
  if (setup.length === 0 && !fromEnvironment.some(isSetup)) return undefined
  return { file, loaded: loadGiven({ environment, given: [...fromEnvironment, ...fromFlags] }) }
}

/** All names of a file: from the root, and where symbolic links lead. */
export function pathsOf(file: string): string[] {
  const path = resolve(file)
  try {
    return [...new Set([path, realpathSync(path)])]
  } catch {
    return [path]
  }
}

export function printIssues(loaded: Loaded, terminal: Terminal): void {
  for (const issue of loaded.issues) terminal.err(`${issueText(issue)}\n`)
}

/** What to say when there is nothing to run. */
export const noConfiguration =
  `There is no configuration: no ${defaultFile}, no --config, no flags and no MEMSEAL_ variables.\n` +
  'Write that file, or for one service:\n' +
  '  memseal run --listen 0.0.0.0:11212 --cert server.crt --key server.key --client-ca clients.pem \\\n' +
  '    --allow 10.0.0.0/8 --connect 127.0.0.1:11211\n'

function isSetup(given: Given): boolean {
  return setupOptions.some(({ path, besideFile }) => path === given.path && !besideFile)
}
