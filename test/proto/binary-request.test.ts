import { expect, test } from 'vitest'
import { commands } from '../../src/proto/commands.ts'
import { everySplit } from '../support/every-split.ts'
import { packet, type Packet } from './binary.ts'
import { binaryFrames, type Frame } from './reading.ts'

function expectFrames(bytes: Buffer, ...expected: Partial<Frame>[]): void {
  everySplit(bytes, pieces => {
    const frames = binaryFrames(pieces)
    expect(frames).toHaveLength(expected.length)
    expected.forEach((frame, n) => expect(frames[n]).toMatchObject(frame))
  })
}

const get = packet({ opcode: 0, key: 'next' })
/** A whole packet, after which the stream goes on. */
const fits = (parts: Packet, frame: Partial<Frame>) =>
  expectFrames(Buffer.concat([packet(parts), get]), { found: 'request', bytes: packet(parts).toString('latin1'), ...frame }, { command: 'get', key: 'next' })
const lost = (parts: Packet, status = 4) => expectFrames(packet(parts), { found: 'lost', strict: false, status, bytes: packet(parts).toString('latin1') })

const withOpcode = commands.flatMap(row => [row.opcode, row.quiet].flatMap(opcode => opcode === undefined ? [] : [{ row, opcode }]))

test.each(withOpcode)('opcode $opcode, $row.name', ({ row, opcode }) => {
  const extrasFitting = ([row.extras].flat() as number[])
  for (const extras of extrasFitting) {
    const parts = { opcode, extras, key: row.key === true ? 'abc' : '', value: row.value === true ? 'value' : '' }
    fits(parts, { command: row.name, strict: row.shareable, quiet: opcode === row.quiet, opaque: 0xcafe, key: parts.key })
    if (row.value === true) fits({ ...parts, value: '' }, { command: row.name, strict: row.shareable })
  }
  const extras = extrasFitting[0]
  const parts = { opcode, extras, key: row.key === true ? 'abc' : '' }
  for (const other of [extras + 1, extras - 1, 255]) if (other >= 0) lost({ ...parts, extras: other })
  if (row.key === true) lost({ ...parts, key: '' })
  else if (row.name !== 'stats') lost({ ...parts, key: 'abc' })
  if (row.value !== true) lost({ ...parts, value: 'x' })
  lost({ ...parts, body: 0, keyBytes: 3 })
})

test.each([0x05, 0x06, 0x15, 0x16])('opcode %i creates unless its exptime is ffffffff, and needs leave for that', opcode => {
  const add = commands.findIndex(row => row.name === 'add')
  const counted = (exptime: number) => {
    const extras = Buffer.alloc(20, 0xff)
    extras.writeUInt32BE(exptime, 16)
    return { opcode, extras, key: 'abc' }
  }
  for (const exptime of [0, 30, 0xfffffffe, 0x7fffffff, 0xffffff00, 0x00ffffff]) fits(counted(exptime), { alsoRow: add })
  fits(counted(0xffffffff), { alsoRow: -1 })
  fits({ opcode: 0x0c, key: 'abc' }, { alsoRow: -1 })
})

test('surplus that holds a packet is never run: the stream is lost', () => {
  const version = packet({ opcode: 0x0b }).toString('latin1')
  for (const parts of [{ opcode: 0x1c, extras: 4, key: 'a' }, { opcode: 0x1e, extras: 4, key: 'a' }, { opcode: 0x10 }, { opcode: 0, key: 'a' }]) lost({ ...parts, value: version })
})

test('keys of 250 bytes, not of 251', () => {
  fits({ opcode: 0, key: 'k'.repeat(250) }, { strict: true, key: 'k'.repeat(250) })
  lost({ opcode: 0, key: 'k'.repeat(251) })
  lost({ opcode: 1, extras: 8, key: 'k'.repeat(251), value: 'x' })
  expectFrames(packet({ opcode: 0, keyBytes: 65535, body: 65535 }), { found: 'lost' })
})

test('keys may hold any byte', () => {
  for (const key of [' ', '\r\n', '\0', '\xff', 'a b\r\nget c\r\n']) fits({ opcode: 0, key }, { strict: true, key })
})

test('lengths that lie', () => {
  expectFrames(packet({ opcode: 1, extras: 8, key: 'abc', body: 10 }), { found: 'lost' })
  expectFrames(packet({ opcode: 1, extras: 8, key: 'abc', body: 2 ** 30 }))
  for (const body of [2 ** 30 + 1, 2 ** 31, 2 ** 32 - 1]) expectFrames(packet({ opcode: 1, extras: 8, key: 'abc', body }), { found: 'lost' })
  expectFrames(packet({ opcode: 0, key: 'abc', body: 2 ** 32 - 1 }), { found: 'lost' })
})

test('the sub-commands of STAT by name', () => {
  fits({ opcode: 0x10 }, { command: 'stats', strict: false })
  for (const sub of ['settings', 'items', 'slabs', 'sizes', 'reset']) fits({ opcode: 0x10, key: sub }, { command: `stats ${sub}`, strict: false })
  for (const sub of ['s', 'se', 'settings x', 'detail on', 'x']) fits({ opcode: 0x10, key: sub }, { command: 'unknown', strict: false })
})

test('unknown opcodes are followed by their length', () => {
  for (const opcode of [0x1f, 0x30, 0x3c, 0x70, 0xff]) {
    fits({ opcode, extras: 4, key: 'abc', value: 'x' }, { command: 'unknown', strict: false, status: 0x81 })
    fits({ opcode }, { command: 'unknown', strict: false, status: 0x81 })
  }
})

test('another magic is lost once there are as many bytes as a header has', () => {
  for (const first of [0x81, 0x00, 0x67, 0x16]) expectFrames(Buffer.concat([get, Buffer.from([first]), get]), { found: 'request' }, { found: 'lost' })
  expectFrames(Buffer.from('get a'.padEnd(22) + '\n'))
  expectFrames(Buffer.from('get a'.padEnd(23) + '\n'), { found: 'lost', bytes: 'get a'.padEnd(23) + '\n' })
})

test.each([0, 1, 0x7fffffff, 0x80000000, 0xffffffff])('opaque %d', opaque => fits({ opcode: 0, key: 'a', opaque }, { opaque }))

test('data type and vbucket are not looked at', () => {
  const bytes = packet({ opcode: 0, key: 'a' })
  bytes[5] = 7
  bytes.writeUInt16BE(9, 6)
  expectFrames(bytes, { strict: true })
})

test('bodies may be held, streamed and read over', () => {
  const bytes = Buffer.concat([packet({ opcode: 1, extras: 8, key: 'abc', value: 'x'.repeat(100) }), get, packet({ opcode: 0x11, extras: 8, key: 'd', value: '' }), packet({ opcode: 0x0a })])
  everySplit(bytes, pieces => {
    expect(binaryFrames(pieces).map(frame => frame.bytes).join('')).toBe(bytes.toString('latin1'))
    expect(binaryFrames(pieces, 'stream').map(frame => frame.bytes).join('')).toBe(bytes.toString('latin1'))
    expect(binaryFrames(pieces, 'skip').map(frame => frame.command)).toEqual(['set', 'get', 'set', 'mn'])
  })
})

test('quiet runs', () => {
  const run = Buffer.concat([packet({ opcode: 0x0d, key: 'a' }), packet({ opcode: 0x0d, key: 'b' }), packet({ opcode: 0x0a })])
  expectFrames(run, { quiet: true }, { quiet: true }, { quiet: false, command: 'mn' })
})
