// A memcached that wants a login, or speaks one protocol alone, behind shared connections.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packet } from '../proto/binary.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connect } from '../support/wire.ts'

const version = packet({ opcode: 0x0b })

test('memcached -Y: ready, and clients log in on connections of their own', async () => {
  const file = join(tempFolder(), 'users')
  writeFileSync(file, 'u:p\n')
  const memcached = await startMemcached({ args: ['-Y', file], asked: { question: 'version\r\n', answer: 'CLIENT_ERROR unauthenticated' } })
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: memcached.address } } } })
  await daemon.waitForLog('ready')
  const stranger = await connect({ port: daemon.port() })
  await stranger.write('get a\r\n')
  expect(await stranger.readLine()).toBe('CLIENT_ERROR unauthenticated')
  const client = await connect({ port: daemon.port() })
  await client.write('set auth 0 0 3\r\nu p\r\n')
  expect(await client.readLine()).toBe('STORED')
  await client.write('get a\r\n')
  expect(await client.readLine()).toBe('END')
})

test.each(['shared', 'private'])('memcached -Y is started again, %s: who was logged in is closed', async sharing => {
  const file = join(tempFolder(), 'users')
  writeFileSync(file, 'u:p\n')
  const memcached = await startMemcached({ args: ['-Y', file], asked: { question: 'version\r\n', answer: 'CLIENT_ERROR unauthenticated' } })
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: memcached.address, sharing } } } })
  if (sharing === 'shared') await daemon.waitForLog('ready')
  // A lane that is asked for just while memcached is down would make the second one wait.
  for (let n = 0; n < (sharing === 'private' ? 2 : 1); n++) {
    const client = await connect({ port: daemon.port() })
    await client.write('set auth 0 0 3\r\nu p\r\n')
    expect(await client.readLine()).toBe('STORED')
    await memcached.restart()
    await client.write('get a\r\n').catch(() => {})
    const left = (await client.readToEnd().catch(() => Buffer.alloc(0))).toString()
    expect(left).not.toContain('unauthenticated')
    expect((await daemon.waitForLog(line => line.event === 'closed' && line.reason === 'login-lost' && line.client === `c${n + 1}`)).reason).toBe('login-lost')
  }
})

test('memcached -B binary: ready, and binary clients share', async () => {
  const memcached = await startMemcached({ args: ['-B', 'binary'], asked: { question: version.toString('latin1'), answer: '\x81\x0b' } })
  const daemon = await startDaemon({ services: { memcached: { listen: '127.0.0.1:0', backend: { connect: memcached.address } } } })
  await daemon.waitForLog('ready')
  const client = await connect({ port: daemon.port() })
  await client.write(version)
  expect((await client.readExactly(24)).subarray(0, 2)).toEqual(Buffer.from([0x81, 0x0b]))
  expect((await client.readExactly(2)).toString()).toBe('1.')
  const text = await connect({ port: daemon.port() })
  await text.write('get a\r\n')
  expect(await text.readLine()).toBe('SERVER_ERROR memseal: memcached speaks the binary protocol alone')
})
