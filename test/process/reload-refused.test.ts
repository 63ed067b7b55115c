// A reload that is refused changes nothing that anybody can see, and is over when what is on disk is what is in force.

import { readFileSync, writeFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import type { Snapshot } from '../../src/admin/snapshot.ts'
import type { ReloadOutcome } from '../../src/telemetry/reload-outcome.ts'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { runMemseal, startDaemon, type Daemon } from '../support/daemon.ts'
import { issue, rsa } from '../support/issue.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { as, connect } from '../support/wire.ts'

interface Scene {
  daemon: Daemon
  files: { cert: string, key: string, client_ca: string }
  put(certificate: Certificate): void
  reload(): Promise<ReloadOutcome>
  status(): Promise<Snapshot>
  metric(): Promise<number>
  /** SHA-256 of the certificate that a handshake gets. */
  served(): Promise<string>
}

async function scene(): Promise<Scene> {
  const { server, client, ca } = await pki()
  const memcached = await startMemcached()
  const files = { cert: '', key: '', client_ca: ca.certFile }
  const put = ({ cert, key }: Certificate): void => {
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key, { mode: 0o600 })
  }
  const daemon = await startDaemon(folder => {
    Object.assign(files, { cert: join(folder, 'a.crt'), key: join(folder, 'a.key') })
    put(server)
    return {
      admin: { listen: `unix:${join(folder, 'admin.sock')}` },
      services: { cache: { listen: '127.0.0.1:0', tls: files, backend: { connect: `127.0.0.1:${memcached.port}` } } },
    }
  })
  const admin = join(daemon.folder, 'admin.sock')
  await daemon.waitForLog('admin-listening')
  const ask = async (path: string, method?: string): Promise<string> => (await askAdmin(admin, path, method)).body
  return {
    daemon, files, put,
    reload: async () => JSON.parse(await ask('/reload', 'POST')) as ReloadOutcome,
    status: async () => JSON.parse(await ask('/status')) as Snapshot,
    metric: async () => (await readMetrics(admin)).get('memseal_last_reload_success')!,
    async served() {
      const { socket } = await connect({ port: daemon.port(), tls: as(client, ca) })
      const shown = (socket as TLSSocket).getPeerX509Certificate()!.fingerprint256
      socket.destroy()
      return shown
    },
  }
}

const fingerprint = ({ cert }: Certificate): string => new X509Certificate(cert).fingerprint256

test('a pair that OpenSSL refuses is refused by check and by each reload, and all goes on telling of the one that serves', async () => {
  const { server, ca } = await pki()
  const { daemon, files, put, reload, status, metric, served } = await scene()
  put(await issue({ ca, key: rsa(1024) }))
  const words = `services.cache.tls.cert: ${files.cert}: its key is too small for OpenSSL.`
  const { code, stderr } = await runMemseal(['check', '--config', daemon.configFile])
  expect([code, stderr]).toEqual([78, expect.stringContaining(words)])
  for (let time = 0; time < 2; time++) {
    expect(await reload()).toMatchObject({ result: 'refused', changes: [], reasons: [expect.stringContaining(words)] })
    expect(await served()).toBe(fingerprint(server))
    const { services: [service], refusal } = await status()
    expect(service.tls!.fingerprint).toBe(fingerprint(server))
    expect(service.certificates[0]).toMatchObject({ key: 'cert', notAfter: new X509Certificate(server.cert).validToDate.toISOString() })
    expect(refusal!.outcome.result).toBe('refused')
    expect(await metric()).toBe(0)
  }
})

test('a refusal is over when the files are as they were', async () => {
  const { server, client } = await pki()
  const { daemon, files, put, reload, status, metric } = await scene()
  writeFileSync(files.key, client.key)
  expect((await reload()).result).toBe('refused')
  expect(await metric()).toBe(0)
  put(server)
  await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')
  expect(await metric()).toBe(1)
  expect(await status()).toMatchObject({ lastReload: { cause: 'files', outcome: { result: 'unchanged' } } })
  expect((await status()).refusal).toBeUndefined()
})

test('a configuration that was refused and is put back ends the refusal too, without an order', async () => {
  const { daemon, reload, metric } = await scene()
  const before = readFileSync(daemon.configFile, 'utf8')
  writeFileSync(daemon.configFile, `${before}nonsense: 1\n`)
  expect((await reload()).result).toBe('refused')
  writeFileSync(daemon.configFile, before)
  await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')
  expect(await metric()).toBe(1)
})

test('a certificate that is renewed meanwhile does not end the refusal of a configuration', async () => {
  const { serverRenewed } = await pki()
  const { daemon, put, reload, status, metric, served } = await scene()
  const before = readFileSync(daemon.configFile, 'utf8')
  writeFileSync(daemon.configFile, `${before}nonsense: 1\n`)
  const { reasons } = await reload()
  put(serverRenewed)
  await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')
  expect(await served()).toBe(fingerprint(serverRenewed))
  expect(await metric()).toBe(0)
  expect(await status()).toMatchObject({ lastReload: { outcome: { result: 'applied' } }, refusal: { cause: 'admin', outcome: { reasons } } })
  expect((await runMemseal(['status', '--config', daemon.configFile, '--admin', `unix:${join(daemon.folder, 'admin.sock')}`])).stdout).toMatch(/before that .*REFUSED[^]*nonsense/)
  writeFileSync(daemon.configFile, before)
  expect((await reload()).result).toBe('unchanged')
  expect(await metric()).toBe(1)
})

test.each([true, false])('however long a configuration stays broken, putting it back ends the refusal (with a certificate: %s)', async hasTls => {
  const { server } = await pki()
  const daemon = await startDaemon(folder => {
    writeFileSync(join(folder, 'more.yaml'), '')
    return {
      admin: { listen: `unix:${join(folder, 'admin.sock')}` },
      log: { level: 'debug' },
      include: join(folder, 'more.yaml'),
      services: { cache: { listen: '127.0.0.1:0', ...hasTls ? { tls: { cert: server.certFile, key: server.keyFile } } : {} } },
    }
  })
  const admin = join(daemon.folder, 'admin.sock')
  await daemon.waitForLog('admin-listening')
  const before = readFileSync(daemon.configFile, 'utf8')
  const included = join(daemon.folder, 'more.yaml')
  writeFileSync(daemon.configFile, `${before}[`)
  expect(JSON.parse((await askAdmin(admin, '/reload', 'POST')).body)).toMatchObject({ result: 'refused' })
  writeFileSync(included, 'nonsense: 3\n')
  // It is looked at again and again meanwhile, and is broken in another way each time; at last by a file that it includes.
  for (const text of [`${before}nonsense: 1\n`, `${before}[[`, before]) {
    const looks = daemon.logs('reload-still-refused').length
    writeFileSync(daemon.configFile, text)
    await daemon.waitForLog(() => daemon.logs('reload-still-refused').length > looks)
  }
  expect((await readMetrics(admin)).get('memseal_last_reload_success')).toBe(0)
  writeFileSync(included, '')
  await daemon.waitForLog(line => line.event === 'reloaded' && line['cause'] === 'files')
  expect((await readMetrics(admin)).get('memseal_last_reload_success')).toBe(1)
})
