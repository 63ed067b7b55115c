/** What a client may do: made of a rule once, and held by its session until it leaves or a reload makes another. */
import { Glob } from '../lib/glob.ts'
import { commands, isKeyedRow, SET, showsKeysOfRow, UNKNOWN } from '../proto/commands.ts'
import { SPACE, type RequestFrame } from '../proto/frame.ts'
import { NO_LIMITS, type RuleLimits } from './allowance.ts'
import { KeyList } from './key-list.ts'

/** Why a request is refused, and `allowed`. */
export const Verdict = { allowed: 0, command: 1, also: 2, key: 3, value: 4, keys: 5 } as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

export interface Grants {
  /** The rule's name; '': there are no rules, and `commands` of the service holds for all. */
  rule: string
  /** Groups and single commands, as the configuration lists them. */
  commands: readonly string[]
  /** Patterns of keys; undefined: any. */
  keys?: readonly string[]
  denyKeys?: readonly string[]
  /** Bytes of a value; keys of one get. */
  valueSize?: number
  keysPerGet?: number
  limits?: RuleLimits
  /** What would hold if `access_mode` were `enforce`: it is told and counted, and keeps nobody from anything. */
  observed?: Permit
  /** No rule is for it, and rules are only observed. */
  isStranger?: boolean
}

export class Permit {
  readonly rule: string
  /** 1 where the row is allowed. */
  readonly allowed: Uint8Array
  /** What memseal does not recognise is passed to memcached as it is: only where everything is allowed, of every key. */
  readonly passesUnread: boolean
  readonly limits: RuleLimits
  readonly observed: Permit | undefined
  readonly isStranger: boolean
  readonly #keys: KeyList | undefined
  readonly #denyKeys: KeyList | undefined
  readonly #valueSize: number
  readonly #keysPerGet: number

  constructor({ rule, commands: names, keys, denyKeys, valueSize = Infinity, keysPerGet = Infinity, limits = NO_LIMITS, observed, isStranger = false }: Grants) {
    this.rule = rule
    const isOpen = names.includes('all')
    const isOfAnyKey = keys === undefined && denyKeys === undefined
    const hasRates = limits.requestsPerSecond < Infinity || limits.bytesPerSecond < Infinity
    this.passesUnread = isOpen && isOfAnyKey && !hasRates && valueSize === Infinity && keysPerGet === Infinity
    this.limits = limits
    this.observed = observed
    this.isStranger = isStranger
    this.allowed = Uint8Array.from(commands, (row) =>
      isOpen || row.group === 'basic' || names.includes(row.group) || names.includes(row.name) ? 1 : 0)
    // Nobody can say what an unknown command does, so only what passes everything passes it.
    if (!this.passesUnread) this.allowed[UNKNOWN] = 0
    // They show the keys of all: whoever may not have all is not meant by a group.
    if (!isOfAnyKey) commands.forEach(({ name }, row) => { if (showsKeysOfRow[row] === 1 && !names.includes(name)) this.allowed[row] = 0 })
    this.#keys = keys && new KeyList(keys)
    this.#denyKeys = denyKeys && new KeyList(denyKeys)
    this.#valueSize = valueSize
    this.#keysPerGet = keysPerGet
  }

  allowsRow(row: number): boolean {
    return this.allowed[row] === 1
  }

  /** A `set` is not allowed, or not each. */
  get mayRefuseSet(): boolean {
    return this.allowed[SET] === 0 || this.#keys !== undefined || this.#denyKeys !== undefined || this.#valueSize < Infinity
  }

  /** @param frame whose line (or header and key) is here */
  verdict(frame: RequestFrame): Verdict {
    const { row, alsoRow } = frame
    if (this.allowed[row] === 0) return Verdict.command
    if (alsoRow >= 0 && this.allowed[alsoRow] === 0) return Verdict.also
    if (isKeyedRow[row] === 0) return Verdict.allowed
    if ((this.#keys !== undefined || this.#denyKeys !== undefined) && !this.#allowsKeys(frame)) return Verdict.key
    if (frame.keys > this.#keysPerGet) return Verdict.keys
    return this.#valueSize < Infinity && frame.valueBytes > this.#valueSize ? Verdict.value : Verdict.allowed
  }

  /** All of them: a get with a forbidden key is refused whole. */
  #allowsKeys(frame: RequestFrame): boolean {
    const { chunk, keyStart, keyEnd, keys } = frame
    if (keys === 0) return false
    if (frame.hasBase64Key) {
      for (const key of frame.eachKey()) if (!this.#allowsKey(key, 0, key.length)) return false
      return true
    }
    // The key of a binary request may hold blanks.
    if (keys === 1) return this.#allowsKey(chunk, keyStart, keyEnd)
    for (let at = keyStart; at < keyEnd;) {
      let to = at
      while (to < keyEnd && chunk[to] !== SPACE) to++
      if (to > at && !this.#allowsKey(chunk, at, to)) return false
      at = to + 1
    }
    return true
  }

  /** The first key that it does not allow. */
  forbiddenKey(frame: RequestFrame): Buffer | undefined {
    for (const key of frame.eachKey()) if (!this.#allowsKey(key, 0, key.length)) return key
    return undefined
  }

  /** The pattern of `deny_keys` that a key fits, for people; undefined: none. */
  denyingPattern(key: Buffer): string | undefined {
    return this.#denyKeys?.patterns.find((pattern) => new Glob(pattern).matches(key, 0, key.length))
  }

  #allowsKey(bytes: Uint8Array, from: number, to: number): boolean {
    if (this.#denyKeys?.has(bytes, from, to) === true) return false
    return this.#keys === undefined || this.#keys.has(bytes, from, to)
  }
}
