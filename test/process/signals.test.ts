import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { askAdmin } from '../support/admin.ts'
import { endOf } from '../support/child.ts'
import { mainFile, runMemseal, startDaemon, type Daemon } from '../support/daemon.ts'
import { fullPipe } from '../support/full-pipe.ts'
import { tempFolder } from '../support/temp-folder.ts'

const service = { listen: '127.0.0.1:0', backend: { connect: '127.0.0.1:1' } }

/** With its log in a file; listens when the file says so. */
async function loggingToFile(): Promise<{ daemon: Daemon, file: string, admin: string }> {
  const folder = tempFolder()
  mkdirSync(join(folder, 'logs'))
  const [file, admin] = [join(folder, 'logs/memseal.log'), join(folder, 'admin.sock')]
  const daemon = await startDaemon({ log: { file }, admin: { listen: `unix:${admin}` }, services: { cache: service } }, { listeners: 0 })
  await seen(file, 'admin-listening')
  return { daemon, file, admin }
}

const linesOf = (file: string): { event: string, [field: string]: unknown }[] => {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(line => line !== '').map(line => JSON.parse(line) as { event: string })
  } catch {
    return []
  }
}

async function seen(file: string, event: string): Promise<Record<string, unknown>> {
  return await vi.waitUntil(() => linesOf(file).find(line => line.event === event), { timeout: 150_000, interval: 10 })
}

test.each<[string, (daemon: Daemon, admin: string) => unknown]>([
  ['SIGUSR1', daemon => { daemon.kill('SIGUSR1') }],
  ['SIGHUP', daemon => { daemon.kill('SIGHUP') }],
  ['memseal reload', (_, admin) => runMemseal(['reload', '--admin', `unix:${admin}`])],
])('%s opens a log that was renamed anew, and what comes after is in the new file alone', async (_, order) => {
  const { daemon, file, admin } = await loggingToFile()
  renameSync(file, `${file}.1`)
  await order(daemon, admin)
  await seen(file, 'log-reopened')
  daemon.kill('SIGUSR2')
  await seen(file, 'status')
  expect(linesOf(`${file}.1`).map(({ event }) => event)).not.toContain('status')
  expect(await daemon.stop()).toBe(0)
  expect(linesOf(file).map(({ event }) => event)).toContain('ended')
})

test('a log that cannot be opened anew goes on where it was, and reload says so', async () => {
  const { daemon, file, admin } = await loggingToFile()
  renameSync(join(file, '..'), join(file, '../../old'))
  const { code, stdout, stderr } = await runMemseal(['reload', '--admin', `unix:${admin}`])
  expect([code, stdout]).toEqual([0, 'Nothing has changed.\n'])
  expect(stderr).toContain(`${file} cannot be opened for the log: there is no folder`)
  expect(await seen(join(file, '../../old/memseal.log'), 'log-reopen-failed')).toMatchObject({ level: 'error' })
  expect(daemon.isRunning).toBe(true)
})

test('SIGUSR2 writes the status into the log, however little is logged', async () => {
  const daemon = await startDaemon(folder => ({ log: { level: 'error' }, admin: { listen: `unix:${folder}/a.sock` }, services: { cache: service } }), { listeners: 0 })
  await vi.waitUntil(async () => (await askAdmin(join(daemon.folder, 'a.sock'), '/healthz').catch(() => undefined))?.status === 200, { timeout: 150_000 })
  daemon.kill('SIGUSR2')
  const { status, msg } = await daemon.waitForLog('status') as { status: { pid: number, services: { name: string }[] }, msg: string }
  expect(status.pid).toBe(daemon.pid)
  expect(status.services.map(({ name }) => name)).toEqual(['cache'])
  expect(msg).toMatch(/^not ready: service cache has no connection to its backend/)
})

/** Ports that a process listens on. */
function portsOf(pid: number): number[] {
  const own = new Set(readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  }))
  return ['tcp', 'tcp6'].flatMap(table => readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1).map(line => line.trim().split(/\s+/)))
    .filter(row => row[3] === '0A' && own.has(`socket:[${row[9]}]`)).map(row => parseInt(row[1].split(':')[1], 16))
}

