import { expect, test } from 'vitest'
import { clientKey, isLoopback, networkOf, normalAddress } from '../../src/lib/address.ts'

test('an address has one form, whatever the socket says', () => {
  expect(normalAddress('::ffff:10.0.0.1')).toBe('10.0.0.1')
  expect(normalAddress('fe80::1%eth0')).toBe('fe80::1')
  expect(normalAddress('10.0.0.1')).toBe('10.0.0.1')
  expect(normalAddress(undefined)).toBe('unix')
  expect(normalAddress('')).toBe('unix')
})

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['2001:db8::3:4:5:6', '2001:db8:0:0::/64'],
  ['2001:db8::2:3:4:5:6', '2001:db8:0:2::/64'],
  ['::2:3:4:5:6', '0:0:0:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['1:2:3:4::', '1:2:3:4::/64'],
  ['64:ff9b::10.1.2.3', '64:ff9b:0:0::/64'],
])('%s is counted as %s', (address, key) => {
  expect(clientKey(address, 64)).toBe(key)
  expect(clientKey(address, 128)).toBe(address)
})

test.each([
  ['2001:db8:1:2:3:4:5:6', 16, '2001::/16'],
  ['2001:db8:1:2ff:3:4:5:6', 56, '2001:db8:1:200::/56'],
  ['2001:db8::ff', 127, '2001:db8:0:0:0:0:0:fe/127'],
  ['64:ff9b::10.1.2.3', 120, '64:ff9b:0:0:0:0:a01:200/120'],
  ['::1', 96, '0:0:0:0:0:0::/96'],
  ['10.0.0.1', 16, '10.0.0.1'],
  ['unix', 64, 'unix'],
])('%s with a prefix of %i is counted as %s', (address, prefix, key) => {
  expect(clientKey(address, prefix)).toBe(key)
})

test('loopback is 127.0.0.0/8 and ::1', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', '10.0.0.1', '::2', 'unix'].map(isLoopback)).toEqual([true, true, true, false, false, false])
})

test.each([
  ['10.1.2.3', '10.1.2.0/24'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:0:2:0:0:0:fe/127', '2001:db8:0:2::/64'],
  ['2001:db8:1:2::/64', '2001:db8:1:2::/64'],
  ['2001:db8:1:200::/56', '2001:db8:1:200::/56'],
  ['unix', 'unix'],
])('%s lies in the network %s', (client, network) => {
  expect(networkOf(client)).toBe(network)
})
