import { expect, test } from 'vitest'
import { LookupError, type Lookup } from '../../src/lib/names.ts'
import { Target } from '../../src/proxy/target.ts'

/** A resolver whose answers are changed by the test; undefined: DNS is down. */
function resolver(first: string[] | undefined): { lookup: Lookup, now: string[] | undefined, asked: number } {
  const dns = {
    now: first, asked: 0,
    lookup: async () => {
      dns.asked++
      if (dns.now === undefined) throw new LookupError('ENOTFOUND', 'there is no such name (ENOTFOUND)')
      return dns.now
    },
  }
  return dns
}

const never: Lookup = () => new Promise(() => {})
const named = (dns: { lookup: Lookup }) => new Target({ kind: 'tcp', host: 'cache.example', port: 1 }, undefined, 100, dns.lookup)
const hostOf = (target: Target) => (target.route?.address as { host: string } | undefined)?.host

test('addresses and unix sockets are not looked up', async () => {
  const dns = resolver(undefined)
  const address = new Target({ kind: 'tcp', host: '::1', port: 7 }, undefined, 100, dns.lookup)
  await address.lookUp()
  expect(address.route).toMatchObject({ host: '::1', address: { host: '::1', port: 7 } })
  expect(new Target({ kind: 'unix', path: '/s' }, undefined, 100, dns.lookup).route).toMatchObject({ address: { path: '/s' } })
  expect(dns.asked).toBe(0)
})

test('all addresses are tried in turn; the one that works stays', async () => {
  const target = named(resolver(['::1', '10.0.0.1', '10.0.0.2']))
  expect(target.route).toBeUndefined()
  expect(target.routeNow).toMatchObject({ address: { host: 'cache.example' } })
  await target.lookUp()
  const tried = []
  for (let n = 0; n < 3; n++) {
    tried.push([hostOf(target), target.failed(target.route!)])
  }
  expect(tried).toEqual([['::1', true], ['10.0.0.1', true], ['10.0.0.2', false]])
  target.failed(target.route!)
  target.succeeded()
  expect(hostOf(target)).toBe('10.0.0.1')
  await target.lookUp()
  expect(hostOf(target)).toBe('10.0.0.1')
})

test('a failure of an address that was left already moves nothing on', async () => {
  const target = named(resolver(['10.0.0.1', '10.0.0.2']))
  await target.lookUp()
  const first = target.route!
  expect(target.failed(first)).toBe(true)
  expect(target.failed(first)).toBe(true)
  expect(hostOf(target)).toBe('10.0.0.2')
})

test('while DNS is down the last answer holds; another answer starts at its first address', async () => {
  const dns = resolver(undefined)
  const target = named(dns)
  await target.lookUp()
  expect(target.route).toBeUndefined()
  expect(target.lookupFault).toBe('the name cache.example cannot be looked up: there is no such name (ENOTFOUND)')
  dns.now = ['10.0.0.1', '10.0.0.2']
  await target.lookUp()
  expect(target.lookupFault).toBe('')
  target.failed(target.route!)
  dns.now = undefined
  await target.lookUp()
  expect(hostOf(target)).toBe('10.0.0.2')
  dns.now = []
  await target.lookUp()
  expect(target.lookupFault).toContain('it has no address')
  dns.now = ['10.0.0.9']
  await target.lookUp()
  expect(hostOf(target)).toBe('10.0.0.9')
})

test('look-ups at the same time are one, and each is given up after a while', async () => {
  let asked = 0
  const target = new Target({ kind: 'tcp', host: 'cache.example', port: 1 }, undefined, 20, () => { asked++; return never('') })
  await Promise.all([target.lookUp(), target.lookUp()])
  expect(asked).toBe(1)
  expect(target.lookupFault).toContain('no answer within 20 ms')
  // The thread of the first is still held: no second one goes the same way.
  await target.lookUp()
  expect(asked).toBe(1)
})

test('an answer counts also when it comes after nobody waits for it any more; a late failure ends nothing', async () => {
  let answer = Promise.withResolvers<string[]>()
  const target = new Target({ kind: 'tcp', host: 'cache.example', port: 1 }, undefined, 10, () => answer.promise)
  await target.lookUp()
  expect(target.route).toBeUndefined()
  answer.resolve(['10.0.0.1'])
  await new Promise(setImmediate)
  expect([hostOf(target), target.lookupFault]).toEqual(['10.0.0.1', ''])

  answer = Promise.withResolvers()
  await target.lookUp()
  expect(target.lookupFault).toContain('no answer within 10 ms')
  answer.reject(new Error('at last'))
  await new Promise(setImmediate)
  expect(hostOf(target)).toBe('10.0.0.1')
})

test('look-ups by the clock are no closer than the interval', async () => {
  const dns = resolver(['10.0.0.1'])
  const target = named(dns)
  for (const now of [0, 10, 99, 100, 150, 200]) {
    target.lookUpIfOlder(100, now)
    await target.lookUp()
  }
  expect(dns.asked).toBe(6)   // each awaited look-up above is one; those of the clock ran with it
  target.lookUpIfOlder(0, 10_000)
  expect(dns.asked).toBe(6)
})
