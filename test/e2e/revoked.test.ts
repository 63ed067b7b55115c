// A certificate that is revoked or denied, or whose CA is gone, is out within one reload: new, resumed and live connections alike.
// Whoever is in ends between two requests, and nobody else notices.
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeCrl } from '../support/crl.ts'
import { startDaemon, toYaml } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { as, connect, type Wire } from '../support/wire.ts'

type Config = { services: { cache: { tls: Record<string, unknown>, [key: string]: unknown } } }

async function service(more: object = {}) {
  const certificates = await pki()
  const { server, ca, client, ops } = certificates
  const memcached = await startMemcached()
  let config!: Config
  const daemon = await startDaemon(folder => {
    const files = { client_ca: join(folder, 'clients.pem') }
    writeFileSync(files.client_ca, ca.cert)
    return config = { services: { cache: { listen: '127.0.0.1:0', backend: { connect: memcached.address }, tls: { cert: server.certFile, key: server.keyFile, ...files }, ...more } } }
  })
  const dial = (who: Certificate, session?: Buffer) => connect({ port: daemon.port(), tls: { ...as(who, ca), session } })
  const reload = async (change: (config: Config) => void): Promise<void> => {
    const before = daemon.logs('reloaded').length
    change(config)
    writeFileSync(daemon.configFile, toYaml(config))
    daemon.kill('SIGHUP')
    await daemon.waitForLog(() => daemon.logs('reloaded').length > before)
  }
  const inside = await dial(client)
  const neighbour = await dial(ops)
  for (const wire of [inside, neighbour]) await answers(wire)
  return { certificates, daemon, config, dial, reload, inside, neighbour, session: (inside.socket as import('node:tls').TLSSocket).getSession()! }
}

async function answers(wire: Wire): Promise<void> {
  expect(await wire.ask('get a\r\n', 5)).toBe('END\r\n')
}

type Service = Awaited<ReturnType<typeof service>>

/** It is out in each of the three ways. */
async function isOut({ certificates: { client }, daemon, dial, inside, neighbour, session }: Service, reason: string): Promise<void> {
  expect((await inside.readToEnd()).toString()).toBe('')
  await answers(neighbour)
  for (const ticket of [undefined, session]) await expect(dial(client, ticket).then(answers)).rejects.toThrow()
  expect(await daemon.waitForLog('expelled')).toMatchObject({ service: 'cache', subject: 'O=memseal tests, OU=web, CN=client', reason: 'revoked' })
  expect(await daemon.waitForLog('handshake-failed')).toMatchObject({ reason })
  await answers(neighbour)
  expect(daemon.logs('expelled')).toHaveLength(1)
}

test('denied by its serial number', async () => {
  const s = await service()
  await s.reload(({ services: { cache: { tls } } }) => { tls['deny_certificates'] = [new X509Certificate(s.certificates.client.cert).serialNumber] })
  await isOut(s, 'denied-certificate')
})

test('denied by its fingerprint, with openssl\'s words before it', async () => {
  const s = await service()
  await s.reload(({ services: { cache: { tls } } }) => { tls['deny_certificates'] = [`sha256 Fingerprint=${new X509Certificate(s.certificates.client.cert).fingerprint256}`] })
  await isOut(s, 'denied-certificate')
})

test('revoked by a list, whose file is all that changes', async () => {
  const s = await service()
  const crl = join(s.daemon.folder, 'clients.crl')
  await makeCrl(crl, { ca: s.certificates.ca })
  await s.reload(({ services: { cache: { tls } } }) => { tls['crl'] = crl })
  await answers(s.inside)
  const session = await s.dial(s.certificates.client)
  await answers(session)
  await makeCrl(crl, { ca: s.certificates.ca, revoked: [s.certificates.client] })
  expect((await session.readToEnd()).toString()).toBe('')
  expect((await s.inside.readToEnd()).toString()).toBe('')
  await answers(s.neighbour)
  await expect(s.dial(s.certificates.client, s.session).then(answers)).rejects.toThrow()
  expect(await s.daemon.waitForLog('handshake-failed')).toMatchObject({
    reason: 'revoked', serial: new X509Certificate(s.certificates.client.cert).serialNumber, names: expect.any(Array), fingerprint: expect.any(String),
  })
})

test('its CA is gone: so is everybody whom it has signed', async () => {
  const s = await service()
  writeFileSync(join(s.daemon.folder, 'clients.pem'), s.certificates.otherCa.cert)
  for (const wire of [s.inside, s.neighbour]) expect((await wire.readToEnd()).toString()).toBe('')
  await answers(await s.dial(s.certificates.strangerClient))
})

test('a CA that is added, or a certificate that is renewed, ends nobody\'s connection', async () => {
  const s = await service()
  writeFileSync(join(s.daemon.folder, 'clients.pem'), s.certificates.otherCa.cert + s.certificates.ca.cert)
  await s.daemon.waitForLog('reloaded')
  await s.reload(({ services: { cache: { tls } } }) => { Object.assign(tls, { cert: s.certificates.serverRenewed.certFile, key: s.certificates.serverRenewed.keyFile }) })
  for (const wire of [s.inside, s.neighbour]) await answers(wire)
  expect(s.daemon.logs('expelled')).toEqual([])
})

test('with revoked: keep whoever is in stays, and cannot come again', async () => {
  const s = await service({ revoked: 'keep' })
  await s.reload(({ services: { cache: { tls } } }) => { tls['deny_certificates'] = [new X509Certificate(s.certificates.client.cert).serialNumber] })
  await expect(s.dial(s.certificates.client).then(answers)).rejects.toThrow()
  for (const wire of [s.inside, s.neighbour]) await answers(wire)
})

test('a rule that is gone: whoever was in by it ends', async () => {
  const everyone = { name: 'everyone', match: 'everyone' }
  const s = await service({ access: [everyone] })
  await s.reload(({ services: { cache } }) => { cache['access'] = [{ name: 'operators', match: { cn: 'ops' } }] })
  expect((await s.inside.readToEnd()).toString()).toBe('')
  await answers(s.neighbour)
  expect(await s.daemon.waitForLog('expelled')).toMatchObject({ reason: 'access-changed' })
  await expect(s.dial(s.certificates.client, s.session).then(answers)).rejects.toThrow()
})
