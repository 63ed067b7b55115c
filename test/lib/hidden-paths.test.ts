import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { warnOfHiddenPaths } from '../../src/config/hidden-paths.ts'
import { loadText } from '../../src/config/load.ts'
import { hiddenInUnit, isUnit } from '../../src/lib/hidden-paths.ts'
import { runMemseal, startDaemon, toYaml } from '../support/daemon.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

// Under a booted systemd, with the units themselves: test/deploy/systemd.sh.

test('what PrivateTmp and ProtectHome hide is known by its folder, and by nothing that only looks like it', () => {
  for (const path of ['/tmp/m.sock', '/var/tmp/a/b', '/tmp']) expect(hiddenInUnit(path)?.words).toContain('PrivateTmp')
  for (const path of ['/home/a/k.pem', '/root/k.pem', '/run/user/1000/s']) expect(hiddenInUnit(path)?.words).toContain('ProtectHome')
  for (const path of ['/tmpx/m.sock', '/run/memcached/tmp', '/homes/k', '/etc/home', '/run/users']) expect(hiddenInUnit(path)).toBeUndefined()
})

test('a unit is what systemd itself started, and not a shell of a session that it started', () => {
  expect(isUnit({ SYSTEMD_EXEC_PID: '7' }, 7)).toBe(true)
  for (const environment of [{ SYSTEMD_EXEC_PID: '6' }, { INVOCATION_ID: 'a' }, {}]) expect(isUnit(environment, 7)).toBe(false)
})

test('each path that a unit does not see is a warning at its place, whichever key it is in', () => {
  const loaded = loadText(`log: { file: /home/a/memseal.log }
admin: { listen: "unix:/tmp/admin.sock" }
services:
  cache:
    listen: ["127.0.0.1:0", "unix:/var/tmp/c.sock"]
    tls: { cert: /home/a/c.crt, key: /root/c.key, client_ca: /etc/memseal/ca.crt, crl: /home/a/crl.pem }
    backend: { connect: ["unix:/tmp/memcached.sock", "unix:/run/memcached/memcached.sock"] }
`, 'memseal.yaml', { environment: {} })
  warnOfHiddenPaths(loaded)
  const warnings = loaded.issues.filter(({ message }) => message.includes('a unit of systemd with'))
  expect(warnings.map(({ path, severity }) => `${severity} ${path}`)).toEqual([
    'warning log.file', 'warning admin.listen[0]', 'warning services.cache.listen[1]', 'warning services.cache.tls.cert',
    'warning services.cache.tls.key', 'warning services.cache.tls.crl', 'warning services.cache.backend.connect[0]',
  ])
  expect(warnings[0]).toMatchObject({ origin: { line: 1 }, message: expect.stringMatching(/^\/home\/a\/memseal.log: .* sees no home folders\.$/) })
  expect(warnings.at(-1)).toMatchObject({ origin: { line: 7 }, fix: expect.stringContaining('PrivateTmp=no') })
})

// A shell that becomes memseal has its process number, as systemd has it.
const asUnit = ['sh', '-c', 'SYSTEMD_EXEC_PID=$$ exec "$@"', 'sh']

test('in a unit a certificate or a socket that is not seen is told with what hides it', async () => {
  const { server } = await pki()
  const missing = join(tempFolder(), 'missing')
  const daemon = await startDaemon({ services: { cache: { listen: '127.0.0.1:0', backend: { connect: `unix:${missing}` } } } }, { wrapper: asUnit })
  const { msg } = await daemon.waitForLog('backend-lost')
  expect(msg).toContain('PrivateTmp=yes, as memseal has, sees a /tmp of its own')
  expect(daemon.output()).toContain('warning')

  const failed = startDaemon({ services: { cache: { listen: '127.0.0.1:0', tls: { cert: server.certFile, key: missing } } } }, { wrapper: asUnit })
  await expect(failed).rejects.toThrow(/missing cannot be read \(ENOENT\): a unit of systemd with PrivateTmp=yes/)
})

test('outside of a unit nothing is said of it', async () => {
  const file = join(tempFolder(), 'memseal.yaml')
  writeFileSync(file, toYaml({ services: { cache: { listen: '127.0.0.1:0', backend: { connect: 'unix:/tmp/memcached.sock' } } } }))
  expect(await runMemseal(['check', '--config', file])).toMatchObject({ code: 0, stderr: '' })
})
