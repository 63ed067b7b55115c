import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { tempFolder } from '../support/temp-folder.ts'
import { likeLibreSsl } from './libressl.ts'

// `npm start`, by what it runs: certs-dev/start.mjs. Its ports are fixed, so each test has a network of its own.

const project = fileURLToPath(new URL('../..', import.meta.url))
const ownNetwork = ['unshare', '--net', ...process.getuid?.() === 0 ? [] : ['--map-root-user'], '--', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
const hasNetworks = spawnSync(ownNetwork[0], [...ownNetwork.slice(1), 'true']).status === 0

interface Started { child: ChildProcess, output: () => string, ended: Promise<number | null>, says: (text: string) => Promise<void> }

function start(command: readonly string[], options: { cwd?: string, env?: NodeJS.ProcessEnv } = {}): Started {
  const child = spawn(command[0], command.slice(1), { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  onTestFinished(() => { try { process.kill(-child.pid!, 'SIGKILL') } catch { /* it has ended */ } })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (bytes: Buffer) => { output += bytes })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, output: () => output, ended, says: text => vi.waitUntil(() => output.includes(text), { timeout: 120_000 }).then(() => {}) }
}

/** A checkout whose packages are not installed yet, and an npm that takes for ever to do it: it writes down its environment and the
 *  number of a process that it has started. */
function freshCheckout(): { folder: string, bin: string } {
  const folder = tempFolder()
  for (const path of ['certs-dev/start.mjs', 'test/setup', 'package.json', 'package-lock.json']) cpSync(join(project, path), join(folder, path), { recursive: true })
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'npm'), `#!/bin/sh
[ -z "$DEAF" ] || trap '' INT
env >"${folder}/env"
echo "$@" >"${folder}/arguments"
sleep 1000 &
echo $! >"${folder}/pid.new"
mv "${folder}/pid.new" "${folder}/pid"
wait
`, { mode: 0o755 })
  return { folder, bin }
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

async function installing(env: NodeJS.ProcessEnv = {}): Promise<{ started: Started, sleeper: number, folder: string }> {
  const { folder, bin } = freshCheckout()
  const started = start([...ownNetwork, process.execPath, join(folder, 'certs-dev/start.mjs')], { env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, ...env } })
  await vi.waitUntil(() => existsSync(join(folder, 'pid')), { timeout: 120_000 })
  return { started, sleeper: Number(readFileSync(join(folder, 'pid'), 'utf8')), folder }
}

test.skipIf(!hasNetworks).each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s while it installs ends the installation too, with all that it has started', async signal => {
  const { started, sleeper } = await installing()
  expect(isRunning(sleeper)).toBe(true)
  started.child.kill(signal)
  expect(await started.ended).toBeGreaterThan(128)
  expect(started.output()).toContain('Ending npm …')
  await vi.waitUntil(() => !isRunning(sleeper), { timeout: 150_000 })
})

test.skipIf(!hasNetworks)('an npm that does not heed Ctrl-C is ended all the same', async () => {
  const { started, sleeper } = await installing({ DEAF: '1' })
  started.child.kill('SIGINT')
  expect(await started.ended).toBe(128 + 2)
  await vi.waitUntil(() => !isRunning(sleeper), { timeout: 150_000 })
})

test.skipIf(!hasNetworks)('the npm settings of the environment hold, in small letters too; what this npm run has added does not', async () => {
  const { started, folder } = await installing({
    npm_config_registry: 'http://registry.example/', NPM_CONFIG_CACHE: '/cache', npm_config_cafile: '/ca.pem', npm_lifecycle_event: 'start', npm_execpath: '/npm',
    npm_package_json: '/package.json', NODE_ENV: 'production',
  })
  const environment = readFileSync(join(folder, 'env'), 'utf8').split('\n')
  expect(environment).toEqual(expect.arrayContaining(['npm_config_registry=http://registry.example/', 'NPM_CONFIG_CACHE=/cache', 'npm_config_cafile=/ca.pem']))
  expect(environment.filter(line => /^npm_(lifecycle|package|execpath)/.test(line))).toEqual([])
  expect(readFileSync(join(folder, 'arguments'), 'utf8')).toBe('ci --include=dev\n')
  started.child.kill('SIGTERM')
  await started.ended
})

test.skipIf(!hasNetworks)('of two at once one is ready and stays, the other says why not and ends, also while the first installs', async () => {
  // One network for both.
  const { folder, bin } = freshCheckout()
  const both = start([...ownNetwork, 'sh', '-c', `
    "$1" "$2" & first=$!
    until [ -e "${folder}/pid" ]; do sleep 0.05; done
    "$1" "$2"; echo "second: $?"
    kill $first; wait $first`, 'sh', process.execPath, join(folder, 'certs-dev/start.mjs')],
  { env: { ...process.env, PATH: `${bin}:${process.env.PATH}` } })
  await both.ended
  // Two programs write, so what the first says when it is ended may stand between the two lines.
  expect(both.output()).toContain('Port 11212 of 127.0.0.1 is taken: another `npm start`? End that program first.\n')
  expect(both.output()).toContain('second: 1\n')

  const pair = start([...ownNetwork, 'sh', '-c', '"$1" "$2" & "$1" "$2" & wait', 'sh', process.execPath, join(project, 'certs-dev/start.mjs')])
  await pair.says('memseal is ready.')
  await pair.says('is taken')
  expect(pair.output().match(/is ready\./g)).toHaveLength(1)
  expect(pair.output()).not.toContain('ended at its start')
  expect(pair.output()).not.toContain('memseal has ended')
  process.kill(-pair.child.pid!, 'SIGINT')
  await pair.ended
})

test.skipIf(!hasNetworks)('the line to paste works, with OpenSSL as with LibreSSL', async () => {
  const line = `
    "$1" "$2" >out 2>&1 & start=$!
    until grep -q 'Ctrl-C ends it' out; do kill -0 $start || { cat out; exit 1; }; sleep 0.1; done
    grep '^printf ' out >paste
    sh paste 2>>said; echo; PATH=$3:$PATH sh paste 2>>said
    cat said; kill $start; wait $start`
  const pasted = start([...ownNetwork, 'sh', '-c', line, 'sh', process.execPath, join(project, 'certs-dev/start.mjs'), likeLibreSsl()], { cwd: tempFolder() })
  expect(await pasted.ended).toBe(0)
  expect(pasted.output().match(/STORED\r\nVALUE greeting 0 5\r\nhello\r\nEND\r\n/g)).toHaveLength(2)
  expect(pasted.output()).not.toContain('unknown option')
})
