import { expect, test } from 'vitest'
import { Glob } from '../../src/lib/glob.ts'
import { NamePattern, type NameKind } from '../../src/lib/name-pattern.ts'

/** Of bytes and of text alike. */
function fits(pattern: string, text: string): boolean {
  const glob = new Glob(pattern)
  const bytes = Buffer.from(`##${text}##`)
  const ofBytes = glob.matches(bytes, 2, bytes.length - 2)
  expect(glob.matchesText(text), `${pattern} ${text}`).toBe(ofBytes)
  return ofBytes
}

test('a star stands for any bytes, none too; without one the pattern is the text', () => {
  for (const [pattern, texts] of [['a', ['a']], ['web:*', ['web:', 'web:1', 'web:a:b']], ['*', ['', 'x']], ['*:a', [':a', 'x:a', ':a:a']], ['a*b*c', ['abc', 'a-b-c', 'abbcc', 'abcbc']], ['a**b', ['ab', 'axb']]] as const) {
    for (const text of texts) expect(fits(pattern, text), `${pattern} ${text}`).toBe(true)
  }
  for (const [pattern, texts] of [['a', ['', 'aa', 'b', 'A']], ['web:*', ['web', 'Web:1', 'xweb:1']], ['*:a', ['a', ':ab']], ['a*b*c', ['ac', 'acb', 'ab', 'abca']], ['ab*bc', ['abc', 'ab']], ['*a*a*', ['a']]] as const) {
    for (const text of texts) expect(fits(pattern, text), `${pattern} ${text}`).toBe(false)
  }
})

test('an escaped star is a star, and an escaped backslash one', () => {
  expect([fits('a\\*b', 'a*b'), fits('a\\*b', 'axb'), fits('a\\\\*', 'a\\x'), fits('a\\b', 'a\\b')]).toEqual([true, false, true, true])
})

test('no pattern and key take for ever together', () => {   // as an expression that goes back at each star would
  const glob = new Glob(`${'a*'.repeat(60)}b`)
  const key = Buffer.from('a'.repeat(250))
  for (let n = 0; n < 100; n++) expect(glob.matches(key, 0, key.length)).toBe(false)
})

test.each<[NameKind, string, string[], string[]]>([
  ['dns', 'web-*.example.com', ['web-1.example.com', 'WEB-1.Example.COM', 'web-.example.com'], ['web-1.x.example.com', 'web-1.example.com.evil.org', 'web-*.example.com', 'web-1 .example.com', 'xweb-1.example.com', 'web-1.example.com.']],
  ['dns', '*.example.com', ['a.example.com'], ['example.com', 'a.b.example.com', '*.example.com']],
  ['uri', 'spiffe://example/web-*/a', ['spiffe://example/web-1/a'], ['spiffe://example/web-1/b/a', 'spiffe://example.org/web-1/a', 'spiffe://EXAMPLE/web-1/a', 'spiffe://example/web-1/a?x']],
  ['uri', 'spiffe://example/web/*', ['spiffe://example/web/x.y'], ['spiffe://example/web/..', 'spiffe://example/web/a/b', 'spiffe://example/web']],
  ['uri', 'spiffe://example/web/**', ['spiffe://example/web/a', 'spiffe://example/web/a/b'], ['spiffe://example/web', 'spiffe://example/web/', 'spiffe://example/web/../ops', 'spiffe://example/webs/a', 'spiffe://example/web/a/../b', 'spiffe://example/web//a']],
  ['uri', 'spiffe://*.example/a', ['spiffe://x.example/a'], ['spiffe://x.y.example/a', 'spiffe://evil/x.example/a', 'spiffe://evil@x.example/a']],
  ['uri', 'urn:team:*', ['urn:team:web'], ['urn:team:web:x', 'urn:other:web']],
  ['text', 'web-*', ['web-1', 'web-'], ['web-1.evil', 'Web-1', 'web']],
])('%s %s', (kind, pattern, takes, takesNot) => {
  const compiled = new NamePattern(pattern, kind)
  expect(takes.filter(name => !compiled.matches(name))).toEqual([])
  expect(takesNot.filter(name => compiled.matches(name))).toEqual([])
})
