import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import type { Material } from '../certificates.ts'

/** A way to put TLS in front of memcached. One file each in this folder; `all.ts` lists them. */
export interface Contestant {
  name: string
  /** how tables call it */
  title: string
  /** why it cannot take part; undefined: it can */
  absent(): string | undefined
  version(): string
  server(site: Site): Plan
  /** plain on loopback, TLS to the server; left out: it cannot be one */
  sidecar?(site: SidecarSite): Plan
  /** why it cannot be a sidecar as it stands, asked only where `sidecar` is there */
  sidecarAbsent?(site: SidecarSite): string | undefined
  /** it listens without TLS: the floor */
  isPlain?: boolean
  /** it keeps the values itself, so there is no memcached behind it */
  isStore?: boolean
  /** its code is optimised while it runs, so it is never measured before it has run for a while */
  needsWarming?: boolean
  /** Debian package that brings it; left out: none does */
  debian?: string
}

export interface Site {
  port: number
  memcachedPort: number
  /** for a listener that tells metrics over HTTP, where it has one */
  adminPort: number
  material: Material
  /** folder for its files, made before it is started */
  directory: string
}

export interface SidecarSite {
  port: number
  /** port of the TLS server it goes to */
  serverPort: number
  material: Material
  directory: string
}

/** What is run, and the files that are written for it first (name in the site's folder: text). */
export interface Plan {
  command: string[]
  files: Record<string, string>
  /** where it tells its metrics over HTTP */
  metricsUrl?: string
}

/** Most connections any contestant is set up for. */
export const MAX_CONNECTIONS = 16384

/** Full path of a program, also where daemons live and a user's PATH does not lead.   @param name or a path */
export function findProgram(name: string): string | undefined {
  if (name.includes('/')) return existsSync(name) ? resolve(name) : undefined
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(path => existsSync(path))
}

/** For a contestant whose presence is one program's presence. */
export function absentWithout(name: string): string | undefined {
  return findProgram(name) ? undefined : `${name} is not installed`
}

/** First match of `pattern` in what the program says of itself (on whichever stream). */
export function askVersion(command: string[], pattern: RegExp): string {
  const program = findProgram(command[0])
  if (!program) return 'absent'
  const script = '"$0" "$@" 2>&1'
  try {
    const text = execFileSync('sh', ['-c', script, program, ...command.slice(1)], { encoding: 'utf8' })
    return pattern.exec(text)?.[1] ?? 'unknown'
  } catch (error) {
    return pattern.exec(String((error as { stdout?: string }).stdout))?.[1] ?? 'unknown'
  }
}
