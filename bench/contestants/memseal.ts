import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MAX_CONNECTIONS, type Contestant, type Plan } from './contestant.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const MAIN = join(ROOT, 'src', 'main.ts')

/** memseal as a checkout runs it, with the Node of the bench. */
export const memseal: Contestant = {
  name: 'memseal',
  title: 'memseal',
  needsWarming: true,
  absent: () => existsSync(MAIN) ? undefined : 'src/main.ts is not there yet',
  version: () => JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version,
  server: ({ port, memcachedPort, adminPort, material, directory }) => plan(directory, `
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
  sidecar: site => sidecarPlan(site),
  sidecarAbsent: site => refusedByCheck(sidecarPlan(site), site.directory),
}

function sidecarPlan({ port, serverPort, material, directory }: Parameters<NonNullable<Contestant['sidecar']>>[0]): Plan {
  return plan(directory, `
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
function plan(directory: string, service: string, adminPort?: number): Plan {
  const file = join(directory, 'memseal.yaml')
  const admin = adminPort ? `admin: { listen: "127.0.0.1:${adminPort}" }\n` : ''
  return {
    command: [process.execPath, MAIN, 'run', '--config', file],
    files: { 'memseal.yaml': `log: { level: warn }\n${admin}services:\n  memcached:${service}\n` },
    metricsUrl: adminPort ? `http://127.0.0.1:${adminPort}/metrics` : undefined,
  }
}

function refusedByCheck(refused: Plan, directory: string): string | undefined {
  mkdirSync(directory, { recursive: true })
  const file = join(directory, 'memseal.yaml')
  writeFileSync(file, refused.files['memseal.yaml'])
  const check = spawnSync(process.execPath, [MAIN, 'check', '--config', file], { encoding: 'utf8' })
  if (check.status === 0) return undefined
  return `memseal check refuses backend.tls: ${(check.stdout + check.stderr).trim().split('\n')[0]}`
}