test.skipIf(process.platform !== 'linux')('SIGUSR1 opens no debugger', async () => {
  const daemon = await startDaemon({ services: { cache: service } })
  daemon.kill('SIGUSR1')
  daemon.kill('SIGUSR2')
  await daemon.waitForLog('status')
  expect(portsOf(daemon.pid)).toEqual([daemon.port()])
  expect(daemon.output()).not.toMatch(/debugger/i)
})

test.skipIf(process.platform !== 'linux')('a debugger that SIGUSR1 opened while Node itself started is closed again', async () => {
  // Of a Node that was started without the flag: what the signal would have done then is done by the test.
  const hook = join(tempFolder(), 'early.mjs')
  writeFileSync(hook, `import inspector from 'node:inspector'; inspector.open(0); process.stderr.write('opened ' + inspector.url() + '\\n')`)
  const daemon = await startDaemon({ services: { cache: service } }, { execArgv: ['--import', hook] })
  expect(daemon.output()).toContain('opened ws://')
  expect(portsOf(daemon.pid)).toEqual([daemon.port()])
})

test('what is installed starts Node with --disable-sigusr1, by whatever name and path it is called', async () => {
  const folder = join(tempFolder(), 'a folder')
  mkdirSync(folder)
  // As node_modules/.bin has it; the flag is seen in the process itself.
  const command = join(folder, 'memseal')
  writeFileSync(join(folder, 'main.js'), `${readFileSync(mainFile, 'utf8').split('\n').slice(0, 2).join('\n')}\nconsole.log(JSON.stringify([process.execArgv, process.argv.slice(2)]))\n`, { mode: 0o755 })
  symlinkSync('main.js', command)
  const env = { PATH: `${join(process.execPath, '..')}:${process.env['PATH']}` }
  expect(JSON.parse(spawnSync(command, ['check', 'a b'], { env, encoding: 'utf8' }).stdout)).toEqual([['--disable-sigusr1'], ['check', 'a b']])
  // One process: the signals of whoever started it reach Node itself.
  const child = spawn(command, [], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  void endOf(child)
  expect((await once(child, 'exit'))[0]).toBe(0)
  // A Node that does not know the flag is started without, so that it can say that it is too old.
  const old = join(folder, 'old')
  mkdirSync(old)
  writeFileSync(join(old, 'node'), '#!/bin/sh\n[ "$1" != --version ] || { echo v22.3.0; exit; }\necho "$@"\n', { mode: 0o755 })
  expect(spawnSync(command, ['x'], { env: { PATH: `${old}:${process.env['PATH']}` }, encoding: 'utf8' }).stdout).toBe(`${command} x\n`)
})

test.skipIf(process.platform !== 'linux').each(['log.file', 'standard output', 'standard error'])('SIGTERM ends memseal though nobody reads its log: %s', async where => {
  const folder = tempFolder()
  const { file, fd } = fullPipe()
  onTestFinished(() => closeSync(fd))
  const [admin, configFile] = [join(folder, 'a.sock'), join(folder, 'memseal.yaml')]
  const log = { 'log.file': file, 'standard output': '-', 'standard error': '/dev/stderr' }[where]
  writeFileSync(configFile, JSON.stringify({ log: { file: log }, admin: { listen: `unix:${admin}` }, services: { cache: service } }))
  const stdio = openSync(file, 'r+')
  onTestFinished(() => closeSync(stdio))
  const child = spawn(process.execPath, [mainFile, 'run', '--config', configFile], {
    stdio: ['ignore', where === 'standard output' ? stdio : 'ignore', where === 'standard error' ? stdio : 'ignore'],
  })
  const ended = endOf(child)
  await vi.waitUntil(async () => (await askAdmin(admin, '/healthz').catch(() => undefined))?.status === 200, { timeout: 150_000 })
  child.kill('SIGTERM')
  expect(await ended).toEqual({ code: 0, signal: null })
})

test('SIGTERM ends memseal though the disk of its log is full', async () => {
  const daemon = await startDaemon(folder => ({ log: { file: '/dev/full' }, admin: { listen: `unix:${folder}/a.sock` }, services: { cache: service } }), { listeners: 0 })
  await vi.waitUntil(async () => (await askAdmin(join(daemon.folder, 'a.sock'), '/healthz').catch(() => undefined))?.status === 200, { timeout: 150_000 })
  expect(await daemon.stop()).toBe(0)
})
