import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ReloadOutcome } from '../../src/telemetry/reload-outcome.ts'
import { askAdmin, readMetrics } from '../support/admin.ts'
import { startDaemon, toYaml } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { connect, type Wire } from '../support/wire.ts'

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
