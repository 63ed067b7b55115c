import { networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { Admission } from '../../src/admission/admission.ts'
import { AddressRules, type AddressLists } from '../../src/admission/address-rules.ts'
import { Bans, type BanSettings, type Failure } from '../../src/admission/bans.ts'
import { Place } from '../../src/admission/place.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { handshakeFailures, refusals } from '../../src/telemetry/reasons.ts'

const usual: BanSettings = { after: 3, within: 10_000, for: 60_000, never: [] }

function make(settings: BanSettings | 'none' = usual) {
  const lines: any[] = []
  const clock = { ms: 1_000_000 }
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } })
  const bans = new Bans(log, () => clock.ms)
  bans.use(settings === 'none' ? undefined : settings)
  const ended: string[] = []
  bans.onBan = (client, isIn) => void ended.push(client ?? ['10.0.0.1', '10.0.0.2', 'fd00::1'].filter(isIn).join(' '))
  const fail = (address: string, times = 1, failure: Failure = 'not-allowed', client = address) => {
    for (let i = 0; i < times; i++) bans.note(failure, address, client)
  }
  const isBanned = (address: string, client = address) => bans.isBanned(address, client)
  return { bans, lines, clock, log, ended, fail, isBanned }
}

test('as many failures as are too many, and not one less, shut a client out for as long as is said, and nobody else', () => {
  const { fail, isBanned, clock, lines, ended, bans } = make()
  fail('10.0.0.1', 2)
  fail('10.0.0.2', 2)
  expect([isBanned('10.0.0.1'), lines, ended]).toEqual([false, [], []])
  fail('10.0.0.1')
  expect([isBanned('10.0.0.1'), isBanned('10.0.0.2')]).toEqual([true, false])
  expect(ended).toEqual(['10.0.0.1'])
  expect(lines).toMatchObject([{
    event: 'banned', level: 'warn', address: '10.0.0.1', cause: 'failures', reason: 'not-allowed', failures: 3, forMs: 60_000,
    msg: 'banned 10.0.0.1 for 60 s: 3 failures within 10 s, the last of them not-allowed',
  }])
  clock.ms += 59_999
  expect([isBanned('10.0.0.1'), bans.size]).toEqual([true, 1])
  clock.ms += 1
  expect([isBanned('10.0.0.1'), bans.size, bans.counts]).toEqual([false, 0, { failures: 1, order: 0 }])
  // It begins anew.
  fail('10.0.0.1', 2)
  expect(isBanned('10.0.0.1')).toBe(false)
})

test('only failures within the time count, wherever it begins', () => {
  const { fail, isBanned, clock } = make()
  fail('10.0.0.1', 2)
  clock.ms += 10_001
  fail('10.0.0.1', 2)
  expect(isBanned('10.0.0.1')).toBe(false)
  clock.ms += 10_000
  fail('10.0.0.1')
  expect(isBanned('10.0.0.1')).toBe(true)
})

test('one failure is too many where that is said', () => {
  const { fail, isBanned } = make({ ...usual, after: 1 })
  fail('10.0.0.1')
  expect(isBanned('10.0.0.1')).toBe(true)
})

test('what counts is what nobody does who is meant to come', () => {
  const all: Failure[] = [...refusals, ...handshakeFailures, 'command-refused', 'tls-flood']
  const counted = all.filter(failure => {
    const { fail, isBanned } = make({ ...usual, after: 1 })
    fail('10.0.0.1', 1, failure)
    return isBanned('10.0.0.1')
  })
  expect([...new Set(all)].filter(failure => !counted.includes(failure))).toEqual([
    'banned', 'audit-unavailable', 'backend-down', 'process-full', 'service-full', 'group-full', 'client-full', 'too-fast', 'rule-full',
    'expired', 'not-yet-valid', 'crl-expired', 'crl-missing', 'rules-changed', 'timeout', 'displaced', 'queue-full', 'gave-up',
    'client-alert-unknown-ca', 'client-alert-bad-certificate', 'client-alert-expired', 'client-alert-other', 'closed', 'other',
  ])
})

test('this host, unix sockets and those who are never banned are not, whatever they do', () => {
  const own = Object.values(networkInterfaces()).flat().find(each => each?.family === 'IPv4')!.address
  const { fail, isBanned, lines } = make({ ...usual, never: ['10.1.0.0/16'] })
  for (const address of ['127.0.0.1', '::1', own, 'unix', '10.1.2.3']) {
    fail(address, 10)
    expect([address, isBanned(address)]).toEqual([address, false])
  }
  expect(lines).toEqual([])
})

