/** Which rule holds for whom: `access` and `commands` of a service, compiled. The first rule that fits decides; where there are
 *  rules and none fits, nothing is permitted. */
import { Glob } from '../lib/glob.ts'
import { Ranges } from '../lib/ranges.ts'
import { NamePattern, type NameKind } from '../lib/name-pattern.ts'
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
}

export interface AccessSettings {
  readonly commands: readonly string[]
  readonly access?: readonly Rule[]
}

type Test = (identity: Identity) => boolean

export class Authority {
  /** Without rules it is the same for all. */
  readonly #common: Permit | undefined
  readonly #rules: readonly { tests: readonly Test[]; permit: Permit }[]

  /** Of keys, those of all rules. */
  readonly #patterns: ReadonlyMap<string, Glob>

  constructor({ commands, access }: AccessSettings) {
    this.#patterns = new Map((access ?? []).flatMap(({ keys, deny_keys }) => [...keys, ...deny_keys]).map((pattern) => [pattern, new Glob(pattern)]))
    this.#common = access === undefined ? new Permit({ rule: '', commands }) : undefined
    this.#rules = (access ?? []).map((rule) => ({
      tests: rule.match === 'everyone' ? [] : testsOf(rule.match),
      permit: new Permit({
        rule: rule.name, commands: rule.commands ?? commands,
        keys: rule.keys.length === 0 ? undefined : rule.keys, denyKeys: rule.deny_keys.length === 0 ? undefined : rule.deny_keys,
      }),
    }))
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
    for (const { tests, permit } of this.#rules) if (tests.every((test) => test(identity))) return permit
    return undefined
  }
}

/** One for each key of the match that is written. */
function testsOf(match: Match): Test[] {
  const tests: Test[] = []
  const names = (patterns: readonly string[], kind: NameKind, of: (certificate: NonNullable<Identity['certificate']>) => readonly string[]): void => {
    if (patterns.length === 0) return
    const compiled = patterns.map((pattern) => new NamePattern(pattern, kind))
    tests.push(({ certificate }) => certificate !== undefined && of(certificate).some((name) => compiled.some((pattern) => pattern.matches(name))))
  }
  names(match.cn, 'text', ({ cn }) => (cn === undefined ? [] : [cn]))
  names(match.ou, 'text', ({ ou }) => ou)
  names(match.dns, 'dns', ({ dns }) => dns)
  names(match.uri, 'uri', ({ uri }) => uri)
  if (match.ip.length > 0) {
    const ranges = Ranges.of(match.ip)
    tests.push(({ certificate }) => certificate !== undefined && certificate.ip.some((address) => ranges.has(address)))
  }
  if (match.issuer.length > 0) {
    const issuers = match.issuer.map(issuerTest)
    tests.push(({ certificate }) => certificate !== undefined && issuers.some((test) => test(certificate.issuer)))
  }
  const isOneOf = (values: readonly string[], of: (identity: Identity) => string | undefined): void => {
    if (values.length === 0) return
    const wanted = new Set(values)
    tests.push((identity) => {
      const value = of(identity)
      return value !== undefined && value !== '' && wanted.has(value)
    })
  }
  isOneOf(match.fingerprint, ({ certificate }) => certificate?.fingerprint)
  isOneOf(match.spki, ({ certificate }) => certificate?.spki)
  isOneOf(match.listener, ({ listener }) => listener)
  if (match.source.length > 0) {
    const takesUnix = match.source.includes('unix')
    const ranges = Ranges.of(match.source.filter((source) => source !== 'unix'))
    tests.push(({ source }) => source.kind === 'unix' ? takesUnix : ranges.has(source.address))
  }
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

export function issuerAttributes(text: string): { type: string; value: string }[] {
  if (!/^[A-Za-z]+=/.test(text)) return [{ type: 'CN', value: text }]
  return text.split(/(?<!\\),\s*/).map((part) => {
    const at = part.indexOf('=')
    return { type: part.slice(0, at).trim(), value: part.slice(at + 1).replaceAll('\\,', ',') }
  })
}
