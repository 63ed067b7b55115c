import { expect, test } from 'vitest'
import { age, bytes, columns, facts, number } from '../../src/cli/table.ts'

test('columns are as wide as their widest cell, and numbers stand to the right', () => {
  expect(columns(['id', 'count'], [['c1', '5'], ['c10', '1,234']])).toBe('id   count\nc1       5\nc10  1,234\n')
})

test.each([[0, '0s'], [59.9, '59s'], [60, '1m'], [3_725, '1h 2m'], [90_000, '1d 1h'], [86_401, '1d']])('%d seconds are %s', (seconds, text) => {
  expect(age(seconds)).toBe(text)
})

test.each([[0, '0 B'], [1023, '1023 B'], [1024, '1.0 KiB'], [1.5 * 2 ** 20, '1.5 MiB'], [200 * 2 ** 30, '200 GiB']])('%d bytes are %s', (value, text) => {
  expect(bytes(value)).toBe(text)
})

test('thousands are parted, and what a client calls itself cannot move the cursor', () => {
  expect(number(1234567)).toBe('1,234,567')
  const stranger = 'CN=\u001b[2J\u009b\u202ex\n'
  expect(columns(['a', 'b'], [[stranger, 'y']])).toBe('a                                b\nCN=\\u001b[2J\\u009b\\u202ex\\u000a  y\n')
  expect(facts([['a', stranger]])).toBe('  a  CN=\\u001b[2J\\u009b\\u202ex\\u000a\n')
})
