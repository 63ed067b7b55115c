// memcached with -S (SASL), the list of users made here: clients that log in by themselves, and clients that know nothing of it.
import { execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { memstat, php, pylibmc, ruby } from '../setup/programs.mjs'
import { packet, reply } from '../proto/binary.ts'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { hasSasl, startSaslMemcached, type SaslMemcached } from '../support/sasl.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { connect } from '../support/wire.ts'

const USERS = { anna: 'of-anna', cache: 'of-memseal' }
const libraries = [
  { name: 'pylibmc', program: pylibmc(), script: 'pylibmc_login.py' },
  { name: 'php-memcached', program: php(), script: 'php_memcached_login.php' },
  { name: 'dalli', program: ruby(), script: 'dalli_login.rb' },
]

interface Scene extends SaslMemcached { daemon: Daemon; changePassword(text: string): void }

/** @param password what stands in the file of `backend.auth`; undefined: clients log in by themselves */
async function scene(password?: string, sharing = 'shared'): Promise<Scene> {
  const sasl = await startSaslMemcached(USERS)
  const file = join(tempFolder(), 'password')
  const changePassword = (text: string) => writeFileSync(file, text, { mode: 0o600 })
  if (password !== undefined) changePassword(password)
  const auth = password === undefined ? {} : { auth: { username: 'cache', password_file: file } }
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: sasl.memcached.address, sharing, ...auth } } } })
  return { ...sasl, daemon, changePassword }
}

/** A client that runs until it is done. */
class Client {
  readonly #child
  readonly #lines

  constructor(program: string, script: string, args: string[]) {
    const file = fileURLToPath(new URL(`clients/${script}`, import.meta.url))
    this.#child = spawn(program, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
    atEndOfTest(async () => { this.#child.kill() })
  }

  async says(): Promise<unknown> {
    return (await this.#lines.next()).value
  }

  goOn(): void {
    this.#child.stdin.write('\n')
  }
}

describe.skipIf(!hasSasl)('memcached -S (skipped when saslpasswd2 is not installed, or memcached has no SASL)', () => {
  for (const { name, program, script } of libraries) {
    test.skipIf(!program).each(['shared', 'private'])(`${name} logs in by itself, and again when memcached was started again: %s`, async sharing => {
      const { daemon, memcached } = await scene(undefined, sharing)
      if (sharing === 'shared') expect((await daemon.waitForLog('ready')).backends).toEqual({ [memcached.address]: 'wants-login' })
      const client = new Client(program!, script, [String(daemon.port()), 'anna', USERS.anna])
      expect(await client.says()).toBe('served')
      expect(await new Client(program!, script, [String(daemon.port()), 'anna', 'a-guess']).says()).toBe('refused')
      await memcached.restart()
      client.goOn()
      expect(await client.says()).toBe('served again')
      expect(daemon.output()).not.toMatch(/of-anna|a-guess/)
    })

    test.skipIf(!program).each(['shared', 'private'])(`memseal logs in: ${name} needs no password, and may have one: %s`, async sharing => {
      const { daemon, memcached } = await scene(USERS.cache, sharing)
      expect((await daemon.waitForLog('ready')).backends).toEqual({ [memcached.address]: 'binary-only' })
      const port = String(daemon.port())
      const clients = [new Client(program!, script, [port]), new Client(program!, script, [port, 'anna', USERS.anna])]
      for (const client of clients) expect(await client.says()).toBe('served')
      expect(await new Client(program!, script, [port, 'anna', 'a-guess']).says()).toBe('refused')
      await memcached.restart()
      for (const client of clients) client.goOn()
      for (const client of clients) expect(await client.says()).toBe('served again')
      expect(daemon.logs('backend-login-refused')).toEqual([])
      expect(daemon.output()).not.toMatch(/of-memseal|of-anna|a-guess/)
    })
  }

  test.skipIf(!memstat())('memstat, with a name and without', async () => {
    const statistics = ({ daemon }: Scene, ...login: string[]) => new Promise<string>(resolve =>
      execFile(memstat()!, ['--binary', `--servers=127.0.0.1:${daemon.port()}`, ...login], { timeout: 150_000 }, (_, out) => { resolve(out) }))
    const own = await scene()
    await own.daemon.waitForLog('ready')
    const anna = ['--username=anna', `--password=${USERS.anna}`]
    expect(await statistics(own, ...anna)).toMatch(/^\s*pid: \d/m)
    expect(await statistics(own, '--username=anna', '--password=a-guess')).not.toMatch(/pid:/)
    expect(await statistics(own)).not.toMatch(/pid:/)
    const ours = await scene(USERS.cache)
    await ours.daemon.waitForLog('ready')
    expect(await statistics(ours)).toMatch(/^\s*pid: \d/m)
    expect(await statistics(ours, ...anna)).toMatch(/^\s*pid: \d/m)
  })

  test('a wrong password, another one in the file, and the file gone', async () => {
    const { daemon, changePassword, setPassword } = await scene('a-guess')
    expect(await daemon.waitForLog('backend-login-refused')).toMatchObject({ dialect: 'binary', username: 'cache', words: 'it answered "Auth failure."' })
    const client = await connect({ port: daemon.port() })
    const noop = packet({ opcode: 0x0a, opaque: 9 })
    await client.write(noop)
    const refused = reply({ opcode: 0x0a, opaque: 9, status: 0x86, value: 'memseal: memcached refuses the login of memseal' })
    expect(await client.readExactly(refused.length)).toEqual(refused)
    changePassword(USERS.cache)
    await daemon.waitForLog('ready')
    await client.write(noop)
    expect(await client.readExactly(24)).toEqual(reply({ opcode: 0x0a, opaque: 9 }))
    // memcached gets another one, and so does memseal: a lane that stands goes on, and the next one has the new one.
    setPassword('cache', 'of-tomorrow')
    changePassword('of-tomorrow')
    await daemon.waitForLog(line => line.event === 'reloaded' && daemon.logs('reloaded').length === 2)
    await client.write(noop)
    expect(await client.readExactly(24)).toEqual(reply({ opcode: 0x0a, opaque: 9 }))
    expect(daemon.logs('backend-login-refused')).toHaveLength(1)
    expect(daemon.output()).not.toMatch(/a-guess|of-memseal|of-tomorrow/)
  })

  test('text clients are told that memcached speaks binary alone, whoever logs in', async () => {
    for (const password of [undefined, USERS.cache]) {
      const { daemon } = await scene(password)
      await daemon.waitForLog('ready')
      const client = await connect({ port: daemon.port() })
      await client.write('get a\r\n')
      expect(await client.readLine()).toBe('SERVER_ERROR memseal: memcached speaks the binary protocol alone')
    }
  })
})
