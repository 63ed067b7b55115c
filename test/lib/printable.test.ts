import { expect, test } from 'vitest'
import { printable, printableLines, printableText } from '../../src/lib/printable.ts'

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

test('text of others: control characters of both kinds and invisible marks are escaped, in JSON as JSON, and all else is as it was', () => {
  const foul = '\u0000\u001b\u007f\u0080\u009b\u00ad\u200b\u202e\u2028\u2029\u2066\ufeff\u{e0001}\r'
  expect(printableText(foul + '\n\t')).toMatch(/^(\\u[0-9a-f]{4}){17}$/)
  expect(printableLines(`a${foul}\n\tb`)).toMatch(/^a(\\u[0-9a-f]{4}){15}\n\tb$/)
  const json = printableText(JSON.stringify({ foul }))
  expect(json).toMatch(/^[ -~]+$/)
  expect(JSON.parse(json)).toEqual({ foul })
  expect(printableText('O=Müller & 日本, CN=a\\b "c" 😀')).toBe('O=Müller & 日本, CN=a\\b "c" 😀')
})
