import { isWithin } from '../lib/ip.ts'
import { isGroupName } from './address-kinds.ts'
import type { Reading } from './reading.ts'
import type { Config, ServiceConfig } from './schema.ts'
import { closest } from './suggest.ts'

// `groups`: names for addresses. What runs knows ranges alone; the names are replaced before it sees the configuration.

/** @returns the same with the ranges of groups in the place of their names, wherever those stand for ranges */
export function resolveGroups(config: Config): Config {
  const groups = config.groups ?? {}
  const resolved = structuredClone(config)
  for (const { list } of listsOf(resolved)) list.splice(0, list.length, ...expanded(list, groups))
  return resolved
}

/** @param list may hold what has a fault of its own, which is left as it is */
export function expanded(list: readonly string[], groups: Config['groups'] = {}): string[] {
  return list.flatMap(each => each !== undefined && isGroupName(each) ? (groups[each] ?? []).filter(range => range !== undefined) : [each])
}

/** Every list in which a group may be named. */
function listsOf({ admin, ban, services }: Config): { path: string, list: string[] }[] {
  const found: { path: string, list: string[] | undefined }[] = [{ path: 'admin.allow', list: admin?.allow }, { path: 'ban.never', list: ban?.never }]
  for (const [name, service] of Object.entries(services ?? {})) {
    const path = `services.${name}`
    found.push({ path: `${path}.allow`, list: service?.allow }, { path: `${path}.deny`, list: service?.deny })
    found.push({ path: `${path}.proxy_protocol.from`, list: service?.proxy_protocol?.from })
    for (const [at, rule] of (service?.access ?? []).entries()) {
      const list = rule?.match === undefined || rule.match === 'everyone' ? undefined : rule.match.source
      found.push({ path: `${path}.access[${at}].match.source`, list })
    }
  }
  return found.filter((each): each is { path: string, list: string[] } => each.list !== undefined)
}

/** A name that stands for nothing would let in nobody, or keep out nobody, without a word. */
export function checkGroups(config: Config, reading: Reading): void {
  const names = Object.keys(config.groups ?? {})
  const used = new Set<string>()
  let isMissing = false
  const use = (name: string, path: string, orRange = true): void => {
    used.add(name)
    if (names.includes(name) || reading.isFaulty('groups')) return
    isMissing = true
    const near = closest(name, names)
    const fix = near !== undefined ? `Did you mean ${near}?`
      : names.length > 0 ? `Write one of ${names.join(', ')}; ${orRange ? 'or an address range; ' : ''}or name it below groups.`
        : `Write ${orRange ? 'an address range such as 10.0.0.0/8; or ' : ''}groups: { ${name}: [10.1.0.0/16] } at the top.`
    reading.refuse(path, `there is no group "${name}".`, fix)
  }
  for (const { path, list } of listsOf(config)) {
    for (const [at, each] of list.entries()) {
      if (each !== undefined && isGroupName(each)) use(each, placeOf(path, at, reading))
    }
  }
  for (const [name, service] of Object.entries(config.services)) {
    const path = `services.${name}.limits.groups`
    const limited = Object.keys(service?.limits?.groups ?? {})
    for (const group of limited) use(group, `${path}.${group}`, false)
    checkOverlaps(limited, config, path, reading)
    for (const group of limited) for (const key of ['connections', 'handshakes'] as const) checkLimit(service, group, key, path, reading)
  }
  checkTwins(names, config, reading)
  if (isMissing) return   // it may be the one that was meant
  for (const name of names) {
    if (used.has(name)) continue
    reading.warn(`groups.${name}`, 'is named nowhere, so it changes nothing.',
      'Write its name where its clients are meant, such as allow: or below limits.groups; or remove it.')
  }
}

/** A limit that is never reached, since that of the service comes first. */
function checkLimit({ limits }: ServiceConfig, group: string, key: 'connections' | 'handshakes', path: string, reading: Reading): void {
  const own = limits.groups?.[group]?.[key]
  if (own === undefined || limits[key] === undefined || own <= limits[key]) return
  reading.warn(`${path}.${group}.${key}`, `${own} is more than \`limits.${key}\` (${limits[key]}), which is reached before it.`, `Write less, or raise limits.${key}.`)
}

/** Where one of a list's entries stands; a list of one may be written as that one. */
function placeOf(path: string, at: number, reading: Reading): string {
  // A rule may be the only one as well.
  const found = [path, path.replace(/\[0\]/, '')].flatMap(each => [`${each}[${at}]`, each]).find(each => reading.origins.has(each))
  return found ?? path
}

/** The same range in two groups: nobody could say whose it is. */
function checkTwins(names: readonly string[], config: Config, reading: Reading): void {
  const owners = new Map<string, string>()
  for (const name of names) {
    for (const [at, range] of (config.groups![name] ?? []).entries()) {
      if (range === undefined) continue
      const owner = owners.get(range)
      if (owner !== undefined) {
        const where = owner === name ? 'here twice' : `in the group ${owner} as well, and an address belongs to one group`
        reading.refuse(placeOf(`groups.${name}`, at, reading), `${range} stands ${where}.`, 'Remove it from one of the two.')
      }
      owners.set(range, name)
    }
  }
}

/** A group within another one has limits of its own, which an operator may not have meant. */
function checkOverlaps(limited: readonly string[], { groups = {} }: Config, path: string, reading: Reading): void {
  for (const inner of limited) {
    for (const outer of limited) {
      if (inner === outer) continue
      const within = (groups[inner] ?? []).find(range => range !== undefined && (groups[outer] ?? []).some(other => other !== undefined && isWithin(range, other)))
      if (within === undefined) continue
      reading.warn(`${path}.${inner}`, `${within} lies within the group ${outer}. Its addresses count as ${inner}, the narrower one, and not as ${outer}.`,
        'If that is not meant, take one of the two ranges out.')
    }
  }
}
