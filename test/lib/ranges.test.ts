import { BlockList, isIP } from 'node:net'
import { expect, test } from 'vitest'
import { rangeOf, sizeOf } from '../../src/lib/ip.ts'
import { parseAddress } from '../../src/lib/parse-address.ts'
import { Ranges, RangesBuilder } from '../../src/lib/ranges.ts'
import { prng, type Prng } from '../support/prng.ts'

test('networks and single addresses of both families, up to their edges', () => {
  const list = Ranges.of(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1'])
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.7', 'fd00::1', 'fdff:ffff::1', '2001:db8::1']) expect([inside, list.has(inside)]).toEqual([inside, true])
  for (const outside of ['9.255.255.255', '11.0.0.0', '192.0.2.8', 'fe00::1', '2001:db8::2', 'unix', '']) expect([outside, list.has(outside)]).toEqual([outside, false])
  expect(list.size).toBe(4)
})

test('an IPv6 network, all of it even, says nothing of IPv4', () => {
  expect(Ranges.of(['::/0']).has('10.0.0.1')).toBe(false)
  expect(Ranges.of(['0.0.0.0/0']).has('10.0.0.1')).toBe(true)
})

test('the first and the last of all addresses', () => {
  const list = Ranges.of(['0.0.0.0', '255.255.255.255', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'])
  expect(['0.0.0.0', '255.255.255.255', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'].map(each => list.has(each))).toEqual([true, true, true, true])
  expect(['0.0.0.1', '255.255.255.254', '::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'].map(each => list.has(each))).toEqual([false, false, false, false])
})

test.each([
  '10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'x', '', '/8', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/08x', '10.0.0.0/0008', '10.0.0.1/8', 'fd00::1/8', 'fe80::1%eth0', '10.0.0.0/8/8',
  '::ffff:10.0.0.0/104', '::ffff:a00:0/104', '::ffff:192.0.2.7',
])('%s is not a range', rule => {
  expect(() => Ranges.of([rule])).toThrow(rule)
})

test('the narrowest of several holds, whatever their order; of the same one the higher label', () => {
  const rules: [string, number][] = [['10.0.0.0/8', 1], ['10.1.0.0/16', 2], ['10.1.2.0/24', 3], ['10.1.2.3', 4], ['10.1.3.0/24', 2], ['2001:db8::/32', 5], ['2001:db8::/48', 6], ['0.0.0.0/0', 0]]
  for (const order of [rules, rules.toReversed()]) {
    const builder = new RangesBuilder()
    for (const [rule, label] of order) expect(builder.add(rule, label)).toBe(true)
    const ranges = builder.build()
    expect(['9.0.0.0', '10.0.0.0', '10.1.1.255', '10.1.2.0', '10.1.2.2', '10.1.2.3', '10.1.2.4', '10.1.3.0', '10.1.255.255', '10.2.0.0', '11.0.0.0'].map(each => ranges.labelOf(each)))
      .toEqual([0, 1, 2, 3, 3, 4, 3, 2, 2, 1, 0])
    expect(['2001:db7::', '2001:db8::1', '2001:db8:1::', '2001:db9::'].map(each => ranges.labelOf(each))).toEqual([-1, 6, 5, -1])
  }
  const twice = new RangesBuilder()
  for (const label of [7, 8]) for (const rule of ['10.0.0.0/8', '::/0', '10.0.0.0/9']) twice.add(rule, label)
  expect(['10.0.0.1', '10.200.0.1', '::1'].map(each => twice.build().labelOf(each))).toEqual([8, 8, 8])
})

test('a network within a network, as deep as there are prefixes, each twice', () => {
  const builder = new RangesBuilder()
  for (const label of [200, 0]) for (let prefix = 128; prefix >= 0; prefix--) builder.add(`::/${prefix}`, label + prefix)
  const ranges = builder.build()
  expect(ranges.labelOf('::')).toBe(328)
  expect(ranges.labelOf('::1')).toBe(327)
  expect(ranges.labelOf('8000::')).toBe(200)
})

/** Addresses that crowd together, so that ranges meet, nest and repeat. */
function address(random: Prng): string {
  if (random.chance(0.5)) return [10, random.between(0, 1), random.between(0, 3), random.between(0, 255)].join('.')
  return new URL(`http://[fd00:${random.between(0, 1)}::${random.pick(['', 'ffff:'])}${random.between(0, 0xffff).toString(16)}]`).hostname.slice(1, -1)
}

function rule(random: Prng): string {
  const of = address(random)
  const bits = random.pick(of.includes(':') ? [16, 31, 32, 33, 64, 96, 112, 113, 127, 128] : [0, 8, 15, 16, 22, 23, 24, 31, 32])
  const { first } = rangeOf(`${of}/${of.includes(':') ? 128 : 32}`)
  const width = of.includes(':') ? 128 : 32
  const network = first >> BigInt(width - bits) << BigInt(width - bits)
  if (width === 32) return `${[24n, 16n, 8n, 0n].map(at => network >> at & 255n).join('.')}/${bits}`
  return `${network.toString(16).padStart(32, '0').match(/..../g)!.join(':')}/${bits}`
}

test.each(Array.from({ length: 20 }, (_, seed) => seed))('random lists say what net.BlockList says (seed %i)', seed => {
  const random = prng(seed)
  const rules = Array.from({ length: random.pick([1, 3, 30, 300]) }, () => rule(random)).filter(each => !each.endsWith('/0') || seed % 4 === 0)
  const lists = { 4: new BlockList(), 6: new BlockList() }
  for (const each of rules) {
    const [of, bits] = each.split('/')
    lists[isIP(of) as 4].addSubnet(of, Number(bits), isIP(of) === 4 ? 'ipv4' : 'ipv6')
  }
  const ranges = Ranges.of(rules)
  for (let i = 0; i < 500; i++) {
    const of = address(random)
    const family = isIP(of) as 4 | 6
    expect([rules, of, ranges.has(of)]).toEqual([rules, of, lists[family].check(of, family === 4 ? 'ipv4' : 'ipv6')])
  }
  for (const family of [4, 6] as const) {
    const those = rules.filter(each => isIP(each.split('/')[0]) === family).map(rangeOf)
    expect(sizeOf(ranges.parts(family), [])).toBe(sizeOf(those, []))
  }
})

test('what is an address is what Node takes for one', () => {
  const random = prng(7)
  const into = new Uint32Array(4)
  const seeds = ['10.0.0.1', '255.255.255.255', '::', '::1', '1::', '2001:db8::a:b', '1:2:3:4:5:6:7:8', '::ffff:10.0.0.1', '1:2:3:4:5:6:1.2.3.4', 'fe80::1', '01.2.3.4', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8']
  for (let i = 0; i < 20_000; i++) {
    const text = [...random.pick(seeds)]
    for (let change = random.between(0, 3); change > 0; change--) {
      text.splice(random.between(0, text.length), random.between(0, 1), ...random.chance(0.7) ? [random.pick([...'0123456789abcdefF:.g '])] : [])
    }
    const whole = text.join('')
    const family = parseAddress(whole, whole.length, into)
    expect([whole, family]).toEqual([whole, isIP(whole)])
    if (family === 4) expect(into[0]).toBe(Number(rangeOf(`${whole}/32`).first))
    if (family === 6) expect([...into].reduce((bits, word) => bits << 32n | BigInt(word), 0n)).toBe(rangeOf(`${whole}/128`).first)
  }
})
