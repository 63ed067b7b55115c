import { expect, test } from 'vitest'
import { parseDocument, LineCounter, type Node } from 'yaml'
import { cidr } from '../../src/config/address-kinds.ts'
import { choice, command, count, countOrAuto, duration, endpoint, flag, path, size, type Kind } from '../../src/config/kinds.ts'
import { list, map, optional, section } from '../../src/config/sections.ts'
import { longestSocketPath } from '../../src/config/endpoint.ts'
import { Reading } from '../../src/config/reading.ts'

/** @returns the value, or what is wrong with it */
function read<T>(kind: Kind<T>, yaml: string): unknown {
  const lines = new LineCounter()
  const document = parseDocument(yaml, { lineCounter: lines, uniqueKeys: false })
  const reading = new Reading({
    document, lines, file: 'a.yaml', directory: '/etc/memseal', environment: { PORT: '11211', EMPTY: '' }, given: new Map(),
    whole: { kind: 'default' },
  })
  const value = kind.read(document.contents as Node, 'key', reading)
  return reading.issues.length === 0 ? value : reading.issues.map(issue => `${issue.message} ${issue.fix}`).join('\n')
}

test('a duration is milliseconds, at its limits and one past them', () => {
  const kind = duration({ default: '1s', min: '10ms', max: '5m', doc: '' })
  expect(['10ms', '1.5s', '2m', '300s'].map(text => read(kind, text))).toEqual([10, 1500, 120_000, 300_000])
  const fix = 'Write a number and a unit (ms, s, m, h, d), 10ms to 5m.'
  expect(read(kind, '9ms')).toBe(`"9ms" is below the least, 10ms. ${fix}`)
  expect(read(kind, '300001ms')).toBe(`"300001ms" is above the most, 5m. ${fix}`)
  expect(read(kind, '5')).toBe(`"5" is not a duration: it has no unit. ${fix}`)
  expect(read(kind, '5 s')).toContain('"5 s" is not a duration.')
  expect(read(kind, '-5s')).toContain('is not a duration.')
  expect(read(kind, 'off')).toContain('"off" is not a duration.')
})

test('off is a duration of 0 where it is allowed', () => {
  const kind = duration({ default: 'off', off: true, min: '1s', max: '1h', doc: '' })
  expect(read(kind, 'off')).toBe(0)
  expect(kind.write(0)).toBe('off')
  expect(read(kind, '0s')).toContain('Write a number and a unit (ms, s, m, h, d), 1s to 1h, or off.')
})

test('a size is bytes, at its limits and one past them', () => {
  const kind = size({ default: '1KiB', min: '1KiB', max: '1MiB', doc: '' })
  expect(['1024B', '1.5KiB', '1MiB'].map(text => read(kind, text))).toEqual([1024, 1536, 1_048_576])
  expect(read(kind, '1023B')).toBe('"1023B" is below the least, 1KiB. Write a number and a unit (B, KiB, MiB, GiB), 1KiB to 1MiB.')
  expect(read(kind, '1048577B')).toContain('is above the most, 1MiB.')
  expect(read(kind, '2048')).toContain('it has no unit')
  expect(read(kind, '2MB')).toContain('"2MB" is not a size.')
})

test('a count is a whole number, at its limits and one past them', () => {
  const kind = count({ min: 1, max: 64, doc: '' })
  expect([read(kind, '1'), read(kind, '64'), read(kind, '"7"')]).toEqual([1, 64, 7])
  expect(read(kind, '0')).toBe('"0" is below the least, 1. Write a whole number, 1 to 64.')
  expect(read(kind, '65')).toBe('"65" is above the most, 64. Write a whole number, 1 to 64.')
  expect(read(kind, '1.5')).toBe('"1.5" is not a whole number. Write a whole number, 1 to 64.')
  expect(read(kind, '0x10')).toContain('is not a whole number')
})

