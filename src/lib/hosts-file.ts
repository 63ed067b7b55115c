import { isIP } from 'node:net'
import { KeptFile } from './kept-file.ts'

// Names that this host knows by itself, without asking anybody.

const hostsFile = new KeptFile('/etc/hosts', namesIn)

/** @returns the addresses that /etc/hosts gives a name, in its order; empty when it has none.
 *  @param name a host's; capitals and a dot at the end make no difference */
export function addressesInHostsFile(name: string): readonly string[] {
  return hostsFile.value.get(plainName(name)) ?? []
}

/** `localhost` and what ends in it is this host by definition (RFC 6761). */
export function isLocalhost(name: string): boolean {
  return /(^|\.)localhost$/.test(plainName(name))
}

function namesIn(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (isIP(address) === 0) continue
    for (const alias of new Set(aliases.map(plainName))) names.set(alias, [...names.get(alias) ?? [], address])
  }
  return names
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
