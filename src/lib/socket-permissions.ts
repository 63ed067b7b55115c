import { chmodSync, chownSync, readFileSync } from 'node:fs'

// Who may use a unix socket: whoever may write to it.

/** `owner` and `group`: names or numbers; undefined: those of this process. */
export interface SocketPermissions { mode: number, owner: string | undefined, group: string | undefined }

/** Binds with a mask that lets nobody else in, so that there is no moment at which the socket is open to more users than
 *  it is to be. @param bind binds before it returns */
export function bindForNobodyElse<T>(bind: () => T): T {
  const before = process.umask(0o177)
  try {
    return bind()
  } finally {
    process.umask(before)
  }
}

/** Owner and group first: whoever loses the socket by that must not have had it with the wider mode.
 *  @throws Error that says what is wrong and what to do */
export function openTo(path: string, { mode, owner, group }: SocketPermissions): void {
  const uid = owner === undefined ? -1 : idOf('/etc/passwd', owner, 'user', 'owner')
  const gid = group === undefined ? -1 : idOf('/etc/group', group, 'group', 'group')
  try {
    if (uid !== -1 || gid !== -1) chownSync(path, uid, gid)
  } catch (error) {
    const what = uid === -1 ? `the group ${group}` : `the user ${owner}`
    const fix = uid === -1
      ? "Memseal's user has to be in that group, or be root; for a unit of systemd the drop-in memseal.service.d/www-data.conf does it."
      : 'Only root may give a socket away: leave socket.owner out and use socket.group.'
    throw new Error(`${path} cannot be given to ${what} (${(error as NodeJS.ErrnoException).code}). ${fix}`)
  }
  chmodSync(path, mode)
}

/** Why a socket cannot be given to it; undefined: there is such a user or group. */
export function whyNoAccount(key: 'owner' | 'group', account: string): string | undefined {
  const [file, kind] = key === 'owner' ? ['/etc/passwd', 'user'] as const : ['/etc/group', 'group'] as const
  try {
    idOf(file, account, kind, key)
    return undefined
  } catch {
    return `there is no ${kind} "${account}" in ${file}.`
  }
}

/** Node has no call for it; accounts that are not in the files (LDAP and the like) go by number. */
function idOf(file: string, account: string, kind: 'user' | 'group', key: string): number {
  if (/^\d+$/.test(account)) return Number(account)
  const line = readFileSync(file, 'utf8').split('\n').find(each => each.startsWith(`${account}:`))
  const id = line?.split(':')[2]
  if (id !== undefined && /^\d+$/.test(id)) return Number(id)
  throw new Error(`there is no ${kind} "${account}" in ${file}. Write another socket.${key}, or its number (getent ${kind === 'user' ? 'passwd' : 'group'} ${account}).`)
}
