import { expect, test } from 'vitest'
import { commands } from '../../src/proto/commands.ts'
import { packet, reply } from '../proto/binary.ts'
import { transcript } from './transcript.ts'

// A command is a read or not in every count alike: each key that one asks for is a hit or a miss, on shared connections and on
// those of one client, quiet or not.

const value = (line: string) => `${line}\r\nx\r\nEND\r\n`
/** How memcached answers, by command, when the key is there and when it is not. */
const text: Record<string, { asked: string, hit: string, miss: string, isPrivate?: boolean }> = {
  get: { asked: 'get a\r\n', hit: value('VALUE a 0 1'), miss: 'END\r\n' },
  gets: { asked: 'gets a\r\n', hit: value('VALUE a 0 1 9'), miss: 'END\r\n' },
  bget: { asked: 'bget a\r\n', hit: value('VALUE a 0 1'), miss: 'END\r\n', isPrivate: true },
  gat: { asked: 'gat 9 a\r\n', hit: value('VALUE a 0 1'), miss: 'END\r\n' },
  gats: { asked: 'gats 9 a\r\n', hit: value('VALUE a 0 1 9'), miss: 'END\r\n' },
  mg: { asked: 'mg a v\r\n', hit: 'VA 1\r\nx\r\n', miss: 'EN\r\n' },
  'mg, quiet': { asked: 'mg a v q\r\nmn\r\n', hit: 'VA 1\r\nx\r\nMN\r\n', miss: 'MN\r\n' },
  'mg, quiet, behind a write': { asked: 'ms b 1 q\r\ny\r\nmg a v q\r\nmn\r\n', hit: 'VA 1\r\nx\r\nMN\r\n', miss: 'MN\r\n' },
}

test('the rows that are reads are these', () => {
  const names = commands.filter(row => row.reads).map(row => row.name)
  expect([...new Set(names)].sort()).toEqual([...new Set(Object.keys(text).map(name => name.split(',')[0]))].sort())
})

for (const sharing of ['shared', 'private'] as const) {
  test.each(Object.entries(text).filter(([, { isPrivate }]) => sharing === 'private' || !isPrivate))(`${sharing}: %s`, async (_, { asked, hit, miss }) => {
    const t = await transcript({ backend: { sharing } })
    t.client(1).sends(asked)
    const backend = sharing === 'shared' ? t.backend : await t.private(1)
    // What cannot be told from its answer has a fence behind it where others are.
    const fence = sharing === 'shared' && asked === text['mg'].asked ? ['mn\r\n', 'MN\r\n'] : ['', '']
    await backend.sees(asked, fence[0])
    backend.says(hit, fence[1])
    await t.client(1).gets(hit)
    t.client(1).sends(asked)
    await backend.sees(asked, fence[0])
    backend.says(miss, fence[1])
    await t.client(1).gets(miss)
    const { traffic } = t.service.measure()
    expect([traffic.hits, traffic.misses]).toEqual([1, 1])
  })
}

const binary = commands.flatMap(row => row.reads && row.opcode !== undefined ? [row.opcode, row.quiet!] : [])

test('the opcodes that are reads are these', () => {
  expect(binary.sort((a, b) => a - b)).toEqual([0x00, 0x09, 0x0c, 0x0d, 0x1d, 0x1e, 0x23, 0x24])
})

test.each(binary)('opcode %i', async opcode => {
  const t = await transcript({ dialect: 'binary' })
  const isKeyed = opcode === 0x0c || opcode === 0x0d || opcode > 0x20
  const asked = packet({ opcode, key: 'a', extras: opcode > 0x1c ? 4 : 0, opaque: 7 })
  t.client(1).sends(asked, packet({ opcode: 0x0a, opaque: 8 }), asked, packet({ opcode: 0x0a, opaque: 9 }))
  const lane = await t.lanes(1)
  const [hit, noop, miss, lastNoop] = await lane.seesPackets(opcode, 0x0a, opcode, 0x0a)
  const isQuiet = [0x09, 0x0d, 0x1e, 0x24].includes(opcode)
  const value = (opaque: number) => reply({ opcode, extras: 4, key: isKeyed ? 'a' : '', value: 'x', opaque })
  const absent = (opaque: number) => isQuiet ? Buffer.alloc(0) : reply({ opcode, status: 1, opaque })
  lane.says(value(hit), reply({ opcode: 0x0a, opaque: noop }), absent(miss), reply({ opcode: 0x0a, opaque: lastNoop }))
  await t.client(1).gets(value(7), reply({ opcode: 0x0a, opaque: 8 }), absent(7), reply({ opcode: 0x0a, opaque: 9 }))
  const { traffic } = t.service.measure()
  expect([traffic.hits, traffic.misses]).toEqual([1, 1])
})
