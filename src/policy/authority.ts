/** Which rule holds for whom: `access` and `commands` of a service, compiled. The first rule that fits decides; where there are
 *  rules and none fits, nothing is permitted. */
import { Glob } from '../lib/glob.ts'
import { NamePattern, partsOf, type NameKind } from '../lib/name-pattern.ts'
import { Ranges } from '../lib/ranges.ts'
import { NO_LIMITS, type RuleLimits } from './allowance.ts'
import type { Identity } from './identity.ts'
import { Permit } from './permit.ts'

/** Of each key one entry has to fit, and every key that has some. */
export interface Match {
  readonly cn: readonly string[]
  readonly ou: readonly string[]
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly ip: readonly string[]
  readonly issuer: readonly string[]
  readonly fingerprint: readonly string[]
  readonly spki: readonly string[]
  readonly source: readonly string[]
  readonly listener: readonly string[]
}

export interface Rule {
  readonly name: string
  readonly match: Match | 'everyone'
  /** Undefined: those of the service. */
  readonly commands?: readonly string[]
  readonly keys: readonly string[]
  readonly deny_keys: readonly string[]
  readonly limits: Limits
}

/** Of each identity that the rule is for; undefined: none. */
export interface Limits {
  readonly connections?: number
  readonly requests_per_second?: number
  readonly bytes_per_second?: number
  readonly value_size?: number
  readonly keys_per_get?: number
}

export interface AccessSettings {
  readonly commands: readonly string[]
  readonly access?: readonly Rule[]
  readonly access_mode: 'enforce' | 'observe'
}

interface Test {
  key: keyof Match
  fits(identity: Identity): boolean
}

export class Authority {
  /** Without rules it is the same for all. */
  readonly #common: Permit | undefined
  readonly #rules: readonly { tests: readonly Test[]; permit: Permit }[]

  /** While rules are only observed: of those for whom there is none. */
  readonly #stranger: Permit | undefined
  /** Of keys, those of all rules. */
  readonly #patterns: ReadonlyMap<string, Glob>

