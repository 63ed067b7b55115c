import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import type { Node } from 'yaml'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { isHostName, parseEndpoint } from './endpoint.ts'
import { gapIn, Problem } from './problem.ts'
import type { Reading, Spot } from './reading.ts'
import { durationPattern, durationText, parseDuration, parseSize, sizePattern, sizeText } from './units.ts'

export type { Endpoint }
export type JsonSchema = { [key: string]: unknown }
export type Siblings = Readonly<Record<string, unknown>>

/** What a key may hold. A `Config` has what `read` and `absent` return; a value with a fault is undefined, and then the
 *  whole configuration is refused, so nothing past `load` ever sees one. */
export interface Kind<T> {
  readonly words: string       // its type and limits, in the reference's words
  readonly doc: string
  readonly default?: string    // as an operator would write it; none: the key is required
  readonly isOptional?: boolean
  readonly isRequired?: true   // though all below it may be left out
  readonly example?: string    // as YAML
  readonly reload?: 'restart'  // left out: a change is live after a reload
  readonly shape?: Shape       // what is below it, if anything
  read(node: Node, path: string, reading: Reading): T
  /** The value when the key is left out. `siblings`: the keys of the same section that are declared before it. */
  absent(path: string, reading: Reading, siblings: Siblings): T
  write(value: T): string      // for `config show`
  jsonSchema(): JsonSchema
}

export type Shape =
  | { kind: 'section', fields: Fields }
  | { kind: 'map', of: Kind<any>, placeholder: string, example?: string }
  | { kind: 'list', of: Kind<any> }

export type Fields = Readonly<Record<string, Kind<any>>>
export type Infer<K> = K extends Kind<infer T> ? T : never

interface Described<T> {
  doc: string
  default?: string
  example?: string
  reload?: 'restart'
  /** A default that depends on what else is in the section; `default` then says it in words. */
  derive?: (siblings: Siblings) => T
}

/** Longest a thing may take, or an age, in milliseconds. `off` (where allowed) is 0. */
export function duration(options: Described<number> & { min: string, max: string, off?: boolean }): Kind<number> {
  const [min, max] = [parseDuration(options.min), parseDuration(options.max)]
  assert(min !== undefined && max !== undefined)
  const fix = `Write a number and a unit (ms, s, m, h, d), ${options.min} to ${options.max}${options.off ? ', or off' : ''}.`
  return scalar<number>({
    ...options,
    words: `duration, ${options.min} to ${options.max}${options.off ? ', or `off`' : ''}`,
    parse(text) {
      if (options.off && text === 'off') return 0
      const value = parseDuration(text)
      if (value === undefined) return new Problem(`"${text}" is not a duration${/^\d+$/.test(text) ? ': it has no unit' : ''}.`,
        fix)
      return within(text, value, min, max, options.min, options.max, fix)
    },
    write: value => options.off && value === 0 ? 'off' : durationText(value),
    jsonSchema: { type: 'string', pattern: textPattern(options.off ? `(off|${durationPattern})` : durationPattern) },
  })
}

/** A number of bytes. */
export function size(options: Described<number> & { min: string, max: string }): Kind<number> {
  const [min, max] = [parseSize(options.min), parseSize(options.max)]
  assert(min !== undefined && max !== undefined)
  const fix = `Write a number and a unit (B, KiB, MiB, GiB), ${options.min} to ${options.max}.`
  return scalar<number>({
    ...options,
    words: `size, ${options.min} to ${options.max}`,
    parse(text) {
      const value = parseSize(text)
      if (value === undefined) return new Problem(`"${text}" is not a size${/^\d+$/.test(text) ? ': it has no unit' : ''}.`,
        fix)
      return within(text, value, min, max, options.min, options.max, fix)
    },
    write: sizeText,
    jsonSchema: { type: 'string', pattern: textPattern(sizePattern) },
  })
}

/** A whole number. */
export function count(options: Described<number> & { min: number, max: number }): Kind<number> {
  const fix = `Write a whole number, ${options.min} to ${options.max}.`
  return scalar<number>({
    ...options,
    words: `number, ${options.min} to ${options.max}`,
    parse(text) {
      if (!/^\d{1,15}$/.test(text)) return new Problem(`"${text}" is not a whole number.`, fix)
      return within(text, Number(text), options.min, options.max, `${options.min}`, `${options.max}`, fix)
    },
    write: String,
    jsonSchema: numberOr('', options),
  })
}

/** A whole number, or `auto`. */
export function countOrAuto(options: Described<number | 'auto'> & { min: number, max: number }): Kind<number | 'auto'> {
  const numbers = count({ doc: options.doc, min: options.min, max: options.max })
  const fix = `Write auto, or a whole number, ${options.min} to ${options.max}.`
  return scalar<number | 'auto'>({
    ...options,
    words: `\`auto\` or ${numbers.words}`,
    parse(text) {
      if (text === 'auto') return 'auto'
      if (!/^\d{1,15}$/.test(text)) return new Problem(`"${text}" is neither auto nor a whole number.`, fix)
      return within(text, Number(text), options.min, options.max, `${options.min}`, `${options.max}`, fix)
    },
    write: String,
    jsonSchema: numberOr('auto', options),
  })
}

