import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { PassedSockets, ServiceManager, watchdogMs } from '../../src/process/systemd.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { as, connect } from '../support/wire.ts'

function listening(environment: Record<string, string>) {
  const lines: Record<string, unknown>[] = []
  const { log } = createLogger({ level: 'info', format: 'json', file: '-' }, { write: line => { lines.push(JSON.parse(line)) } })
  const sent: (readonly string[])[] = []
  const waiting: { resolve: () => void, reject: (error: Error) => void }[] = []
  const manager = new ServiceManager(environment, log, assignments => new Promise((resolve, reject) => {
    sent.push(assignments)
    waiting.push({ resolve, reject })
  }))
  const arrived = async (error?: Error) => {
    const { resolve, reject } = waiting.shift()!
    if (error === undefined) resolve()
    else reject(error)
    await new Promise(setImmediate)
  }
  return { manager, sent, lines, arrived }
}

const notifySocket = { NOTIFY_SOCKET: '/run/systemd/notify' }

/** Waits for something that a timer does. */
async function until(isThere: () => boolean): Promise<void> {
  while (!isThere()) await new Promise(resolve => setTimeout(resolve, 2))
}

test('READY=1 goes out at once, and the status line follows what is missing', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const { manager, sent, arrived } = listening(notifySocket)
  let missing = ['service cache: no backend', 'service other: no backend']
  manager.ready(() => missing)
  await arrived()
  for (const next of [[], ['service cache: no backend'], []]) {
    missing = next
    vi.advanceTimersByTime(2_000)   // the second time nothing has changed
    await arrived()
  }
  manager.close()
  expect(sent).toEqual([
    ['READY=1', 'STATUS=listening, but service cache: no backend; service other: no backend'],
    ['STATUS=serving'],
    ['STATUS=listening, but service cache: no backend'],
    ['STATUS=serving'],
  ])
})

test('what is to be known while it serves stands behind that', async () => {
  const { manager, sent, arrived } = listening(notifySocket)
  manager.ready(() => [], () => ['memcached of service cache wants a login'])
  await arrived()
  manager.close()
  expect(sent).toEqual([['READY=1', 'STATUS=serving; memcached of service cache wants a login']])
})

test('a READY=1 that did not arrive is sent again until it does, and the log says so once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { manager, sent, lines, arrived } = listening(notifySocket)
  manager.ready(() => [])
  for (const error of [new Error('spawn EAGAIN'), new Error('spawn EAGAIN'), undefined]) {
    await arrived(error)
    vi.advanceTimersByTime(2_000)
  }
  expect(sent).toEqual([['READY=1', 'STATUS=serving'], ['READY=1'], ['READY=1']])
  expect(lines).toHaveLength(1)
})

test('however many backends are down, the message is one that systemd takes: 4,096 bytes at the most', () => {
  const { manager, sent } = listening(notifySocket)
  const prefix = 'listening, but '
  manager.ready(() => ['x'.repeat(1_000 - prefix.length)])
  expect(sent[0][1]).toBe(`STATUS=${prefix}${'x'.repeat(1_000 - prefix.length)}`)
  const one = listening(notifySocket)
  one.manager.ready(() => ['x'.repeat(1_001 - prefix.length)])
  expect(one.sent[0][1]).toMatch(/^STATUS=listening, but x{900,}… \(1 reasons; all of them: memseal status\)$/)
  const many = listening(notifySocket)
  many.manager.ready(() => Array.from({ length: 500 }, (_, at) => `service \u20ac${at} has no connection to its backend`))
  expect(Buffer.byteLength(many.sent[0].join('\n'))).toBeLessThan(4_096 - 'WATCHDOG=1\n'.length)
  expect(many.sent[0][1]).toContain('500 reasons')
  for (const { manager } of [one, many]) manager.close()
  manager.close()
})

test('messages go to systemd one after the other, and each on one line', async () => {
  const { manager, sent, arrived } = listening(notifySocket)
  manager.ready(() => [])
  manager.stopping('draining 3 clients\nREADY=1')
  expect(sent).toEqual([['READY=1', 'STATUS=serving']])
  await arrived()
  expect(sent.slice(1)).toEqual([['STOPPING=1', 'STATUS=draining 3 clients READY=1']])
})

test('outside of a unit nothing is sent', () => {
  const { manager, sent } = listening({})
  manager.ready(() => [])
  manager.stopping('draining 0 clients')
  expect(sent).toEqual([])
})

