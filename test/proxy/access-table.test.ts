import { expect, test } from 'vitest'
import { commandNames, commands, isKeyedRow, type Command } from '../../src/proto/commands.ts'
import { packet, reply } from '../proto/binary.ts'
import { certificateOf } from '../support/names.ts'
import { transcript } from './transcript.ts'

// Every command of the table, in every form, let pass and refused: by its name, and by its key. What is refused is answered in so many
// bytes, nothing of it comes to memcached, and a neighbour on the same connection gets what is its own before and after.

type Dialect = 'text' | 'binary'
type T = Awaited<ReturnType<typeof transcript>>

interface Case { name: string, row: Command, dialect: Dialect, request: (key: string) => Buffer, opcode: number, isQuiet: boolean }

const blocks = { 'store': '', 'cas': ' 1', 'meta-store': '' }

function line(row: Command, key: string): string {
  switch (row.syntax!) {
    case 'keys': return `${row.verb} ${key}`
    case 'exptime-keys': return `${row.verb} 0 ${key}`
    case 'store': case 'cas': return `${row.verb} ${key} 0 0 2${blocks[row.syntax as 'cas']}\r\nhi`
    case 'meta-store': return `${row.verb} ${key} 2\r\nhi`
    case 'meta': return row.verb === 'mg' ? `mg ${key} v` : `${row.verb} ${key}`
    case 'arithmetic': return `${row.verb} ${key} 1`
    case 'touch': return `${row.verb} ${key} 0`
    case 'delete': return `${row.verb} ${key}`
    case 'flush': case 'bare': return row.verb!
    case 'words': return row.sub === undefined ? row.verb! : `${row.verb} ${row.sub}`
  }
}

function casesOf(dialect: Dialect): Case[] {
  return commands.filter(row => row.group !== 'basic' && row.name !== 'unknown').flatMap((row): Case[] => {
    if (dialect === 'text') return row.verb === undefined ? [] : [{ name: `text ${row.name}`, row, dialect, request: key => Buffer.from(`${line(row, key)}\r\n`), opcode: 0, isQuiet: false }]
    const opcodes = [row.opcode, row.quiet].filter(opcode => opcode !== undefined)
    return opcodes.map((opcode): Case => ({
      name: `binary ${row.name} 0x${opcode.toString(16)}`, row, dialect, opcode, isQuiet: opcode === row.quiet,
      request: key => packet({ opcode, extras: Array.isArray(row.extras) ? 0 : row.extras as number, key: row.key === true ? key : '', value: row.value === true ? 'hi' : '', opaque: 7 }),
    }))
  })
}

/** In the form that its askers read. */
function refusal({ row, dialect, opcode }: Case): Buffer {
  if (dialect === 'binary') return row.refusal === 'unknown' ? reply({ opcode, status: 0x81, value: 'Unknown command', opaque: 7 }) : reply({ opcode, status: 0x83, value: 'memseal: command not allowed', opaque: 7 })
  if (row.refusal === 'statistic') return Buffer.from('STAT memseal command_not_allowed\r\nEND\r\n')
  if (row.refusal === 'key') return Buffer.from('key=memseal:command_not_allowed exp=-1 la=0 cas=0 fetch=no cls=0 size=0\r\nEND\r\n')
  return Buffer.from('CLIENT_ERROR memseal: command not allowed\r\n')
}

function keyRefusal({ dialect, opcode }: Case): Buffer {
  return dialect === 'binary' ? reply({ opcode, status: 0x83, value: 'memseal: key not allowed', opaque: 7 }) : Buffer.from('CLIENT_ERROR memseal: key not allowed\r\n')
}

const neighbourly = { name: 'neighbours', match: { cn: 'neighbour' }, commands: ['read'] }
const noop = packet({ opcode: 0x0a, opaque: 1 })

/** The neighbour asks and is answered: whatever else has come to memcached would be seen here. */
async function neighbourIsFine(dialect: Dialect, neighbour: ReturnType<T['client']>, backend: T['backend']): Promise<void> {
  if (dialect === 'text') {
    await backend.sees('get n\r\n')
    backend.says('VALUE n 0 1\r\nn\r\nEND\r\n')
    return neighbour.gets('VALUE n 0 1\r\nn\r\nEND\r\n')
  }
  const [opaque] = await backend.seesPackets(0x0a)   // of memseal's own
  backend.says(reply({ opcode: 0x0a, opaque }))
  await neighbour.gets(reply({ opcode: 0x0a, opaque: 1 }))
}

/** One by one; `delete` is a group as well, and so not listed for those that are in it. */
const everything = commandNames.filter(name => name !== 'sasl')

const ways = (['text', 'binary'] as const).flatMap(dialect => (['shared', 'private'] as const).map(sharing => ({ dialect, sharing })))

test.each(ways)('$dialect, $sharing: refused by command and by key', async ({ dialect, sharing }) => {
  const web = (commands: readonly string[], keys?: string[]) => ({ name: 'web', match: { cn: 'web' }, commands, ...keys && { keys } })
  const isShared = sharing === 'shared'
  const t = await transcript({ clients: 0, dialect, backend: { sharing }, access: [web(['get']), neighbourly] })
  const neighbour = await t.connect(certificateOf({ cn: 'neighbour' }))
  const client = await t.connect(certificateOf({ cn: 'web' }))
  const asks = (): void => neighbour.sends(dialect === 'text' ? 'get n\r\n' : noop)
  asks()
  const backend = isShared ? await t.lanes(1) : await t.private(1)
  await neighbourIsFine(dialect, neighbour, backend)
  for (const each of casesOf(dialect)) {
    const { row, request } = each
    t.reload({ access: [web(everything.filter(name => name !== row.name && name !== row.group)), neighbourly] })
    client.sends(request('web:1'))
    await client.gets(refusal(each))
    asks()
    await neighbourIsFine(dialect, neighbour, backend)
    if (isKeyedRow[commands.indexOf(row)] === 0) continue
    t.reload({ access: [web([row.name, 'add'], ['web:*']), neighbourly] })
    client.sends(request('other:1'))
    await client.gets(keyRefusal(each))
    asks()
    await neighbourIsFine(dialect, neighbour, backend)
  }
  expect(t.privates).toBe(isShared ? 0 : 1)
})

test.each(ways.flatMap(way => casesOf(way.dialect).map(each => ({ ...way, each, name: each.name }))))('$name, $sharing: let pass by its name and its key', async ({ dialect, sharing, each: { row, request, opcode } }) => {
  const keys = isKeyedRow[commands.indexOf(row)] === 1 ? { keys: ['web:*'] } : {}
  const t = await transcript({ clients: 0, dialect, backend: { sharing }, access: [{ name: 'web', match: { cn: 'web' }, commands: [row.name, 'add'], ...keys }] })
  const client = await t.connect(certificateOf({ cn: 'web' }))
  client.sends(request('web:1'))
  const backend = sharing === 'private' || !row.shareable ? await t.private(1) : await t.lanes(1)
  const bytes = request('web:1')
  const got = await backend.readExactly(bytes.length)
  if (dialect === 'text') expect(got.toString('latin1')).toBe(bytes.toString('latin1'))
  // Its opaque is one of memseal's own.
  else expect([got[1], got.subarray(24).toString('latin1')]).toEqual([opcode, bytes.subarray(24).toString('latin1')])
})
