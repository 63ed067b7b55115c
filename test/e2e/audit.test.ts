// Who did what, as the audit of a running memseal has it: clients in mutual TLS, refusals, orders; full disks.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { readMetrics } from '../support/admin.ts'
import { runMemseal, startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

type Line = Record<string, any>

const linesOf = (file: string): Line[] => {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line) as Line)
  } catch {
    return []
  }
}

const seen = (file: string, fits: (line: Line) => boolean): Promise<Line> =>
  vi.waitUntil(() => linesOf(file).find(fits), { timeout: 150_000, interval: 20 })

async function scene(audit: Record<string, unknown> = {}, service: Record<string, unknown> = {}) {
  const folder = tempFolder()
  mkdirSync(join(folder, 'logs'))
  const file = join(folder, 'logs/audit.log')
  const [{ ca, server, client, ops, strangerClient }, memcached] = await Promise.all([pki(), startMemcached()])
  const admin = join(folder, 'admin.sock')
  const config = {
    audit: { file, ...audit }, admin: { listen: `unix:${admin}` },
    services: {
      cache: {
        listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, backend: { connect: memcached.address }, ...service,
      },
    },
  }
  const begin = (): Promise<Daemon> => startDaemon(config)
  return { file, admin, begin, config, ca, client, ops, strangerClient }
}

test('who came, what they did that counts, what was refused and what was ordered; no value, and no key unless it is asked for', async () => {
  const { file, admin, begin, ca, client, ops, strangerClient } = await scene()
  const daemon = await begin()
  const web = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await web.ask('set web:secret 0 0 6\r\nsesame\r\n', 8)).toBe('STORED\r\n')
  expect(await web.ask('flush_all\r\n', 4)).toBe('OK\r\n')
  expect(await web.ask('lru_crawler metadump all\r\n', 1)).not.toBe('')
  await web.readUntil('END\r\n')
  const operator = await connect({ port: daemon.port(), tls: as(ops, ca) })
  expect(await operator.ask('flush_all noreply\r\nversion\r\n', 7)).toBe('VERSION')
  const stranger = await connect({ port: daemon.port(), tls: as(strangerClient, ca) }).catch(() => undefined)
  await stranger?.closed
  await seen(file, ({ event }) => event === 'handshake-failed')
  const { client: id } = await seen(file, ({ event, subject }) => event === 'connected' && subject.includes('CN=ops'))
  expect((await runMemseal(['kill', id, '--admin', `unix:${admin}`])).code).toBe(0)
  expect((await runMemseal(['reload', '--admin', `unix:${admin}`])).code).toBe(0)
  web.end()
  await seen(file, ({ event, reason }) => event === 'closed' && reason === 'client-closed')
  expect(await daemon.stop()).toBe(0)

  const lines = linesOf(file)
  expect(lines.map(({ event, subject = '', command = '', reason = '', cause = '' }) => [event, /CN=\w+/.exec(subject)?.[0] ?? '', command, reason, cause])).toEqual([
    ['started', '', '', '', ''],
    ['connected', 'CN=client', '', '', ''],
    ['command', 'CN=client', 'flush_all', '', ''],
    ['command-refused', 'CN=client', 'lru_crawler metadump', 'command', ''],
    ['connected', 'CN=ops', '', '', ''],
    ['command', 'CN=ops', 'flush_all', '', ''],
    ['handshake-failed', 'CN=client', '', 'unknown-ca', ''],
    ['killed', 'CN=ops', '', '', ''],
    ['closed', 'CN=ops', '', 'killed', ''],
    ['reloaded', '', '', '', 'admin'],
    ['closed', 'CN=client', '', 'client-closed', ''],
    ['draining', '', '', '', 'SIGTERM'],
    ['ended', '', '', '', ''],
  ])
  expect(lines[3]).toMatchObject({
    service: 'cache', client: 'c1', address: '127.0.0.1', names: ['DNS:client.test', 'URI:spiffe://memseal.test/client'], group: 'admin',
    serial: expect.stringMatching(/^[0-9A-F]+$/), fingerprint: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
  })
  expect(readFileSync(file, 'utf8')).not.toMatch(/sesame|secret/)
})

