import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Audit, type Audited } from '../../src/telemetry/audit.ts'
import type { AuditSettings } from '../../src/telemetry/audit-settings.ts'
import { tempFolder } from '../support/temp-folder.ts'

type Line = Record<string, unknown>
const client: Audited = {
  id: 'c1', service: 'cache', listener: '0.0.0.0:11212', address: '10.0.0.1', countedAs: '10.0.0.1', port: 40000,
  tls: { subject: 'O=a, CN=web-1', names: ['DNS:web-1'], serial: '0A', fingerprint: 'AB:CD' },
}

function make(settings: Partial<AuditSettings> = {}) {
  const file = join(tempFolder(), 'audit.log')
  const clock = { ms: 0 }
  const audit = new Audit({ file, events: ['all'], keys: 'none', required: false, ...settings }, () => {}, () => clock.ms)
  onTestFinished(() => audit.close())
  const lines = async (): Promise<Line[]> => {
    await audit.file.flush()
    return readFileSync(file, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line) as Line)
  }
  return { audit, clock, lines }
}

test('a line says what happened, when, and who did it', async () => {
  const { audit, lines } = make()
  audit.record('command', { command: 'flush_all', group: 'flush' }, 'let do flush_all', client)
  expect(await lines()).toEqual([{
    time: '1970-01-01T00:00:00.000Z', event: 'command', service: 'cache', listener: '0.0.0.0:11212', client: 'c1', address: '10.0.0.1', port: 40000,
    subject: 'O=a, CN=web-1', names: ['DNS:web-1'], serial: '0A', fingerprint: 'AB:CD', command: 'flush_all', group: 'flush', words: 'let do flush_all',
  }])
})

test('repeats within a minute are one more line at its end, with their number; none is folded with another source, event or command', async () => {
  const { audit, clock, lines } = make()
  const flush = (who = client, command = 'flush_all'): void => audit.record('command', { command, group: 'flush' }, 'let do', who)
  for (let i = 0; i < 5; i++) flush()
  flush({ ...client, address: '10.0.0.2', countedAs: '10.0.0.2' })
  flush({ ...client, tls: { ...client.tls!, fingerprint: 'EF' } })
  flush(client, 'watch')
  audit.record('connected', {}, 'a client is in', client)
  expect((await lines()).map(line => [line.event, line.address, line.fingerprint, line.command])).toEqual([
    ['command', '10.0.0.1', 'AB:CD', 'flush_all'], ['command', '10.0.0.2', 'AB:CD', 'flush_all'], ['command', '10.0.0.1', 'EF', 'flush_all'],
    ['command', '10.0.0.1', 'AB:CD', 'watch'], ['connected', '10.0.0.1', 'AB:CD', undefined]])
  clock.ms = 59_999
  audit.look()
  expect(await lines()).toHaveLength(5)
  clock.ms = 60_000
  audit.look()
  const all = await lines()
  expect(all).toHaveLength(6)
  expect(all[5]).toMatchObject({ event: 'command', address: '10.0.0.1', command: 'flush_all', repeats: 4, since: '1970-01-01T00:00:00.000Z', time: '1970-01-01T00:01:00.000Z' })
  expect(all[5]).not.toHaveProperty('client')
  flush()
  expect(await lines()).toHaveLength(7)
})

test('nobody makes lines at will: by certificates that do not verify, keys, or addresses of one IPv6 network', async () => {
  const { audit, lines } = make({ keys: 'prefix' })
  for (let i = 0; i < 100; i++) {
    const countedAs = '2001:db8::/64'
    audit.record('handshake-failed', { service: 'cache', listener: 'l', address: `2001:db8::${i}`, countedAs, reason: 'unknown-ca', fingerprint: `${i}`, subject: `CN=${i}` }, 'failed')
    audit.record('command-refused', { command: 'set', ...audit.key(Buffer.from(`${i}:a`)) }, 'refused set', client)
  }
  audit.record('login', { user: 'a', outcome: 'accepted' }, 'accepted', client)
  audit.record('login', { user: 'b', outcome: 'accepted' }, 'accepted', client)
  audit.record('command-refused', { command: 'set', ...audit.key(Buffer.from('a:a'), 'a:*') }, 'refused set', client)
  audit.close()
  const all = await lines()
  expect(all.map(({ event, repeats }) => [event, repeats])).toEqual([
    ['handshake-failed', undefined], ['command-refused', undefined], ['login', undefined], ['login', undefined], ['command-refused', undefined],
    ['handshake-failed', 99], ['command-refused', 99]])
  expect(all[5]).toMatchObject({ address: '2001:db8::0', countedAs: '2001:db8::/64' })
  expect(all[6]).not.toHaveProperty('keyPrefix')
})

test('certificates that the CA has signed have a line each, 100 of an address and minute; a number of several is not put on the name of the first', async () => {
  const { audit, clock, lines } = make()
  const fail = (reason: string, fingerprint: string): void => audit.record('handshake-failed', {
    service: 'cache', listener: 'l', address: '10.0.0.1', countedAs: '10.0.0.1', reason, fingerprint, subject: `CN=${fingerprint}`, spki: fingerprint, detail: fingerprint,
  }, `failed (${fingerprint})`)
  for (let i = 0; i < 100; i++) fail('no-rule', `c${i}`)
  fail('no-rule', 'c7')
  expect((await lines()).map(({ fingerprint }) => fingerprint)).toEqual(Array.from({ length: 100 }, (_, i) => `c${i}`))
  for (const one of ['c100', 'c101', 'c102']) fail('no-rule', one)
  for (const one of ['s0', 's1', 's1']) fail('unknown-ca', one)
  fail('expired', 'e')
  fail('expired', 'e')
  expect((await lines()).slice(100).map(({ fingerprint }) => fingerprint)).toEqual(['c100', 's0', 'e'])
  clock.ms = 60_000
  audit.look()
  expect((await lines()).slice(103).map(({ reason, subject, fingerprint, spki, detail, words, repeats }) => [reason, subject, fingerprint, spki, detail, words, repeats])).toEqual([
    ['no-rule', 'CN=c7', 'c7', 'c7', 'c7', 'failed (c7)', 1],
    ['no-rule', undefined, undefined, undefined, undefined, 'failed', 2],
    ['unknown-ca', undefined, undefined, undefined, undefined, 'failed', 2],
    ['expired', 'CN=e', 'e', 'e', 'e', 'failed (e)', 1]])
  fail('no-rule', 'c101')
  expect((await lines()).at(-1)).toMatchObject({ fingerprint: 'c101' })
})

