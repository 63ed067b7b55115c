import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { saslpasswd2 } from '../setup/programs.mjs'
import { findMemcached, startMemcached, type Memcached } from './memcached.ts'
import { packet } from '../proto/binary.ts'
import { tempFolder } from './temp-folder.ts'

/** Whether a memcached with `-S` can be had: its list of users is made with saslpasswd2, and not every build has SASL. */
export const hasSasl = saslpasswd2() !== undefined && /enable-sasl/.test(spawnSync(findMemcached() ?? 'memcached', ['-h'], { encoding: 'utf8' }).stdout ?? '')

export interface SaslMemcached {
  memcached: Memcached
  /** Gives the user another password, or is another user's first. */
  setPassword(user: string, password: string): void
}

/** A memcached with `-S`, and a list of users of its own. */
export async function startSaslMemcached(users: Record<string, string>): Promise<SaslMemcached> {
  const folder = join(tempFolder(), 'sasl')
  mkdirSync(folder)
  const list = join(folder, 'users.db')
  writeFileSync(join(folder, 'memcached.conf'), `mech_list: plain\nsasldb_path: ${list}\n`)
  const setPassword = (user: string, password: string): void =>
    void execFileSync(saslpasswd2()!, ['-p', '-c', '-a', 'memcached', '-f', list, user], { input: password })
  for (const [user, password] of Object.entries(users)) setPassword(user, password)
  const memcached = await startMemcached({
    args: ['-S'], env: { SASL_CONF_PATH: folder }, asked: { question: packet({ opcode: 0x0b }).toString('latin1'), answer: '\x81\x0b' },
  })
  return { memcached, setPassword }
}
