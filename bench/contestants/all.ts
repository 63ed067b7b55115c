import type { Contestant } from './contestant.ts'
import { ghostunnel } from './ghostunnel.ts'
import { haproxy } from './haproxy.ts'
import { hitch } from './hitch.ts'
import { memcached } from './memcached.ts'
import { memseal } from './memseal.ts'
import { nativeTls } from './native-tls.ts'
import { nginx } from './nginx.ts'
import { stunnel } from './stunnel.ts'

/** In the order of the tables. */
export const contestants: Contestant[] = [memcached, nativeTls, memseal, nginx, hitch, haproxy, stunnel, ghostunnel]
