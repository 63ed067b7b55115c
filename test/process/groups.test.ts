import { renameSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ReloadOutcome } from '../../src/telemetry/reload-outcome.ts'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { startDaemon, toYaml } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect, type Wire } from '../support/wire.ts'
import { clientHello, edge, until } from '../tls/edge.ts'

test('groups of a running daemon: names in allow and in limits, and other ranges after a reload while clients stay', async () => {
  const memcached = await startMemcached()
  const config = {
    admin: { listen: '' }, groups: { web: ['127.0.1.0/24'], batch: ['127.0.2.0/24'] } as Record<string, string[]>,
    services: { cache: {
      listen: '127.0.0.1:0', allow: ['web', 'batch'], backend: { connect: `127.0.0.1:${memcached.port}` }, limits: { groups: { batch: { connections: 2, connections_per_client: 1 } } },
    } },
  }
  const daemon = await startDaemon(folder => {
    config.admin.listen = `unix:${join(folder, 'admin.sock')}`
    return config
  })
  const admin = join(daemon.folder, 'admin.sock')
  const wires: Wire[] = []
  const outcome = async (localAddress: string): Promise<string> => {
    const before = daemon.logs('refused').length
    const wire = await connect({ port: daemon.port(), localAddress }).catch(() => undefined)
    if (await wire?.ask('mn\r\n', 4).catch(() => undefined) === 'MN\r\n') {
      wires.push(wire!)
      return 'in'
    }
    await daemon.waitForLog(line => line.event === 'refused' && daemon.logs('refused').indexOf(line) >= before)
    return String(daemon.logs('refused').at(-1)!['reason'])
  }
  expect(await outcome('127.0.1.1')).toBe('in')
  expect(await outcome('127.0.1.1')).toBe('in')
  expect(await outcome('127.0.2.1')).toBe('in')
  expect(await outcome('127.0.2.1')).toBe('client-full')
  expect(await outcome('127.0.2.2')).toBe('in')
  expect(await outcome('127.0.2.3')).toBe('group-full')
  expect(await outcome('127.0.3.1')).toBe('not-allowed')
  expect((await readMetrics(admin)).get('memseal_connections_refused_total{service="cache",reason="group-full"}')).toBe(1)

  config.groups['batch'] = ['127.0.3.0/24']
  writeFileSync(`${daemon.configFile}.new`, toYaml(config))
  renameSync(`${daemon.configFile}.new`, daemon.configFile)
  const { result, changes } = JSON.parse((await askAdmin(admin, '/reload', 'POST')).body) as ReloadOutcome
  expect([result, changes]).toEqual(['applied', ['groups.batch: [127.0.2.0/24] is now [127.0.3.0/24]']])
  expect(await outcome('127.0.2.4')).toBe('not-allowed')
  // Those of the group's former addresses stay, and count in it until they leave.
  expect(await outcome('127.0.3.1')).toBe('group-full')
  expect(await Promise.all(wires.map(wire => wire.ask('mn\r\n', 4)))).toEqual(wires.map(() => 'MN\r\n'))
  wires[2].destroy()
  wires[3].destroy()
  for (let count = 4; count > 2; await new Promise(resolve => setTimeout(resolve, 10))) count = (await readMetrics(admin)).get('memseal_connections{service="cache"}')!
  expect(await outcome('127.0.3.1')).toBe('in')
})

// A slot is never given back here but at the end of a handshake, so those that stop halfway hold what they have.
test.each([['without a share a group that stops halfway holds every turn', {}, false], ['a group with a share holds no more than that', { batch: { handshakes: 1 } }, true]] as const)(
  '%s', async (_, groups, getsIn) => {
    const e = await edge({ allow: ['127.0.0.0/8'], groups: { batch: ['127.0.2.0/24'] }, limits: { handshakes: 2, groups }, handshakeSlotMs: 600_000 })
    const hello = await clientHello()
    const stalled = [1, 2, 3].map(last => connectPlain({ port: e.port, host: '127.0.0.1', localAddress: `127.0.2.${last}` }).on('error', () => {}))
    await atEndOfTest(async () => { for (const socket of stalled) socket.destroy() })
    for (const socket of stalled) socket.write(hello)
    await until(() => e.admission.handshakes.running + e.admission.handshakes.waiting === 3 && e.admission.handshakes.running === (getsIn ? 1 : 2), 'they have the turns that they may have')
    const { ca, client } = await pki()
    const other = connect({ port: e.port, localAddress: '127.0.1.1', tls: as(client, ca) }).then(async wire => wire.ask('in', 2), () => 'out')
    if (!getsIn) {
      await until(() => e.admission.handshakes.waiting === 2, 'it waits as well')
      expect(e.admission.handshakes.running).toBe(2)
      e.listener.close()
    }
    expect(await other).toBe(getsIn ? 'in' : 'out')
  },
)
