import { expect, test } from 'vitest'
import { textLine, textReply } from '../../src/proto/refusal.ts'

test('fixed words are made once', () => {
  expect(textReply('CLIENT_ERROR fixed').toString()).toBe('CLIENT_ERROR fixed\r\n')
  expect(textReply('CLIENT_ERROR fixed')).toBe(textReply('CLIENT_ERROR fixed'))
})

test('a line for one occasion is not kept, and stays one short line whatever stands in it', () => {
  expect(textLine('SERVER_ERROR x')).not.toBe(textLine('SERVER_ERROR x'))
  expect(textLine('SERVER_ERROR a\r\nVALUE b\n\0\xe9').toString()).toBe('SERVER_ERROR a\\r\\nVALUE b\\n\\x00\\xc3\\xa9\r\n')
  expect(textLine('x'.repeat(200)).toString()).toBe(`${'x'.repeat(200)}\r\n`)
  expect(textLine('x'.repeat(201)).toString()).toBe(`${'x'.repeat(200)}…\r\n`)
})

test('the table of kept words does not grow without end', () => {
  const words = (n: number) => `SERVER_ERROR ${n}`
  const made = Array.from({ length: 1000 }, (_, n) => textReply(words(n)))
  expect(made.filter((line, n) => textReply(words(n)) === line).length).toBeLessThanOrEqual(64)
  expect(textReply(words(999)).toString()).toBe('SERVER_ERROR 999\r\n')
})
