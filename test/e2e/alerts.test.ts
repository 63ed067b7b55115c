// What looks like an attack on a running memseal, as its log, metrics and audit tell of it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readMetrics } from '../support/admin.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

test('a scan, plain memcached on a port of TLS, a certificate that moved, a client that begins to flush', async () => {
  const [{ ca, server, client }, memcached] = await Promise.all([pki(), startMemcached()])
  const folder = tempFolder()
  const [admin, audit] = [join(folder, 'admin.sock'), join(folder, 'audit.log')]
  const daemon = await startDaemon({
    admin: { listen: `unix:${admin}` }, audit: { file: audit, events: ['scan-suspected', 'plain-on-tls', 'new-network', 'new-command'] },
    alerts: { scan: 3, new_network: true, new_command: true, new_command_after: '0s' },
    services: {
      cache: {
        listen: '127.0.0.1:0', allow: ['127.0.0.1', '127.0.1.0/24'], tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
        backend: { connect: memcached.address },
      },
    },
  })
  for (const localAddress of ['127.0.7.1', '127.0.7.2', '127.0.7.3']) {
    await connect({ port: daemon.port(), localAddress }).then(wire => wire.closed, () => {})
  }
  expect(await daemon.waitForLog('scan-suspected')).toMatchObject({ service: 'cache', network: '127.0.7.0/24', addresses: 3 })
  const plain = await connect({ port: daemon.port() })
  await plain.write('get a\r\n')
  await plain.closed
  expect(await daemon.waitForLog('plain-on-tls')).toMatchObject({ address: '127.0.0.1', reason: 'plain-text' })
  const first = await connect({ port: daemon.port(), localAddress: '127.0.0.1', tls: as(client, ca) })
  expect(await first.ask('get a\r\n', 5)).toBe('END\r\n')
  const second = await connect({ port: daemon.port(), localAddress: '127.0.1.1', tls: as(client, ca) })
  expect(await daemon.waitForLog('new-network')).toMatchObject({ address: '127.0.1.1', network: '127.0.1.0/24', before: '127.0.0.0/24', subject: expect.stringContaining('CN=client') })
  expect(await second.ask('get a\r\nflush_all\r\n', 9)).toBe('END\r\nOK\r\n')
  expect(await daemon.waitForLog('new-command')).toMatchObject({ address: '127.0.1.1', group: 'flush' })
  const counts = [...await readMetrics(admin)].filter(([name]) => name.startsWith('memseal_suspicions_total'))
  expect(counts).toEqual(['scan', 'plain-on-tls', 'new-network', 'new-command'].map(kind => [`memseal_suspicions_total{service="cache",kind="${kind}"}`, 1]))
  expect(await daemon.stop()).toBe(0)
  expect(readFileSync(audit, 'utf8').split('\n').slice(0, -1).map(line => (JSON.parse(line) as { event: string }).event))
    .toEqual(['scan-suspected', 'plain-on-tls', 'new-network', 'new-command'])
})