test('without the section failures ban nobody, and orders do', () => {
  const { fail, isBanned, bans, clock } = make('none')
  fail('10.0.0.1', 1000)
  expect(isBanned('10.0.0.1')).toBe(false)
  expect(bans.add('10.0.0.1')).toMatchObject({ who: '10.0.0.1', cause: 'order', secondsLeft: 600 })
  expect(isBanned('10.0.0.1')).toBe(true)
  clock.ms += 600_000
  expect(isBanned('10.0.0.1')).toBe(false)
})

test('a changed section holds for what comes, one that is gone lifts all but orders, and who is never banned now is let in', () => {
  const { fail, isBanned, bans, clock, lines } = make()
  for (const address of ['10.0.0.1', '10.1.0.1']) fail(address, 3)
  bans.add('10.2.0.0/16')
  fail('10.0.0.9', 2)
  bans.use({ ...usual, after: 2, for: 5_000, never: ['10.1.0.0/16'] })
  expect(['10.0.0.1', '10.1.0.1', '10.2.0.1', '10.0.0.9'].map(address => isBanned(address))).toEqual([true, false, true, false])
  fail('10.0.0.9')
  expect(isBanned('10.0.0.9')).toBe(true)
  clock.ms += 5_000
  expect(['10.0.0.1', '10.0.0.9'].map(address => isBanned(address))).toEqual([true, false])
  bans.use(undefined)
  expect([...['10.0.0.1', '10.2.0.1'].map(address => isBanned(address)), bans.size]).toEqual([false, true, 1])
  // What has ended by itself is not lifted; without a section another reload lifts nothing.
  bans.use(undefined)
  expect(isBanned('10.2.0.1')).toBe(true)
  expect(lines.filter(({ event }) => event === 'ban-lifted').map(({ cause, lifted, msg }) => [cause, lifted, msg])).toEqual([
    ['configuration', 1, 'no longer banned, by the configuration: 10.1.0.1'], ['configuration', 1, 'no longer banned, by the configuration: 10.0.0.1'],
  ])
})

test('an order shuts out a range, this host too, for its time; a new one of the same range counts instead', () => {
  const { bans, isBanned, clock, ended, lines } = make()
  expect(bans.add('10.0.0.0/24', 10_000)).toEqual({ who: '10.0.0.0/24', why: 'by order', cause: 'order', ageSeconds: 0, secondsLeft: 10 })
  expect(ended).toEqual(['10.0.0.1 10.0.0.2'])
  expect(lines).toMatchObject([{ event: 'banned', cause: 'order', address: '10.0.0.0/24', msg: 'banned 10.0.0.0/24 for 10 s by order' }])
  bans.add('127.0.0.1/32')
  bans.add('FD00:0::/64', 20_000)
  expect(['10.0.0.255', '10.0.1.0', '127.0.0.1', '127.0.0.2', 'fd00::1', 'fd00:0:0:1::', 'unix'].map(each => isBanned(each))).toEqual([true, false, true, false, true, false, false])
  expect(bans.list().map(({ who, secondsLeft }) => [who, secondsLeft])).toEqual([['127.0.0.1', 60], ['fd00::/64', 20], ['10.0.0.0/24', 10]])
  clock.ms += 5_000
  bans.add('10.0.0.0/24', 7_000)
  clock.ms += 6_999
  expect(isBanned('10.0.0.1')).toBe(true)
  clock.ms += 1
  expect([isBanned('10.0.0.1'), bans.size]).toEqual([false, 2])
})

test('a narrow order that has ended does not hide a wide one that has not', () => {
  const { bans, isBanned, clock } = make()
  bans.add('10.0.0.0/8', 60_000)
  bans.add('10.0.0.0/24', 1_000)
  clock.ms += 1_000
  expect([isBanned('10.0.0.1'), bans.size]).toEqual([true, 1])
})

test('bans are lifted by what they were put on for; what a wider order holds is told', () => {
  const { bans, isBanned, fail, lines } = make()
  fail('10.0.0.1', 3)
  fail('2001:db8::1', 3, 'not-allowed', '2001:db8::/64')
  bans.add('10.9.0.0/16')
  expect(bans.remove('10.0.0.2')).toEqual({ lifted: [], heldBy: undefined })
  expect(bans.remove('10.9.0.1')).toEqual({ lifted: [], heldBy: '10.9.0.0/16' })
  expect(isBanned('10.9.0.1')).toBe(true)
  expect(bans.remove('10.0.0.1/32')).toEqual({ lifted: ['10.0.0.1'], heldBy: undefined })
  expect(bans.remove('2001:db8::77')).toEqual({ lifted: ['2001:db8::/64'], heldBy: undefined })
  expect(bans.remove('10.9.0.0/16')).toEqual({ lifted: ['10.9.0.0/16'], heldBy: undefined })
  expect(bans.size).toBe(0)
  expect(lines.filter(({ event }) => event === 'ban-lifted').map(({ address }) => address)).toEqual(['10.0.0.1', '2001:db8::77', '10.9.0.0/16'])
  // All of a range, and what they had failed is forgotten.
  for (const last of [1, 2, 3]) fail(`10.0.0.${last}`, 3)
  fail('10.0.0.4', 2)
  expect(bans.remove('10.0.0.0/24').lifted).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  fail('10.0.0.4')
  expect(isBanned('10.0.0.4')).toBe(false)
})

