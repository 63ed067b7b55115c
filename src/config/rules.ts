import { isIPv4, isIPv6 } from 'node:net'
import { endpointText, isLocal, type Endpoint } from '../lib/endpoint.ts'
import { rangeOf, shortAddress, sizeOf, type Range } from '../lib/ip.ts'
import { Ranges } from '../lib/ranges.ts'
import { checkAccess } from './access-rules.ts'
import { checkCircles, realPath } from './circles.ts'
import { entryPath } from './endpoint.ts'
import { checkGroups, resolveGroups } from './groups.ts'
import type { Reading } from './reading.ts'
import type { BackendTlsConfig, Config, ServiceConfig } from './schema.ts'

/** Checks that span keys. A value that has a fault of its own is passed over (it may be undefined here). */
export function checkRules(written: Config, reading: Reading): void {
  checkGroups(written, reading)
  const config = resolveGroups(written)
  for (const [name, service] of Object.entries(config.services)) {
    if (service === undefined) continue
    const path = `services.${name}`
    checkReach(written.services[name], path, reading)
    checkBalancers(service, written.services[name], path, reading)
    checkBreadth(service, path, reading)
    checkBackend(service, path, reading)
    checkClientAuth(service, path, reading)
    checkAccess(service, path, reading)
  }
  checkAdmin(config, reading)
  checkAudit(config, reading)
  checkListeners(config, reading)
  checkCircles(config, reading)
}

/** Whoever reaches it reads addresses and names of all clients, and over a unix socket ends the daemon. */
function checkAdmin({ admin }: Config, reading: Reading): void {
  if (admin === undefined) return
  checkBreadth({ ...admin, deny: [] }, 'admin', reading)
  const isUnnamed = admin.allow.length === 0 && !reading.isFaulty('admin.allow')
  admin.listen.forEach((endpoint, at) => {
    if (endpoint === undefined) return
    const path = entryPath('admin.listen', admin.listen, at)
    if (endpoint.kind === 'systemd') {
      reading.refuse(path, 'the admin listener takes no socket of systemd.', 'Write unix:/run/memseal/admin.sock, or an address with a port.')
    } else if (isUnnamed && !isLocal(endpoint)) {
      reading.refuse(path, `${endpointText(endpoint)} can be reached from other hosts, and there is no \`allow\` to say which may read there.`,
        'Write allow: below admin, with the addresses of Prometheus, kubelets or load balancers; or write unix:/run/memseal/admin.sock, or a port of 127.0.0.1 or [::1].')
    }
  })
}

/** In one file, whoever reads the one would have to take it apart from the other, and both would be opened anew at different times. */
function checkAudit({ audit, log }: Config, reading: Reading): void {
  if (audit?.file === undefined || log?.file === undefined || log.file === '-' || log.file.startsWith('/dev/') || realPath(audit.file) !== realPath(log.file)) return
  reading.refuse('audit.file', `${audit.file} is the file of the log (log.file), and the audit is to have one of its own.`, 'Write another path, such as /var/log/memseal/audit.log.')
}

