import { expect, test } from 'vitest'
import { candidates, parseResolvConf } from '../../src/lib/resolv-conf.ts'

test('search domains and ndots, the last line of a kind counts', () => {
  expect(parseResolvConf('nameserver 10.96.0.10\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n', 'h'))
    .toEqual({ search: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local'], ndots: 5, timeoutMs: 1000, attempts: 2 })
  expect(parseResolvConf('domain a.example b.example\nsearch c.example.\n', 'h').search).toEqual(['c.example'])
  expect(parseResolvConf('search c.example\ndomain a.example\n', 'h').search).toEqual(['a.example'])
  expect(parseResolvConf('; search no\n# search no\nsearch .\noptions ndots:99 timeout:99 attempts:99\n', 'h')).toEqual({ search: [], ndots: 15, timeoutMs: 30_000, attempts: 5 })
  expect(parseResolvConf('nameserver 127.0.0.11\noptions ndots:0 edns0 attempts:0 timeout:0\n', 'h')).toEqual({ search: [], ndots: 0, timeoutMs: 1000, attempts: 1 })
})

test('without a domain that of the host is searched', () => {
  expect(parseResolvConf('', 'web.example.com')).toEqual({ search: ['example.com'], ndots: 1, timeoutMs: 5000, attempts: 2 })
  expect(parseResolvConf('', 'web').search).toEqual([])
  expect(parseResolvConf('search\n', 'web.example.com').search).toEqual([])
})

test('the name itself is always among what is asked', () => {
  const conf = { search: ['a', 'b'], ndots: 1 }
  expect([candidates('x', conf), candidates('x.y', conf), candidates('x.', conf), candidates('x', { search: [], ndots: 5 })])
    .toEqual([['x.a', 'x.b', 'x'], ['x.y', 'x.y.a', 'x.y.b'], ['x'], ['x']])
})
