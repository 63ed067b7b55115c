import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { readPassword } from '../../src/process/backend-login.ts'
import { Login } from '../../src/proto/login.ts'
import { tempFolder } from '../support/temp-folder.ts'

function read(text: string | Buffer, mode = 0o600) {
  const file = join(tempFolder(), 'password')
  writeFileSync(file, text)
  chmodSync(file, mode)
  return readPassword(file)
}

test.each([['none', 'pass'], ['LF', 'pass\n'], ['CRLF', 'pass\r\n']])('the line end behind it is cut off: %s', (_, text) => {
  expect(read(text)).toEqual({ password: Buffer.from('pass'), faults: [], warnings: [] })
})

test.each([
  ['nothing', '', 'is empty'],
  ['a line end alone', '\n', 'is empty'],
  ['two lines', 'pass\nmore', 'more than one line'],
  ['two line ends', 'pass\n\n', 'more than one line'],
  ['a CR', 'pa\rss', 'more than one line'],
  ['a NUL', 'pa\0ss', 'NUL'],
  ['1,025 bytes', 'x'.repeat(1025), '1025 bytes'],
])('a file with %s', (_, text, words) => {
  const { password, faults } = read(text)
  expect(password).toBeUndefined()
  expect(faults).toEqual([{ message: expect.stringContaining(words), fix: expect.stringMatching(/\.$/) }])
  if (text.length > 4) expect(JSON.stringify(faults)).not.toContain('pass"')
})

test('1,024 bytes are a password, whatever their bytes', () => {
  expect(read(Buffer.alloc(1024, 0xff)).password).toEqual(Buffer.alloc(1024, 0xff))
})

test('no file, and a folder in its place', () => {
  const folder = tempFolder()
  expect(readPassword(join(folder, 'none')).faults).toEqual([{ message: `there is no file ${join(folder, 'none')}.`, fix: expect.any(String) }])
  mkdirSync(join(folder, 'some'))
  expect(readPassword(join(folder, 'some')).faults).toEqual([expect.objectContaining({ message: expect.stringContaining('is a folder') })])
})

test('who may read it, and a blank that older releases of memcached stop at, are told', () => {
  expect(read('pass', 0o640).warnings).toEqual([])
  expect(read('pass', 0o644).warnings).toEqual([expect.objectContaining({ message: expect.stringContaining('can be read by every user') })])
  const { password, warnings } = read('pass word')
  expect([password?.toString(), warnings]).toEqual(['pass word', [expect.objectContaining({ message: expect.stringContaining('1.6.40') })]])
})

test('whatever prints a login prints no password', () => {
  const login = new Login('cache', Buffer.from('s3cret'))
  expect([JSON.stringify(login), inspect(login, { depth: 9, showHidden: true }), String(login), JSON.stringify({ ...login })].join()).not.toMatch(/s3cret|115, *51/)
})

test('a login is the same when name and password are', () => {
  const login = new Login('cache', Buffer.from('s3cret'))
  expect(login.equals(new Login('cache', Buffer.from('s3cret')))).toBe(true)
  expect(login.equals(new Login('cache', Buffer.from('s3creT')))).toBe(false)
  expect(login.equals(new Login('cachE', Buffer.from('s3cret')))).toBe(false)
  expect(login.equals(undefined)).toBe(false)
})
