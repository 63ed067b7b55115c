import { accessSync, constants, lstatSync, readFileSync, statSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { whatIs } from './bind.ts'
import { endpointText, isLocal, type Endpoint } from './endpoint.ts'
import { shortAddress } from './ip.ts'

// Would `run` be able to listen there? Asked without binding: the daemon itself may hold the place now. A fault where it will
// surely fail. A warning where it may pass by itself (a folder of a unit, an address that comes later), or where the daemon's
// user may do what this one may not.

export interface Doubt { severity: 'fault' | 'warning', message: string, fix: string }

export function listenDoubts(endpoint: Endpoint): Doubt[] {
  switch (endpoint.kind) {
    case 'unix': return ofPath(endpoint.path)
    case 'tcp': return [...ofAddress(endpoint), ...doubtsOfPort(endpoint.port)]
    case 'systemd': return []
    default: return endpoint satisfies never
  }
}

function ofPath(path: string): Doubt[] {
  const folder = dirname(path)
  try {
    if (!statSync(folder).isDirectory()) return [fault(`${folder} is not a folder, so no socket can be made there.`, 'Write another path.')]
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found !== undefined && !found.isSocket()) {
      return [fault(`${whatIs(found, path)} lies at ${path}, and memseal takes over nothing but a socket that nobody listens on.`,
        'Remove it, or write another path.')]
    }
    accessSync(folder, constants.W_OK | constants.X_OK)
    return []
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return folder === ofUnit ? [] : [missing(folder)]
    if (code === 'ENOTDIR') return [fault(`${folder} leads through something that is not a folder.`, 'Write another path.')]
    return [warning(`this user may not make a socket in ${folder}.`, `Let the user of memseal write there, unless it may already.`)]
  }
}

/** The unit that comes with memseal makes it at each start. */
const ofUnit = '/run/memseal'

/** Below /run a folder comes and goes with its unit (RuntimeDirectory=). */
function missing(folder: string): Doubt {
  const message = `there is no folder ${folder}.`
  if (/^\/(var\/)?run\//.test(folder)) {
    return warning(message, 'Create it, owned by the user of memseal, unless the unit makes it at its start (RuntimeDirectory=).')
  }
  return fault(message, 'Create it, owned by the user of memseal, or write another path.')
}

function ofAddress(endpoint: Endpoint & { kind: 'tcp' }): Doubt[] {
  const { host } = endpoint
  const own = Object.values(networkInterfaces()).flatMap(each => each ?? []).map(({ address }) => address)
  // Loopback is whole where it is there at all.
  if (['0.0.0.0', '::'].includes(shortAddress(host)) || (isLocal(endpoint) && !isIPv6(host))) return []
  if (own.some(address => shortAddress(address) === shortAddress(host))) return []
  return [warning(`this host has no address ${host} now, so memseal could not listen on ${endpointText(endpoint)}.`,
    'Write one of its own (ip address), or 0.0.0.0 or [::], unless the address comes before memseal starts.')]
}

/** @param rights those of this process; others in tests */
export function doubtsOfPort(port: number, { lowest, isCapable } = { lowest: lowestOpenPort(), isCapable: mayBindAnyPort() }): Doubt[] {
  if (port === 0 || port >= lowest || isCapable) return []
  return [warning(`this user may not listen on port ${port}: ports below ${lowest} need CAP_NET_BIND_SERVICE.`,
    'Write a higher port, or grant it (AmbientCapabilities= in a unit), unless the user of memseal has it.')]
}

function lowestOpenPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return process.platform === 'darwin' ? 0 : 1024
  }
}

function mayBindAnyPort(): boolean {
  try {
    const [, hex] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    if (hex !== undefined) return (BigInt(`0x${hex}`) >> CAP_NET_BIND_SERVICE & 1n) === 1n
  } catch {
    // Not Linux.
  }
  return process.geteuid?.() === 0
}

const CAP_NET_BIND_SERVICE = 10n

function fault(message: string, fix: string): Doubt {
  return { severity: 'fault', message, fix }
}

function warning(message: string, fix: string): Doubt {
  return { severity: 'warning', message, fix }
}
