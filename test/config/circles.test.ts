import { mkdirSync, symlinkSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadText } from '../../src/config/load.ts'
import { tempFolder } from '../support/temp-folder.ts'

type Place = string | string[]

/** The first line of each fault of services that listen here and connect there. */
function faultsOf(services: Record<string, [listen: Place, connect: Place]>, more: object = {}): string[] {
  const text = JSON.stringify({
    ...more,
    services: Object.fromEntries(Object.entries(services).map(([name, [listen, connect]]) => [name, {
      listen, plaintext: 'allowed', allow: ['10.0.0.0/8'], backend: { connect, plaintext: 'allowed' },
    }])),
  })
  return loadText(text, 'm.yaml', { environment: {} }).issues.map(issue => issueText(issue).split('\n')[0].replace(/^m\.yaml:\d+:\d+ {2}/, ''))
}

const elsewhere = 'Write where memcached listens, such as 127.0.0.1:11211.'

for (const [listen, connect] of [
  ['127.0.0.1:1', '127.0.0.1:1'], ['0.0.0.0:1', '127.0.0.1:1'], ['0.0.0.0:1', '127.9.9.9:1'], ['[::]:1', '127.0.0.1:1'], ['[::]:1', '[::1]:1'],
  ['127.0.0.1:1', 'localhost:1'], ['[::1]:1', 'localhost:1'], ['0.0.0.0:1', 'LOCALHOST.:1'], ['localhost:1', '127.0.0.1:1'], ['localhost:1', '[::1]:1'],
  ['127.0.0.1:1', '0.0.0.0:1'], ['[::1]:1', '[0:0:0:0:0:0:0:1]:1'], ['127.0.0.1:1', '[::ffff:127.0.0.1]:1'], ['10.1.2.3:1', '10.1.2.3:1'],
  ['0.0.0.0:1', `${hostname()}:1`], ['127.0.0.1:1', 'cache.localhost:1'], ['unix:/run/a.sock', 'unix:/run/a.sock'], ['unix:/run/a.sock', 'unix:/run/./x/../a.sock'],
] as const) {
  test(`a service on ${listen} does not connect to ${connect}`, () => {
    expect(faultsOf({ m: [listen, connect] })).toEqual([
      `services.m.backend.connect: this service itself listens on ${connect}, so each request would come back to it for ever.`])
  })
}

for (const [listen, connect] of [
  ['127.0.0.1:1', '127.0.0.1:2'], ['127.0.0.1:1', '127.0.0.2:1'], ['127.0.0.1:1', '[::1]:1'], ['0.0.0.0:1', '[::1]:1'], ['10.1.2.3:1', '127.0.0.1:1'],
  ['0.0.0.0:1', '192.0.2.7:1'], ['[::]:1', 'cache.example.com:1'], ['127.0.0.1:0', '127.0.0.1:11211'], ['unix:/run/a.sock', 'unix:/run/b.sock'], ['127.0.0.1:1', 'notlocalhost:1'],
] as const) {
  test(`a service on ${listen} may connect to ${connect}`, () => {
    expect(faultsOf({ m: [listen, connect] })).toEqual([])
  })
}

test('an address of this host is its own when a listener takes all of them', () => {
  for (const { address, family } of Object.values(networkInterfaces()).flatMap(each => each ?? [])) {
    if (address.includes('%')) continue
    const connect = family === 'IPv6' ? `[${address}]:1` : `${address}:1`
    expect(faultsOf({ m: ['[::]:1', connect] })).toHaveLength(1)
  }
})

test('a link to the socket of a service is that socket', () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'run'))
  symlinkSync('run', join(folder, 'link'))
  symlinkSync(join(folder, 'run/s'), join(folder, 't'))
  for (const path of [join(folder, 'link/s'), join(folder, 'run/./s')]) expect(faultsOf({ m: [`unix:${join(folder, 'run/s')}`, `unix:${path}`] })).toHaveLength(1)
  expect(faultsOf({ a: [`unix:${join(folder, 'run/s')}`, '127.0.0.1:1'], b: [`unix:${join(folder, 'link/s')}`, '127.0.0.1:1'] })[0]).toContain('is taken by services.a.listen')
})

test('any of several listeners and any of several backends is enough', () => {
  expect(faultsOf({ m: [['127.0.0.1:1', '127.0.0.1:2'], ['127.0.0.1:11211', '127.0.0.1:2']] })).toEqual([
    'services.m.backend.connect[1]: this service itself listens on 127.0.0.1:2, so each request would come back to it for ever.'])
})

test('a way round over other services is told once, with the way', () => {
  expect(faultsOf({ a: ['127.0.0.1:1', '127.0.0.1:2'], b: ['127.0.0.1:2', '127.0.0.1:3'], c: ['127.0.0.1:3', 'localhost:1'] })).toEqual([
    'services.a.backend.connect: 127.0.0.1:2 leads back to this service (a > b > c > a), so each request would go round for ever.'])
  // A service before another is a sidecar in front of its own cache host, and fine.
  expect(faultsOf({ a: ['127.0.0.1:1', '127.0.0.1:2'], b: ['127.0.0.1:2', '127.0.0.1:3'] })).toEqual([])
  expect(faultsOf({ a: ['127.0.0.1:1', '127.0.0.1:2'], b: ['127.0.0.1:2', '127.0.0.1:2'] })).toEqual([
    'services.b.backend.connect: this service itself listens on 127.0.0.1:2, so each request would come back to it for ever.'])
})

test('the admin listener is not a backend', () => {
  const admin = { admin: { listen: ['unix:/run/a.sock', '127.0.0.1:5'] } }
  for (const connect of ['localhost:5', 'unix:/run/a.sock']) {
    expect(faultsOf({ m: ['127.0.0.1:1', connect] }, admin)).toEqual([`services.m.backend.connect: ${connect} is the admin listener of memseal itself.`])
  }
})

test('each of these says what to write', () => {
  const fixes = loadText('{ services: { m: { listen: "127.0.0.1:1", backend: { connect: "127.0.0.1:1" } } } }', 'm.yaml', { environment: {} }).issues.map(issue => issue.fix)
  expect(fixes).toEqual([elsewhere])
})
