import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { expect, test } from 'vitest'
import { handshakeFailures, type HandshakeFailureReason } from '../../src/telemetry/reasons.ts'
import { handshakeFailure } from '../../src/tls/handshake-failure.ts'
import { pki } from '../support/pki.ts'
import { as, connect } from '../support/wire.ts'
import { clientHello, edge, until, type Edge } from './edge.ts'

// Each failure for real: the wire, the log and the counter.

async function dial(e: Edge, options: ConnectionOptions): Promise<void> {
  const socket = connectTls({ host: '127.0.0.1', port: e.port, ...options })
  socket.on('error', () => {}).resume()
  await once(socket, 'close').catch(() => {})
}

async function refusedAs(e: Edge, reason: HandshakeFailureReason): Promise<Record<string, any>> {
  await until(() => e.log.length > 0, 'something is logged')
  expect(e.log).toHaveLength(1)
  const [line] = e.log
  expect(line).toMatchObject({ event: 'handshake-failed', level: 'warn', reason, service: 'cache', listener: 'test', address: '127.0.0.1' })
  expect(line.words).not.toBe('')
  expect(line.advice).not.toBe('')
  const failed = Object.entries(e.counters.handshakesFailed).filter(([, count]) => count > 0)
  expect(failed).toEqual([[reason, 1]])
  expect(e.counters.handshakes).toBe(0)
  expect(e.peers).toEqual([])
  await until(() => e.admission.open === 0, 'its place is free')
  return line
}

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  test(`${maxVersion}: no certificate, a stranger's, an expired one and a future one are refused and told apart`, async () => {
    const { ca, strangerClient, expiredClient, futureClient } = await pki()
    const cases = [
      [undefined, 'no-certificate', undefined],
      [strangerClient, 'unknown-ca', 'CN=client'],
      [expiredClient, 'expired', 'CN=expired'],
      [futureClient, 'not-yet-valid', 'CN=future'],
    ] as const
    for (const [who, reason, subject] of cases) {
      const e = await edge()
      await dial(e, as(who, ca, { maxVersion }))
      const line = await refusedAs(e, reason)
      if (subject === undefined) expect(line).not.toHaveProperty('subject')
      else expect(line.subject).toContain(subject)
    }
  })
}

test('a certificate for servers only is refused', async () => {
  const { ca, server } = await pki()
  const e = await edge()
  await dial(e, as(server, ca))
  await refusedAs(e, 'wrong-purpose')
})

test('with client_auth optional a bad certificate is refused and none is admitted as nobody', async () => {
  const { ca, client, strangerClient } = await pki()
  const e = await edge({ tls: { client_auth: 'optional' } })
  await dial(e, as(strangerClient, ca))
  await refusedAs(e, 'unknown-ca')
  const nobody = await connect({ port: e.port, tls: as(undefined, ca) })
  expect(await nobody.ask('hello', 5)).toBe('hello')
  expect(e.peers[0].tls).toMatchObject({ subject: '', names: [], serial: '', fingerprint: '' })
  const somebody = await connect({ port: e.port, tls: as(client, ca) })
  expect(await somebody.ask('hello', 5)).toBe('hello')
  expect(e.peers[1].tls?.subject).toContain('CN=client')
  nobody.socket.destroy()
  somebody.socket.destroy()
})

test('TLS 1.1 is refused', async () => {
  const { ca, client } = await pki()
  const e = await edge()
  await dial(e, as(client, ca, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }))
  await refusedAs(e, 'tls-version')
})

test('TLS 1.2 is refused where min_version is TLSv1.3', async () => {
  const { ca, client } = await pki()
  const e = await edge({ tls: { min_version: 'TLSv1.3' } })
  await dial(e, as(client, ca, { maxVersion: 'TLSv1.2' }))
  await refusedAs(e, 'tls-version')
})

test.each([
  ['a suite without forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }],
  ['a suite without AEAD', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }],
  ['a group that is not offered', { ecdhCurve: 'P-521' }],
] as const)('%s is refused', async (_, options) => {
  const { ca, client } = await pki()
  const e = await edge()
  await dial(e, as(client, ca, options))
  await refusedAs(e, 'no-shared-cipher')
})

test.each([
  ['memcached text', 'get a\r\n', 'plain-text'],
  ['memcached binary', Buffer.concat([Buffer.from([0x80, 0x0a]), Buffer.alloc(22)]), 'plain-text'],
  ['HTTP', 'GET / HTTP/1.1\r\n\r\n', 'http'],
] as const)('%s to the TLS port is told as such, and nothing is answered', async (_, bytes, reason) => {
  // With one slot the bytes are read before the turn, and no turn is given; with many OpenSSL sees them.
  for (const handshakes of [1, 16]) {
    const e = await edge({ limits: { handshakes } })
    const socket = connectPlain(e.port, '127.0.0.1')
    const received: Buffer[] = []
    socket.on('error', () => {}).on('data', chunk => received.push(chunk as Buffer))
    socket.write(bytes)
    await once(socket, 'close').catch(() => {})
    await refusedAs(e, reason)
    // A TLS alert at the most, never text.
    const text = Buffer.concat(received)
    expect(text.length === 0 || text[0] === 0x15).toBe(true)
    expect(e.admission.handshakes.running).toBe(0)
  }
})

