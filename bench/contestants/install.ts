import { spawnSync } from 'node:child_process'
import type { Contestant } from './contestant.ts'

/** Installs the peers Debian packages, without letting them start as services.   @returns exit status */
export function installPeers(contestants: Contestant[]): number {
  const missing = contestants.filter(each => each.debian && each.absent())
  if (missing.length === 0) {
    console.log('all peers that Debian packages are installed')
    return 0
  }
  const packages = [...new Set(missing.flatMap(each => each.debian!.split(' ')))]
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...packages]
  console.log(command.join(' '))
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }   // RUNLEVEL=1: services stay down
  return spawnSync(command[0], command.slice(1), { stdio: 'inherit', env }).status ?? 1
}