/** One word of a few. */
export function choice<const W extends string>(words: readonly W[], options: Described<W>): Kind<W> {
  return scalar<W>({
    ...options,
    words: words.map(word => `\`${word}\``).join(' or '),
    parse(text) {
      const found = words.find(word => word === text)
      return found ?? new Problem(`"${text}" is not offered (${words.join(', ')}).`,
        words.length === 1 ? `Write ${words[0]}, or remove the line.` : `Write ${listed(words)}.`)
    },
    write: value => value,
    jsonSchema: { anyOf: [{ enum: [...words] }, { type: 'string', pattern: '\\$\\{' }] },
  })
}

/** A switch. */
export function flag(options: Described<boolean>): Kind<boolean> {
  return scalar<boolean>({
    ...options,
    words: '`on` or `off`',
    parse(text) {
      if (text === 'on' || text === 'true') return true
      if (text === 'off' || text === 'false') return false
      return new Problem(`"${text}" is neither on nor off.`, 'Write on or off.')
    },
    write: value => value ? 'on' : 'off',
    jsonSchema: { anyOf: [{ type: 'boolean' }, { type: 'string', pattern: textPattern('(on|off|true|false)') }] },
  })
}

/** A file; a relative one starts at the folder of the file it is written in, and the value is always absolute. */
export function path(options: Described<string> & { dash?: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: options.dash === undefined ? 'path of a file' : `path of a file, or \`"-"\` for ${options.dash}`,
    parse(text, reading, at) {
      if (text === '') return new Problem('is empty.', 'Write the path of a file.')
      if (text.includes('\0')) return new Problem('holds a NUL byte, which no path can.', 'Write the path of a file.')
      return options.dash !== undefined && text === '-' ? text : reading.absolute(text, at)
    },
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1 },
  })
}

/** A pin: SHA-256 of a certificate, with or without colons. The value has them, in capitals, as Node and openssl print it. */
export function fingerprint(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'SHA-256 fingerprint',
    parse(text) {
      const digits = hexDigits(text)
      if (digits.length === 64) return digits.match(/../g)!.join(':')
      return new Problem(`"${text}" is not a SHA-256 fingerprint: it takes 64 hex digits.`,
        'Write what `openssl x509 -in FILE -noout -fingerprint -sha256` prints, in quotes.')
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
}

/** A pin of a key: SHA-256 of a SubjectPublicKeyInfo, as `sha256/BASE64=` (RFC 7469, curl and browsers) or in hex, as
 *  openssl prints it. The value is `sha256/BASE64=`. */
export function keyPin(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: '`sha256/BASE64=` or hex',
    parse(text) {
      const digits = hexDigits(text)
      const base64 = digits.length === 64 ? Buffer.from(digits, 'hex').toString('base64') : text.replace(/^sha256:?\/\/?|^pin-sha256=/, '')
      // Read and written again: the last of the 43 digits carries four bits, and base64 takes it with any other two.
      if (/^[A-Za-z0-9+/]{43}=$/.test(base64) && Buffer.from(base64, 'base64').toString('base64') === base64) return `sha256/${base64}`
      return new Problem(`"${text}" is not a SHA-256 pin of a key: it takes 44 characters of base64 or 64 hex digits.`,
        'Write sha256/ and what `openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | ' +
        'openssl base64` prints, in quotes.')
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
}

/** Hex in capitals, without colons and without what openssl prints before it; '' when it is something else. */
function hexDigits(text: string): string {
  const digits = text.replace(/^sha2?-?256(\([^)]*\)| fingerprint)? *[:=] */i, '').replaceAll(':', '').toUpperCase()
  return /^[0-9A-F]+$/.test(digits) ? digits : ''
}

/** A name of a certificate, `dns:*.cache.example` or `uri:spiffe://example/cache`; a `*` stands for anything within a label. */
export function peerName(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: '`dns:NAME` or `uri:NAME`',
    parse(text) {
      if (/^dns:[^\s:/]+$/.test(text) || /^uri:[^\s:]+:\S+$/.test(text)) return text
      return new Problem(`"${text}" is not a name of a certificate.`,
        'Write dns: or uri: and the name as the certificate has it, such as dns:cache-1.example.com or uri:spiffe://example/cache.')
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
}

/** The name to ask for (SNI) and to find in the certificate. */
export function hostName(options: Described<string>): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'host name or address',
    parse(text) {
      if (isIP(text) !== 0 || isHostName(text)) return text
      return new Problem(`"${text}" is neither a host name nor an address.`, 'Write a name of the certificate, such as cache-1.example.com.')
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
}

/** Permissions of a file, as `chmod` takes them. */
export function fileMode(options: Described<number>): Kind<number> {
  return scalar<number>({
    ...options,
    words: 'octal mode',
    parse(text) {
      const value = parseInt(text, 8)
      if (/^0?[0-7]{3}$/.test(text)) return value
      return new Problem(`"${text}" is not a mode.`, 'Write three octal digits, such as 0660.')
    },
    write: value => `0${value.toString(8).padStart(3, '0')}`,
    jsonSchema: { anyOf: [{ type: 'string', pattern: textPattern('0?[0-7]{3}') }, { type: 'integer' }] },
  })
}

/** A user or group of this host, by name or number. Whether there is one is seen when it is needed. */
export function account(options: Described<string>): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'name or number',
    parse(text) {
      if (/^(\d{1,10}|[A-Za-z_][\w.-]{0,31}\$?)$/.test(text)) return text
      return new Problem(`"${text}" is not a name of a user or group.`, 'Write a name such as www-data, or a number.')
    },
    write: value => value,
    jsonSchema: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
  })
}

