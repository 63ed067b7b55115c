import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect as connectPlain, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { Admission } from '../../src/admission/admission.ts'
import { AddressRules } from '../../src/admission/address-rules.ts'
import { Counters } from '../../src/telemetry/counters.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { refusals } from '../../src/telemetry/reasons.ts'
import { listenerTls } from '../../src/tls/context.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect } from '../support/wire.ts'
import { clientHello, edge, until, type Edge, type EdgeOptions } from '../tls/edge.ts'

async function tlsClient(e: Edge, more: object = {}, localAddress?: string) {
  const { ca, client } = await pki()
  const wire = await connect({ port: e.port, localAddress, tls: as(client, ca, more) })
  await atEndOfTest(async () => { wire.destroy() })
  return wire
}

/** What a client from this address sees that is refused: reset, and not a byte. */
async function refusal(e: Edge, localAddress: string): Promise<string | undefined> {
  const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress })
  let code: string | undefined
  socket.on('error', (error: NodeJS.ErrnoException) => { code = error.code }).on('data', () => { code = 'bytes' })
  await once(socket, 'close').catch(() => {})
  return code
}

test('a TLS client is served, and its peer is told in full', async () => {
  const e = await edge()
  const wire = await tlsClient(e)
  expect(await wire.ask('hello', 5)).toBe('hello')
  expect(e.peers[0]).toMatchObject({
    id: expect.stringMatching(/^c\d+$/), service: 'cache', listener: 'test', address: '127.0.0.1', port: wire.socket.localPort,
    tls: {
      version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', resumed: false, subject: expect.stringContaining('OU=web, CN=client'),
      names: ['DNS:client.test', 'URI:spiffe://memseal.test/client'],
      serial: expect.stringMatching(/^[0-9A-F]+$/), fingerprint: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
    },
  })
  expect(e.counters).toMatchObject({ accepted: 1, handshakes: 1, resumed: 0 })
  expect(e.admission.open).toBe(1)
  wire.end()
  await until(() => e.admission.open === 0, 'its place is free')
  expect(e.log).toEqual([])
})

test('the first group and both versions are as promised', async () => {
  const e = await edge()
  for (const [ecdhCurve, maxVersion] of [['X25519MLKEM768', 'TLSv1.3'], ['X25519', 'TLSv1.3'], ['P-256', 'TLSv1.2'], ['P-384', 'TLSv1.3']] as const) {
    const wire = await tlsClient(e, { ecdhCurve, maxVersion })
    expect(await wire.ask('x', 1)).toBe('x')
    expect((wire.socket as TLSSocket).getProtocol()).toBe(maxVersion)
  }
  expect(e.counters.handshakes).toBe(4)
})

for (const [name, tls, version] of [['plain', false, ''], ['TLS 1.3', {}, 'TLSv1.3'], ['TLS 1.2', {}, 'TLSv1.2']] as const) {
  test(`${name}: a client that ends its sending side still gets what it is owed`, async () => {
    const e = await edge({
      tls, onClient: socket => {
        const received: Buffer[] = []
        socket.on('data', chunk => received.push(chunk as Buffer)).on('end', () => {
          setTimeout(() => socket.end(Buffer.concat([Buffer.from('late '), ...received])), 30)
        }).resume()
      },
    })
    const { ca, client } = await pki()
    const options = tls === false ? undefined : as(client, ca, { maxVersion: version as 'TLSv1.3' })
    const wire = await connect({ port: e.port, allowHalfOpen: true, tls: options })
    wire.socket.end('request')
    expect((await wire.readToEnd()).toString()).toBe('late request')
    expect(await wire.closed).toBeUndefined()
    await until(() => e.admission.open === 0, 'its place is free')
  })
}

test('sockets arrive paused: bytes that came with the connection are not lost', async () => {
  let arrived: Socket | undefined
  const e = await edge({ tls: false, onClient: socket => { arrived = socket } })
  const wire = await connect({ port: e.port })
  await wire.write('early')
  await until(() => arrived !== undefined, 'it is accepted')
  await new Promise(resolve => setTimeout(resolve, 20))
  const [chunk] = await Promise.all([once(arrived!, 'data'), arrived!.resume()])
  expect(chunk.toString()).toBe('early')
  wire.destroy()
})

