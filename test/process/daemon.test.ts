import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { askAdmin } from '../support/admin.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

/** Whatever of Node's can leave this host, or starts a program, without giving the event loop back. */
const tattle = `
import { createRequire, syncBuiltinESMExports } from 'node:module'
const child = createRequire(import.meta.url)('node:child_process')
const told = name => { process.stderr.write('SYNC ' + name + '\\n') }
const report = process.report.getReport.bind(process.report)
process.report.getReport = (...args) => { told('getReport'); return report(...args) }
for (const name of ['execFileSync', 'execSync', 'spawnSync']) {
  const real = child[name]
  child[name] = (...args) => { told(name); return real(...args) }
}
syncBuiltinESMExports()
`

test.skipIf(process.platform !== 'linux')('start, reload, scrapes and the status ask no DNS and wait for no program', async () => {
  const memcached = await startMemcached()
  const hook = join(tempFolder(), 'tattle.mjs')
  writeFileSync(hook, tattle)
  const daemon = await startDaemon(folder => ({
    admin: { listen: `unix:${folder}/admin.sock` },
    services: { cache: { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` } } },
  }), { execArgv: ['--import', hook] })
  const admin = join(daemon.folder, 'admin.sock')
  const wire = await connect({ port: daemon.port() })
  expect(await wire.ask('mn\r\n', 4)).toBe('MN\r\n')
  await daemon.waitForLog('admin-listening')
  expect(JSON.parse((await askAdmin(admin, '/reload', 'POST')).body)).toMatchObject({ result: 'unchanged' })
  daemon.kill('SIGHUP')
  await daemon.waitForLog(line => line.event === 'reloaded' && line.cause === 'signal')
  for (const page of ['/metrics', '/status', '/connections']) expect((await askAdmin(admin, page)).status).toBe(200)
  wire.end()
  expect(await daemon.stop()).toBe(0)
  expect(daemon.output()).not.toContain('SYNC ')
})

test('clients that connect for every request are told in few lines with all counts, as the configuration wants it', async () => {
  const memcached = await startMemcached()
  const service = { listen: '127.0.0.1:0', backend: { connect: `127.0.0.1:${memcached.port}` } }
  const config = (connections?: string) => ({ services: { cache: connections === undefined ? service : { ...service, log: { connections } } } })
  const daemon = await startDaemon(config())
  const connectAndQuit = async (): Promise<void> => {
    const wire = await connect({ port: daemon.port() })
    await wire.write('mn\r\nquit\r\n')
    await wire.closed
  }
  const change = async (connections: string): Promise<void> => {
    writeFileSync(daemon.configFile, JSON.stringify(config(connections)))
    const before = daemon.logs('reloaded').length
    daemon.kill('SIGHUP')
    await daemon.waitForLog(() => daemon.logs('reloaded').length > before)
  }
  await change('all')
  for (let i = 0; i < 12; i++) await connectAndQuit()
  await daemon.waitForLog(() => daemon.logs('closed').length === 12)
  await change('off')
  for (let i = 0; i < 12; i++) await connectAndQuit()
  await change('sampled')
  for (let i = 0; i < 30; i++) await connectAndQuit()
  expect(await daemon.stop()).toBe(0)
  expect(daemon.logs('closed')).toHaveLength(22)
  expect(daemon.logs('closed-folded')).toMatchObject([{ service: 'cache', address: '127.0.0.1', connections: 20, requests: 20, reasons: { quit: 20 } }])
})
