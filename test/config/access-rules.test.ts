import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadText } from '../../src/config/load.ts'

// Faults of `access`: a rule that can never decide, or that keeps nobody from anything, looks like one that does.

/** The issues of a service with these rules, one in each line from line 7 on. */
function faultsOf(rules: readonly string[], more: readonly string[] = []): string[] {
  const text = ['services:', '  s:', '    listen: [127.0.0.1:1, "10.0.0.1:2"]', '    allow: [10.0.0.0/8]', '    tls: { cert: c, key: k, client_ca: a }', '    access:', ...rules.map(rule => `      - ${rule}`), ...more.map(line => `    ${line}`), ''].join('\n')
  return loadText(text, 'm.yaml', { environment: {} }).issues.map(issueText)
}

test('a rule that is fine', () => {
  expect(faultsOf(['{ match: { cn: web, source: 10.1.0.0/16 }, commands: [read, flush_all], keys: ["a*"], limits: { value_size: 1KiB } }', '{ name: rest, match: everyone }'])).toEqual([])
})

test.each<[string, string | string[], string]>([
  ['match is missing', '{ name: a }', 'm.yaml:7:9  services.s.access[0].match: is missing.'],
  ['an empty match', '{ match: {} }', 'm.yaml:7:18  services.s.access[0].match: names nobody.'],
  ['a match that is a word', '{ match: all }', 'm.yaml:7:18  services.s.access[0].match: "all" is neither everyone nor keys.'],
  ['an empty list', '{ match: { cn: [] } }', 'm.yaml:7:24  services.s.access[0].match.cn: is an empty list.'],
  ['an unknown command', '{ match: everyone, commands: [reed] }', 'services.s.access[0].commands[0]: "reed" is neither a command nor a group of commands.'],
  ['an unknown limit', '{ match: everyone, limits: { requests: 1 } }', 'there is no key "requests" here.'],
  ['two of one name', ['{ name: a, match: { cn: x } }', '{ name: a, match: { cn: y } }'], 'm.yaml:8:17  services.s.access[1].name: "a" is the name of services.s.access[0] as well'],
  ['a bad name', '{ name: "A b", match: everyone }', '"A b" is not a name for a rule.'],
  ['behind everyone', ['{ match: everyone }', '{ match: { cn: x } }'], 'm.yaml:8:18  services.s.access[1].match: is never looked at: the rule rule-1 stands before it and is for everyone.'],
  ['behind the same', ['{ match: { cn: [x, y] } }', '{ match: { cn: y, ou: z } }'], 'is never looked at: the rule rule-1 stands before it and fits all whom this one would fit.'],
  ['behind a pattern that takes it', ['{ match: { dns: "*.example" } }', '{ match: { dns: a.example } }'], 'is never looked at'],
  ['behind a wider range', ['{ match: { source: 10.0.0.0/8 } }', '{ match: { source: 10.1.0.0/16 } }'], 'is never looked at'],
  ['a listener of others', '{ match: { listener: "127.0.0.1:9" } }', 'm.yaml:7:30  services.s.access[0].match.listener: "127.0.0.1:9" is not among the listeners of this service.'],
  ['unix without a socket', '{ match: { source: unix } }', '"unix" fits nobody: this service listens on no unix socket.'],
  ['a source that is not admitted', '{ match: { source: 192.0.2.0/24 } }', '192.0.2.0/24 is not within `allow`, so nobody from there is admitted.'],
  ['a name that can be none', '{ match: { dns: "a b.example" } }', '"a b.example" can be no such name of a certificate, so it would match nobody.'],
  ['a URI without a scheme', '{ match: { uri: "/web" } }', 'can be no such name of a certificate'],
  ['stars in the midst of a URI', '{ match: { uri: "spiffe://a/**/b" } }', 'can be no such name of a certificate'],
  ['two stars in a name', '{ match: { cn: "a**" } }', '"a**" has two stars in a row'],
  ['an attribute that nobody knows', '{ match: { issuer: "CN=a, XY=b" } }', '"XY=b" is not an attribute of a name that memseal knows.'],
  ['a key with a blank', '{ match: everyone, keys: ["web: *"] }', '"web: *" has a blank in it, and no key of the text protocol has.'],
  ['a key that is too long', `{ match: everyone, keys: ["${'k'.repeat(251)}*"] }`, 'is a pattern of keys with 251 bytes, and no key has more than 250.'],
  ['keys of commands that have none', '{ match: everyone, commands: [flush, stats], keys: ["a*"] }', 'm.yaml:7:60  services.s.access[0].keys: says which keys, and none of the commands of this rule (flush, stats) has a key.'],
  ['no key is left', '{ match: everyone, keys: ["a:b*", "a:c"], deny_keys: ["a:*"] }', 'services.s.access[0].deny_keys: leaves no key that they may.'],
  ['all keys are denied', '{ match: everyone, deny_keys: ["*"] }', 'leaves no key that they may.'],
])('%s', (_, rules, words) => {
  const faults = faultsOf([rules].flat())
  expect(faults).toHaveLength(1)
  expect(faults[0]).toContain(words)
})

test('a rule by certificate where nobody is asked for one', () => {
  const text = (tls: string, match: string) => loadText(`services: { s: { listen: 127.0.0.1:1, ${tls} access: [{ match: ${match} }] } }`, 'm.yaml', { environment: {} }).issues.map(({ path }) => path)
  for (const match of ['{ cn: a }', '{ issuer: a }', '{ ip: 10.0.0.1 }']) {
    expect(text('', match)[0]).toMatch(/^services\.s\.access\[0\]\.match\./)
    expect(text('tls: { cert: c, key: k },', match)[0]).toMatch(/^services\.s\.access\[0\]\.match\./)
    expect(text('tls: { cert: c, key: k, client_ca: a },', match)).toEqual([])
  }
  expect(text('', 'everyone')).toEqual([])
})

test('a key of 250 bytes is one', () => {
  expect(faultsOf([`{ match: everyone, keys: ["${'k'.repeat(250)}"] }`])).toEqual([])
})

test('denied certificates are serial numbers or fingerprints, however they are printed', () => {
  const read = (text: string) => loadText(`services: { s: { listen: 127.0.0.1:1, tls: { cert: c, key: k, client_ca: a, deny_certificates: ["${text}"] } } }`, 'm.yaml', { environment: {} })
  const value = (text: string) => read(text).config?.services['s'].tls?.deny_certificates[0]
  expect(['3A7F00C1', 'serial=3A7F00C1', '3a:7f:00:c1', '0x3A7F00C1', '003A7F00C1'].map(value)).toEqual(Array(5).fill('3a7f00c1'))
  expect([value('A1'), value('5'), value('0')]).toEqual(['00a1', '05', '00'])
  expect(value('ab'.repeat(32))).toBe(Array(32).fill('AB').join(':'))
  expect(read('web-1').issues[0].message).toBe('"web-1" is neither a serial number nor a SHA-256 fingerprint.')
  expect(read('a'.repeat(41)).issues).toHaveLength(1)
})
