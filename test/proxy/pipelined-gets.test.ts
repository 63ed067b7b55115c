import { expect, test } from 'vitest'
import { transcript } from './transcript.ts'

// Gets of one key each that one client sends in one go are one entry of the lane's queue (1.6.45: they are not joined).

const value = (key: string, text: string) => `VALUE ${key} 0 ${text.length}\r\n${text}\r\nEND\r\n`

test('they leave as they were sent, and each client gets its own replies', async () => {
  const t = await transcript({ clients: 2, version: '1.6.45' })
  t.client(1).sends('get a\r\nget  b \r\nget a\r\nset s 0 0 1\r\nx\r\nget c\r\nget d\r\n')
  await t.backend.sees('get a\r\nget  b \r\nget a\r\nset s 0 0 1\r\nx\r\nget c\r\nget d\r\n')
  t.client(2).sends('get c\r\nget a\r\n')
  await t.backend.sees('get c\r\nget a\r\n')
  t.backend.says(value('a', '1'), 'END\r\n', value('a', '22'), 'STORED\r\nEND\r\n', value('d', '3'), value('c', '4'), 'END\r\n')
  await t.client(1).gets(`${value('a', '1')}END\r\n${value('a', '22')}STORED\r\nEND\r\n${value('d', '3')}`)
  await t.client(2).gets(`${value('c', '4')}END\r\n`)
})

test('replies go on as they come', async () => {
  const t = await transcript({ version: '1.6.45' })
  t.client(1).sends('get a\r\nget b\r\nget c\r\n')
  await t.backend.sees('get a\r\nget b\r\nget c\r\n')
  t.backend.says(value('a', '1'), 'VALUE b 0 2\r\nb')
  await t.client(1).gets(value('a', '1'))
  t.backend.says('b\r\nEND\r\nEN')
  await t.client(1).gets(value('b', 'bb'))
  t.backend.says('D\r\n')
  await t.client(1).gets('END\r\n')
})

test('of a lane that is lost: what was answered is done, the get in hand gets an error, and so do the others without another lane', async () => {
  const t = await transcript({ version: '1.6.45' })
  t.client(1).sends('get a\r\nget b\r\nget c\r\n')
  await t.backend.sees('get a\r\nget b\r\nget c\r\n')
  t.backend.says(value('a', '1'), 'VALUE b 0 2\r\nb')
  await t.client(1).gets(value('a', '1'))
  t.backend.end()
  const error = 'SERVER_ERROR memseal: the backend closed the connection\r\n'
  await t.client(1).gets(error + error)
})

test.each([
  ['another value than the next key', 'END\r\nVALUE c 0 1\r\nx\r\nEND\r\n'],
  ['a value twice', 'VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n'],
  ['a line that is no reply to a get', 'END\r\nSTORED\r\n'],
])('out of step, so the lane and its clients go: %s', async (_, said) => {
  const t = await transcript({ clients: 2, version: '1.6.45' })
  t.client(1).sends('get a\r\nget b\r\n')
  await t.backend.sees('get a\r\nget b\r\n')
  t.client(2).sends('get d\r\n')
  await t.backend.sees('get d\r\n')
  t.backend.says(said)
  expect(await t.reason(1)).toBe('backend-out-of-step')
  expect(await t.reason(2)).toBe('backend-out-of-step')
})
