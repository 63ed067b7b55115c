import { expect, test } from 'vitest'
import { Pieces } from '../../src/proto/pieces.ts'
import { everySplit } from '../support/every-split.ts'
import { prng } from '../support/prng.ts'

test('however a value is cut, its pieces are the value', () => {
  const value = prng(1).bytes(300)
  everySplit(value, cut => {
    const pieces: Buffer[] = []
    const gathering = new Pieces()
    for (const piece of cut) gathering.add(pieces, piece)
    expect(Buffer.concat(pieces)).toEqual(value)
    expect(pieces.length).toBe(1)
  })
})

test('small and large pieces keep their order, and what was handed out stays as it was', () => {
  const random = prng(2)
  const gathering = new Pieces()
  const requests = Array.from({ length: 20 }, () => {
    const pieces: Buffer[] = []
    const sent = Array.from({ length: 30 }, () => random.bytes(random.pick([1, 10, 1023, 1024, 1025, 5000])))
    for (const piece of sent) gathering.add(pieces, piece)
    return { pieces, sent }
  })
  for (const { pieces, sent } of requests) expect(Buffer.concat(pieces).equals(Buffer.concat(sent))).toBe(true)
})

test('a value sent byte by byte is a few pieces; from 1 KiB on a piece is not copied', () => {
  const gathering = new Pieces()
  const pieces: Buffer[] = []
  for (let n = 0; n < 20_000; n++) gathering.add(pieces, Buffer.from('v'))
  expect(pieces.length).toBe(3)
  const large = Buffer.alloc(1024)
  gathering.add(pieces, large)
  expect(pieces.at(-1)).toBe(large)
  gathering.add(pieces, Buffer.alloc(1023))
  gathering.add(pieces, Buffer.alloc(1))
  expect(pieces.length).toBe(5)
})
