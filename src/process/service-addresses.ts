import { AddressRules } from '../admission/address-rules.ts'
import { readAddressFile, type AddressFile, type LineFault } from '../config/address-file.ts'
import { resolveGroups } from '../config/groups.ts'
import { isBroad } from '../config/rules.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { sizeOf } from '../lib/ip.ts'
import { Ranges } from '../lib/ranges.ts'
import type { Report } from './service-tls.ts'

// Who may come to the services, from the configuration and the files that it names to what connections are asked by. As with TLS,
// `check`, a start and a reload all build it here.

export interface ServiceAddresses {
  rules: AddressRules
  /** What the files held that it was made of, by key. */
  files: ReadonlyMap<AddressKey, AddressFile>
}

const keys = ['allow_file', 'deny_file'] as const
export type AddressKey = typeof keys[number]

/** Reads and compiles all lists, and reports all that is wrong with them; after a fault the result is not to be used.
 *  @param inForce what holds now: files that have not changed are not compiled again */
export async function buildAddresses(
  config: Config, report: Report, inForce: (name: string) => ServiceAddresses | undefined = () => undefined,
): Promise<Map<string, ServiceAddresses>> {
  const built = new Map<string, ServiceAddresses>()
  for (const [name, service] of Object.entries(resolveGroups(config).services)) {
    const limited = Object.keys(service.limits.groups ?? {}).map(group => [group, config.groups?.[group] ?? []] as const)
    const files = await readAddressFiles(name, service, report, inForce(name))
    checkSomebodyComes(name, service, files, report)
    built.set(name, { files, rules: new AddressRules({
      allow: service.allow, deny: service.deny, balancers: service.proxy_protocol?.from, groups: Object.fromEntries(limited), allowFile: files.get('allow_file')?.ranges, denyFile: files.get('deny_file')?.ranges,
    }) })
  }
  return built
}

export async function readAddressFiles(
  name: string, service: Partial<Pick<ServiceConfig, AddressKey>>, report: Report, inForce?: ServiceAddresses,
): Promise<Map<AddressKey, AddressFile>> {
  const files = new Map<AddressKey, AddressFile>()
  for (const key of keys) {
    const file = service[key]
    if (file === undefined) continue
    const path = `services.${name}.${key}`
    const read = await readAddressFile(file, inForce?.files.get(key))
    if (Array.isArray(read)) {
      for (const fault of read) reportLine(path, file, fault, report)
      continue
    }
    files.set(key, read)
    if (key === 'deny_file') continue
    // An empty list lets in nobody, and is more likely a file that is being written, or was lost.
    if (read.ranges.size === 0) report('fault', path, `${file} holds no range, so nobody could come in by it.`, 'Write one range a line, or remove allow_file.')
    else if (isBroad(read.ranges)) {
      report('warning', path, `${file} lets in large parts of the public internet, so this list keeps out few.`,
        'Write the networks of those who are to come in, such as 10.0.0.0/8.')
    }
  }
  return files
}

/** A list with more of these is not compared: clients wait meanwhile. */
const MOST_COMPARED = 100

/** Where `deny` takes all that `allow` gives, the service looks well and serves nobody.   @param service with ranges in the place of groups
 *  @param files as `readAddressFiles` gave them for it */
export function checkSomebodyComes(
  name: string, service: Pick<ServiceConfig, 'allow' | 'deny' | AddressKey>, files: ReadonlyMap<AddressKey, AddressFile>, report: Report,
): void {
  const listsOf = (written: readonly string[], key: AddressKey): Ranges[] => [Ranges.of(written), ...[files.get(key)?.ranges].filter(ranges => ranges !== undefined)]
  if (keys.some(key => service[key] !== undefined && !files.has(key))) return   // it has a fault of its own
  const [allow, deny] = [listsOf(service.allow, 'allow_file'), listsOf(service.deny, 'deny_file')]
  const [allowed, denied] = [allow, deny].map(lists => lists.reduce((sum, { size }) => sum + size, 0))
  if (allowed === 0 || allowed > MOST_COMPARED || denied === 0) return
  for (const family of [4, 6] as const) {
    const parts = allow.flatMap(each => each.parts(family))
    if (parts.length > 0 && sizeOf(parts, deny.flatMap(each => each.parts(family))) > 0n) return
  }
  report('warning', `services.${name}.${service.deny.length > 0 ? 'deny' : 'deny_file'}`, 'holds all addresses that `allow` lets in, so nobody comes in by one.',
    'Write fewer ranges here, or more below allow.')
}

function reportLine(path: string, file: string, { line, col = 1, message, fix }: LineFault, report: Report): void {
  report('fault', path, message, fix, line === undefined ? undefined : { kind: 'file', file, line, col })
}

/** All files whose changes are to be noticed. */
export function addressFilesOf(services: Config['services']): string[] {
  return Object.values(services).flatMap(service => keys.map(key => service[key])).filter(file => file !== undefined)
}

/** What other files hold now, for the log and for people. */
export function addressChanges(name: string, old: ServiceAddresses | undefined, next: ServiceAddresses): string[] {
  return keys.flatMap(key => {
    const [before, now] = [old?.files.get(key), next.files.get(key)]
    if (before === undefined || now === undefined || before.digest === now.digest) return []   // the configuration says so
    return [`services.${name}.${key}: ${before.ranges.size.toLocaleString('en-US')} ranges are now ${now.ranges.size.toLocaleString('en-US')}`]
  })
}
