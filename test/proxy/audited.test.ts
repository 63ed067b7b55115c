import { expect, test } from 'vitest'
import { commands } from '../../src/proto/commands.ts'
import { packet } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// What is recorded always: the event is told when the request is taken, once, whatever way it goes.

const all = '[read, write, delete, arithmetic, flush, stats, admin]'
const rows = commands.filter(({ group, verb }) => verb !== undefined && (group === 'flush' || group === 'admin'))
const lineOf = ({ verb, sub }: { verb?: string, sub?: string }): string => [verb, sub].filter(word => word !== undefined).join(' ')

test.each(rows.map(row => [row.name, row] as const))('%s is told of, with its group, and what comes before and behind it is not', async (_, row) => {
  const t = await transcript({ commands: all })
  t.client(1).sends(`get a\r\n${lineOf(row)}\r\n`)
  await t.backend.sees(row.shareable ? `get a\r\n${lineOf(row)}\r\n` : 'get a\r\n')
  t.backend.says('END\r\n')
  if (!row.shareable) await (await t.private(1)).sees(`${lineOf(row)}\r\n`)
  expect(await t.logged('command')).toMatchObject({ level: 'debug', command: row.name, group: row.group, client: t.lines.find(({ event }) => event === 'connected')!.client })
  expect(t.lines.filter(({ event }) => event === 'command')).toHaveLength(1)
})

test.each([['flush_all', { opcode: 0x08 }], ['flush_all', { opcode: 0x18 }], ['verbosity', { opcode: 0x1b, extras: Buffer.alloc(4) }]])('binary %s %j is told of', async (command, parts) => {
  const t = await transcript({ commands: all, backend: { sharing: 'private' } })
  t.client(1).sends(packet(parts))
  expect(await t.logged('command')).toMatchObject({ command })
})

test('a request that waits for a connection of its own is told of once, when it is taken', async () => {
  const t = await transcript({ commands: all })
  t.client(1).sends('get a\r\nverbosity 1\r\n')
  await t.backend.sees('get a\r\n')
  expect(t.lines.filter(({ event }) => event === 'command')).toEqual([])
  t.backend.says('END\r\n')
  await (await t.private(1)).sees('verbosity 1\r\n')
  expect(t.lines.filter(({ event }) => event === 'command')).toHaveLength(1)
})

test('what is refused, and what is not recorded always, is no such event', async () => {
  const t = await transcript({ commands: '[read, write, delete, arithmetic, stats]', backend: { sharing: 'private' } })
  t.client(1).sends('flush_all\r\nwatch\r\nset a 0 0 1\r\nx\r\ndelete a\r\nincr a 1\r\nstats\r\nmn\r\n')
  await (await t.private(1)).sees('set a 0 0 1\r\nx\r\ndelete a\r\nincr a 1\r\nstats\r\nmn\r\n')
  expect(t.lines.filter(({ event }) => event === 'command')).toEqual([])
  expect(t.lines.filter(({ event }) => event === 'command-refused').map(({ command }) => command)).toEqual(['flush_all', 'watch'])
})
