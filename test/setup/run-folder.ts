import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** vitest's global set-up: one folder for the whole run, which holds what all test files share: the certificates, and what Node
 *  makes of memseal's sources. The suite starts memseal hundreds of times; stripping and compiling are two thirds of a start. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-run-'))
  process.env.MEMSEAL_TEST_RUN_FOLDER = folder
  process.env.NODE_COMPILE_CACHE = join(folder, 'compiled')
  return () => rmSync(folder, { recursive: true, force: true })
}
