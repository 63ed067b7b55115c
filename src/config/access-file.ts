import { isMap, isScalar, isSeq, type Document, type Node, type Pair, type YAMLMap } from 'yaml'
import { hasFault, type Issue, type Origin } from './issue.ts'
import { openPage } from './page.ts'
import { Problem } from './problem.ts'
import { Reading, type Page } from './reading.ts'
import { checkRules } from './rules.ts'
import { accessKind, type Config } from './schema.ts'

// `access: rules.yaml`: the rules of a service in a file of their own, which may change without the rest of the configuration.
//
//   load        the file's nodes stand in the place of its name, and each fault is shown at its own file, line and column
//   a change    the file alone is read anew; the configuration's own file may be in the middle of being edited

/** Puts the rules of each file into the document in which it is named. */
export function inlineAccess(reading: Reading, document: Document): void {
  const services = isMap(document.contents) ? valueOf(document.contents, 'services', reading) : undefined
  if (!isMap(services)) return
  for (const pair of services.items as Pair<Node, Node | null>[]) {
    const service = pair.value === null ? undefined : reading.resolve(pair.value)
    const name = isScalar(pair.key) ? String(pair.key.value) : ''
    const access = isMap(service) ? service.items.find(each => String(each.key) === 'access') as Pair<Node, Node | null> | undefined : undefined
    const named = access?.value == null ? undefined : reading.resolve(access.value)
    if (!isScalar(named) || typeof named.value !== 'string') continue
    const path = `services.${name}.access`
    const text = reading.text(named)
    if (text instanceof Problem || text === '') continue   // as the schema tells
    reading.settle(path, named)
    const file = reading.absolute(text, { path, node: named })
    reading.included.push(file)
    const page = pageOf(file)
    if (page instanceof Problem || Array.isArray(page)) {
      if (page instanceof Problem) {
        reading.isUnread = true
        reading.fault(path, named, page)
      } else reading.issues.push(...page)
      if (isMap(service)) service.items = service.items.filter(each => each !== access)
      continue
    }
    reading.adopt(page)
    reading.accessFiles.set(name, file)
    access!.value = rulesOf(page.document)
  }
}

function valueOf(map: YAMLMap, key: string, reading: Reading): Node | undefined {
  const pair = map.items.find(each => String(each.key) === key) as Pair<Node, Node | null> | undefined
  return pair?.value == null ? undefined : reading.resolve(pair.value)
}

/** @returns the file, parsed; or what is wrong with it */
function pageOf(file: string): Page | Problem | Issue[] {
  const page = openPage(file, 'Write the path of a file with rules that memseal may read; or the rules themselves.')
  if (page instanceof Problem || Array.isArray(page) || page.document.contents !== null) return page
  return new Problem(`${file} holds no rule.`, 'Write a list of rules, or remove access.')
}

/** A list of rules, or `access:` with one below it. */
function rulesOf({ contents }: Document): Node {
  const only = isMap(contents) && contents.items.length === 1 ? contents.items[0] : undefined
  return (only !== undefined && String(only.key) === 'access' && isSeq(only.value) ? only.value : contents) as Node
}

interface WithAccess {
  config: Config | undefined
  services: Config['services']
  issues: Issue[]
  /** By service. */
  accessFiles: ReadonlyMap<string, string>
  originOf(path: string): Origin
  report(severity: Issue['severity'], path: string, message: string, fix: string, at?: Origin): void
}

/** Reads the files of rules anew.   @param loaded without faults   @returns the same with their rules, or with what is wrong with them */
export function freshAccess<L extends WithAccess>(loaded: L, environment: NodeJS.ProcessEnv): L {
  if (loaded.accessFiles.size === 0) return loaded
  const config: Config = { ...loaded.config!, services: { ...loaded.config!.services } }
  const issues: Issue[] = []
  const readings = new Map<string, Reading>()
  for (const [name, file] of loaded.accessFiles) {
    const path = `services.${name}.access`
    const page = pageOf(file)
    if (page instanceof Problem) issues.push({ severity: 'fault', origin: loaded.originOf(path), path, message: page.message, fix: page.fix })
    if (page instanceof Problem || Array.isArray(page)) {
      if (Array.isArray(page)) issues.push(...page)
      continue
    }
    const whole = { kind: 'file', file, line: 1, col: 1 } as const
    const reading = new Reading({ ...page, directory: process.cwd(), whole, environment, given: new Map() })
    config.services[name] = { ...config.services[name], access: accessKind.read(rulesOf(page.document), path, reading) }
    checkRules(config, reading)
    issues.push(...reading.issues.filter(issue => issue.path === path || issue.path.startsWith(`${path}[`) || issue.path.startsWith(`${path}.`)))
    readings.set(path, reading)
  }
  const readingOf = (path: string): Reading | undefined => [...readings].find(([access]) => path.startsWith(access))?.[1]
  return {
    ...loaded, services: config.services, issues, config: hasFault(issues) ? undefined : config,
    originOf: (path: string) => readingOf(path)?.nearestOrigin(path) ?? loaded.originOf(path),
    report: (severity: Issue['severity'], path: string, message: string, fix: string, at = loaded.originOf(path)) => void issues.push({ severity, path, message, fix, origin: at }),
  }
}
