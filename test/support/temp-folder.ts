import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A new folder (mode 0700) that is removed when this process ends. The path is short: unix socket paths end at 107. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
