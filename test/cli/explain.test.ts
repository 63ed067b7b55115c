import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeCrl } from '../support/crl.ts'
import { toYaml } from '../support/daemon.ts'
import { commandHere } from '../support/command.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

const access = [
  { name: 'web', match: { cn: 'client', source: '10.0.0.0/8' }, commands: ['read', 'arithmetic'], keys: ['web:*'], limits: { keys_per_get: 2 } },
  { name: 'operators', match: { dns: 'ops.test' }, commands: ['all'], limits: { value_size: '10B' } },
]

async function setup(more: object = {}, tls: object = {}) {
  const certificates = await pki()
  const { server, ca } = certificates
  const folder = tempFolder()
  const file = join(folder, 'memseal.yaml')
  writeFileSync(file, toYaml({
    services: {
      cache: {
        listen: '0.0.0.0:11212', allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16'], access, ...more,
        tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile, ...tls },
      },
    },
  }))
  const explain = (who: Certificate | undefined, command: string | undefined, address = '10.1.2.3', ...args: string[]) =>
    commandHere(['explain', '--config', file, '--address', address, ...who === undefined ? [] : ['--cert', who.certFile], ...command === undefined ? [] : ['--command', command], ...args])
  return { certificates, folder, explain }
}

test('each step is told, up to the command that is allowed', async () => {
  const { certificates: { client }, explain } = await setup()
  const { code, stdout, stderr } = await explain(client, 'get web:1')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout.replaceAll(/serial [0-9A-F]+|\d{4}-\d\d-\d\d/g, '…')).toBe(`\
 -   bans            whether it is banned now is not asked here: see memseal ban list
yes  deny            10.1.2.3 is not denied
yes  allow           10.1.2.3 is on the allow list
 -   limits          10000 connections of the service, 200 of one client (of this host itself any number); how many there are is not asked here
 -   certificate     O=memseal tests, OU=web, CN=client; …
yes  CA              it is signed by a CA of tls.client_ca
yes  dates           it is good until …
yes  rule web        fits, and decides
 -   limits of rule  keys_per_get: 2
yes  command         get is among the commands of the rule web
yes  keys            its key may be

Allowed.
`)
})