test('auto stands beside a count where it is allowed', () => {
  const kind = countOrAuto({ default: 'auto', min: 1, max: 64, doc: '' })
  expect([read(kind, 'auto'), read(kind, '1'), read(kind, '64')]).toEqual(['auto', 1, 64])
  expect(read(kind, '65')).toBe('"65" is above the most, 64. Write auto, or a whole number, 1 to 64.')
  expect(read(kind, 'many')).toBe('"many" is neither auto nor a whole number. Write auto, or a whole number, 1 to 64.')
})

test('a choice is one of its words', () => {
  const kind = choice(['TLSv1.2', 'TLSv1.3'], { doc: '' })
  expect(read(kind, 'TLSv1.3')).toBe('TLSv1.3')
  expect(read(kind, 'TLSv1.1')).toBe('"TLSv1.1" is not offered (TLSv1.2, TLSv1.3). Write TLSv1.2 or TLSv1.3.')
  expect(read(choice(['allowed'], { doc: '' }), 'yes')).toBe('"yes" is not offered (allowed). Write allowed, or remove the line.')
})

test('a flag is on or off, true or false', () => {
  const kind = flag({ doc: '' })
  expect(['on', 'true', 'off', 'false'].map(text => read(kind, text))).toEqual([true, true, false, false])
  expect(read(kind, 'yes')).toBe('"yes" is neither on nor off. Write on or off.')
})

test('a path is absolute, a relative one starts at the given folder', () => {
  const kind = path({ doc: '', dash: 'standard output' })
  expect([read(kind, '/a/b'), read(kind, 'b.pem'), read(kind, '"-"')]).toEqual(['/a/b', '/etc/memseal/b.pem', '-'])
  expect(read(kind, '""')).toBe('is empty. Write the path of a file.')
  expect(read(kind, '"a\\0b"')).toContain('NUL')
})

test('an address range has no bits beyond its prefix', () => {
  const kind = cidr({ doc: '' })
  expect(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '::1', '0.0.0.0/0', '::/0', '10.0.0.1/32'].map(text => read(kind, text)))
    .toEqual(['10.0.0.0/8', '192.0.2.7/32', 'fd00::/8', '::1/128', '0.0.0.0/0', '::/0', '10.0.0.1/32'])
  expect(read(kind, '10.9.0.1/8')).toBe('"10.9.0.1/8" has bits set beyond its /8. Write 10.0.0.0/8 for the network, or 10.9.0.1 for this address alone.')
  expect(read(kind, '2001:db8:1::1/32')).toContain('Write 2001:db8::/32 for the network')
  expect(read(kind, '10.0.0.0/33')).toBe('"/33" is not a prefix length of an IPv4 address. Write /0 to /32.')
  expect(read(kind, 'fd00::/129')).toContain('Write /0 to /128.')
  for (const text of ['300.0.0.0/8', 'web1', '10.0.0.0/8/8', 'fe80::1%eth0']) expect(read(kind, text)).toContain('is not an address range. Write an address range such as')
  expect(read(kind, '::ffff:10.0.0.0/104')).toContain('Write it as IPv4')
})

test('an endpoint is an address with a port, a unix socket or a systemd socket', () => {
  const kind = endpoint('listen', { doc: '' })
  expect(read(kind, '0.0.0.0:11212')).toEqual({ kind: 'tcp', host: '0.0.0.0', port: 11212 })
  expect(read(kind, '"[::]:0"')).toEqual({ kind: 'tcp', host: '::', port: 0 })
  expect(read(kind, 'unix:/run/a.sock')).toEqual({ kind: 'unix', path: '/run/a.sock' })
  expect(read(kind, 'systemd:cache')).toEqual({ kind: 'systemd', name: 'cache' })
  expect(read(kind, '127.0.0.1:65535')).toMatchObject({ port: 65535 })
  expect(read(kind, '127.0.0.1:65536')).toBe('65536 is not a port. Write a port from 0 to 65535.')
  expect(read(kind, '11212')).toContain('"11212" is not an address with a port. Write an address and a port, such as')
  expect(read(kind, 'cache.example.com:11212')).toContain('is not an address to listen on.')
  expect(read(kind, '"::1"')).toBe('"::1" is an IPv6 address without a port. Write it in brackets with a port: [::1]:11212.')
  expect(read(kind, '"[10.0.0.1]:1"')).toContain('is not an IPv6 address.')
  expect(read(kind, 'unix:run/a.sock')).toContain('is not an absolute path.')
  expect(read(kind, '"systemd:a b"')).toContain('is not a name of a systemd socket.')
})