for (const tls of [false, {}] as const) {
  const kind = tls === false ? 'plain' : 'TLS'
  test(`${kind}: each refusal is a reset before a byte is read, told apart in log and counters`, async () => {
    const e = await edge({
      tls, allow: ['127.0.0.0/16', '127.5.0.0/16'], deny: ['127.0.9.0/24'],
      limits: { connections: 3, connections_per_client: 1, new_connections_per_second: 2 },
      now: () => 0,   // all of it within one second, however long it takes
    })
    expect(await refusal(e, '127.7.0.1')).toBe('ECONNRESET')
    expect(await refusal(e, '127.0.9.1')).toBe('ECONNRESET')
    const first = await enter(e, tls, '127.0.0.1')
    expect(await refusal(e, '127.0.0.1')).toBe('ECONNRESET')
    first.destroy()
    await until(() => e.admission.open === 0, 'it has left')
    ;(await enter(e, tls, '127.0.0.1')).destroy()
    await until(() => e.admission.open === 0, 'it has left')
    expect(await refusal(e, '127.0.0.1')).toBe('ECONNRESET')
    for (const address of ['127.0.0.2', '127.0.0.3', '127.5.0.4']) await enter(e, tls, address)
    expect(await refusal(e, '127.0.0.5')).toBe('ECONNRESET')
    expect(e.log.map(line => [line.event, line.address, line.reason])).toEqual([
      ['refused', '127.7.0.1', 'not-allowed'], ['refused', '127.0.9.1', 'denied'], ['refused', '127.0.0.1', 'client-full'],
      ['refused', '127.0.0.1', 'too-fast'], ['refused', '127.0.0.5', 'service-full'],
    ])
    expect(e.counters.refused).toEqual({
      ...Object.fromEntries(refusals.map(reason => [reason, 0])), 'not-allowed': 1, 'denied': 1, 'client-full': 1, 'too-fast': 1, 'service-full': 1,
    })
    expect(e.counters.accepted).toBe(5)
  })
}

async function enter(e: Edge, tls: EdgeOptions['tls'], localAddress: string) {
  const wire = tls === false ? await connect({ port: e.port, localAddress }) : await tlsClient(e, {}, localAddress)
  expect(await wire.ask('in', 2)).toBe('in')
  await atEndOfTest(async () => { wire.destroy() })
  return wire
}

test('with limits left alone the applications of this host get in as long as the service has room', async () => {
  const path = join(tempFolder(), 'many.sock')
  for (const endpoint of [{ kind: 'tcp', host: '127.0.0.1', port: 0 }, { kind: 'unix', path }] as const) {
    const e = await edge({ tls: false, endpoint, limits: { connections: 250, connections_per_client: 'auto' } })
    const sockets = Array.from({ length: 251 }, () => (
      connectPlain(endpoint.kind === 'unix' ? { path } : { port: e.port, host: '127.0.0.1' }).on('error', () => {})))
    await atEndOfTest(async () => { for (const socket of sockets) socket.destroy() })
    await until(() => e.counters.refused['service-full'] === 1, 'one past the limit of the service is refused')
    expect([e.admission.open, e.counters.refused['client-full']]).toEqual([250, 0])
  }
})

test('an IPv4 client of a listener on [::] matches IPv4 rules', async () => {
  const e = await edge({ tls: false, endpoint: { kind: 'tcp', host: '::', port: 0 }, allow: ['127.0.0.1'] })
  const wire = await connect({ port: e.port, host: '127.0.0.1' })
  expect(await wire.ask('hello', 5)).toBe('hello')
  expect(e.peers[0].address).toBe('127.0.0.1')
  expect(await refusal(e, '127.0.0.2')).toBe('ECONNRESET')
  wire.destroy()
})

test('peers that stop halfway through a handshake do not keep the slots: a client still gets in', async () => {
  const hello = await clientHello()
  const e = await edge({ limits: { handshakes: 2 } })
  const slow = Array.from({ length: 6 }, () => connectPlain(e.port, '127.0.0.1').on('error', () => {}).resume())
  await atEndOfTest(async () => { for (const socket of slow) socket.destroy() })
  for (const socket of slow) socket.write(hello)
  await until(() => e.admission.handshakes.running >= 2, 'they have the slots')
  const wire = await tlsClient(e)
  expect(await wire.ask('hello', 5)).toBe('hello')
  expect(e.counters.handshakes).toBe(1)
})