test.each<[string, Record<string, unknown>]>([['none', {}], ['prefix', { keyPrefix: 'web:' }], ['full', { key: 'web:jane' }], ['hash', { keyHash: expect.any(String) }]])(
  'audit.keys: %s, of a refused command in text, meta and binary, and of a key in base64', async (keys, wanted) => {
    const { file, begin, ca, client } = await scene({ keys, events: 'command-refused' }, { commands: ['read'] })
    const daemon = await begin()
    const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
    for (const request of ['set web:jane 0 0 6\r\nsesame\r\n', 'ms web:jane 6\r\nsesame\r\n', `md ${Buffer.from('web:jane').toString('base64')} b\r\n`]) {
      void wire.write(request)
      expect(await wire.readLine()).toMatch(/^CLIENT_ERROR memseal: /)
    }
    const binary = await connect({ port: daemon.port(), tls: as(client, ca) })
    const request = Buffer.alloc(24 + 8, 0)
    request.writeUInt8(0x80, 0)
    request.writeUInt8(0x04, 1)
    request.writeUInt16BE(8, 2)
    request.writeUInt32BE(8, 8)
    request.write('web:jane', 24)
    void binary.write(request)
    await binary.readExactly(24)
    expect(await daemon.stop()).toBe(0)
    const lines = linesOf(file)
    expect(lines.map(({ command, repeats, keyPrefix, key, keyHash }) => ({ command, repeats, keyPrefix, key, keyHash }))).toEqual(
      ['set', 'ms', 'md', 'delete'].map(command => ({ keyPrefix: undefined, key: undefined, keyHash: undefined, repeats: undefined, command, ...wanted })))
    expect(readFileSync(file, 'utf8')).not.toContain('sesame')
  })

test('SIGUSR1 and a reload open it anew, and a reload takes other settings; what was counted until then is told', async () => {
  const { file, admin, begin, ca, client } = await scene()
  const daemon = await begin()
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  for (let i = 0; i < 3; i++) expect(await wire.ask('flush_all\r\n', 4)).toBe('OK\r\n')
  await seen(file, ({ event }) => event === 'command')
  renameSync(file, `${file}.1`)
  daemon.kill('SIGUSR1')
  await daemon.waitForLog('audit-reopened')
  expect((await runMemseal(['reload', '--admin', `unix:${admin}`])).code).toBe(0)
  expect((await seen(file, ({ event }) => event === 'reloaded')).cause).toBe('admin')
  writeFileSync(daemon.configFile, readFileSync(daemon.configFile, 'utf8').replace('logs/audit.log', 'logs/other.log'))
  expect((await runMemseal(['reload', '--admin', `unix:${admin}`])).stdout).toContain('audit.file')
  const other = file.replace('audit.log', 'other.log')
  await seen(other, ({ event }) => event === 'reloaded')
  expect(linesOf(file).find(({ repeats }) => repeats !== undefined)).toMatchObject({ event: 'command', repeats: 2 })
  expect(await daemon.stop()).toBe(0)
  expect(linesOf(other).map(({ event }) => event)).toEqual(['started', 'reloaded', 'draining', 'closed', 'ended'])
})

test.skipIf(process.platform !== 'linux')('a full disk costs no request: it is told and counted, and the lines are there when it has room', async () => {
  const { file, admin, begin, ca, client } = await scene()
  symlinkSync('/dev/full', file)
  const daemon = await begin()
  expect((await daemon.waitForLog('audit-unavailable')).msg).toContain('its disk is full')
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await wire.ask('flush_all\r\n', 4)).toBe('OK\r\n')
  expect((await runMemseal(['reload', '--admin', `unix:${admin}`])).code).toBe(0)
  expect((await runMemseal(['status', '--admin', `unix:${admin}`])).stdout).toMatch(/audit +NOT WRITTEN: .* its disk is full\. \(\d+ lines; .* wait\)/)
  expect([...await readMetrics(admin)].filter(([name]) => name.startsWith('memseal_audit_')).map(([name, value]) => [name, value > 0])).toEqual([
    ['memseal_audit_up', false], ['memseal_audit_lines_total', true], ['memseal_audit_lost_total', false], ['memseal_audit_waiting_bytes', true]])
  unlinkSync(file)
  symlinkSync('room.log', file)
  await daemon.waitForLog('audit-available')
  expect(await daemon.stop()).toBe(0)
  expect(linesOf(file).map(({ event }) => event)).toEqual(['started', 'connected', 'command', 'reloaded', 'draining', 'closed', 'ended'])
})