test('the first 10 names in refused logins of an address and minute have a line each, and the others are counted as others', async () => {
  const { audit, lines } = make()
  for (let i = 0; i < 13; i++) audit.record('login', { user: `u${i}`, outcome: 'refused' }, `refuses u${i}`, client)
  audit.record('login', { user: 'u9', outcome: 'refused' }, 'refuses u9', client)
  audit.close()
  expect((await lines()).map(({ user, repeats }) => [user, repeats])).toEqual([
    ...Array.from({ length: 11 }, (_, i) => [`u${i}`, undefined]), ['u9', 1], ['others', 2]])
})

test('repeats that are counted at the end of the process are told then', async () => {
  const { audit, lines } = make()
  for (let i = 0; i < 3; i++) audit.record('connected', {}, 'a client is in', client)
  audit.close()
  expect((await lines()).map(({ repeats }) => repeats)).toEqual([undefined, 2])
})

test.each(['process.exit()', "throw new Error('unforeseen')", ''])('what is counted is told though the process ends by itself (%s)', end => {
  const file = join(tempFolder(), 'audit.log')
  const module = fileURLToPath(new URL('../../src/telemetry/audit.ts', import.meta.url))
  const script = `import { Audit } from ${JSON.stringify(module)}
    const audit = new Audit({ file: ${JSON.stringify(file)}, events: ['all'], keys: 'none', required: false }, () => {})
    for (let i = 0; i < 3; i++) audit.record('connected', {}, 'a client is in', ${JSON.stringify(client)})
    ${end}`
  try {
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
  } catch {
    expect(end).toMatch(/^throw/)
  }
  expect(readFileSync(file, 'utf8').split('\n').slice(0, -1).map(line => (JSON.parse(line) as Line).repeats)).toEqual([undefined, 2])
})

test('the table of repeats is bounded: the oldest is told before its minute is over, and nothing is forgotten', async () => {
  const { audit, lines } = make()
  const from = (i: number): void => audit.record('connected', {}, 'a client is in', { ...client, countedAs: `10.${i >> 16}.${i >> 8 & 255}.${i & 255}` })
  from(0)
  from(0)
  for (let i = 1; i <= 10_000; i++) from(i)
  const all = await lines()
  expect(all).toHaveLength(10_002)
  expect(all.filter(({ repeats }) => repeats !== undefined)).toMatchObject([{ countedAs: '10.0.0.0', repeats: 1 }])
})

test('events that are not named are not recorded, and events without folding have a line each', async () => {
  const { audit, lines } = make({ events: ['killed'] })
  expect([audit.takes('killed'), audit.takes('connected'), audit.takes('backend-lost')]).toEqual([true, false, false])
  audit.record('connected', {}, 'a client is in', client)
  for (let i = 0; i < 3; i++) audit.record('killed', {}, 'closed c1 by order', client)
  expect((await lines()).map(({ event }) => event)).toEqual(['killed', 'killed', 'killed'])
})

test('of a key it says what audit.keys lets through', () => {
  const key = Buffer.from('user:jane')
  expect(make({ keys: 'none' }).audit.key(key)).toEqual({})
  expect(make({ keys: 'full' }).audit.key(Buffer.from('user:\xff\n', 'latin1'))).toEqual({ key: 'user:\\xff\\n' })
  expect(make({ keys: 'prefix' }).audit.key(key)).toEqual({ keyPrefix: 'user:' })
  expect(make({ keys: 'prefix' }).audit.key(Buffer.from('jane'))).toEqual({})
  expect(make({ keys: 'prefix' }).audit.key(Buffer.from(`${'x'.repeat(64)}:a`))).toEqual({})
  expect(make({ keys: 'full' }).audit.key(undefined)).toEqual({})
  const { audit } = make({ keys: 'hash' })
  expect(audit.key(key)).toEqual({ keyHash: expect.stringMatching(/^[0-9a-f]{16}$/) })
  expect(audit.key(Buffer.from('user:jane'))).toEqual(audit.key(key))
  expect(audit.key(Buffer.from('user:john'))).not.toEqual(audit.key(key))
  expect(make({ keys: 'hash' }).audit.key(key)).not.toEqual(audit.key(key))
})

test('a certificate with thousands of long names makes a line of a few KiB, and moves no cursor', async () => {
  const { audit, lines } = make()
  const names = Array.from({ length: 5_000 }, (_, i) => `DNS:${'n'.repeat(5_000)}${i}`)
  audit.record('connected', {}, 'a client is in', { ...client, tls: { ...client.tls!, subject: `CN=\u009b2J${'s'.repeat(70_000)}`, names } })
  const [line] = await lines()
  expect(JSON.stringify(line).length).toBeLessThan(20_000)
  expect(line.subject).toMatch(/^CN=\u009b2Js{1018}…$/)
  expect(readFileSync(audit.settings.file, 'utf8')).toMatch(/^[ -~…\n]+$/)
})
