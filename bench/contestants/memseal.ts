import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { MAX_CONNECTIONS, type Contestant, type Plan, type SidecarSite } from './contestant.ts'

const ROOT = dirname(dirname(import.meta.dirname))

/** memseal as this checkout runs it, with the Node of the bench. */
export const memseal = checkout('memseal', 'memseal', ROOT)

/** The same once more, beside the first: how far two that are equal lie apart is the noise of a run. */
export const memsealAgain = checkout('again', 'memseal again', ROOT)

/** Another checkout, so that a change can be held against what was before it in one run. */
export function memsealBefore(folder: string): Contestant {
  return checkout('before', 'memseal before', resolve(folder))
}

function checkout(name: string, title: string, root: string): Contestant {
  const main = join(root, 'src', 'main.ts')
  return {
    name,
    title,
    needsWarming: true,
    absent: () => existsSync(main) ? undefined : `${main} is not there`,
    version: () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
    server: ({ port, memcachedPort, adminPort, material, directory }) => plan(main, directory, `
    listen: "127.0.0.1:${port}"
    tls:
      cert: ${material.serverCert}
      key: ${material.serverKey}
      client_ca: ${material.ca}
      client_auth: required
      min_version: TLSv1.2
    limits:
      connections: ${MAX_CONNECTIONS}
      connections_per_client: ${MAX_CONNECTIONS}
    backend:
      connect: 127.0.0.1:${memcachedPort}`, adminPort),
    sidecar: site => sidecarPlan(main, site),
    sidecarAbsent: site => refusedByCheck(main, sidecarPlan(main, site), site.directory),
  }
}

function sidecarPlan(main: string, { port, serverPort, material, directory }: SidecarSite): Plan {
  return plan(main, directory, `
    listen: "127.0.0.1:${port}"
    limits:
      connections: ${MAX_CONNECTIONS}
      connections_per_client: ${MAX_CONNECTIONS}
    backend:
      connect: 127.0.0.1:${serverPort}
      tls:
        ca: ${material.ca}
        cert: ${material.clientCert}
        key: ${material.clientKey}
        server_name: localhost`)
}

// The peers log nothing per connection here, so neither does memseal.
function plan(main: string, directory: string, service: string, adminPort?: number): Plan {
  const file = join(directory, 'memseal.yaml')
  const admin = adminPort ? `admin: { listen: "127.0.0.1:${adminPort}" }\n` : ''
  return {
    command: [process.execPath, main, 'run', '--config', file],
    files: { 'memseal.yaml': `log: { level: warn }\n${admin}services:\n  memcached:${service}\n` },
    metricsUrl: adminPort ? `http://127.0.0.1:${adminPort}/metrics` : undefined,
  }
}

function refusedByCheck(main: string, refused: Plan, directory: string): string | undefined {
  mkdirSync(directory, { recursive: true })
  const file = join(directory, 'memseal.yaml')
  writeFileSync(file, refused.files['memseal.yaml'])
  const check = spawnSync(process.execPath, [main, 'check', '--config', file], { encoding: 'utf8' })
  if (check.status === 0) return undefined
  return `memseal check refuses backend.tls: ${(check.stdout + check.stderr).trim().split('\n')[0]}`
}
