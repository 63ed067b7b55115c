import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readMetrics } from '../support/admin.ts'
import { commandHere } from '../support/command.ts'
import { startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { connect } from '../support/wire.ts'

// `allow_file` and `deny_file` of a running daemon: read at the start, followed, and refused while they are faulty.

async function setup(allowed: string, denied = '# nobody\n'): Promise<{ daemon: Daemon, files: { allow: string, deny: string } }> {
  const memcached = await startMemcached()
  let files!: { allow: string, deny: string }
  const daemon = await startDaemon(folder => {
    files = { allow: join(folder, 'clients.allow'), deny: join(folder, 'clients.deny') }
    writeFileSync(files.allow, allowed)
    writeFileSync(files.deny, denied)
    return {
      admin: { listen: `unix:${join(folder, 'admin.sock')}` },
      services: { cache: { listen: '127.0.0.1:0', allow_file: 'clients.allow', deny_file: 'clients.deny', backend: { connect: `127.0.0.1:${memcached.port}` } } },
    }
  })
  return { daemon, files }
}

async function outcome(daemon: Daemon, localAddress: string): Promise<'in' | 'out'> {
  try {
    const wire = await connect({ port: daemon.port(), localAddress })
    const answer = await wire.ask('mn\r\n', 4)
    wire.destroy()
    return answer === 'MN\r\n' ? 'in' : 'out'
  } catch {
    return 'out'
  }
}

const outcomes = (daemon: Daemon) => Promise.all(['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(address => outcome(daemon, address)))

function replace(file: string, content: string): void {
  writeFileSync(`${file}.new`, content)
  renameSync(`${file}.new`, file)
}

test('those in the file come in, and another file is in force as soon as it is there', async () => {
  const { daemon, files } = await setup('127.0.0.1\n127.0.0.2\n')
  expect(await outcomes(daemon)).toEqual(['in', 'in', 'out'])
  expect(daemon.logs('refused')[0]).toMatchObject({ address: '127.0.0.3', reason: 'not-allowed' })
  replace(files.allow, '127.0.0.2\r\n127.0.0.3 # new\r\n127.0.0.4\r\n')
  expect(await daemon.waitForLog('reloaded')).toMatchObject({ cause: 'files', changes: ['services.cache.allow_file: 2 ranges are now 3'] })
  expect(await outcomes(daemon)).toEqual(['out', 'in', 'in'])
  writeFileSync(files.deny, '127.0.0.3\n')
  expect(await daemon.waitForLog(line => line.event === 'reloaded' && String(line['changes']).includes('deny_file'))).toMatchObject({
    changes: ['services.cache.deny_file: 0 ranges are now 1'],
  })
  expect(await outcomes(daemon)).toEqual(['out', 'in', 'out'])
  await daemon.waitForLog(line => line.event === 'refused' && line.address === '127.0.0.3' && line['reason'] === 'denied')
})

test.each([
  ['faulty', (file: string) => replace(file, '127.0.0.1\nweb-1\n127.0.0.9/24\n'), [
    /clients\.allow:2:1 services\.cache\.allow_file: "web-1" is not an address range\./, /clients\.allow:3:1 services\.cache\.allow_file: "127\.0\.0\.9\/24" has bits set/,
  ]],
  ['empty', (file: string) => replace(file, '# soon\n'), [/memseal\.yaml:\d+:\d+ services\.cache\.allow_file: .*clients\.allow holds no range, so nobody could come in by it\./]],
  ['gone', (file: string) => rmSync(file), [/services\.cache\.allow_file: there is no file .*clients\.allow\./]],
] as const)('a file that is %s changes nothing and is told, until it is right again', async (_, spoil, told) => {
  const { daemon, files } = await setup('127.0.0.1\n')
  spoil(files.allow)
  await daemon.waitForLog('reload-refused')
  expect(await outcomes(daemon)).toEqual(['in', 'out', 'out'])
  const words = daemon.logs('reload-refused').map(({ msg }) => msg!)
  expect(words.map((each, at) => told[at]?.test(each) === true)).toEqual(told.map(() => true))
  expect((await readMetrics(join(daemon.folder, 'admin.sock'))).get('memseal_last_reload_success')).toBe(0)
  replace(files.allow, '127.0.0.2\n127.0.0.1\n')
  await daemon.waitForLog('reloaded')
  expect(await outcomes(daemon)).toEqual(['in', 'in', 'out'])
  expect((await readMetrics(join(daemon.folder, 'admin.sock'))).get('memseal_last_reload_success')).toBe(1)
})

test.each([
  ['a faulty line', '127.0.0.1\nx\n', /clients\.allow:2:1 services\.cache\.allow_file: .{1,4}x.{1,4} is not an address range/],
  ['no range', '', /clients\.allow holds no range/],
])('memseal does not start with %s', async (_, content, told) => {
  const failure = await setup(content).then(() => '', (error: Error) => error.message)
  expect(failure).toMatch(/^memseal ended \(1\)/)
  expect(failure).not.toContain('Error:')
  expect(failure).toMatch(told)
})

test('check tells every faulty line of both files, beside the other faults', async () => {
  const { daemon, files } = await setup('127.0.0.1\n')
  writeFileSync(files.allow, '127.0.0.1\n10.0.0.256\n')
  writeFileSync(files.deny, '0.0.0.0/33\n')
  const { code, stderr } = await commandHere(['check', '--config', daemon.configFile])
  expect(code).toBe(78)
  expect(stderr).toContain(`${files.allow}:2:1  services.cache.allow_file: "10.0.0.256" is not an address range.\n`)
  expect(stderr).toContain(`${files.deny}:1:1  services.cache.deny_file: "/33" is not a prefix length of an IPv4 address.\n`)
  writeFileSync(files.allow, '0.0.0.0/1\n128.0.0.0/1\n')
  writeFileSync(files.deny, '')
  const warned = await commandHere(['check', '--config', daemon.configFile])
  expect(warned.code).toBe(0)
  expect(warned.stderr).toContain(`warning: services.cache.allow_file: ${files.allow} lets in large parts of the public internet`)
})

test('check warns of what denies all who are allowed, and of nothing that leaves one address', async () => {
  const { daemon, files } = await setup('10.0.0.0/31\nfd00::1\n')
  const told = async (denied: string) => {
    writeFileSync(files.deny, denied)
    return (await commandHere(['check', '--config', daemon.configFile])).stderr
  }
  expect(await told('10.0.0.0/8\nfd00::/16\n')).toContain('warning: services.cache.deny_file: holds all addresses that `allow` lets in, so nobody comes in by one.\n')
  for (const denied of ['10.0.0.0/32\nfd00::/16\n', '10.0.0.0/8\n']) expect(await told(denied)).not.toContain('deny_file')
})

test('a list in a file is as good as one in the configuration where a list is needed', async () => {
  const { daemon, files } = await setup('10.0.0.0/8\n')
  const config = join(daemon.folder, 'other.yaml')
  writeFileSync(config, `services: { cache: { listen: "0.0.0.0:1", plaintext: allowed, allow_file: ${files.allow} } }\n`)
  expect(await commandHere(['check', '--config', config])).toMatchObject({ code: 0, stderr: '' })
  chmodSync(files.allow, 0)
  if (process.getuid?.() !== 0) expect((await commandHere(['check', '--config', config])).stderr).toContain('may not be read by this user')
})
