// Certificates as they come: a daemon starts with them, takes renewals, and gives up nothing better.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { odd, ofCa } from '../support/certificates.ts'
import { runMemseal, startDaemon, type Daemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { atEndOfTest } from '../support/test-life.ts'

const root = odd({ subject: '/CN=root', extensions: ofCa })
const int = odd({ subject: '/CN=int', signer: root, extensions: ofCa })
const past = { from: '20200101000000Z', to: '20210101000000Z' }
const future = { from: '20900101000000Z', to: '20910101000000Z' }
const leaf = (name: string, dates = {}) => odd({ subject: `/CN=${name}`, signer: int, extensions: ['subjectAltName = DNS:localhost'], ...dates })
const first = leaf('first')

async function start(cert: string, key: string): Promise<{ daemon: Daemon, renew: (cert: string, key: string) => void }> {
  const memcached = await startMemcached()
  const daemon = await startDaemon(folder => {
    const tls = { cert: join(folder, 'a.crt'), key: join(folder, 'a.key') }
    writeFileSync(tls.cert, cert)
    writeFileSync(tls.key, key, { mode: 0o600 })
    return { services: { cache: { listen: '127.0.0.1:0', tls, backend: { connect: memcached.address } } } }
  })
  daemon.port()
  return {
    daemon,
    renew(cert, key) {
      writeFileSync(join(daemon.folder, 'a.key'), key)
      writeFileSync(join(daemon.folder, 'a.crt'), cert)
    },
  }
}

/** The common name of what handshakes get, and whether a client that trusts the root alone verifies it. */
async function served(daemon: Daemon): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port: daemon.port(), servername: 'localhost', ca: root.cert, rejectUnauthorized: false })
  await atEndOfTest(async () => void socket.destroy())
  await once(socket, 'secureConnect')
  return `${socket.getPeerX509Certificate()!.subject} ${socket.authorized ? 'verified' : String(socket.authorizationError)}`
}

test('a renewal whose file holds the leaf twice, and the root before the intermediate, is taken and serves', async () => {
  const { daemon, renew } = await start(first.cert + int.cert, first.key)
  expect(await served(daemon)).toBe('CN=first verified')
  const second = leaf('second')
  renew(second.cert + second.cert + root.cert + int.cert, second.key)
  expect(await daemon.waitForLog('reloaded')).toMatchObject({ cause: 'files', changes: expect.arrayContaining([expect.stringContaining('tls.cert: CN=second')]) })
  expect(daemon.logs('configuration-warning').map(({ msg }) => msg)).toEqual([
    expect.stringContaining('CN=second stands there more than once; it is served once.'),
    expect.stringContaining('do not stand in the order in which they signed each other'),
  ])
  expect(await served(daemon)).toBe('CN=second verified')
})

const bad = { expired: leaf('bad', past), early: leaf('bad', future) }

test.each([['expired', 'expired on 2021-01-01'], ['early', 'is valid only from 2090-01-01 on']] as const)(
  'a renewal that is %s is refused while what serves holds', async (kind, word) => {
    const { daemon, renew } = await start(first.cert + int.cert, first.key)
    renew(bad[kind].cert + int.cert, bad[kind].key)
    daemon.kill('SIGHUP')
    expect((await daemon.waitForLog('reload-refused')).msg).toContain(`CN=bad ${word}, and the one that serves now is good until`)
    expect(await served(daemon)).toBe('CN=first verified')
  })

test.each([['expired', past, 'expired on 2021-01-01'], ['early', future, 'is valid only from 2090-01-01 on']] as const)(
  'at a start a certificate that is %s serves, with a warning, and so does the next: nothing is better', async (kind, dates, word) => {
    const { daemon, renew } = await start(bad[kind].cert + int.cert, bad[kind].key)
    expect(daemon.logs('configuration-warning').map(({ msg }) => msg)).toEqual([expect.stringContaining(`CN=bad ${word}: every client that checks it refuses it.`)])
    expect(await served(daemon)).toMatch(/^CN=bad CERT_(HAS_EXPIRED|NOT_YET_VALID)$/)
    const check = await runMemseal(['check', '--config', daemon.configFile])
    expect(check).toMatchObject({ code: 0, stderr: expect.stringContaining(word) })
    const next = leaf('next', dates)
    renew(next.cert + int.cert, next.key)
    await daemon.waitForLog('reloaded')
    expect(await served(daemon)).toMatch(/^CN=next /)
  })
