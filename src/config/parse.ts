import { parseDocument, type Document, type LineCounter } from 'yaml'
import type { Issue } from './issue.ts'

/** Of a file of the configuration. */
export const MOST_BYTES = 4 * 2 ** 20

/** @param file its name in issues   @returns the document, or all that keeps it from being YAML */
export function parse(text: string, file: string, lines: LineCounter): Document | Issue[] {
  const issue = (line: number, col: number, message: string, fix: string): Issue =>
    ({ severity: 'fault', origin: { kind: 'file', file, line, col }, path: '', message, fix })
  try {
    // Duplicates are found by the sections, which can name both lines.
    const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false }) as Document
    const errors = [...document.errors, ...document.warnings]
    if (errors.length === 0) return document
    return errors.map(error => {
      const { line, col } = lines.linePos(error.pos[0])
      return issue(line, col, error.code === 'MULTIPLE_DOCS' ? 'a second document begins here, and a configuration is one.' : `this is not YAML: ${error.message.replace(/\.?$/, '.')}`,
        error.code === 'MULTIPLE_DOCS' ? 'Remove the line --- and what does not belong to this configuration.' : syntaxFix(text.split('\n')[line - 1] ?? ''))
    })
  } catch (error) {
    // Nesting thousands deep ends the parser's stack.
    return [issue(1, 1, `this cannot be read as YAML: ${(error as Error).message}.`,
      'Write a configuration as in REFERENCE.md.')]
  }
}

function syntaxFix(line: string): string {
  if (/^\s*\t/.test(line)) return 'Indent with spaces; YAML takes no tabs.'
  if (/:\s+-\s*($|[,}#])/.test(line)) return 'Write the dash in quotes: "-".'
  if (/\[[0-9a-fA-F]*:/.test(line)) return 'Write an address with brackets in quotes: "[::]:11212".'
  if (line.includes('${')) return 'Within { } and [ ], write a variable in quotes: "${NAME}".'
  return 'Mend the line; a value that holds [ ] { } # or a colon with a space stands in quotes.'
}
