import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made: string[] = []
process.once('exit', () => { for (const folder of made) rmSync(folder, { recursive: true, force: true }) })

/** A new folder (mode 0700), removed at the end of this process or of the test run. The path is short: unix socket paths
 *  end at 107 bytes. */
export function tempFolder(): string {
  const run = process.env.MEMSEAL_TEST_RUN_FOLDER
  const folder = mkdtempSync(run ? join(run, 't') : join(tmpdir(), 'memseal-'))
  made.push(folder)
  return folder
}
