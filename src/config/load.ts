import { LineCounter, YAMLMap, type Document, type Node } from 'yaml'
import { FileKindError, readWhole, readWholeFile } from '../lib/whole-file.ts'
import { inlineAccess } from './access-file.ts'
import { inFlags, isGiven } from './flag-words.ts'
import { includeFiles } from './include.ts'
import { hasFault, sortIssues, type Issue, type Origin } from './issue.ts'
import { MOST_BYTES, parse } from './parse.ts'
import { Problem } from './problem.ts'
import { Reading } from './reading.ts'
import { checkRules } from './rules.ts'
import { schema, type Config } from './schema.ts'
import { graft, setupOptions, type Given } from './setup.ts'
import { closestVariable, unknownVariables } from './variables.ts'

// Stands where a file's name would when there is none.
const commandLine = 'command line'

export interface Loaded {
  config: Config | undefined       // undefined: there are faults
  /** What could be read, for further checks; hold each against `isSound` first. */
  services: Config['services']
  admin: Config['admin'] | undefined
  log: Config['log'] | undefined
  audit: Config['audit']
  isSound(path: string): boolean   // it was read, with no fault at this path or below it
  /** The file is not there, or cannot be read: that may pass by itself, unlike what is written in it. */
  isUnread: boolean
  files: readonly string[]         // the file and those that it includes, also such as could not be read
  accessFiles: ReadonlyMap<string, string>   // by service, the file that holds its rules
  issues: Issue[]                  // from the top of the file down; warnings among them
  origins: Map<string, Origin>     // by path, of every value, defaults too
  originOf(path: string): Origin   // of the value, or of the closest section above it that was written down
  /** Adds what is found out later about the value at `path`, such as a key that does not fit its certificate.
   *  @param at where it stands, when that is in a file that the value names */
  report(severity: Issue['severity'], path: string, message: string, fix: string, at?: Origin): void
}

export interface LoadOptions {
  environment: NodeJS.ProcessEnv
  given?: readonly Given[]         // from flags and variables; they win over the file
  directory?: string               // instead of the working folder
  takesPipe?: boolean              // /dev/stdin, <(…): they can be waited for, and read once
}

/** Reads and checks a file. Gathers every fault and never throws: a file that cannot be read is a fault too. */
export function loadFile(file: string, options: LoadOptions): Loaded {
  try {
    const read = options.takesPipe === true ? readWhole : readWholeFile
    return loadText(read(file, MOST_BYTES).toString(), file, options)
  } catch (error) {
    const [message, fix] = unreadable(error as NodeJS.ErrnoException | FileKindError)
    return { ...refused([{ severity: 'fault', origin: { kind: 'file', file, line: 1, col: 1 }, path: '', message, fix }], file), isUnread: true }
  }
}

/** The same for a set-up without a file; its faults are told of the flags. */
export function loadGiven(options: LoadOptions): Loaded {
  return loadText('', commandLine, options)
}

/** @param text YAML   @param file its name in issues */
export function loadText(text: string, file: string, options: LoadOptions): Loaded {
  const lines = new LineCounter()
  const parsed = parse(text, file, lines)
  // Past a syntax error nobody can say what belongs where; what the kinds would report would mislead.
  if (Array.isArray(parsed)) return refused(parsed, file)
  const document = parsed
  document.contents ??= new YAMLMap() as Document['contents']
  const given = graft(document, options.given ?? [])
  const whole: Origin = file === commandLine ? { kind: 'flag', name: file } : { kind: 'file', file, line: 1, col: 1 }
  const { environment, directory = process.cwd() } = options
  const reading = new Reading({ document, file, directory, whole, lines, environment, given })
  includeFiles(reading, document)
  inlineAccess(reading, document)
  const config = schema.read(document.contents as Node, '', reading)
  if (config !== undefined) checkRules(config, reading)
  if (file !== commandLine) warnOfUnusedVariables(reading, environment)
  tellUnknownVariables(reading, environment, options.given ?? [])
  return {
    services: config?.services ?? {},
    admin: config?.admin,
    log: config?.log,
    audit: config?.audit,
    files: file === commandLine ? [] : [file, ...reading.included],
    accessFiles: reading.accessFiles,
    // What stands below a value that is not a section was never read.
    isSound: path => reading.origins.has(path) && !reading.isFaulty(path),
    isUnread: reading.isUnread,
    get config() { return hasFault(reading.issues) ? undefined : config },
    get issues() { return sortIssues(reading.issues.map(issue => file === commandLine || isGiven(issue) ? inFlags(issue) : issue)) },
    origins: reading.origins,
    originOf: path => reading.nearestOrigin(path),
    report: (...finding) => reading.report(...finding),
  }
}

/** A set-up variable that a file neither reads nor yields to does nothing, and its owner thinks that it does. */
function warnOfUnusedVariables(reading: Reading, environment: NodeJS.ProcessEnv): void {
  for (const { variable, besideFile, asksToo } of setupOptions) {
    if (besideFile || asksToo || (environment[variable] ?? '') === '' || reading.variables.has(variable)) continue
    reading.warn('',
      `${variable} is set but changes nothing: this file is in use.`,
      `Write \${${variable}} in the file where it should count, or unset it.`)
  }
}

/** A variable that is misspelt protects nobody. Where variables make the service that is a fault; where a file or flags do, somebody
 *  else's variables may begin like ours. */
function tellUnknownVariables(reading: Reading, environment: NodeJS.ProcessEnv, given: readonly Given[]): void {
  const isMade = given.some(({ path, origin }) => origin.kind === 'environment' && setupOptions.some(each => each.path === path && !each.besideFile))
  for (const name of unknownVariables(environment)) {
    if (reading.variables.has(name)) continue
    const near = closestVariable(name)
    const fix = near === undefined ? 'Unset it, or see `memseal run --help` for the flags: each has a variable of its name.' : `Did you mean ${near}?`
    reading.outside(isMade ? 'fault' : 'warning', name, new Problem('memseal knows no variable of this name, so it changes nothing.', fix))
  }
}

function refused(issues: Issue[], file: string): Loaded {
  return {
    config: undefined, services: {}, admin: undefined, log: undefined, audit: undefined, files: [file], accessFiles: new Map(), isSound: () => false, isUnread: false, issues, origins: new Map(),
    originOf: () => issues[0].origin,
    report: (severity, path, message, fix, at = issues[0].origin) => void issues.push({ severity, origin: at, path, message, fix }),
  }
}

function unreadable(error: NodeJS.ErrnoException | FileKindError): [message: string, fix: string] {
  if (error instanceof FileKindError) return [`this ${error.words}.`, error.words === 'is a folder' ? 'Name the file in it.' : error.fix]
  switch (error.code) {
    case 'ENOENT': return ['there is no such file.', 'Write it, or name another with --config FILE.']
    case 'EACCES': return ['this file may not be read by the user that memseal runs as.',
      'Give that user leave to read it (chown, chmod).']
    case 'EISDIR': return ['this is a folder.', 'Name the file in it.']
    default: return [`this file cannot be read: ${error.message}.`, 'Name another with --config FILE.']
  }
}
