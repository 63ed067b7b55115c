import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AddressRules } from '../../src/admission/address-rules.ts'
import { startBalancer } from '../support/balancer.ts'
import { pki } from '../support/pki.ts'
import { prng } from '../support/prng.ts'
import { v1, v2, v4Addresses, v6Addresses } from '../support/proxy-header.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect, type Wire } from '../support/wire.ts'
import { edge, until, type Edge, type EdgeOptions } from '../tls/edge.ts'

// The PROXY protocol at a listener: who is believed, what is done with what it says, and that nothing behind it is lost.

const BALANCER = '127.0.8.8'
const rules = { allow: ['192.0.2.0/24', '2001:db8::/32'], balancers: [BALANCER] }
const headers: [string, Buffer, string][] = [
  ['v1', v1('TCP4 192.0.2.7 10.0.0.1 56324 443'), '192.0.2.7'],
  ['v1 over IPv6', v1('TCP6 2001:DB8::7 2001:db8::1 56324 443'), '2001:db8::7'],
  ['v2', v2(0x21, 0x11, v4Addresses('192.0.2.7', 56324)), '192.0.2.7'],
  ['v2 of IPv4 in IPv6, with a TLV', v2(0x21, 0x21, Buffer.concat([v6Addresses('00000000000000000000ffffc0000207', 56324), Buffer.from([4, 0, 1, 0])])), '192.0.2.7'],
]
const [[, header]] = headers

const at = (path?: string): EdgeOptions => ({
  ...rules, ...path === undefined ? {} : { endpoint: { kind: 'unix' as const, path }, balancers: ['unix'] },
})

async function through(e: Edge, options: { header: Buffer, cut?: number, path?: string, tls: boolean }): Promise<Wire> {
  const to = options.path === undefined ? { port: e.port } : { path: options.path }
  const port = await startBalancer({ ...options, to, from: BALANCER })
  const { ca, client } = await pki()
  const wire = await connect({ port, tls: options.tls ? as(client, ca) : undefined })
  await atEndOfTest(async () => { wire.destroy() })
  return wire
}

/** A connection of the balancer itself that says these bytes; @returns how it ends, and what came of it */
async function says(e: Edge, bytes: string | Buffer, { localAddress = BALANCER, andEnds = false } = {}): Promise<{ code: string | undefined, received: string }> {
  const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress })
  await atEndOfTest(async () => void socket.destroy())
  let [code, received] = [undefined as string | undefined, '']
  socket.on('error', (error: NodeJS.ErrnoException) => { code = error.code }).on('data', (chunk: Buffer) => { received += chunk.toString('latin1') })
  if (andEnds) socket.end(bytes)
  else if (bytes.length > 0) socket.write(bytes)
  await once(socket, 'close').catch(() => {})
  return { code, received }
}

for (const [kind, tls, limits] of [['plain', false, {}], ['TLS', {}, {}], ['TLS, looked at first', {}, { handshakes: 1 }]] as const) {
  for (const listener of ['TCP', 'unix'] as const) {
    test.each(headers)(`${kind} over ${listener}: the client of %s is the one that it names`, async (_, header, address) => {
      const path = listener === 'unix' ? join(tempFolder(), 'b.sock') : undefined
      const e = await edge({ ...at(path), tls, limits })
      const wire = await through(e, { header, path, tls: tls !== false })
      expect(await wire.ask('hello', 5)).toBe('hello')
      expect(e.peers).toMatchObject([{ address, port: 56324, countedAs: address, via: listener === 'unix' ? 'unix' : BALANCER }])
      expect(e.peers[0].tls === undefined).toBe(tls === false)
      expect(e.counters).toMatchObject({ accepted: 1, probes: 0 })
      expect(e.admission.open).toBe(1)
      wire.destroy()
      await until(() => e.admission.open === 0, 'its place is free')
      expect([e.log, e.counters.probes]).toEqual([[], 0])
    })
  }

  test(`${kind}: wherever the network cuts header and first bytes, nothing is lost`, async () => {
    const e = await edge({ ...at(), tls, limits: { ...limits, connections_per_client: 1000 } })
    const step = tls === false ? 1 : 5
    for (const [, header] of [headers[0], headers[2]]) {
      for (let cut = 1; cut < header.length + 8; cut += step) {
        const wire = await through(e, { header, cut, tls: tls !== false })
        expect([cut, await wire.ask('get key\r\n', 9)]).toEqual([cut, 'get key\r\n'])
        wire.destroy()
      }
    }
    expect(e.log).toEqual([])
  })
}

test('header, request and the end of the sending side in one go: the client gets what it is owed', async () => {
  const e = await edge({ ...at(), tls: false })
  expect(await says(e, Buffer.concat([header, Buffer.from('request')]), { andEnds: true })).toEqual({ code: undefined, received: 'request' })
})

