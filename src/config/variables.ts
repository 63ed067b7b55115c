import { setupOptions } from './setup.ts'
import { closest } from './suggest.ts'

/** All that memseal reads of the environment by a fixed name. */
const known = [...setupOptions.map(({ variable }) => variable), 'MEMSEAL_CONFIG']

// What Kubernetes, and Docker for a link, put into the environment for each service; here of those named memseal, memseal-…:
// MEMSEAL_SERVICE_HOST, MEMSEAL_SERVICE_PORT_TLS, MEMSEAL_PORT=tcp://10.0.0.1:11212, MEMSEAL_PORT_11212_TCP_ADDR.
const ofOrchestrators = /^MEMSEAL_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/
const portOfOrchestrators = /^MEMSEAL_(\w+_)?PORT$/

/** Variables that look like memseal's and are none, in whatever case. Set but empty counts as not set. */
export function unknownVariables(environment: NodeJS.ProcessEnv): string[] {
  return Object.entries(environment).filter(([name, value]) => (
    /^memseal_/i.test(name) && (value ?? '') !== '' && !known.includes(name) && !ofOrchestrators.test(name) &&
    !(portOfOrchestrators.test(name) && /^(tcp|udp|sctp):\/\//.test(value!))
  )).map(([name]) => name).sort()
}

export function closestVariable(name: string): string | undefined {
  const rest = (variable: string): string => variable.slice('MEMSEAL_'.length).toLowerCase()
  const near = closest(rest(name), known.map(rest))
  return known.find(variable => near !== undefined && rest(variable) === near)
}
