import { expect, test } from 'vitest'
import type { Audited } from '../../src/telemetry/audit.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { Suspicions, type AlertSettings } from '../../src/telemetry/suspicions.ts'

type Line = Record<string, unknown>
const fingerprint = 'AB:CD'
const clientAt = (address: string, own = fingerprint): Audited => ({
  id: 'c1', service: 'cache', listener: 'l', address, countedAs: address, port: 1,
  tls: own === '' ? undefined : { subject: 'CN=web-1', names: [], serial: '01', fingerprint: own },
})

function make(settings: Partial<AlertSettings> = {}) {
  const lines: Line[] = []
  const clock = { ms: 0 }
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line) as Line) } }, () => clock.ms)
  const suspicions = log.watcher = new Suspicions({ scan: 3, new_network: true, new_command: true, new_command_after: 3_600_000, ...settings }, log, () => clock.ms)
  const refused = (address: string, reason = 'not-allowed', service = 'cache'): void =>
    log.tell('refused', { service, listener: 'l', address, countedAs: address, reason }, 'refused a connection')
  const failed = (address: string, reason: string): void =>
    log.tell('handshake-failed', { service: 'cache', listener: 'l', address, countedAs: address, reason }, 'TLS handshake failed')
  const told = (event: string): Line[] => lines.filter(line => line.event === event)
  return { suspicions, clock, refused, failed, told, counts: () => suspicions.countsOf('cache') }
}

test('as many addresses of one network as alerts.scan says are a scan, told once a minute; one fewer are none', () => {
  const { refused, failed, told, clock, counts } = make()
  refused('10.1.1.1')
  for (let i = 0; i < 5; i++) refused('10.1.1.2')
  refused('10.1.2.3')
  refused('10.1.1.3', 'too-fast')
  refused('unix')
  refused('10.1.1.3', 'not-allowed', 'other')
  expect(told('scan-suspected')).toEqual([])
  failed('10.1.1.3', 'unknown-ca')
  expect(told('scan-suspected')).toMatchObject([{ level: 'warn', service: 'cache', network: '10.1.1.0/24', addresses: 3 }])
  for (let i = 4; i < 200; i++) refused(`10.1.1.${i}`)
  expect(counts().scan).toBe(1)
  clock.ms = 60_000
  for (let i = 4; i < 7; i++) refused(`10.1.1.${i}`)
  expect([counts().scan, told('scan-suspected')]).toMatchObject([2, [{}, {}]])
})

test('addresses that come more than a minute apart are no scan, and with 0 nothing is', () => {
  const { refused, told, clock, suspicions } = make()
  for (let i = 0; i < 10; i++) {
    refused(`10.1.1.${i}`)
    clock.ms += 30_000
  }
  expect(told('scan-suspected')).toEqual([])
  suspicions.settings = { ...suspicions.settings, scan: 0 }
  for (let i = 0; i < 10; i++) refused(`10.1.1.${i}`)
  expect(told('scan-suspected')).toEqual([])
})

test('an IPv6 network is a /64, and the table is bounded: the network that was seen first is forgotten', () => {
  const { refused, told } = make({ scan: 2 })
  refused('2001:db8:0:1::1')
  refused('2001:db8:0:2::1')
  expect(told('scan-suspected')).toEqual([])
  refused('2001:db8:0:2::2')
  expect(told('scan-suspected')).toMatchObject([{ network: '2001:db8:0:2::/64' }])
  for (let i = 0; i < 1_000; i++) refused(`10.${i >> 8}.${i & 255}.1`)
  refused('2001:db8:0:1::2')
  expect(told('scan-suspected')).toHaveLength(1)
})

test.each([['plain-text', 'plain memcached'], ['http', 'a request of the web']])('%s on a port of TLS is told and counted', (reason, words) => {
  const { failed, told, counts } = make()
  failed('10.0.0.1', reason)
  failed('10.0.0.1', reason)
  expect(told('plain-on-tls')).toMatchObject([{ service: 'cache', listener: 'l', address: '10.0.0.1', reason, msg: expect.stringContaining(words) }])
  expect(counts()['plain-on-tls']).toBe(2)
})

test('a certificate from a network that it never came from is told; the first and those known are not', () => {
  const { suspicions, told, counts } = make()
  for (const address of ['10.0.0.1', '10.0.0.2', '192.0.2.1', '10.0.0.3', '192.0.2.9', 'unix']) suspicions.came(clientAt(address))
  suspicions.came(clientAt('192.0.2.1', 'EF'))
  suspicions.came(clientAt('192.0.2.1', ''))
  expect(told('new-network')).toMatchObject([{ level: 'warn', address: '192.0.2.1', network: '192.0.2.0/24', before: '10.0.0.0/24', fingerprint, subject: 'CN=web-1' }])
  expect(counts()['new-network']).toBe(1)
})

test('of a certificate that comes from anywhere the last 16 networks are known', () => {
  const { suspicions, counts } = make()
  for (let i = 0; i < 17; i++) suspicions.came(clientAt(`10.0.${i}.1`))
  expect(counts()['new-network']).toBe(16)
  suspicions.came(clientAt('10.0.1.1'))
  expect(counts()['new-network']).toBe(16)
  suspicions.came(clientAt('10.0.0.1'))
  expect(counts()['new-network']).toBe(17)
})

test('a group of commands that a client never used is told, once it is known for long enough', () => {
  const { suspicions, clock, told, counts } = make()
  suspicions.began(clientAt('10.0.0.1'), 'read')
  clock.ms = 3_599_999
  suspicions.began(clientAt('10.0.0.2'), 'write')
  suspicions.began(clientAt('10.0.0.2'), 'basic')
  expect(counts()['new-command']).toBe(0)
  clock.ms = 3_600_000
  suspicions.began(clientAt('10.0.0.1'), 'write')
  suspicions.began(clientAt('10.0.0.1'), 'flush')
  suspicions.began(clientAt('10.0.0.1'), 'flush')
  suspicions.began(clientAt('10.0.0.1', ''), 'flush')
  expect(told('new-command')).toMatchObject([{ level: 'warn', address: '10.0.0.1', group: 'flush', subject: 'CN=web-1' }])
  expect(counts()['new-command']).toBe(1)
})

test('both are off unless they are asked for, and their tables are bounded', () => {
  const off = make({ new_network: false, new_command: false })
  for (const address of ['10.0.0.1', '10.1.0.1']) {
    off.suspicions.came(clientAt(address))
    off.suspicions.began(clientAt(address), address)
  }
  expect(off.counts()).toEqual({ 'scan': 0, 'plain-on-tls': 0, 'new-network': 0, 'new-command': 0 })
  const on = make({ new_command_after: 0 })
  on.suspicions.came(clientAt('10.0.0.1'))
  on.suspicions.began(clientAt('10.0.0.1'), 'read')
  for (let i = 0; i < 10_000; i++) {
    on.suspicions.came(clientAt('10.0.0.1', `${i}`))
    on.suspicions.began(clientAt('10.0.0.1', `${i}`), 'read')
  }
  on.suspicions.came(clientAt('10.1.0.1'))
  on.suspicions.began(clientAt('10.1.0.1'), 'write')
  expect(on.counts()).toMatchObject({ 'new-network': 0, 'new-command': 0 })
})
