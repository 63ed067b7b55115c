import { expect, test } from 'vitest'
import { clientKey, isLoopback, normalAddress } from '../../src/admission/address.ts'

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
  expect(clientKey(address)).toBe(key)
})

test('loopback is 127.0.0.0/8 and ::1', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', '10.0.0.1', '::2', 'unix'].map(isLoopback)).toEqual([true, true, true, false, false, false])
})