test('the step that refuses is the last one, and says what to do', async () => {
  const { certificates: { client, ops, strangerClient, expiredClient, severalNames, server }, explain } = await setup()
  const last = async (...[who, command, address]: Parameters<typeof explain>) => {
    const { code, stdout } = await explain(who, command, address)
    expect([code, stdout.endsWith('\nRefused.\n')]).toEqual([1, true])
    return stdout.split('\n').filter(line => line.startsWith('NO ')).map(line => line.replace(/^NO +/, '').replace(/ {2,}/g, ': ')).join()
  }
  expect(await last(client, 'get web:1', '10.9.1.1')).toBe('deny: 10.9.1.1 is on the deny list')
  expect(await last(client, 'get web:1', '192.0.2.1')).toBe('allow: 192.0.2.1 is not on the allow list')
  expect(await last(undefined, 'get web:1')).toBe('certificate: the client showed no certificate')
  expect(await last(strangerClient, 'get web:1')).toMatch(/^CA: the client's certificate is not signed by a CA that this listener trusts/)
  expect(await last(expiredClient, 'get web:1')).toBe("dates: the client's certificate has expired, or one that signed it has")
  expect(await last(server, 'get web:1')).toBe("purpose: the client's certificate may not be used by a TLS client")
  expect(await last(severalNames, 'get web:1')).toBe('rules: none is for it')
  expect((await explain(severalNames, 'get a')).stdout).toMatch(/rule web +does not fit by cn: the certificate has no common name, or several.*\n.*rule operators +does not fit by dns: the certificate has several\.test\n(.*\n)* +Write one whose match fits it, such as match: \{ dns: "several\.test" \}\.\n/)
  expect(await last(client, 'get web:1 other')).toBe('keys: other is not among the keys of the rule web')
  expect(await last(client, 'get web:1 web:2 web:3')).toBe('keys of one get: it asks for more than the rule web lets it')
  expect(await last(client, 'set web:1 0 0 5')).toBe('command: set is not among the commands of the rule web')
  expect(await last(client, 'ma web:1 N0')).toBe('command: as it is written, ma needs ms as well, which is not among the commands of the rule web')
  expect(await last(ops, 'set a 0 0 11')).toBe('value: its value is larger than the rule operators lets it be')
  expect(await last(client, 'set web:1')).toBe('command: memseal cannot read it, and answers as memcached does: ERROR')
})

test('lists of revoked and denied certificates are steps of their own', async () => {
  const { certificates: { client, ops, ca }, folder } = await setup()
  const crl = join(folder, 'clients.crl')
  await makeCrl(crl, { ca, revoked: [client] })
  const { explain } = await setup({}, { crl, deny_certificates: [new X509Certificate(ops.cert).serialNumber] })
  expect((await explain(client, 'get web:1')).stdout).toContain("NO   CRL                the client's certificate has been revoked\n")
  expect((await explain(ops, 'get a')).stdout).toContain("NO   deny_certificates  the client's certificate is denied (tls.deny_certificates)\n")
})

test('while rules are observed nothing is refused by them, and the step says so', async () => {
  const { certificates: { client, severalNames }, explain } = await setup({ access_mode: 'observe' })
  expect(await explain(client, 'get other')).toMatchObject({ code: 0, stdout: expect.stringContaining('other is not among the keys of the rule web; it passes, since rules are only observed') })
  expect(await explain(severalNames, 'get a')).toMatchObject({ code: 0 })
  expect(await explain(client, 'shutdown')).toMatchObject({ code: 1 })
})

test('for machines: as JSON', async () => {
  const { certificates: { client }, explain } = await setup()
  const { code, stdout } = await explain(client, 'get other', '10.1.2.3', '--json')
  expect([code, JSON.parse(stdout)]).toEqual([1, expect.objectContaining({
    allowed: false, service: 'cache', listener: '0.0.0.0:11212', address: '10.1.2.3', rule: 'web',
    steps: expect.arrayContaining([{ step: 'keys', outcome: 'refused', words: 'other is not among the keys of the rule web' }]),
  })])
})

test('it names the list that forbids a key, whose commands hold, and why commands that show keys are left out', async () => {
  const rule = { name: 'blog', match: { cn: 'client' }, keys: ['*'], deny_keys: ['shared:*'] }
  const words = async (command: string, more: object) => (await (await setup({ access: [{ ...rule, ...more }] })).explain((await pki()).client, command)).stdout
  expect(await words('get shared:1', {})).toContain('shared:1 is forbidden by "shared:*" in deny_keys of the rule blog')
  expect(await words('shutdown', {})).toContain('shutdown is not among `commands` of the service, which hold for the rule blog, since it has none of its own')
  expect(await words('watch fetchers', { commands: ['all'] })).toContain('watch shows the keys of all, and the rule blog has `keys` or `deny_keys`')
  expect(await words('frobnicate', { commands: ['all'] })).toContain('Refused.')
})

test('wrong usage is told, and so are faults of the configuration', async () => {
  const { explain } = await setup({}, { client_ca: '/nowhere' })
  expect(await explain(undefined, undefined)).toMatchObject({ code: 78, stderr: expect.stringContaining('there is no file /nowhere.') })
  expect(await explain(undefined, undefined, 'host-1')).toMatchObject({ code: 2, stderr: expect.stringContaining('"host-1" is not an address.') })
  expect(await explain(undefined, undefined, '10.0.0.1', '--listener', '127.0.0.1:1')).toMatchObject({ code: 2, stderr: expect.stringContaining('Give one of 0.0.0.0:11212.') })
  expect(await (await setup()).explain(undefined, undefined, 'unix')).toMatchObject({ code: 2, stderr: expect.stringContaining('0.0.0.0:11212 is not a unix socket.') })
  expect(await commandHere(['explain'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--address is missing.') })
})

test('limits are those of the group that the address belongs to', async () => {
  const folder = tempFolder()
  const file = join(folder, 'memseal.yaml')
  writeFileSync(file, toYaml({
    groups: { web: ['10.1.0.0/16'], batch: ['10.2.0.0/16'], all: ['10.0.0.0/8'] },
    services: { cache: { listen: '127.0.0.1:11212', allow: ['all'], limits: {
      new_connections_per_second: 9, groups: { web: { connections_per_client: 500 }, batch: { connections: 200, new_connections_per_second: 0 } },
    } } },
  }))
  const limits = async (address: string) => (await commandHere(['explain', '--config', file, '--address', address])).stdout.split('\n').find(line => line.includes(' limits '))
  expect(await limits('10.1.0.1')).toContain('10000 connections of the service, any number of its group web, 500 of one client, 9 new ones a second;')
  expect(await limits('10.2.0.1')).toContain('10000 connections of the service, 200 of its group batch, 200 of one client (of this host itself any number);')
  expect(await limits('10.3.0.1')).toContain('10000 connections of the service, 200 of one client (of this host itself any number), 9 new ones a second;')
})