test('a backend may be a host by name, and is no systemd socket', () => {
  const kind = endpoint('connect', { doc: '' })
  expect(read(kind, 'cache.example.com:11211')).toEqual({ kind: 'tcp', host: 'cache.example.com', port: 11211 })
  expect(read(kind, '127.0.0.1:1')).toMatchObject({ port: 1 })
  expect(read(kind, '127.0.0.1:0')).toContain('0 is not a port. Write a port from 1 to 65535.')
  expect(read(kind, '127.0.0.300:11211')).toContain('is neither an address nor a host name.')
  expect(read(kind, '-a:11211')).toContain('is neither an address nor a host name.')
  expect(read(kind, 'systemd:x')).toContain('Write host:port or unix:/path.')
})

test('a unix socket\'s path is as long as the system takes and no longer', () => {
  const kind = endpoint('listen', { doc: '' })
  expect(read(kind, `unix:/${'a'.repeat(longestSocketPath - 1)}`)).toMatchObject({ kind: 'unix' })
  expect(read(kind, `unix:/${'a'.repeat(longestSocketPath)}`)).toContain(`has ${longestSocketPath + 1} bytes`)
})

test('a command is one that the table knows, or a group', () => {
  const kind = command({ groups: ['read', 'all'], commands: ['get'] }, { doc: '' })
  expect([read(kind, 'read'), read(kind, 'get')]).toEqual(['read', 'get'])
  expect(read(kind, 'fetch')).toBe('"fetch" is neither a command nor a group of commands. Write a group (read or all) or a single command such as get.')
})

test('a list is a list or one, with limits on its length', () => {
  const kind = list(count({ min: 0, max: 9, doc: '' }), { doc: '', min: 1, max: 2 })
  expect([read(kind, '1'), read(kind, '[1, 2]')]).toEqual([[1], [1, 2]])
  expect(read(kind, '[]')).toBe('is an empty list. Write at least 1: number, 0 to 9.')
  expect(read(kind, '[1, 2, 3]')).toBe('has 3 entries, and 2 are the most. Write fewer.')
  expect(read(kind, '[1, [2]]')).toContain('takes a single value.')
})

test('a section takes its keys only, a map names of the operator\'s own', () => {
  const inner = section('', { size: optional(count({ min: 0, max: 9, doc: '' })) })
  expect(read(inner, 'size: 1')).toEqual({ size: 1 })
  expect(read(inner, '{}')).toEqual({ size: undefined })
  expect(read(inner, '7')).toBe('takes keys, not a value. Write keys below it: size.')
  const kind = map(inner, { doc: '', name: 'service', pattern: /^[a-z]+$/, nameFix: 'Write small letters.' })
  expect(read(kind, '{ a: {}, b: { size: 2 } }')).toEqual({ a: { size: undefined }, b: { size: 2 } })
  expect(read(kind, '{ A: {} }')).toBe('"A" is not a name for a service. Write small letters.')
  expect(read(kind, '{}')).toContain('holds no service.')
})

test('a variable stands for its value, and must be set', () => {
  const kind = endpoint('connect', { doc: '' })
  expect(read(kind, '127.0.0.1:${PORT}')).toMatchObject({ port: 11211 })
  expect(read(kind, '127.0.0.1:${NO_PORT}')).toBe('the environment variable NO_PORT is not set. Set it for the service, or write the value here.')
  expect(read(kind, '"${1}"')).toBe('"${1}" names no environment variable. Write ${NAME}: letters, digits and _ only.')
  expect(read(path({ doc: '' }), '${EMPTY}')).toContain('is empty.')
})

test('an alias is what its anchor holds', () => {
  const kind = list(count({ min: 0, max: 9, doc: '' }), { doc: '', max: 9 })
  expect(read(kind, '[&a 1, *a]')).toEqual([1, 1])
  expect(read(kind, '[*a]')).toContain('"*a" names no anchor.')
})
