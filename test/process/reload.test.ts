import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { expect, test, vi } from 'vitest'
import type { ReloadOutcome } from '../../src/telemetry/reload-outcome.ts'
import { askAdmin } from '../support/admin.ts'
import { makeCrl } from '../support/crl.ts'
import { startDaemon, toYaml, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { as, connect, type Wire } from '../support/wire.ts'

interface Service { listen: string | string[], [key: string]: unknown }
interface Written { services: Record<string, Service>, [key: string]: unknown }

interface Setup {
  daemon: Daemon
  admin: string
  /** Writes the configuration anew, changed as `change` says, and reloads. */
  reload(change?: (config: Written) => void): Promise<ReloadOutcome>
  /** Its line and column of `text` in the configuration file, as issues tell it. */
  at(text: string): string
}

async function setup(change: (config: Written, folder: string) => void = () => {}): Promise<Setup> {
  const memcached = await startMemcached()
  let config!: Written
  const daemon = await startDaemon(folder => {
    config = {
      admin: { listen: `unix:${join(folder, 'admin.sock')}` }, log: { level: 'info' },
      services: { cache: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` } } },
    }
    change(config, folder)
    return config as unknown as Record<string, unknown>
  })
  const admin = join(daemon.folder, 'admin.sock')
  await daemon.waitForLog('admin-listening')
  return {
    daemon, admin,
    async reload(more = () => {}) {
      more(config)
      writeFileSync(`${daemon.configFile}.new`, toYaml(config as unknown as Record<string, unknown>))
      renameSync(`${daemon.configFile}.new`, daemon.configFile)
      return JSON.parse((await askAdmin(admin, '/reload', 'POST')).body) as ReloadOutcome
    },
    at(text) {
      const before = readFileSync(daemon.configFile, 'utf8').split(text)[0].split('\n')
      return `${daemon.configFile}:${before.length}:${before.at(-1)!.length + 1}`
    },
  }
}

async function answers(wire: Wire): Promise<boolean> {
  return (await wire.ask('mn\r\n', 4)) === 'MN\r\n'
}

/** Files of its own, so that a test can break them. */
async function ownFiles(folder: string) {
  const { server, ca } = await pki()
  const files = { cert: join(folder, 'a.crt'), key: join(folder, 'a.key'), client_ca: join(folder, 'ca.crt') }
  writeFileSync(files.cert, server.cert)
  writeFileSync(files.key, server.key, { mode: 0o600 })
  writeFileSync(files.client_ca, ca.cert)
  return files
}

test('SIGHUP reloads, and says what is different', async () => {
  const { daemon } = await setup()
  const text = readFileSync(daemon.configFile, 'utf8')
  writeFileSync(daemon.configFile, text.replace('level: info', 'level: debug'))
  daemon.kill('SIGHUP')
  expect(await daemon.waitForLog('reloaded')).toMatchObject({ cause: 'signal', changes: ['log.level: info is now debug'] })
})

test('a reload of what is in force changes nothing', async () => {
  const { reload } = await setup()
  expect(await reload()).toMatchObject({ result: 'unchanged', changes: [], reasons: [], warnings: [] })
})

test('listeners come and go, and clients of those that go stay', async () => {
  const { daemon, reload } = await setup()
  const first = daemon.port()
  const client = await connect({ port: first })
  expect(await answers(client)).toBe(true)
  const port = await freePort()
  const outcome = await reload(config => { config.services['cache'].listen = `127.0.0.1:${port}` })
  expect(outcome.changes).toEqual([`services.cache.listen: [127.0.0.1:0] is now [127.0.0.1:${port}]`])
  expect(await answers(await connect({ port }))).toBe(true)
  await expect(connect({ port: first })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(await answers(client)).toBe(true)
})

test('services come and go; a listener goes over to the service that takes its name', async () => {
  const port = await freePort()
  const { reload } = await setup(config => { config.services['cache'].listen = `127.0.0.1:${port}` })
  const old = await connect({ port })
  expect(await answers(old)).toBe(true)
  const outcome = await reload(config => { config.services = { renamed: config.services['cache'] } })
  expect(outcome.changes).toEqual(['services.cache: is gone', 'services.renamed: is new'])
  expect(await answers(old)).toBe(true)
  expect(await answers(await connect({ port }))).toBe(true)
})

test('whoever was accepted by a service that has gone, or has swapped its place, is not let in by its CA', async () => {
  const { client, strangerClient, server, ca, otherCa } = await pki()
  const [one, two] = [await freePort(), await freePort()]
  const { daemon, reload } = await setup((config, folder) => {
    const tls = { cert: join(folder, 'a.crt'), key: join(folder, 'a.key'), client_ca: join(folder, 'ca.crt') }
    writeFiles(folder)
    const { backend } = config.services['cache']
    config.services = {
      cache: { listen: `127.0.0.1:${one}`, tls, backend }, other: { listen: `127.0.0.1:${two}`, tls: { ...tls, client_ca: join(folder, 'other.crt') }, backend },
    }
  })
  function writeFiles(folder: string): void {
    writeFileSync(join(folder, 'other.crt'), otherCa.cert)
    writeFileSync(join(folder, 'ca.crt'), ca.cert)
    writeFileSync(join(folder, 'a.crt'), server.cert)
    writeFileSync(join(folder, 'a.key'), server.key, { mode: 0o600 })
  }
  for (const change of ['swap', 'rename'] as const) {
    const silent = connectPlain({ port: one, host: '127.0.0.1' }).on('error', () => {})
    await once(silent, 'connect')
    const own = change === 'swap' ? client : strangerClient
    expect(await answers(await connect({ port: one, tls: as(own, ca) }))).toBe(true)   // after it in the queue of accept
    const outcome = await reload(config => {
      const { cache, other } = config.services
      if (change === 'swap') [cache.listen, other.listen] = [other.listen, cache.listen]
      else config.services = { renamed: { ...other, tls: cache.tls } }
    })
    expect(outcome.result).toBe('applied')
    const late = connectTls({ ...as(own, ca), socket: silent, servername: 'localhost' }).on('error', () => {})
    if (!silent.closed) await once(silent, 'close')
    late.destroy()
    const service = change === 'swap' ? 'cache' : 'other'
    expect(await daemon.waitForLog(line => line.event === 'handshake-failed' && line['service'] === service)).toMatchObject({ reason: 'rules-changed' })
  }
})

test('limits, rules and commands hold from the reload on, for clients that are in as well where that can be', async () => {
  const { daemon, reload } = await setup()
  const client = await connect({ port: daemon.port() })
  expect(await client.ask('flush_all\r\n', 4)).toBe('OK\r\n')
  await reload(config => Object.assign(config.services['cache'], { commands: ['read'], deny: ['127.0.7.0/24'], limits: { connections: 2 } }))
  const refusal = 'CLIENT_ERROR memseal: command not allowed\r\n'
  expect(await client.ask('flush_all\r\n', refusal.length)).toBe(refusal)
  await turnedAway({ port: daemon.port(), localAddress: '127.0.7.1' })
  const second = await connect({ port: daemon.port() })
  expect(await answers(second)).toBe(true)
  await turnedAway({ port: daemon.port() })
  await daemon.waitForLog(line => line['reason'] === 'service-full')
  expect(daemon.logs('refused').map(line => line['reason'])).toEqual(['denied', 'service-full'])
})

test('a client whose bytes pass unread is closed when not everything is allowed any longer', async () => {
  const { daemon, reload } = await setup(config => { config.services['cache'].commands = ['all'] })
  const unread = await connect({ port: daemon.port() })
  expect(await unread.ask('nonsense\r\n', 7)).toBe('ERROR\r\n')
  const framed = await connect({ port: daemon.port() })
  expect(await answers(framed)).toBe(true)
  await reload(config => { config.services['cache'].commands = ['read'] })
  await unread.closed
  expect((await daemon.waitForLog('closed')).reason).toBe('commands-changed')
  expect(await answers(framed)).toBe(true)
})

test('clients go over to another backend without an error', async () => {
  const other = await startMemcached()
  const { daemon, reload } = await setup()
  const client = await connect({ port: daemon.port() })
  expect(await client.ask('set where 0 0 3\r\none\r\n', 8)).toBe('STORED\r\n')
  const busy = await connect({ port: daemon.port() })
  let asked = 0
  let isDone = false
  const work = (async () => {
    for (; !isDone; asked++) expect(await busy.ask('set busy 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  })()
  expect((await reload(config => { config.services['cache']['backend'] = { connect: `127.0.0.1:${other.port}` } })).result).toBe('applied')
  expect(await client.ask('get where\r\n', 5)).toBe('END\r\n')
  expect(await client.ask('set where 0 0 3\r\ntwo\r\n', 8)).toBe('STORED\r\n')
  const before = asked
  await vi.waitUntil(() => asked > before + 50, { timeout: 150_000 })
  isDone = true
  await work
  const direct = await connect({ port: other.port })
  expect(await direct.ask('get where\r\n', 25)).toBe('VALUE where 0 3\r\ntwo\r\nEND\r\n'.slice(0, 25))
})

test('what needs a restart is named, and the rest is in force', async () => {
  const { daemon, reload } = await setup()
  const { result, changes } = await reload(config => Object.assign(config, { log: { level: 'warn', format: 'pretty' }, admin: { listen: [] } }))
  expect(result).toBe('applied')
  expect(changes).toEqual([
    'log.level: info is now warn',
    'log.format: json is now pretty, which needs a restart',
    expect.stringMatching(/^admin\.listen: \[.*\] is now \[\], which needs a restart$/),
  ])
  expect((await askAdmin(join(daemon.folder, 'admin.sock'), '/readyz')).status).toBe(200)
})

test('every reason why not is told in a line with file:line:column, and nothing is changed', async () => {
  const { daemon, admin, reload, at } = await setup()
  const { result, reasons } = await reload(config => Object.assign(config.services['cache'], { allow: ['10.0.0.0/99'], limits: { connections: '5x' } }))
  expect(result).toBe('refused')
  expect(reasons).toEqual([
    `${at('10.0.0.0/99')} services.cache.allow[0]: "/99" is not a prefix length of an IPv4 address. Write /0 to /32.`,
    `${at('5x')} services.cache.limits.connections: "5x" is not a whole number. Write a whole number, 1 to 1000000.`,
  ])
  await daemon.waitForLog(line => line.msg?.includes('limits.connections') ?? false)
  expect(daemon.logs('reload-refused').map(line => line.msg)).toEqual(reasons.map(reason => `nothing was changed: ${reason}`))
  expect(JSON.parse((await askAdmin(admin, '/status')).body)).toMatchObject({ lastReload: { outcome: { result: 'refused' } } })
  expect(await answers(await connect({ port: daemon.port() }))).toBe(true)
})

test('a listener that cannot be opened changes nothing, what was opened before it is closed again', async () => {
  const taken = await startMemcached()
  const { daemon, reload, at } = await setup()
  const free = await freePort()
  const { result, reasons } = await reload(config => {
    config.services['cache'].listen = [`127.0.0.1:${free}`, `127.0.0.1:${taken.port}`]
    config.services['cache']['commands'] = ['read']
  })
  expect(result).toBe('refused')
  expect(reasons).toEqual([`${at(`127.0.0.1:${taken.port}`)} services.cache.listen[1]: cannot listen on 127.0.0.1:${taken.port}: another process listens there. Stop it, or choose another port (ss -ltnp names it).`])
  await expect(connect({ port: free })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const client = await connect({ port: daemon.port() })
  expect(await client.ask('flush_all\r\n', 4)).toBe('OK\r\n')
})

test('a place that memseal itself holds under another name takes a restart, and the words say so', async () => {
  const { daemon, reload, at } = await setup()
  const [free, path] = [await freePort(), join(daemon.folder, 's')]
  expect((await reload(config => { config.services['cache'].listen = [`127.0.0.1:${free}`, `unix:${path}`] })).result).toBe('applied')
  for (const [from, to] of [[`127.0.0.1:${free}`, `localhost:${free}`], [`unix:${path}`, `unix:${daemon.folder}/./s`]]) {
    const { result, reasons } = await reload(config => { config.services['cache'].listen = to })
    expect([result, reasons]).toEqual(['refused', [`${at(to)} services.cache.listen: cannot listen on ${to}: memseal itself listens on ${from}. Restart it, which lets go of the one before it takes the other.`]])
  }
  expect(await answers(await connect({ path }))).toBe(true)
})

test('a configuration that is gone changes nothing', async () => {
  const { daemon, admin } = await setup()
  rmSync(daemon.configFile)
  const { status, body } = await askAdmin(admin, '/reload', 'POST')
  expect([status, (JSON.parse(body) as ReloadOutcome).reasons]).toEqual([409, [`${daemon.configFile}:1:1 there is no such file. Write it, or name another with --config FILE.`]])
  expect(await answers(await connect({ port: daemon.port() }))).toBe(true)
})

test('a broken pair never takes effect: told in one line by order, and by itself once it has been given time', async () => {
  const { serverRenewed, client, ca } = await pki()
  const { daemon, admin, reload, at } = await setup()
  const files = await ownFiles(daemon.folder)
  await reload(config => { config.services['cache']['tls'] = files })
  const shown = await connect({ port: daemon.port(), tls: as(client, ca) })
  writeFileSync(files.cert, serverRenewed.cert)
  const reason = `${at(files.key)} services.cache.tls.key: ${files.key} does not belong to the certificate in ${files.cert}. Write the key that the certificate was requested with.`
  expect(JSON.parse((await askAdmin(admin, '/reload', 'POST')).body)).toMatchObject({ result: 'refused', reasons: [reason] })
  const told = await daemon.waitForLog(line => line.event === 'reload-refused' && line['cause'] === 'files')
  expect(told.msg).toBe(`nothing was changed: ${reason}`)
  expect(await answers(shown)).toBe(true)
  expect(await answers(await connect({ port: daemon.port(), tls: as(client, ca) }))).toBe(true)
  // Mended, it is taken without being asked.
  writeFileSync(files.key, serverRenewed.key)
  expect(await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')).toMatchObject({ changes: [expect.stringMatching(/tls\.cert/), expect.stringMatching(/tls\.key/)] })
})

test('a pipe in the place of a list, or of the configuration, is refused with words, and nobody waits for it', async () => {
  const { client, ca } = await pki()
  const { daemon, reload, admin } = await setup()
  const files = { ...await ownFiles(daemon.folder), crl: join(daemon.folder, 'clients.crl') }
  await makeCrl(files.crl, { ca })
  await reload(config => { config.services['cache']['tls'] = files })
  const pipeAt = (path: string): void => {
    execFileSync('mkfifo', [`${path}.pipe`])
    renameSync(`${path}.pipe`, path)
  }
  pipeAt(files.crl)
  expect((await daemon.waitForLog('reload-refused')).msg).toContain('clients.crl is a pipe, and only a file is read.')
  pipeAt(daemon.configFile)
  const outcome = JSON.parse((await askAdmin(admin, '/reload', 'POST')).body) as ReloadOutcome
  expect([outcome.result, outcome.reasons]).toEqual(['refused', [expect.stringContaining('this is a pipe, and only a file is read.')]])
  expect(await answers(await connect({ port: daemon.port(), tls: as(client, ca) }))).toBe(true)
})

test('a certificate that is removed leaves the loaded one in force', async () => {
  const { client, ca } = await pki()
  const { daemon, reload, at } = await setup()
  const files = await ownFiles(daemon.folder)
  await reload(config => { config.services['cache']['tls'] = files })
  rmSync(files.cert)
  const told = await daemon.waitForLog('reload-refused')
  expect(told.msg).toBe(`nothing was changed: ${at(files.cert)} services.cache.tls.cert: there is no file ${files.cert}. Write the path of the file, or put the file there.`)
  expect(await answers(await connect({ port: daemon.port(), tls: as(client, ca) }))).toBe(true)
})

test('a client that is revoked while memseal runs ends and cannot come again, not with its ticket either; others stay', async () => {
  const { client, ops, ca } = await pki()
  const { daemon, reload } = await setup()
  const files = { ...await ownFiles(daemon.folder), crl: join(daemon.folder, 'clients.crl') }
  await makeCrl(files.crl, { ca })
  await reload(config => { config.services['cache']['tls'] = files })
  const tls = as(client, ca)
  const inside = await connect({ port: daemon.port(), tls })
  expect(await answers(inside)).toBe(true)
  const session = (inside.socket as import('node:tls').TLSSocket).getSession()
  const other = await connect({ port: daemon.port(), tls: as(ops, ca) })
  expect(await answers(other)).toBe(true)
  await makeCrl(files.crl, { ca, revoked: [client] })
  expect((await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files'))['changes']).toEqual(['services.cache.tls.crl: 1 revoked certificate'])
  for (const more of [{}, { session }]) {
    const wire = await connect({ port: daemon.port(), tls: { ...tls, ...more } })
    await expect(answers(wire)).rejects.toThrow()
  }
  await daemon.waitForLog('handshake-failed')
  expect(daemon.logs('handshake-failed').map(line => line['reason'])).toEqual(['revoked'])
  expect((await inside.readToEnd()).toString()).toBe('')
  expect(await answers(other)).toBe(true)
  expect(await answers(await connect({ port: daemon.port(), tls: as(ops, ca) }))).toBe(true)
})

test('a client CA that is replaced lets go of tickets that the old one admitted', async () => {
  const { client, strangerClient, ca, otherCa } = await pki()
  const { daemon, reload } = await setup()
  const files = await ownFiles(daemon.folder)
  await reload(config => { config.services['cache']['tls'] = files })
  const inside = await connect({ port: daemon.port(), tls: as(client, ca) })
  expect(await answers(inside)).toBe(true)
  const session = (inside.socket as import('node:tls').TLSSocket).getSession()
  writeFileSync(files.client_ca, otherCa.cert)
  await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')
  await expect(connect({ port: daemon.port(), tls: { ...as(client, ca), session } }).then(answers)).rejects.toThrow()
  expect(await answers(await connect({ port: daemon.port(), tls: as(strangerClient, ca) }))).toBe(true)
})

test('the certificate that a sidecar shows is renewed on connections that stand, and no request fails meanwhile', async () => {
  const { server, client, ops, ca } = await pki()
  const host = await setup(config => {
    config.services['cache']['tls'] = { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }
  })
  const files = { ca: ca.certFile, cert: '', key: '', server_name: 'localhost' }
  const sidecar = await setup((config, folder) => {
    Object.assign(files, { cert: join(folder, 'own.crt'), key: join(folder, 'own.key') })
    writeFileSync(files.cert, client.cert)
    writeFileSync(files.key, client.key, { mode: 0o600 })
    config.services['cache']['backend'] = { connect: `127.0.0.1:${host.daemon.port()}`, tls: files }
  })
  await sidecar.daemon.waitForLog('ready')
  const shown = async (): Promise<string[]> => JSON.parse((await askAdmin(host.admin, '/connections')).body).connections.map((each: any) => each.tls.subject)
  expect(await shown()).toEqual(['O=memseal tests, OU=web, CN=client'])
  const wire = await connect({ port: sidecar.daemon.port() })
  let isDone = false
  const work = (async () => { while (!isDone) expect(await wire.ask('set a 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n') })()
  writeFileSync(files.cert, ops.cert)
  writeFileSync(files.key, ops.key)
  expect(await sidecar.daemon.waitForLog('reloaded')).toMatchObject({ cause: 'files', changes: ['services.cache.backend.tls.cert: another certificate', 'services.cache.backend.tls.key: another key'] })
  await host.daemon.waitForLog('closed')   // the old connection, when its successor stood
  isDone = true
  await work
  expect(await shown()).toEqual(['O=memseal tests, OU=operations, CN=ops'])
})

/** The reset of a refusal may come before or after the connect itself is told. */
async function turnedAway(options: Parameters<typeof connect>[0]): Promise<void> {
  const wire = await connect(options).catch((error: NodeJS.ErrnoException) => {
    expect(error.message).toContain('ECONNRESET')
    return undefined
  })
  await wire?.closed
}