/** Who can reach a listener from outside must be named, and what passes there must be sealed. */
function checkReach(service: ServiceConfig, path: string, reading: Reading): void {
  const outside = service.listen.findIndex(endpoint => endpoint !== undefined && !isLocal(endpoint))
  if (outside === -1) return
  const listener = endpointText(service.listen[outside])
  const where = entryPath(`${path}.listen`, service.listen, outside)
  if (!hasList(service, path, reading)) {
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

function hasList({ allow, allow_file }: ServiceConfig, path: string, reading: Reading): boolean {
  return allow.length > 0 || allow_file !== undefined || ['allow', 'allow_file'].some(key => reading.isFaulty(`${path}.${key}`))
}

/** Whoever is believed to be a load balancer may claim to be anybody. */
function checkBalancers(service: ServiceConfig, written: ServiceConfig, path: string, reading: Reading): void {
  const from = written.proxy_protocol?.from
  const at = `${path}.proxy_protocol.from`
  if (from === undefined || reading.isFaulty(at)) return
  if (!hasList(written, path, reading)) {
    reading.refuse(at, 'the clients behind a load balancer come from other hosts, and there is no `allow` to say which.',
      'Write allow: with the addresses of your clients, such as [10.0.0.0/8].')
  }
  const kinds = new Set(service.listen.map(endpoint => endpoint?.kind ?? 'systemd'))
  const isSure = !kinds.has('systemd')   // which may be either
  const unix = from.indexOf('unix')
  if (isSure && unix !== -1 && !kinds.has('unix')) {
    reading.refuse(entryPath(at, from, unix), '"unix" stands for a unix socket, and this service listens on none.', 'Write the addresses of the load balancers.')
  }
  const address = from.findIndex(each => each !== 'unix')
  if (isSure && address !== -1 && !kinds.has('tcp')) {
    reading.refuse(entryPath(at, from, address), 'nobody comes from an address, since this service listens on unix sockets only.', 'Write unix.')
  }
  if (isBroad(Ranges.of(service.proxy_protocol!.from.filter(each => each !== 'unix')))) {
    reading.refuse(at, 'takes in large parts of the public internet, and whoever is believed here may claim to come from any address.',
      'Write the addresses of your load balancers alone, such as [10.0.0.10, 10.0.0.11].')
  }
}

// What is nobody's on the internet: private, shared by carriers, loopback, link-local, multicast and reserved.
const notPublic = ['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16', '224.0.0.0/3'].map(rangeOf)
// Addresses of the internet are those of 2000::/3.
const notPublicIPv6 = ['::/3', '4000::/2', '8000::/1'].map(rangeOf)
// The largest that any one owner has of the internet: a /8 of IPv4, and far less than a /16 of IPv6.
const MOST_PUBLIC = 2n ** 24n
const MOST_PUBLIC_IPV6 = 2n ** 112n

/** Does it hold large parts of the public internet? What is narrow by itself is not looked at: it may be 100,000 customers. */
export function isBroad(ranges: Ranges): boolean {
  const publicOf = (family: 4 | 6, most: bigint, less: readonly Range[]): boolean =>
    sizeOf(ranges.parts(family).filter(({ first, last }) => last - first >= most), less) > most
  return publicOf(4, MOST_PUBLIC, notPublic) || publicOf(6, MOST_PUBLIC_IPV6, notPublicIPv6)
}

/** A list that lets in everybody passes every other check and protects nothing. */
function checkBreadth({ listen, allow, deny }: Pick<ServiceConfig, 'listen' | 'allow' | 'deny'>, path: string, reading: Reading): void {
  if (reading.isFaulty(`${path}.allow`) || reading.isFaulty(`${path}.deny`)) return
  if (!listen.some(endpoint => endpoint !== undefined && !isLocal(endpoint))) return
  const publicOf = (takes: (address: string) => boolean, less: readonly Range[]): bigint =>
    sizeOf(rangesOf(allow, takes), [...rangesOf(deny, takes), ...less])
  if (publicOf(isIPv4, notPublic) <= MOST_PUBLIC && publicOf(isIPv6, notPublicIPv6) <= MOST_PUBLIC_IPV6) return
  reading.warn(`${path}.allow`, `${widest(allow)} ${widest(allow).includes(',') ? 'let' : 'lets'} in large parts of the public internet, so this list keeps out few.`,
    'Write the networks of those who are to come in, such as 10.0.0.0/8.')
}

function rangesOf(cidrs: readonly string[], takes: (address: string) => boolean): Range[] {
  return cidrs.filter(cidr => takes(cidr.split('/')[0])).map(rangeOf)
}

function widest(cidrs: readonly string[]): string {
  const bits = (cidr: string): number => Number(cidr.split('/')[1])
  return cidrs.toSorted((a, b) => bits(a) - bits(b)).slice(0, 2).filter((each, at) => at === 0 || bits(each) <= 8).join(', ')
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
    reading.refuse(`${path}.tls.${has}`, `"${has}" stands without \`${lacks}\`, and each needs the other.`,
      `Write ${lacks}: beside it, or remove it.`)
  }
  const isPinned = [tls.fingerprints, tls.spki].some(pins => pins?.length > 0)
  if (tls.ca === undefined && !isPinned && !['ca', 'fingerprints', 'spki'].some(key => reading.isFaulty(`${path}.tls.${key}`))) {
    reading.refuse(`${path}.tls.ca`, 'is missing, and there is no pin either, so no cache host could be told from a stranger.',
      'Write ca: with the file of the authority that signs the certificates of the cache hosts; or fingerprints: or spki: with their pins.')
  }
  const at = service.backend.connect.findIndex(endpoint => endpoint?.kind === 'unix')
  // A pin alone says whose certificate it is: no name is asked for.
  const isNamed = tls.server_name !== undefined || reading.isFaulty(`${path}.tls.server_name`)
  if (at === -1 || (tls.ca === undefined && isPinned) || isNamed) return
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
  if (tls === undefined) return
  const written = (['fingerprints', 'spki', 'names', 'deny_certificates'] as const).filter(key => tls[key]?.length > 0 || reading.isFaulty(`${path}.tls.${key}`))
  if (tls.client_auth === 'none' && written.length > 0) {
    reading.refuse(`${path}.tls.${written[0]}`, 'says which client certificates are taken, and none is asked for.',
      'Write client_auth: required, or remove this.')
    return
  }
  const isPinned = written.some(key => key !== 'names' && key !== 'deny_certificates')
  if (tls.client_ca !== undefined || isPinned || reading.isFaulty(`${path}.tls.client_ca`)) return
  if (written.includes('names')) {
    reading.refuse(`${path}.tls.names`, 'stands without `client_ca`, and anybody can make a certificate with such a name.',
      'Write client_ca: with the file of the authorities that sign these clients; or fingerprints: or spki: with their pins.')
    return
  }
  if (tls.client_auth === 'none' || tls.client_auth === undefined) return
  reading.refuse(`${path}.tls.client_auth`,
    `"${tls.client_auth}" asks for client certificates, and there is no \`client_ca\` to check them against.`,
    'Write client_ca: with the file of the authorities that sign them; or fingerprints: or spki: with their pins; or client_auth: none.')
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
export function collide(a: Endpoint, b: Endpoint): boolean {
  if (a.kind === 'unix' && b.kind === 'unix') return realPath(a.path) === realPath(b.path)
  if (a.kind !== 'tcp' || b.kind !== 'tcp') return endpointText(a) === endpointText(b)
  if (a.port !== b.port || a.port === 0) return false
  return hostsOf(a).some(x => hostsOf(b).some(y => x === y || x === '::' || y === '::' ||
    (x === '0.0.0.0' && !isIPv6(y)) || (y === '0.0.0.0' && !isIPv6(x))))
}

function hostsOf({ host }: Endpoint & { kind: 'tcp' }): string[] {
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [shortAddress(host)]
}