test('a balancer is believed, so each of its connections has to say for whom it is', async () => {
  for (const tls of [false, {}] as const) {
    for (const [bytes, why] of [
      ['get a\r\n', 'begins with something else than a PROXY header'], ['\x16\x03\x01', 'begins with something else'], ['PROXY TCP4 x\r\n', 'of version 1 that is malformed'],
      [v2(0x21, 0x12, Buffer.alloc(12)), 'of a family or transport that is not TCP'],
    ] as const) {
      const e = await edge({ ...at(), allow: ['127.0.0.0/8'], tls })
      expect(await says(e, bytes)).toEqual({ code: 'ECONNRESET', received: '' })
      expect(e.counters).toMatchObject({ refused: { 'proxy-header': 1 }, accepted: 0 })
      expect(e.log).toMatchObject([{ event: 'refused', reason: 'proxy-header', address: BALANCER, msg: expect.stringContaining(why) }])
      expect(e.admission.open).toBe(0)
    }
  }
})

test('a header that does not come in time, or not whole, is told; a balancer that says nothing and leaves is a health check', async () => {
  const e = await edge({ ...at(), tls: false, limits: { handshake_timeout: 20 }, now: () => 0 })
  expect(await says(e, '')).toEqual({ code: 'ECONNRESET', received: '' })
  expect(await says(e, header.subarray(0, 20))).toEqual({ code: 'ECONNRESET', received: '' })
  expect(e.log).toMatchObject([{ reason: 'proxy-header', msg: 'refused a connection: a connection from a load balancer (proxy_protocol.from) did not send a whole PROXY header in time' }])
  expect(e.counters.refused['proxy-header']).toBe(2)

  const patient = await edge({ ...at(), tls: false })
  await says(patient, header.subarray(0, 20), { andEnds: true })
  expect(patient.log).toMatchObject([{ reason: 'proxy-header', msg: expect.stringContaining('left in the midst of its PROXY header') }])
  await says(patient, '', { andEnds: true })
  await until(() => patient.counters.probes === 1, 'it is counted')
  expect([patient.log.length, patient.admission.open]).toEqual([1, 0])
})

test.each([['plain', false], ['TLS', {}]] as const)('%s: a client that leaves without a byte behind its header is a health check too', async (_, tls) => {
  const e = await edge({ ...at(), tls })
  await says(e, header, { andEnds: true })
  await until(() => e.counters.probes === 1, 'it is counted')
  await until(() => e.admission.open === 0, 'its place is free')
  expect([e.log, e.counters.accepted]).toEqual([[], 1])
})

test('what a balancer says of itself keeps its own address, which has to be allowed like any other', async () => {
  const own = [v1('UNKNOWN'), v2(0x20, 0, Buffer.alloc(0)), v2(0x21, 0x31, Buffer.alloc(216, 'a'))]
  const e = await edge({ ...at(), allow: [BALANCER], tls: false })
  for (const header of own) expect(await says(e, Buffer.concat([header, Buffer.from('in')]), { andEnds: true })).toEqual({ code: undefined, received: 'in' })
  expect(e.peers.map(({ address, via }) => [address, via])).toEqual(own.map(() => [BALANCER, undefined]))

  const strict = await edge({ ...at(), tls: false })
  for (const header of own) expect(await says(strict, header)).toEqual({ code: 'ECONNRESET', received: '' })
  expect(strict.counters.refused['not-allowed']).toBe(3)
})

test('deny, allow and limits see the client, and the log says by whom it came', async () => {
  const e = await edge({ ...at(), deny: ['192.0.2.9'], tls: false, limits: { connections_per_client: 1 } })
  const first = await through(e, { header, tls: false })
  expect(await first.ask('in', 2)).toBe('in')
  for (const [claim, reason] of [['192.0.2.7', 'client-full'], ['192.0.2.9', 'denied'], ['198.51.100.1', 'not-allowed'], ['127.0.0.1', 'not-allowed']]) {
    expect(await says(e, v1(`TCP4 ${claim} 10.0.0.1 1 2`))).toEqual({ code: 'ECONNRESET', received: '' })
    expect(e.log.at(-1)).toMatchObject({ event: 'refused', reason, address: claim, via: BALANCER })
  }
  const other = await through(e, { header: v1('TCP4 192.0.2.8 10.0.0.1 1 2'), tls: false })
  expect(await other.ask('in', 2)).toBe('in')
  expect(e.admission.clients).toBe(2)
})

test('a balancer that is denied is refused before a byte of it is read', async () => {
  const e = await edge({ ...at(), deny: [BALANCER], tls: false })
  expect(await says(e, '')).toEqual({ code: 'ECONNRESET', received: '' })
  expect(e.log).toMatchObject([{ reason: 'denied', address: BALANCER }])
})

