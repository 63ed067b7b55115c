import { expect, test } from 'vitest'
import { commandNames, commands, groupNames, groups, isChangingRow } from '../../src/proto/commands.ts'
import { BINARY_MAGIC, dialectOf } from '../../src/proto/frame.ts'
import { Shape, shapeOfRow } from '../../src/proto/reply.ts'

test('no two rows claim the same words or opcode', () => {
  const claims = commands.flatMap(row => [row.verb && `${row.verb} ${row.sub ?? ''}`, row.opcode, row.quiet]).filter(claim => claim !== undefined)
  expect(new Set(claims).size).toBe(claims.length)
})

test('every opcode that memcached answers is known, and no other', () => {
  const opcodes = commands.flatMap(row => [row.opcode, row.quiet]).filter(opcode => opcode !== undefined).sort((a, b) => a - b)
  const upTo26 = Array.from({ length: 0x1f }, (_, opcode) => opcode)
  expect(opcodes).toEqual([...upTo26, 0x20, 0x21, 0x22, 0x23, 0x24])
})

test('a row of the text protocol says how its line is built and what answers it', () => {
  for (const row of commands) {
    if (row.verb === undefined) continue
    expect(row).toMatchObject({ syntax: expect.any(String), reply: expect.any(String) })
    expect(shapeOfRow[commands.indexOf(row)]).toBe(Shape[row.reply!])
  }
})

test('nothing is shared that changes the connection, the server, or cannot be told where it ends', () => {
  for (const row of commands) {
    if (row.group === 'admin' || row.syntax === 'words' || row.reply === 'none') expect(row).toMatchObject({ shareable: false })
    if (row.shareable && row.verb !== undefined) expect(['endless', 'dump', 'lines', 'line', 'none']).not.toContain(row.reply)
  }
})

test('what may be asked again changes nothing', () => {
  for (const [at, row] of commands.entries()) if (row.again === true) expect(isChangingRow[at]).toBe(0)
  expect(commands.filter(row => row.again === true).map(row => row.verb ?? row.opcode)).toEqual(['get', 0x0c, 'gets', 'mg'])
})

test('names for the configuration', () => {
  expect(groupNames).toEqual([...groups.filter(group => group !== 'basic'), 'all'])
  expect(commandNames).not.toContain('unknown')
  expect(new Set(commandNames).size).toBe(commandNames.length)
  // Where a command is called like a group, the group is its own.
  for (const row of commands) if (groupNames.includes(row.name)) expect(row.group).toBe(row.name)
})

test('every row names its source', () => {
  for (const row of commands) expect(row.source).not.toBe('')
})

test('the first byte is the dialect', () => {
  expect(dialectOf(BINARY_MAGIC)).toBe('binary')
  for (const byte of [0, 0x0a, 0x67, 0x7f, 0x81, 0xff]) expect(dialectOf(byte)).toBe('text')
})