test('peers that stop after their ClientHello, from many addresses, hold no turns: a newcomer is the next to begin', async () => {
  const hello = await clientHello()
  const e = await edge({ limits: { handshakes: 2, handshake_timeout: 60_000 } })
  // Each leaves when the server has answered, and comes again: none of them ever gets in.
  let answers = 0
  let isOver = false
  const dial = (localAddress: string) => {
    if (isOver) return
    const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress }).on('error', () => {})
    socket.write(hello)
    socket.once('data', () => { answers += 1; socket.destroy() }).once('close', () => dial(localAddress))
  }
  await atEndOfTest(async () => { isOver = true })
  for (let at = 0; at < 120; at++) dial(`127.0.${1 + at % 3}.${1 + at}`)
  await until(() => answers > 300, 'each of them had a handshake, and most have come again')
  const before = answers
  const wire = await tlsClient(e, {}, '127.9.9.9')
  expect(await wire.ask('hello', 5)).toBe('hello')
  // By order of turns all 120 would come first, and once more while the newcomer's second message is on its way.
  expect(answers - before).toBeLessThan(100)
  expect(e.counters.handshakes).toBe(1)
})

test('where places are all taken, a peer that stopped halfway through its handshake yields its own', async () => {
  const hello = await clientHello()
  const clock = { ms: 1_000_000 }
  const e = await edge({ limits: { connections: 3, handshakes: 1, handshake_timeout: 60_000 }, now: () => clock.ms })
  const halfway = Array.from({ length: 3 }, () => connectPlain(e.port, '127.0.0.1').on('error', () => {}).resume())
  await atEndOfTest(async () => { for (const socket of halfway) socket.destroy() })
  for (const socket of halfway) socket.write(hello)
  await until(() => e.admission.handshakes.running === 3, 'they have all begun')
  clock.ms += 1_499
  expect(await refusal(e, '127.0.0.1')).toBe('ECONNRESET')
  expect([e.counters.refused['service-full'], e.counters.handshakesFailed.displaced]).toEqual([1, 0])
  clock.ms += 1
  const wire = await tlsClient(e)
  expect(await wire.ask('hello', 5)).toBe('hello')
  expect([e.counters.refused['service-full'], e.counters.handshakesFailed.displaced]).toEqual([1, 1])
})

test('silent peers, and those with half a ClientHello, wait in the first room and have no turn', async () => {
  const hello = await clientHello()
  const e = await edge({ limits: { handshakes: 1 } })
  const silent = Array.from({ length: 60 }, (_, at) => {
    const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress: `127.0.0.${2 + at % 20}` }).on('error', () => {}).resume()
    if (at % 3 !== 0) socket.write(hello.subarray(0, at % 3 === 1 ? 1 : hello.length - 1))
    return socket
  })
  await atEndOfTest(async () => { for (const socket of silent) socket.destroy() })
  await until(() => e.admission.firstRoom.size === 60, 'they are in the first room')
  const wire = await tlsClient(e)
  expect(await wire.ask('hello', 5)).toBe('hello')
  expect([e.counters.handshakes, e.admission.handshakes.running, e.admission.handshakes.waiting, e.admission.firstRoom.size]).toEqual([1, 0, 0, 60])
  // What is missing comes, and the handshake goes on.
  silent[2].write(hello.subarray(hello.length - 1))
  await until(() => e.admission.handshakes.running === 1, 'one more begins')
})

test('while it is calm a handshake of a client that was in begins unread; peers that then say nothing end the calm, and no more of them have a turn', async () => {
  const e = await edge({ limits: { handshakes: 4 } })
  expect(await (await tlsClient(e)).ask('in', 2)).toBe('in')
  const silent: Socket[] = []
  for (let at = 1; at <= 12; at++) {
    const socket = connectPlain(e.port, '127.0.0.1').on('error', () => {}).resume()
    await atEndOfTest(async () => { socket.destroy() })
    silent.push(socket)
    await until(() => e.admission.handshakes.running + e.admission.firstRoom.size === at, 'it is there')
  }
  expect([e.admission.handshakes.running, e.admission.firstRoom.size]).toEqual([2, 10])
  const wire = await tlsClient(e)
  expect(await wire.ask('hello', 5)).toBe('hello')
  for (const socket of silent) socket.destroy()
  await until(() => e.counters.probes === 12, 'all are counted')
  expect(e.log).toEqual([])
})

