import { expect, test } from 'vitest'
import { everySplit } from './every-split.ts'
import { prng } from './prng.ts'

test('every split holds the same bytes; whole, bytewise and each two-way cut are among them', () => {
  const seen = new Set<string>()
  everySplit(Buffer.from('get a\r\n'), pieces => {
    expect(Buffer.concat(pieces).toString()).toBe('get a\r\n')
    expect(pieces.every(piece => piece.length > 0)).toBe(true)
    seen.add(pieces.map(piece => piece.length).join())
  })
  for (const cut of ['7', '1,1,1,1,1,1,1', '1,6', '2,5', '3,4', '4,3', '5,2', '6,1']) expect(seen).toContain(cut)
})

test('a failure names the split', () => {
  const failsInTwo = (pieces: Buffer[]) => { if (pieces.length === 2) throw new Error('wrong') }
  expect(() => everySplit(Buffer.from('abc'), failsInTwo)).toThrow('split at 1: wrong')
})

test('empty and single bytes have no cuts', () => {
  everySplit(Buffer.alloc(0), pieces => expect(pieces).toEqual([Buffer.alloc(0)]))
  everySplit(Buffer.from('a'), pieces => expect(pieces).toEqual([Buffer.from('a')]))
})

test('the same seed gives the same numbers', () => {
  expect(prng(7).bytes(32)).toEqual(prng(7).bytes(32))
  expect(prng(7).bytes(32)).not.toEqual(prng(8).bytes(32))
})
