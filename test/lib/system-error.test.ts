import { expect, test } from 'vitest'
import { systemErrorText } from '../../src/lib/system-error.ts'

test('a code of the system comes with its words, another as it stands or as is said', () => {
  expect(systemErrorText('ECONNREFUSED')).toBe('connection refused (ECONNREFUSED)')
  expect(systemErrorText('ENOENT')).toBe('no such file or directory (ENOENT)')
  expect(systemErrorText('ERR_SSL_X')).toBe('ERR_SSL_X')
  expect(systemErrorText('ERR_SSL_X', 'it broke')).toBe('it broke')
  expect(systemErrorText('')).toBe('')
})