test('a systemd-notify that fails is told, and the next message is sent all the same', async () => {
  const { manager, sent, lines, arrived } = listening(notifySocket)
  manager.ready(() => [])
  await arrived(new Error('spawn systemd-notify ENOENT'))
  expect(lines).toMatchObject([{ event: 'notify-failed', msg: expect.stringContaining('ENOENT The unit needs systemd-notify') }])
  manager.stopping('draining 0 clients')
  expect(sent).toHaveLength(2)
})

test('signs of life go out at half of WatchdogSec until the end', async () => {
  const { manager, sent, arrived } = listening({ ...notifySocket, WATCHDOG_USEC: '4000' })
  for (let sign = 0; sign < 2; sign++) {
    await until(() => sent.length > sign)
    await arrived()
  }
  manager.close()
  expect(sent.slice(0, 2)).toEqual([['WATCHDOG=1'], ['WATCHDOG=1']])
  manager.stopping('too late')
  expect(sent.flat()).not.toContain('STOPPING=1')
})

test('the watchdog is for this process, or not at all', () => {
  expect(watchdogMs({ WATCHDOG_USEC: '30000000' }, 7)).toBe(15_000)
  expect(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7)).toBe(15_000)
  expect(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7)).toBeUndefined()
  for (const WATCHDOG_USEC of ['0', '', 'x']) expect(watchdogMs({ WATCHDOG_USEC }, 7)).toBeUndefined()
  expect(watchdogMs({}, 7)).toBeUndefined()
})

test('sockets are taken by name, all of one name together, and once', () => {
  const sockets = new PassedSockets({ LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'cache:cache:other' }, 7)
  expect(sockets.take('cache')).toEqual([3, 4])
  expect(sockets.take('other')).toEqual([5])
  expect(() => sockets.take('cache')).toThrow('was closed by an earlier reload. Restart memseal')
  expect(() => sockets.take('memcached')).toThrow(
    'no socket of this name, but cache, other. Write FileDescriptorName=memcached in the socket unit')
})

test('sockets for another process are not touched', () => {
  const refusal = 'systemd passed no sockets. Start the socket unit (systemctl start memseal.socket)'
  expect(() => new PassedSockets({ LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'cache' }, 7).take('cache')).toThrow(refusal)
  expect(() => new PassedSockets({}, 7).take('cache')).toThrow(refusal)
})

const activate = '/usr/bin/systemd-socket-activate'

test.skipIf(!existsSync(activate))('systemd:NAME serves the TCP 4, TCP 6 and unix sockets that were passed under that name', async () => {
  const { ca, server, client } = await pki()
  const memcached = await startMemcached()
  const port = await freePort()
  const path = join(tempFolder(), 's')
  const daemon = await startDaemon({
    services: {
      cache: {
        listen: 'systemd:cache', allow: ['127.0.0.1'], tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
        backend: { connect: `127.0.0.1:${memcached.port}` },
      },
      local: { listen: 'systemd:local', plaintext: 'allowed', allow: ['127.0.0.1'], backend: { connect: `127.0.0.1:${memcached.port}` } },
    },
  }, {
    listeners: 0,
    wrapper: [activate, '-l', `127.0.0.1:${port}`, '-l', `[::1]:${port}`, '-l', path, '--fdname=cache:cache:local'],
  })
  const served = async (options: Parameters<typeof connect>[0]) => {
    const wire = await connect(options)
    void wire.write('version\r\n')
    const answer = await wire.readLine()
    wire.destroy()
    return answer
  }
  // The tool that passes the sockets has yet to bind them; memseal starts with the first connection.
  await vi.waitFor(() => expect(daemon.output()).toContain('Listening on'), { timeout: 150_000 })
  expect(await served({ port, tls: as(client, ca) })).toMatch(/^VERSION /)
  expect(await served({ path })).toMatch(/^VERSION /)
  await expect(served({ port, host: '::1', tls: as(client, ca) })).rejects.toThrow()   // not in `allow`
  expect(daemon.isRunning).toBe(true)
})

test('without sockets from systemd the start fails and says what to do', async () => {
  const failed = startDaemon({ services: { cache: { listen: 'systemd:cache', plaintext: 'allowed', allow: ['127.0.0.1'] } } })
  await expect(failed).rejects.toThrow('cannot listen on systemd:cache: systemd passed no sockets.')
})
