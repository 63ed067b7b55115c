import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { bindForNobodyElse, openTo } from '../../src/lib/socket-permissions.ts'
import { tempFolder } from '../support/temp-folder.ts'

const isRoot = process.getuid?.() === 0

function file(): string {
  const path = join(tempFolder(), 's')
  writeFileSync(path, '')
  return path
}

test('a socket is bound for nobody else, and the mask is as before', async () => {
  const path = join(tempFolder(), 's.sock')
  const server = createServer()
  const before = process.umask()
  bindForNobodyElse(() => server.listen(path))
  expect(process.umask()).toBe(before)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(() => bindForNobodyElse(() => { throw new Error('no') })).toThrow('no')
  expect(process.umask()).toBe(before)
  await new Promise(resolve => server.close(resolve))
})

test('mode, owner and group are given, by name or number', () => {
  const path = file()
  openTo(path, { mode: 0o666, owner: undefined, group: undefined })
  expect(statSync(path)).toMatchObject({ mode: 0o100666, uid: process.getuid!() })
  openTo(path, { mode: 0o660, owner: undefined, group: String(process.getgid!()) })
  expect(statSync(path).mode).toBe(0o100660)
})

test.skipIf(!isRoot)('root gives a socket to others (skipped when not root)', () => {
  const path = file()
  openTo(path, { mode: 0o660, owner: 'daemon', group: '12345' })
  expect(statSync(path)).toMatchObject({ mode: 0o100660, uid: 1, gid: 12345 })
})

test('accounts that are not there are told, with what to write', () => {
  const path = file()
  expect(() => openTo(path, { mode: 0o660, owner: 'no-such-user', group: undefined }))
    .toThrow('there is no user "no-such-user" in /etc/passwd. Write another socket.owner, or its number (getent passwd no-such-user).')
  expect(() => openTo(path, { mode: 0o660, owner: undefined, group: 'no-such-group' }))
    .toThrow('there is no group "no-such-group" in /etc/group.')
})
