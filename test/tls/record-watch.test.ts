import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { RecordFlood, RecordWatch } from '../../src/tls/record-watch.ts'
import { keyUpdates } from '../support/key-updates.ts'
import { pki } from '../support/pki.ts'
import { atEndOfTest } from '../support/test-life.ts'
import { as, connect } from '../support/wire.ts'
import { edge, until } from './edge.ts'

/** Connections that are bytes on the wire and bytes of data, watched by a clock that the test moves. */
function scene() {
  const clock = { ms: 0 }
  const watch = new RecordWatch(() => clock.ms)
  const floods: string[] = []
  const ends: (() => void)[] = []
  return {
    clock, watch, floods,
    end: () => { for (const end of ends) end() },
    connection: (name: string) => {
      const [wire, data] = [{ bytesRead: 2_000 }, { bytesRead: 0 }]
      const leave = watch.add(wire, data, () => floods.push(name))
      ends.push(leave)
      return { leave, sends: (wireBytes: number, dataBytes: number) => { wire.bytesRead += wireBytes; data.bytesRead += dataBytes } }
    },
    ticks: (count: number) => { for (let i = 0; i < count; i++) { clock.ms += 20; watch.tick() } },
  }
}

test('records without data are a flood above 24 KiB, at once or bit by bit, and told once', () => {
  const { connection, ticks, floods, end } = scene()
  const [atLimit, above, slow] = ['at the limit', 'above', 'slow'].map(connection)
  atLimit.sends(24 * 1024 + 5, 0)
  above.sends(24 * 1024 + 6, 0)
  ticks(1)
  expect(floods).toEqual(['above'])
  for (let i = 0; i < 300; i++) {
    slow.sends(270, 0)
    above.sends(10_000, 0)
    ticks(1)
  }
  expect(floods).toEqual(['above', 'slow'])
  end()
})

test('a trickle of KeyUpdates is nobody\'s flood', () => {
  const { connection, ticks, floods, end } = scene()
  const trickle = connection('trickle')
  for (let second = 0; second < 3_600; second++) {
    trickle.sends(10 * 27, 0)
    ticks(50)
  }
  expect(floods).toEqual([])
  end()
})

test('whoever sends data is none: byte by byte in either version, large records that come slowly, and long uploads', () => {
  const { connection, ticks, floods, end } = scene()
  const [byByte, byByte12, slow, upload] = ['TLS 1.3', 'TLS 1.2', 'slow', 'upload'].map(connection)
  for (let i = 0; i < 20_000; i++) {
    byByte.sends(23 * 100, 100)
    byByte12.sends(30 * 100, 100)
    // A full record in 50 parts: its data come out with the last.
    slow.sends(i % 50 === 49 ? 16_406 - 49 * 328 : 328, i % 50 === 49 ? 16_384 : 0)
    upload.sends(10 * 16_406, 10 * 16_384)
    ticks(1)
  }
  expect(floods).toEqual([])
  // Data of before are no credit for later.
  upload.sends(25 * 1024, 0)
  ticks(1)
  expect(floods).toEqual(['upload'])
  end()
})

test('of many a hundred are looked at in a tick; when the tick comes late, all are', () => {
  const { clock, watch, connection, ticks, floods, end } = scene()
  const crowd = Array.from({ length: 1_000 }, (_, at) => connection(String(at)))
  crowd[999].sends(50_000, 0)
  crowd[99].sends(50_000, 0)
  ticks(1)
  expect(floods).toEqual(['99'])
  for (const at of [0, 1, 2]) crowd[at].leave()
  clock.ms += 20 + 10
  watch.tick()
  expect(floods).toEqual(['99', '999'])
  crowd[500].sends(50_000, 0)
  ticks(10)
  expect(floods).toEqual(['99', '999', '500'])
  end()
})

test('a client that floods with KeyUpdates is closed and told of; its neighbours are not', async () => {
  const { ca, client } = await pki()
  let closedWith: Error | undefined
  const e = await edge({
    onClient: socket => {
      socket.on('error', error => { closedWith = error })
      socket.on('data', chunk => { socket.write(chunk) }).resume()
    },
  })
  const neighbour = await connect({ port: e.port, tls: as(client, ca) })
  const tcp = connectPlain(e.port, '127.0.0.1').on('error', () => {})
  const flooder = connectTls({ socket: tcp, ...as(client, ca, { minVersion: 'TLSv1.3' }) }).on('error', () => {})
  await atEndOfTest(async () => { tcp.destroy(); neighbour.destroy() })
  let secret = ''
  flooder.on('keylog', line => { secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ (\S+)/.exec(line.toString())?.[1] ?? secret })
  await once(flooder, 'secureConnect')
  await until(() => e.peers.length === 2, 'both are in')
  const updates = keyUpdates(secret, flooder.getCipher().standardName, 5_000)

  const closed = once(tcp, 'close')
  tcp.write(updates)
  await closed
  expect(closedWith).toBeInstanceOf(RecordFlood)
  expect(e.log).toEqual([expect.objectContaining({ event: 'tls-flood', level: 'warn', address: '127.0.0.1', client: e.peers[1].id, suppressed: 0 })])
  expect(await neighbour.ask('hello', 5)).toBe('hello')
  await until(() => e.admission.open === 1, 'its place is free')
})
