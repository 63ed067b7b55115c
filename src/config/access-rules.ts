import { hasStar } from '../lib/glob.ts'
import { endpointText } from '../lib/endpoint.ts'
import { isWithin } from '../lib/ip.ts'
import { NamePattern, type NameKind } from '../lib/name-pattern.ts'
import { commands, isKeyedRow } from '../proto/commands.ts'
import type { Reading } from './reading.ts'
import type { RuleConfig, ServiceConfig } from './schema.ts'

// Checks of `access` that span keys. A rule that can never decide, or that keeps nobody from anything, looks like one that does: so
// each is a fault.

type Match = Exclude<RuleConfig['match'], 'everyone'>

const ofCertificates = ['cn', 'ou', 'dns', 'uri', 'ip', 'issuer', 'fingerprint', 'spki'] as const
const nameKinds: Partial<Record<keyof Match, NameKind>> = { cn: 'text', ou: 'text', dns: 'dns', uri: 'uri' }

/** @param path of the service */
export function checkAccess(service: ServiceConfig, path: string, reading: Reading): void {
  const { access } = service
  if (access === undefined) return
  const list = `${path}.access`
  // A list of one may be written as that one.
  const pathOf = (at: number): string => reading.origins.has(`${list}[${at}]`) ? `${list}[${at}]` : list
  const sound: { rule: RuleConfig, at: number }[] = []
  for (const [at, rule] of access.entries()) {
    const here = pathOf(at)
    if (rule === undefined || reading.isFaulty(here)) continue
    const twin = sound.find(other => other.rule.name === rule.name)
    if (twin !== undefined) {
      reading.refuse(`${here}.name`, `"${rule.name}" is the name of ${pathOf(twin.at)} as well, and metrics could not tell the two apart.`, 'Write another name.')
    }
    if (rule.match !== 'everyone' && !checkMatch(rule.match, service, path, `${here}.match`, reading)) continue
    checkKeys(rule, service, here, reading)
    const before = sound.find(other => covers(other.rule.match, rule.match))
    if (before !== undefined) {
      const whom = before.rule.match === 'everyone' ? 'is for everyone' : 'fits all whom this one would fit'
      reading.refuse(`${here}.match`, `is never looked at: the rule ${before.rule.name} stands before it and ${whom}.`,
        'Put this rule before that one, or remove it.')
    }
    sound.push({ rule, at })
  }
}

/** @returns false when it is no match at all */
function checkMatch(match: Match, service: ServiceConfig, path: string, here: string, reading: Reading): boolean {
  const written = (Object.keys(match) as (keyof Match)[]).filter(key => match[key].length > 0)
  if (written.length === 0) {
    reading.refuse(here, 'names nobody.', `Write whom the rule is for (${Object.keys(match).join(', ')}); or match: everyone.`)
    return false
  }
  const ofCertificate = ofCertificates.find(key => match[key].length > 0)
  if (ofCertificate !== undefined && !reading.isFaulty(`${path}.tls`) && (service.tls === undefined || service.tls.client_auth === 'none')) {
    reading.refuse(`${here}.${ofCertificate}`, 'asks for a certificate, and no client of this service is asked for one: the rule can fit nobody.',
      'Write tls: with client_ca; or match by source or listener.')
  }
  const listen = service.listen.filter(endpoint => endpoint !== undefined)
  const names = listen.map(endpointText)
  if (!reading.isFaulty(`${path}.listen`)) {
    const unknown = match.listener.find(each => !names.includes(each))
    if (unknown !== undefined) reading.refuse(`${here}.listener`, `"${unknown}" is not among the listeners of this service.`, `Write one of ${names.join(', ')}.`)
    const isAtUnix = listen.some(({ kind }) => kind !== 'tcp')
    if (match.source.includes('unix') && !isAtUnix) reading.refuse(`${here}.source`, '"unix" fits nobody: this service listens on no unix socket.', 'Remove it, or write unix:/path below listen.')
  }
  // What `allow_file` holds is not known here.
  if (service.allow.length > 0 && service.allow_file === undefined && !reading.isFaulty(`${path}.allow`)) {
    const outside = match.source.find(each => each !== 'unix' && !service.allow.some(allowed => overlap(each, allowed)))
    if (outside !== undefined) reading.refuse(`${here}.source`, `${outside} is not within \`allow\`, so nobody from there is admitted.`, 'Write it below allow as well, or remove it here.')
  }
  return true
}

function checkKeys({ commands: own, keys, deny_keys: denied }: RuleConfig, service: ServiceConfig, here: string, reading: Reading): void {
  const key = keys.length > 0 ? 'keys' : 'deny_keys'
  if (keys.length === 0 && denied.length === 0) return
  const names = own ?? service.commands
  const isKeyed = names.includes('all') || commands.some(({ group, name }, row) => isKeyedRow[row] === 1 && (names.includes(group) || names.includes(name)))
  if (!isKeyed) {
    reading.refuse(`${here}.${key}`, `says which keys, and none of the commands of this rule (${names.join(', ')}) has a key.`, 'Remove it, or write read, write or the like below commands.')
    return
  }
  const wanted = keys.length === 0 ? ['*'] : keys
  if (!wanted.every(each => denied.some(pattern => takesAllOf(pattern, each)))) return
  reading.refuse(`${here}.deny_keys`, 'leaves no key that they may.', 'Write fewer, or leave read, write and the like out of commands.')
}

/** Does a pattern of keys take all that another one takes, as far as can be said of patterns with one star at the end? */
function takesAllOf(pattern: string, other: string): boolean {
  if (pattern === other || pattern === '*') return true
  const prefix = pattern.slice(0, -1)
  return pattern.endsWith('*') && !pattern.includes('\\') && !hasStar(prefix) && !other.includes('\\') && other.startsWith(prefix)
}

/** Is whoever `later` fits fitted by `earlier`? Only where that is certain. */
function covers(earlier: RuleConfig['match'], later: RuleConfig['match']): boolean {
  if (earlier === 'everyone') return true
  if (later === 'everyone') return false
  return (Object.keys(earlier) as (keyof Match)[]).every(key => {
    const [some, others] = [earlier[key], later[key]]
    return some.length === 0 || (others.length > 0 && others.every(other => some.some(each => takes(key, each, other))))
  })
}

function takes(key: keyof Match, one: string, other: string): boolean {
  if (one === other) return true
  const kind = nameKinds[key]
  if (kind !== undefined) return new NamePattern(one, kind).covers(new NamePattern(other, kind))
  return (key === 'source' || key === 'ip') && one !== 'unix' && other !== 'unix' && isWithin(other, one)
}

/** Of two networks that have an address in common, one holds the other. */
function overlap(one: string, other: string): boolean {
  return isWithin(one, other) || isWithin(other, one)
}