test.skipIf(process.platform !== 'linux')('a file that may not grow: no line is torn but the one that did not fit, and it goes on in the next file, which says so', async () => {
  const { file, config, ca, client, admin } = await scene()
  const daemon = await startDaemon(config, { wrapper: ['prlimit', '--fsize=5000'] })
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  for (let i = 0; i < 20; i++) {
    const one = await connect({ port: daemon.port(), tls: as(client, ca), localAddress: `127.0.2.${i + 1}` })
    expect(await one.ask('flush_all\r\n', 4)).toBe('OK\r\n')
  }
  expect((await daemon.waitForLog('audit-unavailable')).msg).toContain('the size that a file may have')
  expect(await wire.ask('get a\r\n', 5)).toBe('END\r\n')
  renameSync(file, `${file}.1`)
  for (let i = 2; i < 9 && (await readMetrics(admin)).get('memseal_audit_waiting_bytes')! > 0; i++) {
    daemon.kill('SIGHUP')
    await seen(file, ({ event }) => event !== undefined)
    await vi.waitUntil(async () => statSync(file).size > 4000 || (await readMetrics(admin)).get('memseal_audit_waiting_bytes') === 0, { timeout: 150_000 })
    renameSync(file, `${file}.${i}`)
  }
  const lost = (await readMetrics(admin)).get('memseal_audit_lost_total')!
  expect(await daemon.stop()).toBe(0)
  const texts = readdirSync(join(file, '..')).sort().map(name => readFileSync(join(file, '..', name), 'utf8'))
  const whole = texts.flatMap(text => text.split('\n').slice(0, -1)).map(line => JSON.parse(line) as Line)
  const torn = texts.map(text => text.split('\n').at(-1)).filter(rest => rest !== '').length
  expect(whole.map(({ event }) => event)).toContain('audit-lost')
  expect(torn).toBeGreaterThan(0)
  const flushes = whole.filter(({ event }) => event === 'command').length
  const arrivals = whole.filter(({ event }) => event === 'connected').length
  // One more may be torn at the end; then the log says so.
  expect(torn - lost).toBeOneOf([0, 1])
  expect(flushes + arrivals + torn).toBeGreaterThanOrEqual(41)
})

test('who is shut out by order, and let in again, is recorded; so is a drain by order', async () => {
  const { file, admin, begin, ca, client } = await scene({ events: ['banned', 'ban-lifted', 'refused', 'draining', 'ended'] })
  const daemon = await begin()
  const order = async (...words: string[]): Promise<void> => expect((await runMemseal([...words, '--admin', `unix:${admin}`])).code).toBe(0)
  await order('ban', 'add', '127.0.2.7')
  await connect({ port: daemon.port(), localAddress: '127.0.2.7', tls: as(client, ca) }).then(wire => wire.closed, () => {})
  await order('ban', 'remove', '127.0.2.7')
  await order('drain')
  expect((await daemon.exited()).code).toBe(0)
  expect(linesOf(file).map(({ event, address, cause, reason }) => [event, address, cause, reason])).toEqual([
    ['banned', expect.stringContaining('127.0.2.7'), 'order', 'order'],
    ['ban-lifted', expect.stringContaining('127.0.2.7'), 'order', undefined], ['draining', undefined, 'admin', undefined], ['ended', undefined, undefined, undefined]])
})

test('on standard output its lines stand among those of the log, and have no level', async () => {
  const { config, ca, client } = await scene()
  const daemon = await startDaemon({ ...config, audit: { file: '-', events: ['connected', 'ended'] } })
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await wire.ask('get a\r\n', 5)).toBe('END\r\n')
  expect(await daemon.stop()).toBe(0)
  expect(daemon.logs().filter(({ level }) => level === undefined).map(({ event }) => event)).toEqual(['connected', 'ended'])
  expect(daemon.logs('closed')).toMatchObject([{ level: 'info' }])
})

test('a client that passed unread before the audit began is told of when it begins', async () => {
  const { file, admin, config, ca, client } = await scene({}, { commands: ['all'] })
  const { audit, ...rest } = config
  const daemon = await startDaemon(rest)
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await wire.ask('foo bar\r\n', 7)).toBe('ERROR\r\n')
  writeFileSync(daemon.configFile, JSON.stringify({ ...rest, audit }))
  expect((await runMemseal(['reload', '--admin', `unix:${admin}`])).stdout).toContain('audit: is new')
  expect(await seen(file, ({ event }) => event === 'unread')).toMatchObject({ subject: expect.stringContaining('CN=client') })
})

