import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { askAdmin } from '../support/admin.ts'
import { runMemseal, startDaemon, type ConfigText } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { as, connect } from '../support/wire.ts'

/** What an OpenSSL without post-quantum groups and without ChaCha20 does: it takes no list with a group that it does not know. */
const older = `
import { createRequire, syncBuiltinESMExports } from 'node:module'
const tls = createRequire('/')('tls')
const { createSecureContext, getCiphers } = tls
tls.createSecureContext = (options = {}) => {
  if (/MLKEM/.test(options.ecdhCurve)) throw Object.assign(new Error('Failed to set ECDH curve'), { code: 'ERR_CRYPTO_OPERATION_FAILED' })
  return createSecureContext(options)
}
tls.getCiphers = () => getCiphers().filter(name => !/chacha20/.test(name))
syncBuiltinESMExports()`
const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(older)}`]

test('groups and ciphers that this OpenSSL does not know are left out, on both sides, and status says which', async () => {
  const { server, client, ca } = await pki()
  const memcached = await startMemcached()
  const config = (folder: string, service: object): ConfigText => ({ admin: { listen: `unix:${join(folder, 'admin.sock')}` }, services: { cache: { listen: '127.0.0.1:0', ...service } } })
  const tls = { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }
  const host = await startDaemon(folder => config(folder, { tls, backend: { connect: `127.0.0.1:${memcached.port}` } }), { execArgv })
  const behind = { ca: ca.certFile, cert: client.certFile, key: client.keyFile, server_name: 'localhost' }
  const sidecar = await startDaemon(folder => config(folder, { backend: { connect: `127.0.0.1:${host.port()}`, tls: behind } }), { execArgv })
  const [direct, through] = [await connect({ port: host.port(), tls: as(client, ca) }), await connect({ port: sidecar.port() })]
  for (const wire of [direct, through]) expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  expect((direct.socket as TLSSocket).getProtocol()).toBe('TLSv1.3')
  await expect(connect({ port: host.port(), tls: { ...as(client, ca), ecdhCurve: 'X25519MLKEM768' } }).then(wire => wire.ask('mn\r\n', 4))).rejects.toThrow()

  await host.waitForLog('admin-listening')
  const leftOut = ['TLS_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305', 'X25519MLKEM768']
  expect(JSON.parse((await askAdmin(join(host.folder, 'admin.sock'), '/status')).body)).toMatchObject({ tlsLeftOut: leftOut })
  expect((await runMemseal(['status', '--config', host.configFile])).stdout).toContain(`${process.versions.openssl} does not know ${leftOut.join(', ')}: TLS does without`)
  expect((await runMemseal(['check', '--config', host.configFile], { execArgv })).code).toBe(0)
})
