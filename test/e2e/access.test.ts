// Rules of `access` with real certificates: who is told from whom by what its certificate says, at whole handshakes and resumed ones.
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
    reason: 'no-rule', subject: 'O=memseal tests, CN=web-1, CN=ops', match: '{ dns: "several.test" }', msg: 'TLS handshake failed: no rule of access is for this client',
  })
  for (const wire of [web, operator]) wire.destroy()
})
