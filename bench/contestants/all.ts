import type { Contestant } from './contestant.ts'
import { ghostunnel } from './ghostunnel.ts'
import { haproxy } from './haproxy.ts'
import { hitch } from './hitch.ts'
import { memcachedAt } from './memcached.ts'
import { memseal, memsealAgain } from './memseal.ts'
import { nativeTlsAt } from './native-tls.ts'
import { nginx } from './nginx.ts'
import { stunnel } from './stunnel.ts'

/** In the order of the tables.   @param memcached the program behind all of them: name or path */
export function contestantsOn(memcached: string): Contestant[] {
  return [memcachedAt(memcached), nativeTlsAt(memcached), memseal, memsealAgain, nginx, hitch, haproxy, stunnel, ghostunnel]
}
