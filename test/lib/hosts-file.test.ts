import { expect, test } from 'vitest'
import { addressesInHostsFile, isLocalhost } from '../../src/lib/hosts-file.ts'

test('names of the hosts file are found in any spelling, and others are not', () => {
  expect(addressesInHostsFile('localhost')).toEqual(addressesInHostsFile('LocalHost.'))
  expect(addressesInHostsFile('no-such-name.example')).toEqual([])
  expect(addressesInHostsFile('127.0.0.1')).toEqual([])
})

test('localhost and what ends in it is this host', () => {
  expect(['localhost', 'LOCALHOST.', 'a.localhost', 'notlocalhost', 'localhost.example', ''].map(isLocalhost)).toEqual([true, true, true, false, false, false])
})
