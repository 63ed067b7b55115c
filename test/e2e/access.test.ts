// Rules of `access` with real certificates: who is told from whom by what its certificate says, at whole handshakes and resumed ones.
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { as, connect } from '../support/wire.ts'

const rules = [
  { name: 'web', match: { cn: 'client', ou: 'web' }, commands: ['read', 'write'], keys: ['web:*'] },
  { name: 'operators', match: { dns: 'ops.test' }, commands: ['all'] },
]

async function service(access: readonly object[] = rules) {
  const certificates = await pki()
  const memcached = await startMemcached()
  const daemon = await startDaemon({
    services: {
      cache: {
        listen: '127.0.0.1:0', backend: { connect: memcached.address }, access,
        tls: { cert: certificates.server.certFile, key: certificates.server.keyFile, client_ca: certificates.ca.certFile },
      },
    },
  })
  const dial = (certificate: Certificate) => connect({ port: daemon.port(), tls: as(certificate, certificates.ca) })
  return { certificates, daemon, dial }
}

test('each client may do what its rule says, and a certificate of several common names fits none', async () => {
  const { certificates: { client, ops, severalNames }, daemon, dial } = await service()
  const web = await dial(client)
  expect(await web.ask('set web:a 0 0 1\r\nx\r\n', 8)).toBe('STORED\r\n')
  expect(await web.ask('get a\r\n', 39)).toBe('CLIENT_ERROR memseal: key not allowed\r\n')
  expect(await web.ask('delete web:a\r\n', 43)).toBe('CLIENT_ERROR memseal: command not allowed\r\n')
  const operator = await dial(ops)
  expect(await operator.ask('flush_all\r\n', 4)).toBe('OK\r\n')

  const nobody = await dial(severalNames)
  expect((await nobody.readToEnd()).toString()).toBe('')
  expect(await daemon.waitForLog('handshake-failed')).toMatchObject({
    reason: 'no-rule', subject: 'O=memseal tests, CN=web-1, CN=ops', names: ['DNS:several.test'], serial: new X509Certificate(severalNames.cert).serialNumber, match: '{ dns: "several.test" }', msg: 'TLS handshake failed: no rule of access is for this client',
  })
  for (const wire of [web, operator]) wire.destroy()
})

test('one certificate from ten addresses at once has as many connections as its rule lets it, and not one more', async () => {
  const { ca, client, ops, server } = await pki()
  const memcached = await startMemcached()
  const daemon = await startDaemon({
    services: {
      cache: {
        listen: '127.0.0.1:0', allow: ['127.0.0.0/8'], backend: { connect: memcached.address }, tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
        access: [{ name: 'web', match: { cn: 'client' }, limits: { connections: 5 } }, { name: 'rest', match: 'everyone' }],
      },
    },
  })
  const enter = async (who: Certificate, n: number) => {
    const wire = await connect({ port: daemon.port(), localAddress: `127.0.5.${n + 1}`, tls: as(who, ca) })
    return wire.ask('mn\r\n', 4).then(() => wire, () => undefined)
  }
  const inside = (await Promise.all(Array.from({ length: 10 }, (_, n) => enter(client, n)))).filter(wire => wire !== undefined)
  expect(inside).toHaveLength(5)
  await daemon.waitForLog(() => daemon.logs('handshake-failed').length >= 5)
  expect(daemon.logs('handshake-failed').map(({ reason }) => reason)).toEqual(Array(5).fill('rule-full'))
  expect(await enter(ops, 1)).toBeDefined()
  inside[0].destroy()
  await daemon.waitForLog('closed')
  expect(await enter(client, 20)).toBeDefined()
  expect(await enter(client, 21)).toBeUndefined()
})
