import { BlockList, isIP, isIPv6 } from 'node:net'

/** A place to listen on or to connect to. Paths are absolute; IPv6 hosts stand without brackets. */
export type Endpoint =
  | { kind: 'tcp', host: string, port: number }
  | { kind: 'unix', path: string }
  | { kind: 'systemd', name: string }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** The text of it, as an operator writes it. */
export function endpointText(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'tcp': return isIPv6(endpoint.host) ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`
    case 'unix': return `unix:${endpoint.path}`
    case 'systemd': return `systemd:${endpoint.name}`
    default: return endpoint satisfies never
  }
}

/** Can only this host reach it? A systemd socket may be anything, so it counts as reachable from outside. */
export function isLocal(endpoint: Endpoint): boolean {
  if (endpoint.kind === 'unix') return true
  if (endpoint.kind === 'systemd') return false
  if (endpoint.host === 'localhost') return true
  const family = isIP(endpoint.host)
  return family !== 0 && loopback.check(endpoint.host, family === 4 ? 'ipv4' : 'ipv6')
}