/** A user of memcached: what `-Y` and SASL both can take. */
export function userName(options: Described<string>): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'name',
    parse: text => userNameFault(text) ?? text,
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1, maxLength: 128 },
  })
}

export function userNameFault(text: string): Problem | undefined {
  if (/^[^\s\p{Cc}]{1,128}$/u.test(text)) return undefined
  const why = text === '' ? 'is empty.' : text.length > 128 ? 'is longer than 128 characters.' : 'holds a blank or a control character, which ends a name there.'
  return new Problem(why, 'Write the name of the user as memcached has it, such as cache or cache@host.')
}

/** A file, or many by wildcards. */
export function pattern(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'path, perhaps with `*`',
    parse(text, reading, at) {
      return text === '' ? new Problem('is empty.', 'Write the path of a file.') : reading.absolutePattern(text, at)
    },
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1 },
  })
}

export function endpoint(side: 'listen' | 'connect', options: Described<Endpoint>): Kind<Endpoint> {
  return scalar<Endpoint>({
    ...options,
    words: side === 'listen'
      ? '`address:port`, `[address]:port`, `unix:/path` or `systemd:NAME`'
      : '`host:port`, `[address]:port` or `unix:/path`',
    parse: text => parseEndpoint(text, side),
    write: endpointText,
    jsonSchema: { type: 'string' },
  })
}

/** A command's name or a group's, as `known` has them at the time of reading. */
export function command(
  known: { groups: readonly string[], commands: readonly string[] }, options: { doc: string },
): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'command or group',
    parse(text) {
      if (known.groups.includes(text) || known.commands.includes(text)) return text
      return new Problem(`"${text}" is neither a command nor a group of commands.`,
        `Write a group (${listed(known.groups)}) or a single command such as get.`)
    },
    write: value => value,
    jsonSchema: { anyOf: [{ enum: [...known.groups, ...known.commands] }, { type: 'string', pattern: '\\$\\{' }] },
  })
}

export interface Scalar<T> extends Described<T> {
  words: string
  parse(text: string, reading: Reading, at: Spot): T | Problem
  write(value: T): string
  jsonSchema: JsonSchema
}

export function scalar<T>(spec: Scalar<T>): Kind<T> {
  return {
    words: spec.words,
    doc: spec.doc,
    default: spec.default,
    example: spec.example,
    reload: spec.reload,
    read(node, path, reading) {
      reading.settle(path, node)
      const text = reading.text(node)
      const value = text instanceof Problem ? text : gapIn(text, spec.words) ?? spec.parse(text, reading, { path, node })
      if (!(value instanceof Problem)) return value
      reading.fault(path, node, value)
      return undefined as T
    },
    absent(path, reading, siblings) {
      if (spec.derive === undefined && spec.default === undefined) {
        reading.fault(path, undefined, new Problem('is missing.',
          `Write ${path.slice(path.lastIndexOf('.') + 1)}: ${spec.words.replaceAll('`', '')}.`))
        return undefined as T
      }
      reading.settle(path, undefined)
      return spec.derive === undefined ? spec.parse(spec.default!, reading, { path, node: undefined }) as T : spec.derive(siblings)
    },
    write: spec.write,
    jsonSchema: () => ({ ...spec.jsonSchema, description: spec.doc }),
  }
}

function within(
  text: string, value: number, min: number, max: number, minText: string, maxText: string, fix: string,
): number | Problem {
  if (value < min) return new Problem(`"${text}" is below the least, ${minText}.`, fix)
  if (value > max) return new Problem(`"${text}" is above the most, ${maxText}.`, fix)
  return value
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function numberOr(word: string, { min, max }: { min: number, max: number }): JsonSchema {
  const text = word === '' ? '\\$\\{' : textPattern(word)
  return { anyOf: [{ type: 'integer', minimum: min, maximum: max }, { type: 'string', pattern: text }] }
}

function textPattern(pattern: string): string {
  return `^${pattern}$|\\$\\{`
}
