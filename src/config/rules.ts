import { isIPv6 } from 'node:net'
import { endpointText, isLocal, type Endpoint } from './endpoint.ts'
import type { Reading } from './reading.ts'
import type { BackendTlsConfig, Config, ServiceConfig } from './schema.ts'

/** Checks that span keys. A value that has a fault of its own is passed over (it may be undefined here). */
export function checkRules(config: Config, reading: Reading): void {
  for (const [name, service] of Object.entries(config.services)) {
    if (service === undefined) continue
    const path = `services.${name}`
    checkReach(service, path, reading)
    checkBackend(service, path, reading)
    checkClientAuth(service, path, reading)
  }
  checkAdmin(config, reading)
  checkListeners(config, reading)
}

/** Whoever reaches it reads addresses and names of all clients, and over a unix socket ends the daemon. */
function checkAdmin(config: Config, reading: Reading): void {
  config.admin?.listen.forEach((endpoint, at) => {
    if (endpoint === undefined || (endpoint.kind !== 'systemd' && isLocal(endpoint))) return
    reading.refuse(entryPath('admin.listen', config.admin.listen, at),
      `${endpointText(endpoint)} can be reached from other hosts, and the admin listener knows neither TLS nor passwords.`,
      'Write unix:/run/memseal/admin.sock, or a port of 127.0.0.1 or [::1].')
  })
}

/** Who can reach a listener from outside must be named, and what passes there must be sealed. */
function checkReach(service: ServiceConfig, path: string, reading: Reading): void {
  const outside = service.listen.findIndex(endpoint => endpoint !== undefined && !isLocal(endpoint))
  if (outside === -1) return
  const listener = endpointText(service.listen[outside])
  const where = entryPath(`${path}.listen`, service.listen, outside)
  if (!reading.isFaulty(`${path}.allow`) && service.allow.length === 0) {
    reading.refuse(where, `${listener} can be reached from other hosts, and there is no \`allow\` to say which.`,
      'Write allow: with the addresses of your clients, such as [10.0.0.0/8]; or listen on 127.0.0.1, [::1] or a unix socket.')
  }
  const isPlain = service.tls === undefined && !reading.isFaulty(`${path}.tls`)
  if (isPlain && service.plaintext === undefined && !reading.isFaulty(`${path}.plaintext`)) {
    reading.refuse(where,
      `${listener} can be reached from other hosts, and without \`tls\` everyone on the way reads and changes all data.`,
      'Write tls: with cert and key; or plaintext: allowed where the network itself is sealed.')
  }
}

function checkBackend(service: ServiceConfig, path: string, reading: Reading): void {
  const { backend } = service
  if (backend === undefined) return
  const mayBePlain = backend.plaintext !== undefined || reading.isFaulty(`${path}.backend.plaintext`)
  const isSealed = backend.tls !== undefined || reading.isFaulty(`${path}.backend.tls`)
  backend.connect.forEach((endpoint, at) => {
    if (endpoint === undefined || mayBePlain || isSealed || isLocal(endpoint)) return
    reading.refuse(entryPath(`${path}.backend.connect`, service.backend.connect, at),
      `${endpointText(endpoint)} is on another host, and the connection to it would be plain.`,
      'Run memseal there too, and write tls: with ca below backend; or write 127.0.0.1, [::1] or unix:/path; ' +
      'or plaintext: allowed where the network between is sealed itself.')
  })
  if (backend.tls !== undefined) checkBackendTls(backend.tls, service, `${path}.backend`, reading)
}

function checkBackendTls(tls: BackendTlsConfig, service: ServiceConfig, path: string, reading: Reading): void {
  for (const [has, lacks] of [['cert', 'key'], ['key', 'cert']] as const) {
    if (tls[has] === undefined || tls[lacks] !== undefined || reading.isFaulty(`${path}.tls.${lacks}`)) continue
    reading.refuse(`${path}.tls.${has}`, `"${has}" stands without \`${lacks}\`, and one is of no use without the other.`,
      `Write ${lacks}: beside it, or remove it.`)
  }
  const at = service.backend.connect.findIndex(endpoint => endpoint?.kind === 'unix')
  if (at === -1 || tls.server_name !== undefined || reading.isFaulty(`${path}.tls.server_name`)) return
  reading.refuse(entryPath(`${path}.connect`, service.backend.connect, at),
    'a unix socket has no host name that the certificate behind it could be checked against.',
    'Write server_name: below tls, with a name of that certificate.')
}

function checkClientAuth(service: ServiceConfig, path: string, reading: Reading): void {
  const { tls } = service
  if (tls?.crl !== undefined && tls.client_ca === undefined && !reading.isFaulty(`${path}.tls.client_ca`)) {
    reading.refuse(`${path}.tls.crl`, 'a revocation list stands without `client_ca`, so there is nobody whom it could keep out.',
      'Write client_ca: with the authorities whose list it is, or remove crl.')
  }
  if (tls === undefined || tls.client_ca !== undefined || reading.isFaulty(`${path}.tls.client_ca`)) return
  if (tls.client_auth === 'none' || tls.client_auth === undefined) return
  reading.refuse(`${path}.tls.client_auth`,
    `"${tls.client_auth}" asks for client certificates, and there is no \`client_ca\` to check them against.`,
    'Write client_ca: with the file of the authorities that sign them, or client_auth: none.')
}

function checkListeners(config: Config, reading: Reading): void {
  const taken: { endpoint: Endpoint, path: string }[] = []
  config.admin?.listen.forEach((endpoint, at) => {
    if (endpoint !== undefined) taken.push({ endpoint, path: entryPath('admin.listen', config.admin.listen, at) })
  })
  for (const [name, service] of Object.entries(config.services)) {
    const path = `services.${name}.listen`
    service?.listen.forEach((endpoint, at) => {
      if (endpoint === undefined) return
      const here = entryPath(path, service.listen, at)
      const first = taken.find(other => collide(other.endpoint, endpoint))
      if (first !== undefined) {
        reading.refuse(here, `${endpointText(endpoint)} is taken by ${first.path} (${endpointText(first.endpoint)}) already.`,
          'Write another port or address, or remove one of the two.')
      }
      taken.push({ endpoint, path: here })
    })
  }
}

/** Would the second bind fail? Node opens `::` for both families. */
function collide(a: Endpoint, b: Endpoint): boolean {
  if (a.kind !== 'tcp' || b.kind !== 'tcp') return endpointText(a) === endpointText(b)
  if (a.port !== b.port || a.port === 0) return false
  const [x, y] = [shortHost(a.host), shortHost(b.host)]
  if (x === y || x === '::' || y === '::') return true
  return (x === '0.0.0.0' && !isIPv6(y)) || (y === '0.0.0.0' && !isIPv6(x))
}

function shortHost(host: string): string {
  return isIPv6(host) ? new URL(`http://[${host}]/`).hostname.slice(1, -1) : host
}

function entryPath(path: string, entries: readonly unknown[], at: number): string {
  return entries.length === 1 ? path : `${path}[${at}]`
}
