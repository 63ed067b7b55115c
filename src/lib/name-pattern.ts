/** Patterns of names in certificates. A `*` stands for anything within a part: a label of a DNS name, a part of a common name
 *  between dots, a part of a path. In a URI `/**` at the end stands for the rest of the path.
 *
 *      dns   web-*.example.com                             labels, whatever their case
 *      uri   spiffe://example/web-*, spiffe://example/**   parts of the host between dots, of the path between slashes
 *      text  web-*                                         a common name, an organizational unit */
import { Glob, hasStar } from './glob.ts'

export type NameKind = 'dns' | 'uri' | 'text'

const REST = '/**'
/** Whatever else a certificate has in a DNS name (a star, a blank, a NUL), no `*` stands for it. */
const labelPattern = /^[\w-]*$/

export class NamePattern {
  readonly text: string
  readonly #kind: NameKind
  readonly #parts: readonly { glob: Glob; hasStar: boolean }[]
  readonly #hasRest: boolean

  constructor(text: string, kind: NameKind) {
    this.text = text
    this.#kind = kind
    this.#hasRest = kind === 'uri' && text.endsWith(REST)
    const named = this.#hasRest ? text.slice(0, -REST.length) : text
    this.#parts = partsOf(named, kind).map((part) => ({ glob: new Glob(part), hasStar: hasStar(part) }))
  }

  matches(name: string): boolean {
    return this.matchesParts(partsOf(name, this.#kind))
  }

  /** @param parts of a name, as `partsOf` gives them for this kind */
  matchesParts(parts: readonly string[]): boolean {
    const count = this.#parts.length
    if (this.#hasRest ? parts.length < count + 2 || parts[count] !== '/' || !isPlainPath(parts, count) : parts.length !== count) return false
    for (let at = 0; at < count; at++) {
      const { glob, hasStar } = this.#parts[at]
      if (hasStar && !mayStand(parts[at], this.#kind)) return false
      if (!glob.matchesText(parts[at])) return false
    }
    return true
  }

  /** Whoever `other` takes, this one takes as well: as far as can be said without trying all names. */
  covers(other: NamePattern): boolean {
    return this.text === other.text || (!hasStar(other.text) && this.matches(other.text))
  }
}

/** May a `*` stand for it? `..` and `.` in a path say that it leads elsewhere. */
function mayStand(part: string, kind: NameKind): boolean {
  if (kind === 'dns') return labelPattern.test(part)
  return part !== '.' && part !== '..'
}

/** Of the parts from `from` on, those of a rest, every other is a border; none may be empty or lead elsewhere. */
function isPlainPath(parts: readonly string[], from: number): boolean {
  return parts.slice(from).every((part, at) => at % 2 === 0 ? part === '/' : part !== '' && part !== '.' && part !== '..')
}

/** Parts and the borders between them, in turn: a border is a part of its own and has to be the same. */
export function partsOf(name: string, kind: NameKind): string[] {
  if (kind === 'dns') return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).split(/(\.)/)
  if (kind === 'text') return name.split(/(\.)/)
  const [, scheme, authority = '', path] = /^([^:]*:)(\/\/[^/?#]*)?(.*)$/s.exec(name) ?? ['', '', '', name]
  return [scheme, ...authority.split(/([.:@])/), ...path.split(authority === '' ? /([/:?#])/ : /([/?#])/)]
}