test('with commands: [all] what is known passes read, and is recorded; what is not known is the last that is seen, and says so', async () => {
  const { file, begin, ca, client } = await scene({}, { commands: ['all'] })
  const daemon = await begin()
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  void wire.write('stats\r\n')
  await wire.readUntil('END\r\n')
  expect(await wire.ask('flush_all\r\nverbosity 0\r\n', 8)).toBe('OK\r\nOK\r\n')
  expect(await wire.ask('get  a  b\r\nfoo bar\r\nflush_all 0\r\n', 16)).toBe('END\r\nERROR\r\nOK\r\n')
  expect(await daemon.stop()).toBe(0)
  expect(linesOf(file).map(({ event, command }) => [event, command])).toEqual([['started', undefined], ['connected', undefined], ['command', 'flush_all'],
    ['command', 'verbosity'], ['unread', undefined], ['draining', undefined], ['closed', undefined], ['ended', undefined]])
})

test('with rules: who by which of them, and of a key the pattern that it fits, whosever it is', async () => {
  const access = [{ name: 'web', match: { cn: 'client' }, commands: ['read', 'write'], keys: ['web:*'] }, { name: 'operators', match: { cn: 'ops' }, commands: ['all'], keys: ['shop:*:cart'] }]
  const { file, begin, ca, client } = await scene({ keys: 'prefix' }, { access })
  const daemon = await begin()
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  for (const request of ['get web:a shop:jane:cart\r\n', 'get user:jane\r\n', 'delete web:a\r\n', 'get jane\r\n']) {
    void wire.write(request)
    expect(await wire.readLine()).toMatch(/^CLIENT_ERROR memseal: /)
  }
  expect(await daemon.stop()).toBe(0)
  const lines = linesOf(file)
  expect(lines.filter(({ event }) => event === 'command-refused').map(({ rule, command, reason, keyPattern, keyPrefix, repeats }) => [rule, command, reason, keyPattern ?? keyPrefix, repeats])).toEqual([
    ['web', 'get', 'key', 'shop:*:cart', undefined], ['web', 'get', 'key', 'user:', undefined], ['web', 'delete', 'command', 'web:*', undefined], ['web', 'get', 'key', undefined, 1]])
  expect(lines.filter(({ rule }) => rule === 'web').map(({ event }) => event)).toEqual(['connected', 'command-refused', 'command-refused', 'command-refused', 'closed', 'command-refused'])
})

test.skipIf(process.platform !== 'linux')('audit.required: without the file nobody new comes in, those who are in are served, and it is not ready until the file is back', async () => {
  const { file, admin, begin, ca, client } = await scene({ required: true })
  const daemon = await begin()
  const wire = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await wire.ask('set a 0 0 1\r\n1\r\n', 8)).toBe('STORED\r\n')
  await seen(file, ({ event }) => event === 'connected')
  rmSync(join(file, '..'), { recursive: true })
  expect((await daemon.waitForLog('audit-unavailable')).msg).toContain('nobody new is let in meanwhile')
  expect(await wire.ask('get a\r\n', 16)).toBe('VALUE a 0 1\r\n1\r\n')
  await wire.readUntil('END\r\n')
  expect(await wire.ask('flush_all\r\n', 49)).toBe('SERVER_ERROR memseal: the audit cannot be written')
  await wire.readLine()
  expect(await daemon.waitForLog('command-refused')).toMatchObject({ command: 'flush_all', reason: 'audit' })
  expect(await wire.ask('get a\r\n', 16)).toBe('VALUE a 0 1\r\n1\r\n')
  await wire.readUntil('END\r\n')
  await expect(connect({ port: daemon.port(), tls: as(client, ca) })).rejects.toThrow()
  expect(await daemon.waitForLog('refused')).toMatchObject({ reason: 'audit-unavailable' })
  expect((await runMemseal(['status', '--admin', `unix:${admin}`])).stdout).toContain('audit.required')
  mkdirSync(join(file, '..'))
  await daemon.waitForLog('audit-available')
  await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await daemon.stop()).toBe(0)
  expect(linesOf(file).map(({ event }) => event)).toContain('refused')
})

test.each([['yes', 1], ['no', 0]])('a file that cannot be opened at the start, required: %s', async (required, code) => {
  const { file, config } = await scene({ required: required === 'yes' })
  rmSync(join(file, '..'), { recursive: true })
  if (code === 0) {
    const daemon = await startDaemon(config)
    expect((await daemon.waitForLog('audit-unavailable')).msg).toMatch(/there is no folder.*lines wait meanwhile/)
    expect(await daemon.stop()).toBe(0)
    return
  }
  await expect(startDaemon(config)).rejects.toThrow(/memseal ended \(1\)[^]*there is no folder/)
})
