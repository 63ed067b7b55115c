import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { find } from './programs.mjs'
import { tempFolder } from '../support/temp-folder.ts'

/** Options that OpenSSL's commands know and those of LibreSSL (macOS, OpenBSD) do not: openssl(1) of LibreSSL 3.3 and 4.0. */
const unknown = ['-verify_quiet', '-verify_hostname', '-verify_ip', '-brief', '-nocommands', '-no-CAfile', '-CAstore', '-ext', '-copy_extensions']

/** A folder for PATH with an `openssl` that refuses them as LibreSSL's does. */
export function likeLibreSsl(): string {
  const folder = tempFolder()
  const script = `#!/bin/sh
command=$1
for argument; do
  case $argument in ${unknown.join('|')}) echo "unknown option '$argument'" >&2; echo "usage: $command ..." >&2; exit 1;; esac
done
exec ${find('openssl')} "$@"
`
  writeFileSync(join(folder, 'openssl'), script, { mode: 0o755 })
  return folder
}
