import type { Issue, Origin } from './issue.ts'
import { setupOptions, type SetupOption } from './setup.ts'

// A set-up by flags and variables has no keys of YAML to its owner: what is wrong with it is said of the flags.

/** A value that a flag or a variable has put beside a file. */
export function isGiven({ origin }: Issue): boolean {
  return origin.kind === 'flag' || origin.kind === 'environment'
}

/** @param issue of a configuration without a file, or of a value that was given beside one */
export function inFlags(issue: Issue): Issue {
  const { path } = issue
  const option = setupOptions.find(each => isAt(path, each))
  const say = (text: string): string => inFlagsText(text, path)
  if (option === undefined) return { ...issue, message: say(issue.message), fix: say(issue.fix) }
  const origin: Origin = issue.origin.kind === 'environment' ? issue.origin : { kind: 'flag', name: `--${option.flag}` }
  if (issue.message !== 'is missing.') return { ...issue, path: '', origin, message: say(issue.message), fix: say(issue.fix) }
  return {
    ...issue, path: '', origin: { kind: 'flag', name: `--${option.flag}` },
    fix: `Give --${option.flag} ${option.value}, or set ${option.variable}.`,
  }
}

/** A list's entries belong to its flag too. */
function isAt(path: string, option: SetupOption): boolean {
  return path.replace(/\[\d+\]$/, '') === option.path.join('.')
}

function inFlagsText(text: string, path: string): string {
  return text
    .replace(/`(\w+)`/g, (quoted, key: string) => flagsOf(key, path) ?? quoted)
    .replace(/^"(\w+)" stands/, (begin, key: string) => begin.replace(`"${key}"`, flagsOf(key, path) ?? key))
    .replace(/\b([Ww])rite (\w+):(?= )( with cert and key| with ca below backend| beside it| below tls,)?/g, (_, w: string, key: string, where = '') => {
      const flags = flagsOf(key, path)
      return flags === undefined ? `${w}rite, in a file, ${key}:${where as string}` : `${w === 'W' ? 'Give' : 'give'} ${flags}`
    })
    .replace(/\bor (\w+): allowed/g, 'or, in a file, $1: allowed')
    .replace(/\bsuch as \[([^\]]+)\](?=[.;,]|$)/g, 'such as $1')
    .replace(/\bservices\.memcached\.[\w.]+(\[\d+\])?/g, named => {
      const option = setupOptions.find(each => isAt(named, each))
      return option === undefined ? named : `--${option.flag}`
    })
}

/** The flags that stand for a key, as it is meant beside `path`. */
function flagsOf(key: string, path: string): string | undefined {
  if (path.startsWith('admin.')) return undefined
  const isBackend = path.startsWith('services.memcached.backend')
  if (key === 'tls') return isBackend ? '--backend-ca' : '--cert and --key'
  const found = setupOptions.filter(option => option.path.at(-1) === key)
  return found.map(option => `--${option.flag}`).find(flag => flag.startsWith('--backend') === isBackend) ?? (found.length === 1 ? `--${found[0].flag}` : undefined)
}