test('a header from elsewhere is believed by nobody, and on a TLS port told as what it is', async () => {
  for (const [, header] of headers) {
    const e = await edge({ allow: ['127.0.0.0/8'], balancers: [BALANCER] })
    expect((await says(e, header, { localAddress: '127.0.9.9' })).received).toBe('')
    expect(e.log).toMatchObject([{ event: 'handshake-failed', reason: 'proxy-header', address: '127.0.9.9', advice: expect.stringContaining('proxy_protocol.from') }])
  }
})

test('where it is calm, OpenSSL gets the first such header of a client that was in, and calls it plain text; from then on it is looked at first', async () => {
  const e = await edge({ allow: ['127.0.0.0/8'] })
  const { ca, client } = await pki()
  const wire = await connect({ port: e.port, localAddress: '127.0.9.9', tls: as(client, ca) })
  expect(await wire.ask('in', 2)).toBe('in')
  for (let i = 0; i < 2; i++) await says(e, header, { localAddress: '127.0.9.9' })
  wire.destroy()
  expect(e.log.map(({ reason }) => reason)).toEqual(['plain-text', 'proxy-header'])
  expect(e.log[0]['advice']).toContain('proxy_protocol.from')
})

test('who is to say for whom it is takes room meanwhile, and yields it when it says nothing', async () => {
  let now = 0
  const e = await edge({ ...at(), allow: ['127.0.0.0/8'], tls: false, limits: { connections: 2 }, now: () => now })
  const waiting = [1, 2].map(() => says(e, 'PROXY '))
  await until(() => e.admission.open === 2, 'both wait')
  expect(await says(e, header)).toEqual({ code: 'ECONNRESET', received: '' })
  expect(e.counters.refused).toMatchObject({ 'service-full': 1, 'proxy-header': 0 })
  expect(e.admission.clients).toBe(0)
  now = 1_500
  const client = await connect({ port: e.port, localAddress: '127.0.0.1' })
  expect(await client.ask('in', 2)).toBe('in')
  expect(await Promise.race(waiting)).toEqual({ code: 'ECONNRESET', received: '' })
  expect(e.counters.refused['proxy-header']).toBe(1)
  e.listener.close()
  await Promise.all(waiting)
  client.destroy()
  await until(() => e.admission.open === 0, 'all places are free')
})

test('a balancer that is believed no more when its header is whole is refused', async () => {
  const e = await edge({ ...at(), tls: false })
  const socket = connectPlain({ port: e.port, host: '127.0.0.1', localAddress: BALANCER })
  socket.write(header.subarray(0, 10))
  await until(() => e.admission.open === 1, 'it waits')
  e.admission.use({ addresses: new AddressRules({ allow: ['192.0.2.0/24'] }), limits: { connections: 9, connections_per_client: 9, ipv6_prefix: 'auto', new_connections_per_second: 0, handshakes: 9 } })
  socket.write(header.subarray(10))
  await once(socket, 'close').catch(() => {})
  expect(e.log).toMatchObject([{ reason: 'proxy-header', msg: expect.stringContaining('which is none any more') }])
  expect([e.peers, e.admission.open]).toEqual([[], 0])
})

test('a listener that closes ends those who have not said for whom they are, and keeps no place of theirs', async () => {
  const e = await edge({ ...at(), tls: false, limits: { connections: 1 }, now: () => 0 })
  const waiting = says(e, 'PROXY ')
  await until(() => e.admission.open === 1, 'it waits')
  e.listener.close()
  await waiting
  expect([e.admission.open, e.admission.firstRoom.size, e.log]).toEqual([0, 0, []])
})

test('whatever a balancer sends, its connection is closed, or gets what comes behind its header; and the listener goes on', async () => {
  const e = await edge({ ...at(), allow: ['0.0.0.0/0', '::/0'], tls: false, limits: { handshake_timeout: 50 } })
  const random = prng(23)
  const found = { closed: 0, right: 0 }
  const one = async () => {
    const bytes = Buffer.from(random.pick(headers)[1])
    for (let change = random.between(0, 2); change > 0; change--) bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    // A header that is read longer than it was written takes the bytes behind it for its own.
    const { received } = await says(e, Buffer.concat([bytes, Buffer.from('behind')]), { andEnds: true })
    if (received === '') found.closed += 1
    else {
      expect('behind'.endsWith(received)).toBe(true)
      found.right += 1
    }
  }
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 20 }, one))
  expect(found.closed).toBeGreaterThan(40)
  expect(found.right).toBeGreaterThan(40)
  await until(() => e.admission.open === 0, 'all places are free')
  expect(await says(e, Buffer.concat([header, Buffer.from('last')]), { andEnds: true })).toEqual({ code: undefined, received: 'last' })
})