  constructor({ commands, access, access_mode: mode }: AccessSettings) {
    const observing = (observed: Permit): Permit => mode === 'enforce' ? observed : new Permit({ rule: observed.rule, commands, observed })
    this.#patterns = new Map((access ?? []).flatMap(({ keys, deny_keys }) => [...keys, ...deny_keys]).map((pattern) => [pattern, new Glob(pattern)]))
    this.#common = access === undefined ? new Permit({ rule: '', commands }) : undefined
    this.#rules = (access ?? []).map((rule) => ({
      tests: rule.match === 'everyone' ? [] : testsOf(rule.match),
      permit: observing(new Permit({
        rule: rule.name, commands: rule.commands ?? commands, limits: limitsOf(rule.limits), valueSize: rule.limits.value_size, keysPerGet: rule.limits.keys_per_get,
        keys: rule.keys.length === 0 ? undefined : rule.keys, denyKeys: rule.deny_keys.length === 0 ? undefined : rule.deny_keys,
      })),
    }))
    this.#stranger = mode === 'enforce' ? undefined : new Permit({ rule: '', commands, isStranger: true })
  }

  get hasRules(): boolean {
    return this.#common === undefined
  }

  /** The names of its rules, in their order. */
  get rules(): readonly string[] {
    return this.#rules.map(({ permit }) => permit.rule)
  }

  /** @returns the first pattern of a rule, of whomever, that the key fits */
  patternOf(key: Buffer): string | undefined {
    for (const [pattern, glob] of this.#patterns) if (glob.matches(key, 0, key.length)) return pattern
    return undefined
  }

  /** @returns undefined when no rule is for it */
  permitFor(identity: Identity): Permit | undefined {
    if (this.#common !== undefined) return this.#common
    for (const { tests, permit } of this.#rules) if (tests.every((test) => test.fits(identity))) return permit
    return this.#stranger
  }

  /** Rule by rule up to the one that fits: which key of the match it is that does not fit; undefined: all do. For people. */
  explain(identity: Identity): { rule: string; fault: keyof Match | undefined }[] {
    const looked: { rule: string; fault: keyof Match | undefined }[] = []
    for (const { tests, permit: { rule } } of this.#rules) {
      const fault = tests.find((test) => !test.fits(identity))?.key
      looked.push({ rule, fault })
      if (fault === undefined) break
    }
    return looked
  }
}

function limitsOf({ connections = Infinity, requests_per_second: requestsPerSecond = Infinity, bytes_per_second: bytesPerSecond = Infinity }: Limits): RuleLimits {
  return Math.min(connections, requestsPerSecond, bytesPerSecond) === Infinity ? NO_LIMITS : { connections, requestsPerSecond, bytesPerSecond }
}

/** Names are taken apart once, however many patterns they are held against. */
const last: Record<NameKind, { name: string; parts: readonly string[] }> = { text: emptyName('text'), dns: emptyName('dns'), uri: emptyName('uri') }

function emptyName(kind: NameKind): { name: string; parts: readonly string[] } {
  return { name: '', parts: partsOf('', kind) }
}

function partsOnce(name: string, kind: NameKind): readonly string[] {
  if (last[kind].name !== name) last[kind] = { name, parts: partsOf(name, kind) }
  return last[kind].parts
}

/** One for each key of the match that is written. */
function testsOf(match: Match): Test[] {
  const tests: Test[] = []
  const add = (key: keyof Match, fits: Test['fits']): void => {
    if (match[key].length > 0) tests.push({ key, fits })
  }
  const names = (key: keyof Match, kind: NameKind, of: (certificate: NonNullable<Identity['certificate']>) => readonly string[]): void => {
    const compiled = match[key].map((pattern) => new NamePattern(pattern, kind))
    add(key, ({ certificate }) => certificate !== undefined && of(certificate).some((name) => {
      const parts = partsOnce(name, kind)
      return compiled.some((pattern) => pattern.matchesParts(parts))
    }))
  }
  names('cn', 'text', ({ cn }) => (cn === undefined ? [] : [cn]))
  names('ou', 'text', ({ ou }) => ou)
  names('dns', 'dns', ({ dns }) => dns)
  names('uri', 'uri', ({ uri }) => uri)
  const ranges = Ranges.of(match.ip)
  add('ip', ({ certificate }) => certificate !== undefined && certificate.ip.some((address) => ranges.has(address)))
  const issuers = match.issuer.map(issuerTest)
  add('issuer', ({ certificate }) => certificate !== undefined && issuers.some((test) => test(certificate.issuer)))
  const isOneOf = (key: keyof Match, of: (identity: Identity) => string | undefined): void => {
    const wanted = new Set(match[key])
    add(key, (identity) => {
      const value = of(identity)
      return value !== undefined && value !== '' && wanted.has(value)
    })
  }
  isOneOf('fingerprint', ({ certificate }) => certificate?.fingerprint)
  isOneOf('spki', ({ certificate }) => certificate?.spki)
  isOneOf('listener', ({ listener }) => listener)
  const takesUnix = match.source.includes('unix')
  const sources = Ranges.of(match.source.filter((source) => source !== 'unix'))
  add('source', ({ source }) => source.kind === 'unix' ? takesUnix : sources.has(source.address))
  return tests
}

type Issuer = NonNullable<Identity['certificate']>['issuer']

/** `Team CA` is a common name; `O=example, CN=Team CA` asks for each of these attributes. */
function issuerTest(text: string): (issuer: Issuer) => boolean {
  const wanted = issuerAttributes(text).map(({ type, value }) => ({ type, pattern: new NamePattern(value, 'text') }))
  return (issuer) => wanted.every(({ type, pattern }) => {
    const values = issuer.filter((attribute) => attribute.type === type)
    // Of two common names nobody can say which one is meant.
    return type === 'CN' ? values.length === 1 && pattern.matches(values[0].value) : values.some(({ value }) => pattern.matches(value))
  })
}

function issuerAttributes(text: string): { type: string; value: string }[] {
  if (!/^[A-Za-z]+=/.test(text)) return [{ type: 'CN', value: text }]
  return text.split(/(?<!\\),\s*/).map((part) => {
    const at = part.indexOf('=')
    return { type: part.slice(0, at).trim(), value: part.slice(at + 1).replaceAll('\\,', ',') }
  })
}
