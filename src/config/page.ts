import { LineCounter } from 'yaml'
import { FileKindError, readWholeFile } from '../lib/whole-file.ts'
import type { Issue } from './issue.ts'
import { MOST_BYTES, parse } from './parse.ts'
import { Problem } from './problem.ts'
import type { Page } from './reading.ts'

/** Reads and parses a file that the configuration names as a part of itself.   @param fix where it cannot be read
 *  @returns a problem of the name; or the issues that keep the file from being YAML */
export function openPage(file: string, fix: string): Page | Problem | Issue[] {
  let text: string
  try {
    text = readWholeFile(file, MOST_BYTES).toString()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = error instanceof FileKindError ? `this ${error.words}` : code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`
    return new Problem(`${file}: ${why}.`, fix)
  }
  const lines = new LineCounter()
  const document = parse(text, file, lines)
  return Array.isArray(document) ? document : { document, file, lines }
}
