import { expect, test } from 'vitest'
import { addressBits, rangeOf, shortAddress, sizeOf } from '../../src/lib/ip.ts'

test('addresses are numbers, in whatever form they are written', () => {
  expect(['0.0.0.0', '10.0.0.1', '255.255.255.255', '::1', '1::', '0:0:0:0:0:0:0:1', '::ffff:10.0.0.1'].map(addressBits))
    .toEqual([0n, 0x0a000001n, 0xffffffffn, 1n, 1n << 112n, 1n, 0xffff0a000001n])
  expect(['FD00:0:0::1', '10.0.0.1', 'name'].map(shortAddress)).toEqual(['fd00::1', '10.0.0.1', 'name'])
})

test('a range has both its ends', () => {
  expect(rangeOf('10.0.0.0/8')).toEqual({ first: 0x0a000000n, last: 0x0affffffn })
  expect(rangeOf('10.0.0.1/32')).toEqual({ first: 0x0a000001n, last: 0x0a000001n })
  expect(rangeOf('::/0')).toEqual({ first: 0n, last: (1n << 128n) - 1n })
})

test('what is in several ranges counts once, what is taken out not at all', () => {
  const size = (ranges: string[], without: string[] = []) => sizeOf(ranges.map(rangeOf), without.map(rangeOf))
  expect(size([])).toBe(0n)
  expect(size(['10.0.0.0/30', '10.0.0.2/31', '10.0.0.4/32', '10.0.0.0/31'])).toBe(5n)
  expect(size(['10.0.0.0/24'], ['10.0.0.0/25', '10.0.0.64/26', '10.0.1.0/24', '10.0.0.255/32'])).toBe(127n)
  expect(size(['10.0.0.0/25', '10.0.0.0/24'], ['10.0.0.0/23'])).toBe(0n)
  expect(size(['0.0.0.0/0'])).toBe(1n << 32n)
})
