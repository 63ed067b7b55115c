import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

// What memseal does not see where systemd runs it: the units in config/systemd give it a /tmp of its own, and no home folders.
// Whoever tries a path in a shell sees all of it, hence the words.

interface Hidden { folders: readonly string[], words: string, fix: string }

const hidden: readonly Hidden[] = [
  {
    folders: ['/tmp', '/var/tmp'],
    words: 'a unit of systemd with PrivateTmp=yes, as memseal has, sees a /tmp of its own and nothing that others put there',
    fix: 'Use a folder below /run (for a socket of memcached, /run/memcached), or write PrivateTmp=no in a drop-in (systemctl edit memseal).',
  },
  {
    folders: ['/home', '/root', '/run/user'],
    words: 'a unit of systemd with ProtectHome=yes, as memseal has, sees no home folders',
    fix: 'Put the file into /etc/memseal, or write ProtectHome=read-only in a drop-in (systemctl edit memseal).',
  },
]

/** Who hides this path from a unit, if it is hidden. */
export function hiddenInUnit(path: string): Hidden | undefined {
  return hidden.find(({ folders }) => folders.some(folder => path === folder || path.startsWith(`${folder}/`)))
}

/** Was this process started by systemd itself? (Shells inherit the variable, and have another number.) */
export function isUnit(environment: NodeJS.ProcessEnv = process.env, pid = process.pid): boolean {
  return environment['SYSTEMD_EXEC_PID'] === String(pid)
}

/** Why a path that others see is not there, when a unit asks. */
export function whyNotSeen(path: string): Hidden | undefined {
  return isUnit() ? hiddenInUnit(path) : undefined
}

/** Is this what memseal's units run: a file in /etc/memseal of a host that systemd has booted? */
export function isForUnit(file: string): boolean {
  return dirname(resolve(file)) === '/etc/memseal' && existsSync('/run/systemd/system')
}
