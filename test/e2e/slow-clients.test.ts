// A client that hardly reads shares its connection to memcached with others, and they notice nothing.
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { LoadClient, until } from '../soak/load-client.ts'
import { startScene, type Scene } from '../soak/scene.ts'
import { as } from '../support/wire.ts'

const valueBytes = 300_000

/** Takes one byte at a time, and tells how many it has. */
function sip(socket: Socket, pauseMs: number): { received: number, stop: () => void } {
  const cup = { received: 0, stop: () => clearInterval(timer) }
  const timer = setInterval(() => {
    if (socket.read(1) !== null) cup.received++
  }, pauseMs)
  return cup
}

const ways: Record<string, (scene: Scene) => Socket> = {
  plain: scene => connectPlain({ port: scene.plainPort, host: '127.0.0.1' }),
  TLS: scene => connectTls({ port: scene.tlsPort, host: '127.0.0.1', ...as(scene.certificates.client, scene.certificates.ca) }),
}

test.each(['plain', 'TLS'])('%s: one that reads a byte now and then holds up nobody on its lane', async way => {
  const scene = await startScene({ connections: 1 })
  await scene.askMemcached(`set large 0 0 ${valueBytes}\r\n${'v'.repeat(valueBytes)}`)
  await scene.askMemcached('set small 0 0 2\r\nhi')
  const slow = ways[way](scene)
  onTestFinished(() => { slow.destroy() })
  slow.on('error', () => {})
  slow.pause()
  slow.write('get large\r\n'.repeat(20))
  const cup = sip(slow, 100)
  onTestFinished(() => cup.stop())
  await until(() => cup.received > 0, () => 'the slow one is served')

  const open = way === 'TLS' ? scene.open : scene.openPlain
  const others: LoadClient[] = []
  for (let i = 0; i < 8; i++) others.push(new LoadClient(await open(), { key: i % 2 === 0 ? 'small' : 'large', dialect: 'text', depth: 2 }).start())
  onTestFinished(() => { for (const other of others) other.socket.destroy() })
  await until(() => others.every(other => other.answered >= 50), () => others.map(other => other.told).join('\n'))
  expect(others.filter(other => other.errors > 0 || other.hasEnded).map(other => other.told)).toEqual([])
  expect(scene.daemon.logs('closed')).toEqual([])

  // The slow one loses nothing either, if it makes up its mind.
  cup.stop()
  let rest = 0
  slow.on('data', chunk => { rest += chunk.length })
  slow.resume()
  const whole = 20 * (`VALUE large 0 ${valueBytes}\r\n`.length + valueBytes + '\r\nEND\r\n'.length)
  await until(() => cup.received + rest === whole, () => `${cup.received + rest} of ${whole} bytes`)
})

test('one that sends a byte now and then holds up nobody on its lane', async () => {
  const scene = await startScene({ connections: 1 })
  const slow = await scene.openPlain()
  onTestFinished(() => { slow.destroy() })
  slow.write('set slow 0 0 1000\r\nv')
  const drip = setInterval(() => slow.write('v'), 50)
  onTestFinished(() => clearInterval(drip))
  const others: LoadClient[] = []
  for (let i = 0; i < 4; i++) others.push(new LoadClient(await scene.openPlain(), { key: 'none', dialect: 'text', depth: 2 }).start())
  onTestFinished(() => { for (const other of others) other.socket.destroy() })
  await until(() => others.every(other => other.answered >= 50), () => others.map(other => other.told).join('\n'))
  expect(others.filter(other => other.errors > 0 || other.hasEnded).map(other => other.told)).toEqual([])
})
