import { expect, test } from 'vitest'
import { CidrList } from '../../src/lib/cidr.ts'

test('networks and single addresses of both families, up to their edges', () => {
  const list = new CidrList(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1'])
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.7', 'fd00::1', 'fdff:ffff::1', '2001:db8::1']) expect([inside, list.has(inside)]).toEqual([inside, true])
  for (const outside of ['9.255.255.255', '11.0.0.0', '192.0.2.8', 'fe00::1', '2001:db8::2', 'unix', '']) expect([outside, list.has(outside)]).toEqual([outside, false])
})

test('a rule for IPv4-mapped addresses is one for IPv4', () => {
  const list = new CidrList(['::ffff:10.0.0.0/104', '::ffff:192.0.2.7'])
  expect(list.has('10.1.2.3')).toBe(true)
  expect(list.has('192.0.2.7')).toBe(true)
  expect(list.has('11.0.0.1')).toBe(false)
})

test('an IPv6 network, all of it even, says nothing of IPv4', () => {
  expect(new CidrList(['::/0']).has('10.0.0.1')).toBe(false)
  expect(new CidrList(['0.0.0.0/0']).has('10.0.0.1')).toBe(true)
})

test.each(['10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'x', '10.0.0.0/', '10.0.0.0/-1', '::ffff:10.0.0.0/95'])('%s is no rule', rule => {
  expect(() => new CidrList([rule])).toThrow(rule)
})
