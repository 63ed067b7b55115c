import { endpointText } from '../lib/endpoint.ts'
import type { NameKind } from '../lib/name-pattern.ts'
import { parseEndpoint } from './endpoint.ts'
import { scalar, type Kind } from './kinds.ts'
import { Problem } from './problem.ts'

// What the rules of `access` are made of. A pattern that no certificate and no key can fit is a fault: whoever wrote it takes it for
// one that holds.

/** The name of a rule: it labels metrics and logs. */
export function ruleName(options: { doc: string }): Kind<string> {
  const kind = scalar<string>({
    ...options,
    words: 'name',
    default: '`rule-1`, `rule-2` and so on',
    example: 'web',
    parse(text) {
      if (/^[a-z][a-z0-9_-]{0,62}$/.test(text)) return text
      return new Problem(`"${text}" is not a name for a rule.`, 'Write small letters, digits, _ and -, a letter first, 63 at the most.')
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
  return {
    ...kind,
    absent(path, reading) {
      reading.settle(path, undefined)
      return `rule-${Number(/\[(\d+)\]\.name$/.exec(path)?.[1] ?? 0) + 1}`
    },
  }
}

const nameWords: Record<NameKind, { words: string, example: string, isFine(text: string): boolean }> = {
  text: { words: 'name, perhaps with `*`', example: 'web-*', isFine: text => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) },
  dns: {
    words: 'DNS name, perhaps with `*`', example: 'web-*.example.com',
    isFine: text => text.length <= 253 && text.split('.').every(label => /^[\w*-]{1,63}$/.test(label)),
  },
  uri: {
    words: 'URI, perhaps with `*`, or `/**` at its end', example: 'spiffe://example/web/**',
    isFine: text => /^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/.test(text) && !/\*\*(?!$)|(?<!\/)\*\*$/.test(text) && !/\/\.{1,2}(\/|$)/.test(text),
  },
}

/** A name of a certificate: a `*` stands for anything within a label or a part of a path. */
export function namePattern(kind: NameKind, options: { doc: string }): Kind<string> {
  const { words, example, isFine } = nameWords[kind]
  return scalar<string>({
    ...options,
    words,
    parse(text) {
      if (text === '') return new Problem('is empty, and no certificate has such a name.', `Write a name such as ${example}.`)
      if (kind !== 'uri' && text.includes('**')) return new Problem(`"${text}" has two stars in a row, and one stands for all of a label.`, `Write ${text.replaceAll(/\*+/g, '*')}.`)
      if (!isFine(text)) return new Problem(`"${text}" can be no such name of a certificate, so it would match nobody.`, `Write it as the certificate has it, such as ${example}.`)
      return text
    },
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1 },
  })
}

/** The CA that signed a certificate: its common name, or attributes of its name. */
export function issuerPattern(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'common name, or `O=…, CN=…`',
    parse(text) {
      const fix = 'Write the common name of the CA, such as Team CA; or attributes of its name, such as O=example, CN=Team CA.'
      if (text === '') return new Problem('is empty.', fix)
      if (!nameWords.text.isFine(text)) return new Problem(`"${text}" can be no name of a CA.`, fix)
      if (!/^[A-Za-z]+=/.test(text)) return text
      const odd = text.split(/(?<!\\),\s*/).find(part => !/^(CN|O|OU|C|ST|L|DC|UID|serialNumber|emailAddress)=./.test(part))
      return odd === undefined ? text : new Problem(`"${odd}" is not an attribute of a name that memseal knows.`,
        `${fix} It knows CN, O, OU, C, ST, L, DC, UID, serialNumber and emailAddress; a comma within a value is written as \\,.`)
    },
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1 },
  })
}

/** One of the listeners of the service, as `listen` has it. */
export function listenerName(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'one of `listen`',
    parse(text) {
      const endpoint = parseEndpoint(text, 'listen')
      return endpoint instanceof Problem ? endpoint : endpointText(endpoint)
    },
    write: value => value,
    jsonSchema: { type: 'string' },
  })
}

/** A certificate by its serial number, as `serialOf` (tls/x509.ts) gives it, or by its SHA-256 fingerprint. */
export function certificateId(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'serial number or SHA-256 fingerprint',
    parse(text) {
      const digits = text.replace(/^(serial *= *|0x|sha256 fingerprint *= *)/i, '').replaceAll(':', '').toLowerCase()
      if (/^[0-9a-f]+$/.test(digits)) {
        if (digits.length === 64) return digits.toUpperCase().match(/../g)!.join(':')
        // 20 bytes are the most, and a zero before them (RFC 5280, 4.1.2.2).
        const serial = digits.replace(/^0+(?=.)/, '')
        if (serial.length <= 40) return asInDer(serial)
      }
      return new Problem(`"${text}" is neither a serial number nor a SHA-256 fingerprint.`,
        'Write what `openssl x509 -in FILE -noout -serial` or `-fingerprint -sha256` prints, or the serial or fingerprint of a log line, in quotes.')
    },
    write: value => value,
    jsonSchema: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
  })
}

/** Whole bytes, and a zero before a first bit that would make a negative number of it: as a certificate has it. */
function asInDer(serial: string): string {
  const bytes = serial.length % 2 === 0 ? serial : `0${serial}`
  return /^[89a-f]/.test(bytes) ? `00${bytes}` : bytes
}

const LONGEST_KEY = 250

/** Keys: a `*` stands for any bytes. */
export function keyPattern(options: { doc: string }): Kind<string> {
  return scalar<string>({
    ...options,
    words: 'key, perhaps with `*`',
    parse(text) {
      const fix = 'Write a key, or a pattern such as web:*, in quotes.'
      if (text === '') return new Problem('is empty, and no key is.', fix)
      if (/[\s\p{Cc}]/u.test(text)) return new Problem(`"${text}" has a blank in it, and no key of the text protocol has.`, fix)
      const least = Buffer.byteLength(text.replaceAll(/\\([*\\])|\*/g, (_, escaped: string | undefined) => escaped ?? ''))
      if (least > LONGEST_KEY) return new Problem(`is a pattern of keys with ${least} bytes, and no key has more than ${LONGEST_KEY}.`, fix)
      return text
    },
    write: value => value,
    jsonSchema: { type: 'string', minLength: 1 },
  })
}