test('what dialers that have gone had wanted costs no handshake', async () => {
  const hello = await clientHello()
  // One slot, and a peer in it that does not go on: the others wait.
  const e = await edge({ limits: { handshakes: 1, handshake_timeout: 60_000 }, handshakeSlotMs: 60_000 })
  let handshakes = 0
  const first = connectPlain(e.port, '127.0.0.1').on('error', () => {}).once('data', () => { handshakes += 1 }).resume()
  await atEndOfTest(async () => { first.destroy() })
  first.write(hello)
  await until(() => handshakes === 1, 'the slot is taken')
  const dialers = Array.from({ length: 40 }, () => connectPlain(e.port, '127.0.0.1').on('error', () => {}).on('data', () => { handshakes += 1 }))
  for (const [at, socket] of dialers.entries()) {
    if (at % 2 === 0) socket.end(hello)
    else socket.write(hello, () => socket.resetAndDestroy())
  }
  const gone = () => e.counters.handshakesFailed['gave-up'] + e.counters.handshakesFailed.closed + e.counters.probes
  await until(() => gone() === 40 && e.admission.open === 1, 'they have come and gone')
  expect(handshakes).toBe(1)
  for (const socket of dialers) socket.destroy()
})

test('a ClientHello arrives whole however it is cut, and however long it is', async () => {
  const { ca, client } = await pki()
  // 230 names of protocols with 60 letters make a ClientHello of 14 KB.
  const long = Array.from({ length: 230 }, (_, at) => String(at).padStart(60, 'x'))
  for (const [ALPNProtocols, cuts, handshakes] of [
    [undefined, [1], 1], [undefined, [5, 6], 1], [undefined, [600], 1], [long, [], 1], [long, [1_400, 2_800, 9_000], 1], [long, [1, 9_000], 16],
  ] as const) {
    // With one slot it is read before its turn, with many it is not.
    const e = await edge({ limits: { handshakes } })
    const wire = await connect({ port: await cutting(e.port, cuts), tls: as(client, ca, { ALPNProtocols }) })
    expect(await wire.ask('hello', 5)).toBe('hello')
    expect(e.peers[0].tls?.subject).toContain('CN=client')
    wire.destroy()
  }
})