test('the table is bounded, whoever fails: the oldest ban goes, and the oldest failures', () => {
  const { bans, fail, isBanned } = make({ ...usual, after: 1 })
  const address = (at: number) => `10.${at >> 16}.${at >> 8 & 255}.${at & 255}`
  for (let at = 0; at < 10_000; at++) fail(address(at))
  expect([bans.size, isBanned(address(0))]).toEqual([10_000, true])
  fail(address(10_000))
  expect([bans.size, isBanned(address(0)), isBanned(address(1)), isBanned(address(10_000))]).toEqual([10_000, false, true, true])

  const noted = make({ ...usual, after: 2 })
  for (let at = 0; at <= 10_000; at++) noted.fail(address(at))
  noted.fail(address(0))
  noted.fail(address(10_000))
  expect([address(0), address(10_000)].map(each => noted.isBanned(each))).toEqual([false, true])

  // With many failures to each there are fewer clients.
  const long = make({ ...usual, after: 1_000 })
  for (let at = 0; at <= 1_000; at++) long.fail(address(at), 999)
  for (const at of [0, 1_000]) long.fail(address(at))
  expect([address(0), address(1_000)].map(each => long.isBanned(each))).toEqual([false, true])
})

test('a thousand orders hold at once, and one more is refused, unless it is one of them', () => {
  const { bans } = make()
  for (let at = 0; at < 1_000; at++) expect(bans.add(`10.0.${at >> 8}.${at & 255}`)).toBeDefined()
  expect(bans.add('10.1.0.0')).toBeUndefined()
  expect(bans.add('10.0.0.0')).toBeDefined()
  expect(bans.size).toBe(1_000)
})

function admission(lists: AddressLists, settings = usual) {
  const made = make(settings)
  const counters = new Counters()
  const limits = { connections: 100, connections_per_client: 1, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 4 }
  const admission = new Admission({ service: 'cache', addresses: new AddressRules(lists), limits, counters, log: made.log, bans: made.bans, now: () => made.clock.ms })
  const admit = (address: string) => {
    const verdict = admission.admit({ address, listener: 'test', isLocal: false })
    return verdict instanceof Place ? 'in' : verdict
  }
  return { ...made, admission, admit, counters }
}

test('whoever is banned is refused before all other questions, counted, and not told of each time', () => {
  const { admit, counters, lines } = admission({ allow: ['10.0.0.0/8'] })
  expect([1, 2, 3, 4, 5].map(() => admit('11.0.0.1'))).toEqual(['not-allowed', 'not-allowed', 'not-allowed', 'banned', 'banned'])
  expect(counters.refused).toMatchObject({ 'not-allowed': 3, 'banned': 2 })
  expect(lines.map(({ event }) => event)).toEqual(['refused', 'banned'])
})

test('a limit that is full bans nobody', () => {
  const { admit } = admission({ allow: ['10.0.0.0/8'] })
  expect(Array.from({ length: 6 }, () => admit('10.0.0.1'))).toEqual(['in', ...Array(5).fill('client-full')])
})

test('strangers are counted by their network, those within allow one by one', () => {
  const { admit, admission: it } = admission({ allow: ['2001:db8:1::/48'] })
  expect([1, 2, 3].map(last => admit(`2001:db8:2::${last}`))).toEqual(['not-allowed', 'not-allowed', 'not-allowed'])
  expect([admit('2001:db8:2::4'), admit('2001:db8:2:1::1'), admit('2001:db8:1::1')]).toEqual(['banned', 'not-allowed', 'in'])
  for (let i = 0; i < 3; i++) it.failed('command-refused', '2001:db8:1::1', '2001:db8:1::1')
  expect([admit('2001:db8:1::1'), admit('2001:db8:1::2')]).toEqual(['banned', 'in'])
})

test('a load balancer is not banned for those who come by it, only by order', () => {
  const { admit, admission: it, bans } = admission({ allow: ['10.0.0.0/8'], balancers: ['10.0.0.9'] })
  for (let i = 0; i < 10; i++) it.failed('plain-text', '10.0.0.9', '10.0.0.9')
  const come = () => it.admitBalancer({ address: '10.0.0.9', listener: 'test', isLocal: false })
  expect(come()).toBeInstanceOf(Place)
  for (let i = 0; i < 3; i++) it.failed('plain-text', '10.5.0.1', '10.5.0.1')
  expect(admit('10.5.0.1')).toBe('banned')
  bans.add('10.0.0.9')
  expect(come()).toBe('banned')
})
