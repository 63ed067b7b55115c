// Clients that other people wrote do their own round trips: first against memcached itself, which shows that what the
// client's script expects is right, then through memseal over shared and over private backend connections.
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { memccapable, php, python, ruby } from '../setup/programs.mjs'
import { startDaemon } from '../support/daemon.ts'
import { startMemcached } from '../support/memcached.ts'
import { pki } from '../support/pki.ts'

const run = promisify(execFile)
const programs = { memccapable: memccapable(), python: python(), php: php(), ruby: ruby() }
const ways = ['memcached itself', 'memseal, shared', 'memseal, private'] as const

/** Where a client of the test connects. */
interface Place {
  port: number
  socket: string
}

/** A memcached of the test's own and, unless the client goes to it directly, a plain memseal in front of it. */
async function place(way: typeof ways[number]): Promise<Place> {
  const memcached = await startMemcached()
  if (way === 'memcached itself') return { port: memcached.port, socket: '' }
  const daemon = await startDaemon(folder => ({
    services: {
      memcached: {
        listen: ['127.0.0.1:0', `unix:${join(folder, 'client.sock')}`],
        backend: { connect: memcached.address, sharing: way.endsWith('shared') ? 'shared' : 'private' },
        commands: ['all'],
      },
    },
  }))
  return { port: daemon.port('memcached'), socket: join(daemon.folder, 'client.sock') }
}

interface Failed { code: number | string; stdout: string; stderr: string }

/** Runs a client to its end; its exit status and what it printed come back either way. */
async function runClient(program: string | undefined, args: string[]): Promise<{ status: number; output: string }> {
  try {
    const { stdout, stderr } = await run(program as string, args, { timeout: 150_000 })
    return { status: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout = '', stderr = '', message } = error as Error & Partial<Failed>
    return { status: typeof code === 'number' ? code : -1, output: `${stdout}${stderr}` || message }
  }
}

async function roundTrip(program: string | undefined, script: string, args: string[]): Promise<void> {
  const file = fileURLToPath(new URL(`clients/${script}`, import.meta.url))
  const passed = { status: 0, output: expect.stringMatching(/^\d+ checks passed\n$/) }
  expect(await runClient(program, [file, ...args])).toEqual(passed)
}

describe.skipIf(!programs.memccapable)('libmemcached\'s own checks (skipped when memccapable is not installed)', () => {
  for (const [protocol, flag] of [['text', '-a'], ['binary', '-b']]) {
    test(`${protocol}: each has the same result through memseal as directly`, async () => {
      // Most of their time they wait for what they stored to expire.
      const results = new Map(await Promise.all(ways.map(async way => {
        const { port } = await place(way)
        const { output } = await runClient(programs.memccapable, ['-h', '127.0.0.1', '-p', String(port), flag])
        return [way, output.split('\n').filter(line => line.endsWith(']'))] as const
      })))
      const direct = results.get('memcached itself') ?? []
      expect(direct.length).toBeGreaterThan(20)
      for (const way of ways) expect(results.get(way), way).toEqual(direct)
    })
  }
})

describe.skipIf(!programs.python)('pymemcache (skipped when it is not installed)', () => {
  test.each(ways)('through %s', async way => {
    const { port } = await place(way)
    await roundTrip(programs.python, 'pymemcache_round_trip.py', ['127.0.0.1', String(port)])
  })

  test.each(['shared', 'private'])('through memseal, %s, with mutual TLS', async sharing => {
    const { ca, server, client } = await pki()
    const memcached = await startMemcached()
    const daemon = await startDaemon({
      services: {
        memcached: {
          listen: '127.0.0.1:0',
          tls: { cert: server.certFile, key: server.keyFile, client_ca: ca.certFile },
          backend: { connect: memcached.address, sharing },
        },
      },
    })
    const files = [ca.certFile, client.certFile, client.keyFile]
    await roundTrip(programs.python, 'pymemcache_round_trip.py', ['127.0.0.1', String(daemon.port()), ...files])
  })
})

describe.skipIf(!programs.php)('php-memcached (skipped when it is not installed)', () => {
  for (const protocol of ['text', 'binary']) {
    test.each(ways)(`${protocol}, through %s`, async way => {
      const { port, socket } = await place(way)
      await roundTrip(programs.php, 'php_memcached_round_trip.php', [protocol, '127.0.0.1', String(port)])
      if (socket) await roundTrip(programs.php, 'php_memcached_round_trip.php', [protocol, socket, '0'])
    })
  }
})

describe.skipIf(!programs.ruby)('ruby-dalli (skipped when it is not installed)', () => {
  for (const protocol of ['binary', ...dalliSpeaksMeta() ? ['meta'] : []]) {
    test.each(ways)(`${protocol}, through %s`, async way => {
      const { port, socket } = await place(way)
      await roundTrip(programs.ruby, 'dalli_round_trip.rb', [protocol, `127.0.0.1:${port}`])
      if (socket) await roundTrip(programs.ruby, 'dalli_round_trip.rb', [protocol, socket])
    })
  }
})

/** Dalli 3.2 was the first with it. */
function dalliSpeaksMeta(): boolean {
  const asked = 'require "dalli"; exit(Gem::Version.new(Dalli::VERSION) >= Gem::Version.new("3.2"))'
  return programs.ruby !== undefined && spawnSync(programs.ruby, ['-e', asked]).status === 0
}
