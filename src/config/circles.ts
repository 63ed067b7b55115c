import { realpathSync } from 'node:fs'
import { isIP, isIPv4 } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { addressesInHostsFile, isLocalhost } from '../lib/hosts-file.ts'
import { shortAddress, unmapped } from '../lib/ip.ts'
import { entryPath } from './endpoint.ts'
import type { Reading } from './reading.ts'
import type { Config } from './schema.ts'

// A service that connects to a listener of its own, directly or over other services, would send each request round for ever:
//
//   a: listen 1, connect 2 ──▶ b: listen 2, connect 3 ──▶ c: listen 3, connect 1 ──▶ a

interface Edge { to: string, connect: Endpoint, path: string }

export function checkCircles(config: Config, reading: Reading): void {
  const edges = edgesOf(config)
  checkAdmin(config, reading)
  const told = new Set<string>()
  for (const [name, out] of edges) {
    for (const { to, connect, path } of out) {
      const back = wayBetween(to, name, edges)
      if (back === undefined || [name, ...back].every(each => told.has(each))) continue
      for (const each of back) told.add(each)
      if (to === name) {
        reading.refuse(path, `this service itself listens on ${endpointText(connect)}, so each request would come back to it for ever.`,
          'Write where memcached listens, such as 127.0.0.1:11211.')
      } else {
        reading.refuse(path, `${endpointText(connect)} leads back to this service (${[name, ...back].join(' > ')}), so each request would go round for ever.`,
          'Let one of these services connect to memcached.')
      }
    }
  }
}

function checkAdmin(config: Config, reading: Reading): void {
  for (const [name, service] of Object.entries(config.services)) {
    service?.backend?.connect.forEach((connect, at) => {
      if (connect === undefined || !config.admin?.listen.some(listen => listen !== undefined && leadsTo(connect, listen))) return
      reading.refuse(entryPath(`services.${name}.backend.connect`, service.backend.connect, at),
        `${endpointText(connect)} is the admin listener of memseal itself.`, 'Write where memcached listens, such as 127.0.0.1:11211.')
    })
  }
}

/** By service: which services of this file its connections lead to. Values with a fault of their own are undefined here. */
function edgesOf(config: Config): Map<string, Edge[]> {
  const services = Object.entries(config.services).filter(([, service]) => service !== undefined)
  return new Map(services.map(([name, { backend }]) => [name, (backend?.connect ?? []).flatMap((connect, at) => services
    .filter(([, { listen }]) => connect !== undefined && listen.some(each => each !== undefined && leadsTo(connect, each)))
    .map(([to]) => ({ to, connect, path: entryPath(`services.${name}.backend.connect`, backend.connect, at) })))]))
}

/** @returns the services on the way, both ends among them; undefined: there is no way */
function wayBetween(from: string, to: string, edges: ReadonlyMap<string, Edge[]>, seen = new Set<string>()): string[] | undefined {
  if (from === to) return [to]
  seen.add(from)
  for (const edge of edges.get(from) ?? []) {
    const way = seen.has(edge.to) ? undefined : wayBetween(edge.to, to, edges, seen)
    if (way !== undefined) return [from, ...way]
  }
  return undefined
}

/** Would a connection to the one arrive at the other, as far as can be told without asking DNS? */
function leadsTo(connect: Endpoint, listen: Endpoint): boolean {
  if (connect.kind === 'unix' && listen.kind === 'unix') return realPath(connect.path) === realPath(listen.path)
  if (connect.kind !== 'tcp' || listen.kind !== 'tcp' || connect.port !== listen.port) return false
  return addressesOf(connect.host).some(address => isTakenBy(address, listen.host))
}

/** The path without links and detours; what is not there yet by its folder. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const folder = dirname(path)
    return folder === path ? path : join(realPath(folder), basename(path))
  }
}

/** Addresses that a connection to this host may go to. */
function addressesOf(host: string): string[] {
  if (host === '0.0.0.0') return ['127.0.0.1']
  if (isIP(host) !== 0) {
    const address = shortAddress(host)
    return address === '::' ? ['::1', '127.0.0.1'] : [unmapped(address)]
  }
  if (isLocalhost(host)) return ['127.0.0.1', '::1']
  const inFile = addressesInHostsFile(host).map(address => unmapped(shortAddress(address)))
  return inFile.length === 0 && host.toLowerCase() === hostname().toLowerCase() ? ownAddresses() : inFile
}

function isTakenBy(address: string, host: string): boolean {
  const own = (): boolean => address === '::1' || address.startsWith('127.') || ownAddresses().includes(address)
  if (host === '0.0.0.0') return isIPv4(address) && own()
  if (shortAddress(host) === '::') return own()
  if (host === 'localhost') return address === '127.0.0.1' || address === '::1'
  return unmapped(shortAddress(host)) === address
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(addresses => (addresses ?? []).map(({ address }) => shortAddress(address.replace(/%.*/, ''))))
}
