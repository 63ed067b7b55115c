// memcached that wants a login, and memseal that logs in (`backend.auth`): clients know nothing of it.
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runMemseal, startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'
import { ready, startSidecar } from './support/sidecar.ts'

const PASSWORD = 'open-sesame'

async function behindFile({ password = PASSWORD, backend = {} }: { password?: string; backend?: Record<string, unknown> } = {}) {
  const folder = tempFolder()
  const [users, secret] = [join(folder, 'users'), join(folder, 'secret')]
  writeFileSync(users, `cache:${PASSWORD}\n`)
  const change = (text: string) => {
    writeFileSync(`${secret}.new`, text, { mode: 0o600 })
    renameSync(`${secret}.new`, secret)
  }
  change(`${password}\n`)
  const memcached = await startMemcached({ args: ['-Y', users], asked: { question: 'version\r\n', answer: 'CLIENT_ERROR unauthenticated' } })
  const daemon = await startDaemon({ services: { memcached: {
    listen: '127.0.0.1:0', backend: { connect: memcached.address, auth: { username: 'cache', password_file: secret }, ...backend },
  } } })
  return { memcached, daemon, users, secret, change }
}

for (const sharing of ['shared', 'private']) {
  test(`-Y, ${sharing}: clients need no password, and go on when memcached is started again`, async () => {
    const { memcached, daemon } = await behindFile({ backend: { sharing } })
    await daemon.waitForLog('ready')
    const client = await connect({ port: daemon.port() })
    await client.write('set a 0 0 1\r\nx\r\nget a\r\n')
    expect(await client.readLine()).toBe('STORED')
    expect(await client.readLine()).toBe('VALUE a 0 1')
    expect([await client.readLine(), await client.readLine()]).toEqual(['x', 'END'])
    await client.write('get auth\r\nstats settings\r\n')
    expect(await client.readLine()).toBe('END')
    let line = ''
    for (let next = await client.readLine(); next !== 'END'; next = await client.readLine()) line += next
    expect(line).toContain('auth_enabled_ascii')
    await memcached.restart()
    const other = await connect({ port: daemon.port() })
    for (let answer = ''; answer !== 'END';) {
      await other.write('get a\r\n')
      answer = await other.readLine()
    }
    expect(daemon.output()).not.toContain(PASSWORD)
  })
}

test('a wrong password is told with what to do; the right one is taken as soon as it stands in the file', async () => {
  const { daemon, change } = await behindFile({ password: 'guess' })
  expect(await daemon.waitForLog('backend-login-refused')).toMatchObject({
    level: 'error', username: 'cache', words: 'it answered "CLIENT_ERROR authentication failure\\r\\n"', advice: expect.stringContaining('password_file'),
  })
  const client = await connect({ port: daemon.port() })
  await client.write('get a\r\n')
  expect(await client.readLine()).toBe('SERVER_ERROR memseal: memcached refuses the login of memseal')
  change(`${PASSWORD}\r\n`)
  await daemon.waitForLog('ready')
  expect(daemon.logs('reloaded').at(-1)).toMatchObject({ cause: 'files', changes: ['services.memcached.backend.auth.password_file: another password'] })
  await client.write('get a\r\n')
  expect(await client.readLine()).toBe('END')
  expect(daemon.output()).not.toMatch(/guess|open-sesame/)
})

test('the file goes away and comes back: what was read last is used, the refusal is told, and it ends', async () => {
  const { daemon, secret, change, memcached } = await behindFile()
  await daemon.waitForLog('ready')
  rmSync(secret)
  expect((await daemon.waitForLog('reload-refused')).msg).toContain(`there is no file ${secret}`)
  await memcached.restart()
  const client = await connect({ port: daemon.port() })
  for (let answer = ''; answer !== 'END';) {
    await client.write('get a\r\n')
    answer = await client.readLine()
  }
  change(PASSWORD)
  await daemon.waitForLog('reloaded')
  expect(daemon.output()).not.toContain(PASSWORD)
})

test('nobody is shown the password: the configuration, the status, the log', async () => {
  const { daemon, secret } = await behindFile()
  await daemon.waitForLog('ready')
  chmodSync(secret, 0o644)
  daemon.kill('SIGHUP')
  await daemon.waitForLog(({ event, msg }) => event === 'configuration-warning' && msg!.includes('can be read by every user'))
  daemon.kill('SIGUSR2')
  expect(JSON.stringify(await daemon.waitForLog('status'))).toContain('"up"')
  const shown = await runMemseal(['config', 'show', '--config', daemon.configFile])
  expect(shown.stdout).toContain(secret)
  expect(shown.stdout + shown.stderr + daemon.output()).not.toContain(PASSWORD)
})

test('a sidecar logs in through the memseal of the cache host, which lets logins pass', async () => {
  const { memcached, secret } = await behindFile()
  const { ca, server } = await pki()
  const host = await startDaemon({ services: { memcached: {
    listen: '127.0.0.1:0', tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, backend: { connect: memcached.address },
  } } })
  await host.waitForLog('ready')
  const sidecar = await startSidecar({ connect: `127.0.0.1:${host.port()}`, backend: { auth: { username: 'cache', password_file: secret } } })
  await ready(sidecar)
  const client = await sidecar.connect()
  await client.write('set a 0 0 1\r\nx\r\nstats\r\n')
  expect(await client.readLine()).toBe('STORED')
  expect(await client.readLine()).toMatch(/^STAT pid/)
  // memcached starts again: the cache host closes who had logged in, and the sidecar logs in anew.
  await memcached.restart()
  const other = await sidecar.connect()
  for (let answer = ''; answer !== 'END';) {
    await other.write('get a\r\n')
    answer = await other.readLine()
  }
  expect(host.output() + sidecar.daemon.output()).not.toContain(PASSWORD)
})

test('with several backends one that refuses the login is passed over', async () => {
  const { memcached, daemon, secret } = await behindFile({ password: 'of-the-second' })
  await daemon.waitForLog('backend-login-refused')
  const users = join(tempFolder(), 'users')
  writeFileSync(users, 'cache:of-the-second\n')
  const second = await startMemcached({ args: ['-Y', users], asked: { question: 'version\r\n', answer: 'CLIENT_ERROR unauthenticated' } })
  const both = await startDaemon({ services: { memcached: {
    listen: '127.0.0.1:0', backend: { connect: [memcached.address, second.address], auth: { username: 'cache', password_file: secret } },
  } } })
  expect((await both.waitForLog('ready')).event).toBe('ready')
  await both.waitForLog('backend-login-refused')
  const client = await connect({ port: both.port() })
  for (let answer = ''; answer !== 'END';) {
    await client.write('get a\r\n')
    answer = await client.readLine()
  }
})