test('a client that says nothing is closed at handshake_timeout, and so is one that trickles', async () => {
  for (const [trickle, handshakes] of [[false, 1], [true, 1], [false, 16], [true, 16]] as const) {
    const e = await edge({ limits: { handshake_timeout: 200, handshakes } })
    const socket = connectPlain(e.port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    // The head of a ClientHello, byte by byte: each is a sign of life that must not prolong anything.
    const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, ...Array<number>(200).fill(0)])
    let at = 0
    const timer = setInterval(() => { if (trickle) socket.write(hello.subarray(at, ++at)) }, 20)
    await once(socket, 'close').catch(() => {})
    clearInterval(timer)
    await refusedAs(e, 'timeout')
  }
})

test('a client that does not trust us sends an alert, told with what to do', async () => {
  const { otherCa, ca, client } = await pki()
  const e = await edge()
  const args = ['-CAfile', otherCa.certFile, '-verify_return_error', '-cert', client.certFile, '-key', client.keyFile]
  await new Promise(resolve => execFile('openssl', ['s_client', '-connect', `127.0.0.1:${e.port}`, ...args], resolve).stdin!.end())
  const line = await refusedAs(e, 'client-alert-unknown-ca')
  expect(line.code).toContain('UNKNOWN_CA')

  const wrongName = await edge()
  const name = ['-CAfile', ca.certFile, '-verify_return_error', '-verify_hostname', 'cache.example']
  await new Promise(resolve => execFile('openssl', ['s_client', '-connect', `127.0.0.1:${wrongName.port}`, ...name], resolve).stdin!.end())
  await refusedAs(wrongName, 'client-alert-bad-certificate')
})

test('a client that leaves in the middle of its ClientHello is noticed at once, by end and by reset', async () => {
  for (const how of ['end', 'resetAndDestroy'] as const) {
    const e = await edge({ limits: { handshakes: 1 } })
    const socket = connectPlain(e.port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    await new Promise(resolve => socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]), resolve))
    await until(() => e.admission.firstRoom.size === 1, 'it is there')
    socket[how]()
    await until(() => e.admission.open === 0, 'its place is free')
    // A reset may arrive before the bytes were read: then there was nothing.
    if (e.counters.probes === 0) await refusedAs(e, 'closed')
    expect([e.admission.firstRoom.size, e.admission.handshakes.running]).toEqual([0, 0])
  }
})

test('a client that leaves in the middle of the handshake is noticed at once, by end and by reset', async () => {
  for (const how of ['end', 'resetAndDestroy'] as const) {
    const e = await edge()
    const socket = connectPlain(e.port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    socket.write(await clientHello())
    await once(socket, 'data')
    socket[how]()
    await refusedAs(e, 'closed')
    expect(e.admission.handshakes.running).toBe(0)
  }
})

test('a probe that connects and leaves is counted and not logged', async () => {
  for (const tls of [{}, false] as const) {
    const e = await edge({ tls })
    const socket = connectPlain(e.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.end()
    await until(() => e.counters.probes === 1 && e.admission.open === 0, 'the probe is counted')
    expect(e.log).toEqual([])
    expect(Object.values(e.counters.handshakesFailed).every(count => count === 0)).toBe(true)
    socket.destroy()
  }
})

test('a flood of equal failures from one address is one line and exact counters', async () => {
  const { ca } = await pki()
  const e = await edge()
  await Promise.all(Array.from({ length: 5 }, () => dial(e, as(undefined, ca))))
  await until(() => e.counters.handshakesFailed['no-certificate'] === 5, 'all are counted')
  expect(e.log).toHaveLength(1)
})

test('every reason has its words and advice', () => {
  const reached = ['NO_CERTIFICATE', 'CERT_REVOKED', 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'CA_MD_TOO_WEAK', 'ERR_SSL_NEW_ONE'].map(code => handshakeFailure(code))
  expect(reached.map(failure => failure.reason)).toEqual(['no-certificate', 'revoked', 'client-alert-other', 'bad-certificate', 'other'])
  for (const failure of reached) expect(failure.words && failure.advice).toBeTruthy()
  expect(new Set(handshakeFailures).size).toBe(handshakeFailures.length)
})

test('failures that run at the same time are each told of the right client', async () => {
  const { ca, client, strangerClient, expiredClient, futureClient } = await pki()
  const e = await edge()
  const kinds: [ConnectionOptions, string][] = [
    [as(strangerClient, ca), 'unknown-ca'], [as(expiredClient, ca), 'expired'], [as(futureClient, ca), 'not-yet-valid'],
    [as(undefined, ca), 'no-certificate'], [as(client, ca, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }), 'no-shared-cipher'], [as(client, ca), 'in'],
  ]
  const expected: string[] = []
  await Promise.all(Array.from({ length: 60 }, async (_, at) => {
    const [options, reason] = kinds[at % kinds.length]
    const address = `127.0.1.${at + 1}`
    expected.push(`${address} ${reason}`)
    const target = { host: '127.0.0.1', port: e.port, localAddress: address }
    const socket = connectTls({ ...target, ...options })
    socket.on('error', () => {}).on('secureConnect', () => { if (reason === 'in') socket.end('x') }).resume()
    await once(socket, 'close').catch(() => {})
  }))
  await until(() => e.log.length === 50 && e.peers.length === 10, 'all are told')
  const told = [...e.log.map(line => `${line.address} ${line.reason}`), ...e.peers.map(peer => `${peer.address} in`)]
  expect(told.sort()).toEqual(expected.sort())
  await until(() => e.admission.open === 0, 'all places are free')
})
