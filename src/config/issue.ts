/** Where a value of the configuration came from. Lines and columns count from 1. */
export type Origin =
  | { kind: 'file', file: string, line: number, col: number, variables?: string[] }
  | { kind: 'flag', name: string }
  | { kind: 'environment', name: string }
  | { kind: 'default' }

/** One finding: what is wrong and what to write instead. A fault refuses the configuration, a warning does not. */
export interface Issue {
  severity: 'fault' | 'warning'
  origin: Origin
  path: string      // `services.cache.limits.connections`, `services.cache.allow[2]`; empty for the file as a whole
  message: string   // what is wrong, a whole sentence
  fix: string       // what to write, a whole sentence
}

/** `memseal.yaml:41:18`, `--listen`, `MEMSEAL_LISTEN` or `default`. */
export function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'file': return `${origin.file}:${origin.line}:${origin.col}`
    case 'flag': return origin.name
    case 'environment': return origin.name
    case 'default': return 'default'
    default: return origin satisfies never
  }
}

/** The two lines that `check` and `run` print for an issue; the second stands under the first one's text. */
export function issueText(issue: Issue): string {
  const where = originText(issue.origin)
  const indent = ' '.repeat(where.length + 2)
  const grade = issue.severity === 'warning' ? 'warning: ' : ''
  const path = issue.path === '' ? '' : `${issue.path}: `
  return `${where}  ${grade}${path}${issue.message}\n${indent}${issue.fix}`
}

/** The same in one line, for the log. */
export function issueLine(issue: Issue): string {
  const path = issue.path === '' ? '' : `${issue.path}: `
  return `${originText(issue.origin)} ${path}${issue.message} ${issue.fix}`.trim()
}

/** The same for machines: `where` as people see it, and its parts where it is a place in a file. */
export function issueFields({ severity, origin, path, message, fix }: Issue): Record<string, unknown> {
  const place = origin.kind === 'file' ? { file: origin.file, line: origin.line, column: origin.col } : {}
  return { severity, where: originText(origin), ...place, path, message, fix }
}

/** By place in the file, so that an operator mends from the top down; what came from flags stands first, then each file
 *  in the order of its first issue. */
export function sortIssues(issues: readonly Issue[]): Issue[] {
  const fileOf = (issue: Issue) => issue.origin.kind === 'file' ? issue.origin.file : ''
  const files = ['', ...new Set(issues.map(fileOf))]
  const file = (issue: Issue) => files.indexOf(fileOf(issue))
  const line = (issue: Issue) => issue.origin.kind === 'file' ? issue.origin.line : 0
  const col = (issue: Issue) => issue.origin.kind === 'file' ? issue.origin.col : 0
  return issues.toSorted((a, b) => file(a) - file(b) || line(a) - line(b) || col(a) - col(b))
}

export function hasFault(issues: readonly Issue[]): boolean {
  return issues.some(issue => issue.severity === 'fault')
}
