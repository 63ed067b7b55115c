import { expect, test } from 'vitest'
import { Admission, type AdmissionOptions } from '../../src/admission/admission.ts'
import { AddressRules, type AddressLists } from '../../src/admission/address-rules.ts'
import { Place } from '../../src/admission/place.ts'
import { isLoopback } from '../../src/lib/address.ts'
import { Ranges } from '../../src/lib/ranges.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createLogger } from '../../src/telemetry/log.ts'

function make(options: Partial<Omit<AdmissionOptions, 'limits' | 'addresses'>> & AddressLists & { limits?: Partial<AdmissionOptions['limits']> } = {}) {
  const lines: any[] = []
  const clock = { ms: 0 }
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } }, () => clock.ms)
  const counters = new Counters()
  const limits = { connections: 100, connections_per_client: 100, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 4, ...options.limits }
  const admission = new Admission({ service: 'cache', addresses: new AddressRules(options), counters, log, now: () => clock.ms, ...options, limits })
  const admit = (address: string) => admission.admit({ address, listener: 'test', isLocal: address === 'unix' || isLoopback(address) })
  return { admission, admit, counters, lines, clock }
}

test('deny wins over allow, and both come before every limit', () => {
  const { admit, counters } = make({ allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16'], limits: { connections: 1 } })
  expect(admit('10.1.0.1')).toBeInstanceOf(Place)
  expect(admit('10.9.0.1')).toBe('denied')
  expect(admit('11.0.0.1')).toBe('not-allowed')
  expect(admit('127.0.0.1')).toBe('not-allowed')
  expect(admit('10.1.0.2')).toBe('service-full')
  expect(counters.refused).toMatchObject({ 'denied': 1, 'not-allowed': 2, 'service-full': 1 })
  expect(counters.accepted).toBe(1)
})

test('without an allow list this host comes in and nobody else', () => {
  const { admit } = make({ deny: ['127.0.0.9'] })
  for (const address of ['127.0.0.1', '::1', 'unix']) expect(admit(address)).toBeInstanceOf(Place)
  expect(admit('10.0.0.1')).toBe('not-allowed')
  expect(admit('127.0.0.9')).toBe('denied')
})

test('limits hold at the limit, refuse one past it, and are free again when a client leaves, once', () => {
  const { admit, admission } = make({ limits: { connections: 3, connections_per_client: 2 }, allow: ['0.0.0.0/0'] })
  const first = admit('10.0.0.1') as Place
  expect(admit('10.0.0.1')).toBeInstanceOf(Place)
  expect(admit('10.0.0.1')).toBe('client-full')
  expect(admit('10.0.0.2')).toBeInstanceOf(Place)
  expect(admit('10.0.0.2')).toBe('service-full')
  first.release()
  first.release()
  expect(admission.open).toBe(2)
  expect(admit('10.0.0.1')).toBeInstanceOf(Place)
  expect(admit('10.0.0.3')).toBe('service-full')
})

test('an IPv6 address that allow admits is a client of its own, and with ipv6_prefix a network is', () => {
  const limits = { connections_per_client: 1, new_connections_per_second: 1 }
  const { admit, admission } = make({ limits, allow: ['2001:db8::/32'] })
  expect(admit('2001:db8:0:1::1')).toBeInstanceOf(Place)
  expect(admit('2001:db8:0:1::1')).toBe('client-full')
  expect(admit('2001:db8:0:1::2')).toBeInstanceOf(Place)
  expect(admission.clients).toBe(2)

  const networks = make({ limits: { ...limits, ipv6_prefix: 64 }, allow: ['2001:db8::/32', '10.0.0.0/8'] })
  expect(networks.admit('2001:db8:0:1::1')).toBeInstanceOf(Place)
  expect(networks.admit('2001:db8:0:1::2')).toBe('client-full')
  expect(networks.admit('2001:db8:0:2::1')).toBeInstanceOf(Place)
  for (const address of ['10.0.0.1', '10.0.0.2']) expect(networks.admit(address)).toBeInstanceOf(Place)
})

test('what a file allows counts as what the configuration does', () => {
  const { admit, admission } = make({ limits: { connections_per_client: 1 }, allow: ['10.0.0.0/8'], allowFile: Ranges.of(['2001:db8::/32']), deny: ['10.9.0.0/16'], denyFile: Ranges.of(['10.8.0.0/16']) })
  for (const address of ['10.0.0.1', '2001:db8:0:1::1', '2001:db8:0:1::2']) expect(admit(address)).toBeInstanceOf(Place)
  expect(['10.9.0.1', '10.8.0.1', '2001:db9::1', '127.0.0.1', '2001:db8:0:1::1'].map(admit)).toEqual(['denied', 'denied', 'not-allowed', 'not-allowed', 'client-full'])
  expect(admission.clients).toBe(3)
  // A file that holds nothing is a list all the same: nobody comes in by it.
  expect(make({ allowFile: Ranges.of([]) }).admit('127.0.0.1')).toBe('not-allowed')
})

test('another prefix after a reload: those who came before it still give their own place back', () => {
  const { admit, admission } = make({ allow: ['2001:db8::/32'] })
  const place = admit('2001:db8::1') as Place
  admission.use({ addresses: new AddressRules({ allow: ['2001:db8::/32'] }), limits: { connections: 100, connections_per_client: 1, ipv6_prefix: 64, new_connections_per_second: 0, handshakes: 4 } })
  expect(admit('2001:db8::2')).toBeInstanceOf(Place)
  expect(admission.clients).toBe(2)
  place.release()
  expect([admission.clients, admit('2001:db8::3')]).toEqual([1, 'client-full'])
})

test('left alone, the limit per client is 200 for other hosts and does not hold for this one; a number holds for both', () => {
  const { admit, admission } = make({ allow: ['10.0.0.0/8', '127.0.0.0/8', '::1'], limits: { connections: 10_000, connections_per_client: 'auto' } })
  for (const address of ['127.0.0.1', '::1', 'unix']) {
    for (let i = 0; i <= 200; i++) expect(admit(address)).toBeInstanceOf(Place)
  }
  for (let i = 0; i < 200; i++) expect(admit('10.0.0.1')).toBeInstanceOf(Place)
  expect(admit('10.0.0.1')).toBe('client-full')
  // This host by an address that is its own, as a listener on 0.0.0.0 sees it.
  expect(admission.admit({ address: '10.0.0.1', listener: 'test', isLocal: true })).toBeInstanceOf(Place)

  const told = make({ limits: { connections_per_client: 1 } })
  expect(told.admit('127.0.0.1')).toBeInstanceOf(Place)
  expect(told.admit('127.0.0.1')).toBe('client-full')
  for (let i = 0; i < 5; i++) expect(told.admit('unix')).toBeInstanceOf(Place)
})

test('new connections of one client are paced, one a second here, and others are not', () => {
  const { admit, clock } = make({ limits: { new_connections_per_second: 2 } })
  expect([admit('127.0.0.1'), admit('127.0.0.1')].every(verdict => verdict instanceof Place)).toBe(true)
  expect(admit('127.0.0.1')).toBe('too-fast')
  expect(admit('127.0.0.2')).toBeInstanceOf(Place)
  clock.ms = 499
  expect(admit('127.0.0.1')).toBe('too-fast')
  clock.ms = 1000
  expect(admit('127.0.0.1')).toBeInstanceOf(Place)
  clock.ms = 100_000
  expect([1, 2, 3].map(() => typeof admit('127.0.0.1'))).toEqual(['object', 'object', 'string'])
})

test('the cap of the process is shared by its services', () => {
  const cap = { limit: 2, open: 0 }
  const [one, two] = [make({ cap }), make({ cap })]
  const place = one.admit('127.0.0.1') as Place
  expect(two.admit('127.0.0.1')).toBeInstanceOf(Place)
  expect(two.admit('127.0.0.1')).toBe('process-full')
  place.release()
  expect(two.admit('127.0.0.1')).toBeInstanceOf(Place)
  expect(cap.open).toBe(2)
})

test('where places are all taken, whoever has been silent for longest yields, of the same client where its limit is reached', () => {
  const { admit, admission, clock } = make({ limits: { connections: 3, connections_per_client: 2 }, allow: ['10.0.0.0/8'] })
  const displaced: string[] = []
  const enter = (address: string) => {
    const place = admit(address) as Place
    admission.firstRoom.enter({ place, displace: () => displaced.push(address) })
  }
  enter('10.0.0.1')
  enter('10.0.0.2')
  admit('10.0.0.2')
  clock.ms = 1_499
  expect([admit('10.0.0.3'), admit('10.0.0.2')]).toEqual(['service-full', 'service-full'])
  clock.ms = 1_500
  expect(admit('10.0.0.3')).toBeInstanceOf(Place)
  expect([displaced, admission.open]).toEqual([['10.0.0.1'], 3])
  expect(admit('10.0.0.2')).toBeInstanceOf(Place)
  expect([displaced, admission.firstRoom.size]).toEqual([['10.0.0.1', '10.0.0.2'], 0])
  expect(admit('10.0.0.4')).toBe('service-full')
})

test('a client at its limit makes its own silent connections go, never those of others', () => {
  const { admit, admission, clock } = make({ limits: { connections_per_client: 1 }, allow: ['10.0.0.0/8'] })
  const displaced: string[] = []
  for (const address of ['10.0.0.1', '10.0.0.2']) admission.firstRoom.enter({ place: admit(address) as Place, displace: () => displaced.push(address) })
  clock.ms = 2_000
  expect(admit('10.0.0.2')).toBeInstanceOf(Place)
  expect(admit('10.0.0.2')).toBe('client-full')
  expect(displaced).toEqual(['10.0.0.2'])
})

test('refusals are logged once per source and reason and minute, with the number left out', () => {
  const { admit, lines, clock, counters } = make({ deny: ['10.9.0.0/16'] })
  for (let i = 0; i < 100; i++) admit('10.9.0.1')
  admit('10.9.0.2')
  expect(lines).toEqual([
    expect.objectContaining({ event: 'refused', level: 'warn', service: 'cache', listener: 'test', address: '10.9.0.1', reason: 'denied', suppressed: 0 }),
    expect.objectContaining({ address: '10.9.0.2', suppressed: 0 }),
  ])
  clock.ms = 60_000
  admit('10.9.0.1')
  expect(lines[2]).toMatchObject({ address: '10.9.0.1', suppressed: 99 })
  expect(counters.refused.denied).toBe(102)
})

test('refusals are folded by what counts as one client, so that a network of strangers is one line', () => {
  const { admit, lines } = make({ allow: ['2001:db8::/64', '10.0.0.0/8'], limits: { connections: 1 } })
  for (let host = 1; host <= 1000; host++) admit(`2001:db8:0:1::${host.toString(16)}`)
  expect(lines).toEqual([expect.objectContaining({ reason: 'not-allowed', address: '2001:db8:0:1::1', countedAs: '2001:db8:0:1::/64' })])
  for (const address of ['10.0.0.1', '2001:db8::1', '2001:db8::1', '2001:db8::2']) admit(address)
  expect(lines.slice(1).map(line => [line.reason, line.address, line.countedAs]))
    .toEqual([['service-full', '2001:db8::1', undefined], ['service-full', '2001:db8::2', undefined]])
})

test('a flood from many addresses writes at most 60 lines a minute for each reason', () => {
  const { admit, lines, clock } = make({ deny: ['10.9.0.0/16'] })
  for (let host = 0; host < 5000; host++) {
    admit(`10.9.${host >> 8}.${host & 255}`)
    admit(`11.0.${host >> 8}.${host & 255}`)
  }
  expect(lines.filter(line => line.reason === 'denied')).toHaveLength(60)
  expect(lines.filter(line => line.reason === 'not-allowed')).toHaveLength(60)
  clock.ms = 60_000
  admit('10.9.0.0')
  expect(lines.at(-1)).toMatchObject({ address: '10.9.0.0', suppressed: 4940 })
})

test('other rules hold for whoever comes from then on; whoever is in stays and counts', () => {
  const { admission, admit } = make({ allow: ['10.0.0.0/8'], limits: { connections: 3 } })
  const limits = { connections: 3, connections_per_client: 100, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 4 }
  expect(admit('10.1.0.1')).toBeInstanceOf(Place)
  admission.use({ addresses: new AddressRules({ allow: ['11.0.0.0/8'], deny: ['11.9.0.0/16'] }), limits })
  expect(['10.1.0.1', '11.9.0.1'].map(address => admit(address))).toEqual(['not-allowed', 'denied'])
  expect(admit('11.0.0.1')).toBeInstanceOf(Place)
  admission.use({ addresses: new AddressRules({ allow: ['11.0.0.0/8'] }), limits: { ...limits, connections: 2 } })
  expect(admit('11.0.0.1')).toBe('service-full')
  admission.use({ addresses: new AddressRules({ allow: ['11.0.0.0/8'] }), limits: { ...limits, connections: 4, new_connections_per_second: 1 } })
  expect(admit('11.0.0.2')).toBeInstanceOf(Place)
  expect(admit('11.0.0.2')).toBe('too-fast')
})

test('a group has limits of its own, up to each of them, and what it does not say is as for all others', () => {
  const { admit, admission, counters, clock, lines } = make({
    allow: ['10.0.0.0/8'], groups: { web: ['10.1.0.0/16'], batch: ['10.2.0.0/16', '10.1.9.0/24'] },
    limits: {
      connections: 100, connections_per_client: 2, new_connections_per_second: 4,
      groups: { web: { connections: 4, connections_per_client: 3 }, batch: { new_connections_per_second: 1 } },
    },
  })
  const verdicts = (address: string, count: number) => Array.from({ length: count }, () => admit(address)).map(verdict => verdict instanceof Place ? 'in' : verdict)
  expect(verdicts('10.1.0.1', 4)).toEqual(['in', 'in', 'in', 'client-full'])
  expect(verdicts('10.1.0.2', 2)).toEqual(['in', 'group-full'])
  expect(verdicts('10.3.0.1', 3)).toEqual(['in', 'in', 'client-full'])
  expect(verdicts('10.2.0.1', 2)).toEqual(['in', 'too-fast'])
  clock.ms = 1000
  expect(verdicts('10.2.0.1', 2)).toEqual(['in', 'client-full'])
  // The narrowest range says whose it is.
  expect(verdicts('10.1.9.1', 2)).toEqual(['in', 'too-fast'])
  expect(counters.refused).toMatchObject({ 'group-full': 1, 'client-full': 3, 'too-fast': 2 })
  // The key that is to be raised is the one that holds.
  expect(lines.map(({ reason, group, msg }) => [reason, group, /\((.*)\)$/.exec(msg)![1]])).toEqual([
    ['client-full', 'web', 'limits.groups.web.connections_per_client'], ['group-full', 'web', 'limits.groups.web.connections'],
    ['client-full', undefined, 'limits.connections_per_client'], ['too-fast', 'batch', 'limits.groups.batch.new_connections_per_second'],
    ['client-full', 'batch', 'limits.connections_per_client'], ['too-fast', 'batch', 'limits.groups.batch.new_connections_per_second'],
  ])
  expect(admission.open).toBe(9)
})

test('a place in a group is free again when its client leaves, and for whoever takes the place of one that was silent', () => {
  const { admit, admission, clock } = make({
    allow: ['10.0.0.0/8'], groups: { web: ['10.1.0.0/16'] }, limits: { groups: { web: { connections: 2 } } },
  })
  const first = admit('10.1.0.1') as Place
  const silent = admit('10.1.0.2') as Place
  const other = admit('10.2.0.1') as Place
  expect([first.group, other.group]).toEqual(['web', undefined])
  expect(admit('10.1.0.3')).toBe('group-full')
  first.release()
  const third = admit('10.1.0.3') as Place
  expect(admit('10.1.0.4')).toBe('group-full')
  // One of another group has been silent for longer, and is left alone.
  const displaced: Place[] = []
  for (const place of [other, silent]) admission.firstRoom.enter({ place, displace: () => displaced.push(place) })
  clock.ms = 1_500
  expect(admit('10.1.0.4')).toBeInstanceOf(Place)
  expect(displaced).toEqual([silent])
  expect(admit('10.1.0.5')).toBe('group-full')
  third.release()
  expect(admit('10.1.0.5')).toBeInstanceOf(Place)
})

test('groups that a reload changes: those that are in give their own place back', () => {
  const limits = { connections: 100, connections_per_client: 100, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 4 }
  const { admit, admission } = make({ allow: ['10.0.0.0/8'], groups: { web: ['10.1.0.0/16'] }, limits: { groups: { web: { connections: 1 } } } })
  const place = admit('10.1.0.1') as Place
  admission.use({ addresses: new AddressRules({ allow: ['10.0.0.0/8'] }), limits })
  for (let i = 0; i < 3; i++) expect(admit('10.1.0.1')).toBeInstanceOf(Place)
  admission.use({ addresses: new AddressRules({ allow: ['10.0.0.0/8'], groups: { web: ['10.1.0.0/16'] } }), limits: { ...limits, groups: { web: { connections: 1 } } } })
  expect(admit('10.1.0.1')).toBe('group-full')
  place.release()
  place.release()
  expect(admit('10.1.0.1')).toBeInstanceOf(Place)
  expect(admit('10.1.0.1')).toBe('group-full')
})

test('a number of a group holds for this host too, and unix sockets are in no group', () => {
  const { admit } = make({ groups: { local: ['127.0.0.0/8'] }, limits: { connections_per_client: 'auto', groups: { local: { connections_per_client: 1 } } } })
  expect(admit('127.0.0.1')).toBeInstanceOf(Place)
  expect(admit('127.0.0.1')).toBe('client-full')
  for (let i = 0; i < 3; i++) expect(admit('unix')).toBeInstanceOf(Place)
})
