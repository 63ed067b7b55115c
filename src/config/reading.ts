import { existsSync, globSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { isAlias, isScalar, Scalar, visit, type Document, type LineCounter, type Node } from 'yaml'
import type { Issue, Origin } from './issue.ts'
import { Problem } from './problem.ts'

/** Where a value stands: its path, and its node if it was written. */
export interface Spot { path: string, node: Node | undefined }

/** A parsed file and what it takes to say where a node of it stands. */
export interface Page {
  document: Document
  file: string                     // as issues name it
  lines: LineCounter
}

export interface Source extends Page {
  directory: string                // absolute: the working folder, where relative paths in flags and variables start
  whole: Origin                    // where a fault of the configuration as a whole is shown
  environment: NodeJS.ProcessEnv   // for `${VAR}`
  given: Map<Node, Origin>         // nodes that a flag or an environment variable made
}

/** One pass over a document: the kinds walk its nodes and leave here what they found and where each value stood. */
export class Reading {
  readonly issues: Issue[] = []
  readonly origins = new Map<string, Origin>()
  readonly variables = new Set<string>()   // names seen as `${NAME}`
  readonly included: string[] = []         // files, also such as could not be read
  readonly accessFiles = new Map<string, string>()   // those that hold the rules of a service, by its name
  /** A file that it takes could not be read. */
  isUnread = false
  #source: Source
  #homes = new Map<Node, Page>()   // nodes of included files

  constructor(source: Source) {
    this.#source = source
  }

  /** Nodes of `page` are about to be read as if they stood in the file that includes it. */
  adopt(page: Page): void {
    visit(page.document, { Node: (_, node) => void this.#homes.set(node, page) })
  }

  /** Notes where the value of `path` came from. */
  settle(path: string, node: Node | undefined): void {
    this.origins.set(path, node === undefined ? { kind: 'default' } : this.originOf(node))
  }

  /** Reads a list's default, which is written as its entries would be. */
  defaults<T>(of: { read(node: Node, path: string, reading: Reading): T }, texts: readonly string[], path: string): T[] {
    return texts.map((text, at) => {
      const node = new Scalar(text)
      this.#source.given.set(node, { kind: 'default' })
      return of.read(node, `${path}[${at}]`, this)
    })
  }

  fault(path: string, node: Node | undefined, problem: Problem): void {
    this.#add('fault', path, node === undefined ? this.nearestOrigin(path) : this.originOf(node), problem)
  }

  /** A fault of a rule, shown at the value of `path` or, when it was left out, at what it would have stood under. */
  refuse(path: string, message: string, fix: string): void {
    this.report('fault', path, message, fix)
  }

  warn(path: string, message: string, fix: string): void {
    this.report('warning', path, message, fix)
  }

  /** @param at where it stands, when that is in a file that the value names */
  report(severity: Issue['severity'], path: string, message: string, fix: string, at = this.nearestOrigin(path)): void {
    this.#add(severity, path, at, new Problem(message, fix))
  }

  /** What is wrong with an environment variable that no value came from. */
  outside(severity: Issue['severity'], variable: string, problem: Problem): void {
    this.#add(severity, '', { kind: 'environment', name: variable }, problem)
  }

  /** Is there a fault at `path` or below it? Rules pass over such values: what they would say is but an echo. */
  isFaulty(path: string): boolean {
    return this.issues.some(issue => issue.severity === 'fault' &&
      (issue.path === path || issue.path.startsWith(`${path}.`) || issue.path.startsWith(`${path}[`)))
  }

  /** Follows `*alias` to what its anchor holds. */
  resolve(node: Node): Node {
    return isAlias(node) ? node.resolve((this.#homes.get(node) ?? this.#source).document) ?? node : node
  }

  /** The text of a scalar with its `${VAR}` replaced, or the problem with it. */
  text(node: Node): string | Problem {
    const scalar = this.resolve(node)
    if (isAlias(scalar)) return new Problem(`"*${scalar.source}" names no anchor.`,
      `Write &${scalar.source} before the value that is meant, further up.`)
    if (!isScalar(scalar)) return new Problem('takes a single value.',
      'Write the value on the same line, without a list or keys of its own.')
    if (scalar.value === null && (scalar.source ?? '') === '') return new Problem('has no value.',
      'Write one, or remove the line for the default.')
    return this.#expand(typeof scalar.value === 'string' ? scalar.value : scalar.source ?? String(scalar.value), scalar)
  }

  /** What a path in a value means: a relative one starts at the folder of the file that it is written in. */
  absolute(text: string, spot: Spot): string {
    return this.#absolute(text, spot, existsSync)
  }

  /** The same for a path that may hold wildcards. */
  absolutePattern(text: string, spot: Spot): string {
    return this.#absolute(text, spot, path => isPattern(path) ? globSync(path).length > 0 : existsSync(path))
  }

  /** Up to 0.1.0 relative paths started at the working folder: what is only there is still found, with a warning. */
  #absolute(text: string, { path, node }: Spot, isThere: (path: string) => boolean): string {
    const { given, directory, file } = this.#source
    if (isAbsolute(text) || node === undefined || given.has(node)) return resolve(directory, text)
    const folderOf = (name: string): string => dirname(resolve(directory, name))
    const home = folderOf((this.#homes.get(node) ?? this.#source).file)
    const meant = resolve(home, text)
    if (isThere(meant)) return meant
    const elsewhere = [folderOf(file), directory].find(folder => folder !== home && isThere(resolve(folder, text)))
    if (elsewhere === undefined) return meant
    const message = `"${text}" is not in ${home}, where this file lies, but in ${elsewhere}, and was taken from there.`
    if (!this.issues.some(issue => issue.path === path && issue.message === message)) this.warn(path, message, `Write ${resolve(elsewhere, text)}.`)
    return resolve(elsewhere, text)
  }

  originOf(node: Node): Origin {
    const given = this.#source.given.get(node)
    if (given !== undefined) return given
    const { file, lines } = this.#homes.get(node) ?? this.#source
    const { line, col } = lines.linePos(node.range?.[0] ?? 0)
    const origin: Origin = { kind: 'file', file, line: Math.max(line, 1), col: Math.max(col, 1) }
    const variables = isScalar(node) && typeof node.value === 'string' ? namesIn(node.value) : []
    return variables.length === 0 ? origin : { ...origin, variables }
  }

  /** Of the value itself, else of the closest section above it that was written down. */
  nearestOrigin(path: string): Origin {
    for (let at = path; ; at = parentOf(at)) {
      const origin = this.origins.get(at)
      if (origin !== undefined && origin.kind !== 'default') return origin
      if (at === '') return this.#source.whole
    }
  }

  #expand(text: string, node: Node): string | Problem {
    // What a flag or a variable holds is taken as it is: expanding it again would let one variable read others.
    if (this.#source.given.has(node)) return text
    if (/\$\{(?![A-Za-z_]\w*\})/.test(text)) return new Problem(`"${text}" names no environment variable.`,
      'Write ${NAME}: letters, digits and _ only.')
    const unset: string[] = []
    const expanded = text.replace(variable, (_, name: string) => {
      this.variables.add(name)
      const value = this.#source.environment[name]
      if (value === undefined) unset.push(name)
      return value ?? ''
    })
    if (unset.length > 0) {
      return new Problem(`the environment variable ${unset.join(', ')} is not set.`,
        'Set it for the service, or write the value here.')
    }
    return expanded
  }

  #add(severity: Issue['severity'], path: string, origin: Origin, problem: Problem): void {
    this.issues.push({ severity, path, origin, message: problem.message, fix: problem.fix })
  }
}

export function isPattern(path: string): boolean {
  return /[*?[{]/.test(path)
}

const variable = /\$\{([A-Za-z_]\w*)\}/g

function namesIn(text: string): string[] {
  return [...text.matchAll(variable)].map(match => match[1])
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('.'), path.lastIndexOf('['), 0))
}