/** A relay that passes on the first bytes of a client in parts, each in a packet of its own. @returns its port */
async function cutting(port: number, cuts: readonly number[]): Promise<number> {
  const relay = createServer(async client => {
    const server = connectPlain({ port, host: '127.0.0.1', noDelay: true })
    for (const socket of [client, server]) socket.on('error', () => {})
    server.pipe(client)
    client.on('close', () => server.destroy())
    const parts: Buffer[] = []
    while (Buffer.concat(parts).length <= Math.max(0, ...cuts)) parts.push((await once(client, 'data'))[0] as Buffer)
    const hello = Buffer.concat(parts)
    client.pause()
    for (const [at, from] of [0, ...cuts].entries()) {
      await new Promise(resolve => server.write(hello.subarray(from, cuts[at] ?? hello.length), resolve))
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    client.pipe(server)
  })
  await new Promise<void>(resolve => relay.listen(0, '127.0.0.1', resolve))
  await atEndOfTest(async () => { relay.close() })
  return (relay.address() as AddressInfo).port
}

test('a storm past the queue: the oldest that wait go, told as such, and the others get in', async () => {
  const { ca, client } = await pki()
  const e = await edge({ limits: { handshakes: 1 }, handshakeQueue: 10 })
  const outcomes = await Promise.all(Array.from({ length: 60 }, async () => {
    const socket = connectTls({ port: e.port, host: '127.0.0.1', ...as(client, ca) })
    await atEndOfTest(async () => { socket.destroy() })
    return new Promise<string>(resolve => socket.on('secureConnect', () => resolve('in')).on('error', (error: any) => resolve(error.code)))
  }))
  const admitted = outcomes.filter(outcome => outcome === 'in').length
  await until(() => e.counters.handshakes === admitted, 'the listener has seen all of them in')
  expect(e.counters.handshakesFailed['queue-full']).toBe(60 - admitted)
  expect(admitted).toBeGreaterThan(10)
  expect(60 - admitted).toBeGreaterThan(0)
  expect(e.log.map(line => line.reason)).toEqual(['queue-full'])
})

async function session(e: Edge, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<Buffer | undefined> {
  const { ca, client } = await pki()
  const socket = connectTls({ port: e.port, host: '127.0.0.1', ...as(client, ca, { maxVersion }) })
  let ticket: Buffer | undefined
  socket.on('session', session => { ticket = session }).on('error', () => {}).resume()
  await once(socket, 'secureConnect')
  socket.end('x')
  await once(socket, 'close')
  return ticket
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: a session resumes on its listener, with its certificate, and on no other`, async () => {
    const [one, two] = [await edge({ name: 'one' }), await edge({ name: 'two' })]
    const ticket = await session(one, version)
    const back = await tlsClient(one, { maxVersion: version, session: ticket })
    expect(await back.ask('x', 1)).toBe('x')
    expect(one.peers[1].tls).toMatchObject({ resumed: true, subject: expect.stringContaining('CN=client') })
    expect(one.counters).toMatchObject({ handshakes: 2, resumed: 1 })
    const again = await session(one, version)
    const elsewhere = await tlsClient(two, { maxVersion: version, session: again })
    expect(await elsewhere.ask('x', 1)).toBe('x')
    expect(two.counters).toMatchObject({ handshakes: 1, resumed: 0 })
  })

  test(`${version}: without session tickets nothing resumes`, async () => {
    const e = await edge({ tls: { session_tickets: false } })
    const ticket = await session(e, version)
    await tlsClient(e, { maxVersion: version, session: ticket })
    await until(() => e.counters.handshakes === 2, 'both are in')
    expect(e.counters.resumed).toBe(0)
  })

  test(`${version}: a refused client cannot come back in with the ticket of its refusal`, async () => {
    const { ca, strangerClient } = await pki()
    const e = await edge()
    let ticket: Buffer | undefined
    for (let attempt = 1; attempt <= 2; attempt++) {
      const socket = connectTls({ port: e.port, host: '127.0.0.1', ...as(strangerClient, ca, { maxVersion: version, session: ticket }) })
      socket.on('session', session => { ticket = session }).on('error', () => {}).resume()
      await once(socket, 'close').catch(() => {})
      await until(() => e.counters.handshakesFailed['unknown-ca'] === attempt, 'it is refused')
    }
    expect(e.counters.handshakes).toBe(0)
    expect(e.peers).toEqual([])
  })
}

test('an address in use is told with what to do', async () => {
  const e = await edge({ tls: false })
  await expect(edge({ tls: false, endpoint: { kind: 'tcp', host: '127.0.0.1', port: e.port } }))
    .rejects.toThrow(`cannot listen on 127.0.0.1:${e.port}: another process listens there.`)
  await expect(edge({ tls: false, endpoint: { kind: 'unix', path: '/nowhere/at-all/x.sock' } })).rejects.toThrow('there is no folder /nowhere/at-all')
  await expect(edge({ tls: false, endpoint: { kind: 'tcp', host: '192.0.2.1', port: 0 } })).rejects.toThrow('no such address')
})

test('a unix listener serves, removes its path at the end, takes over a dead one and leaves a live one alone', async () => {
  const path = join(tempFolder(), 'edge.sock')
  const e = await edge({ tls: false, endpoint: { kind: 'unix', path }, limits: { connections_per_client: 1 } })
  for (let i = 0; i < 2; i++) {
    const wire = await connect({ path })
    expect(await wire.ask('hello', 5)).toBe('hello')
    expect(e.peers[i]).toMatchObject({ address: 'unix', port: 0 })
    await atEndOfTest(async () => { wire.destroy() })
  }
  await expect(edge({ tls: false, endpoint: { kind: 'unix', path } })).rejects.toThrow('another process listens there')
  e.listener.close()
  expect(existsSync(path)).toBe(false)

  // What a killed process leaves.
  const dead = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`])
  await once(dead, 'close')
  expect(existsSync(path)).toBe(true)
  await edge({ tls: false, endpoint: { kind: 'unix', path } })
  const wire = await connect({ path })
  expect(await wire.ask('hello', 5)).toBe('hello')
  wire.destroy()
})

