import { expect, test } from 'vitest'
import { printable } from '../../src/lib/printable.ts'

test('what is not printable is escaped, nothing else', () => {
  const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  expect(printable(every, 0, 256, 256)).toMatch(/^[ -~]+$/)
  expect(printable(every, 32, 127, 256)).toBe(every.toString('latin1', 32, 127).replace('\\', '\\\\'))
  expect(printable(Buffer.from('a\r\n\t\0\x1b\x7f\xff', 'latin1'), 0, 8, 80)).toBe('a\\r\\n\\t\\x00\\x1b\\x7f\\xff')
})

test('no more bytes than asked for, and a sign of those left out', () => {
  expect(printable(Buffer.from('abcdef'), 1, 5, 4)).toBe('bcde')
  expect(printable(Buffer.from('abcdef'), 1, 6, 4)).toBe('bcde…')
  expect(printable(Buffer.from('abc'), 1, 1, 4)).toBe('')
})
