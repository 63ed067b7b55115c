import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'

// Names that this host knows by itself, without asking anybody.

const FILE = '/etc/hosts'

let kept: { key: string, names: Map<string, string[]> } | undefined

/** @returns the addresses that /etc/hosts gives a name, in its order; empty when it has none.
 *  @param name a host's; capitals and a dot at the end make no difference */
export function addressesInHostsFile(name: string): readonly string[] {
  try {
    const { ino, mtimeMs, size } = statSync(FILE)
    const key = `${ino} ${mtimeMs} ${size}`
    if (kept?.key !== key) kept = { key, names: namesIn(readFileSync(FILE, 'utf8')) }
    return kept.names.get(plainName(name)) ?? []
  } catch {
    return []   // some images have no such file
  }
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