test('TLS over a unix socket: failures are told apart there too', async () => {
  const path = join(tempFolder(), 'tls.sock')
  const { ca, client, strangerClient } = await pki()
  const e = await edge({ endpoint: { kind: 'unix', path } })
  const wire = await connect({ path, tls: as(client, ca) })
  expect(await wire.ask('hello', 5)).toBe('hello')
  const stranger = connectTls({ path, ...as(strangerClient, ca) }).on('error', () => {}).resume()
  await once(stranger, 'close').catch(() => {})
  await until(() => e.log.length === 1, 'it is logged')
  expect(e.log[0]).toMatchObject({ event: 'handshake-failed', reason: 'unknown-ca', address: 'unix' })
  wire.destroy()
})

test('close stops accepting at once and drops handshakes; clients that are served stay', async () => {
  const e = await edge({ limits: { handshakes: 1 } })
  const served = await tlsClient(e)
  expect(await served.ask('hello', 5)).toBe('hello')
  const [silent, halfway] = [1, 2].map(() => connectPlain(e.port, '127.0.0.1').on('error', () => {}).resume())
  halfway.write(await clientHello())
  await until(() => e.admission.handshakes.running === 1 && e.admission.firstRoom.size === 1, 'one is silent and one is halfway')
  const closed = Promise.all([once(silent, 'close'), once(halfway, 'close')])
  e.listener.close()
  e.listener.close()
  await closed
  expect(await refusal(e, '127.0.0.1')).toBe('ECONNREFUSED')
  expect(await served.ask('hello', 5)).toBe('hello')
  expect(e.log).toEqual([])
  await until(() => e.admission.open === 1, 'only the served one holds a place')
})

test('out of open files: those in are served, the process lives without spinning, and takes clients again', async () => {
  const script = fileURLToPath(new URL('./few-files.ts', import.meta.url))
  const child = spawn('bash', ['-c', `ulimit -n 64; exec "$0" "$1"`, process.execPath, script], { stdio: ['pipe', 'pipe', 'inherit'] })
  await atEndOfTest(async () => { child.kill('SIGKILL') })
  let printed = ''
  child.stdout.on('data', chunk => { printed += chunk })
  const answers = () => printed.split('\n').slice(0, -1).map(line => JSON.parse(line))
  await until(() => answers().length === 1, 'it listens')
  const { port, fdLimit } = answers()[0]
  expect(fdLimit).toBe(64)

  const first = await connect({ port })
  expect(await first.ask('in', 2)).toBe('in')
  let ended = 0
  const crowd = Array.from({ length: 100 }, () => connectPlain(port, '127.0.0.1').on('error', () => {}).on('close', () => { ended += 1 }).resume())
  await atEndOfTest(async () => { for (const socket of crowd) socket.destroy() })
  await until(() => ended > 36, 'those too many are closed')
  expect(await first.ask('on', 2)).toBe('on')

  // CPU time of a second in this state: a spinning loop would take nearly all of it.
  child.stdin.write('cpu\n')
  await until(() => answers().length === 2, 'it tells its CPU time')
  await new Promise(resolve => setTimeout(resolve, 1000))
  child.stdin.write('cpu\n')
  await until(() => answers().length === 3, 'it tells its CPU time')
  expect(answers()[2].cpuMs - answers()[1].cpuMs).toBeLessThan(300)

  for (const socket of crowd) socket.destroy()
  await until(() => { child.stdin.write('cpu\n'); return answers().at(-1).open === 1 }, 'their places are free')
  const last = await connect({ port })
  expect(await last.ask('back', 4)).toBe('back')
  expect(child.exitCode).toBeNull()
  first.destroy()
  last.destroy()
})

// A client that has begun by rules that have gone is not let in by them, wherever it waits: in the first room, in the queue,
// or in its handshake.
for (const [change, words] of [['owner', 'another service takes the listener'], ['plain', 'TLS is switched off'], ['deny', 'its network is denied']] as const) {
  for (const stage of ['first room', 'queue', 'handshake'] as const) {
    test(`${words}: a client in the ${stage} is ended as rules-changed`, async () => {
      const hello = await clientHello()
      const e = await edge({ limits: { handshakes: 1 } })
      const begin = async (bytes: Buffer | undefined, localAddress: string): Promise<Socket> => {
        const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress }).on('error', () => {}).resume()
        await atEndOfTest(async () => void socket.destroy())
        if (bytes !== undefined) socket.write(bytes)
        return socket
      }
      const running = await begin(hello, '127.0.0.2')
      await until(() => e.admission.handshakes.running === 1, 'the first handshake runs')
      const { handshakes, firstRoom } = e.admission
      const own = stage === 'handshake' ? running : await begin(stage === 'queue' ? hello : undefined, '127.0.0.2')
      if (stage === 'first room') await until(() => firstRoom.size === 1, 'the other is in the first room')
      if (stage === 'queue') await until(() => handshakes.waiting > 0 || handshakes.running > 1, 'the other waits for its turn')
      const gone = once(own, 'close')
      const same = { secure: e.listener.secure, timeoutMs: 60_000 }
      const counters = new Counters()
      const limits = { connections: 9, connections_per_client: 9, ipv6_prefix: 'auto' as const, new_connections_per_second: 0, handshakes: 9 }
      if (change === 'plain') e.listener.update({ ...same, secure: undefined })
      else if (change === 'deny') {
        e.admission.use({ addresses: new AddressRules({ deny: ['127.0.0.2'] }), limits })
        e.listener.update(same)
      } else {
        const admission = new Admission({ service: 'renamed', addresses: new AddressRules(), limits, counters, log: createLogger({ level: 'silent', format: 'json', file: '-' }).log })
        e.listener.update({ ...same, owner: { admission, refusalOf: () => undefined, onClient: socket => void socket.destroy() } })
      }
      await gone
      expect(e.log.map(({ event, service, reason }) => [event, service, reason])).toContainEqual(['handshake-failed', 'cache', 'rules-changed'])
      expect([e.peers, handshakes.running, handshakes.waiting, firstRoom.size]).toEqual([[], 0, 0, 0])
      await until(() => e.admission.open === 0, 'their places are free')
    })
  }
}

test('a handshake of TLS 1.2 that runs when 1.3 becomes the least is ended as rules-changed, without client certificates too', async () => {
  const { server } = await pki()
  const e = await edge({ tls: { client_auth: 'none' } })
  const held: Buffer[] = []
  const between = createServer(socket => {
    const upstream = connectPlain({ port: e.port, host: '127.0.0.1' })
    upstream.on('error', () => {}).on('close', () => void socket.destroy()).pipe(socket.on('error', () => {}))
    socket.once('data', (hello: Buffer) => {
      upstream.write(hello)
      socket.on('data', (chunk: Buffer) => void held.push(chunk))
    })
    socket.on('close', () => void upstream.destroy())
    release = () => void upstream.write(Buffer.concat(held))
  })
  let release = (): void => {}
  await new Promise<void>(resolve => between.listen(0, '127.0.0.1', resolve))
  await atEndOfTest(async () => void between.close())
  const client = connectTls({ port: (between.address() as AddressInfo).port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' })
  const gone = new Promise(resolve => client.on('error', () => {}).once('close', resolve))
  await atEndOfTest(async () => void client.destroy())
  await until(() => held.length > 0, 'the client has answered the server')
  const { material } = readMaterial({ cert: server.certFile, key: server.keyFile })
  const settings = { client_auth: 'none', min_version: 'TLSv1.3', session_tickets: true } as const
  e.listener.update({ secure: listenerTls(material!, settings, 'test'), timeoutMs: 60_000 })
  release()
  await gone
  expect(e.log.map(({ event, reason }) => [event, reason])).toEqual([['handshake-failed', 'rules-changed']])
})

test('a reload that changes nothing for a client leaves its handshake alone', async () => {
  const e = await edge()
  const socket = connectPlain({ port: e.port, host: '127.0.0.1' })
  await atEndOfTest(async () => void socket.destroy())
  await until(() => e.counters.accepted === 1, 'it is accepted')
  e.listener.update({ secure: e.listener.secure, timeoutMs: 60_000 })
  const { ca, client } = await pki()
  const secure = connectTls({ ...as(client, ca), socket, servername: 'localhost' })
  await once(secure, 'secureConnect')
  secure.write('hello')
  expect(String((await once(secure, 'data'))[0])).toBe('hello')
})
