import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { LogFile, LogFileError, logFileFault } from '../../src/telemetry/log-file.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { fullPipe } from '../support/full-pipe.ts'
import { tempFolder } from '../support/temp-folder.ts'

const settings = { level: 'info', format: 'json' } as const

test.each<[string, (folder: string) => string, string]>([
  ['its folder is missing', folder => join(folder, 'missing/memseal.log'), 'there is no folder'],
  ['it is a folder', folder => folder, 'it is a folder'],
  ['a part of its path is a file', folder => { writeFileSync(join(folder, 'file'), ''); return join(folder, 'file/memseal.log') }, 'there is no folder'],
  ['it is a link into nowhere', folder => { symlinkSync('gone/memseal.log', join(folder, 'link')); return join(folder, 'link') }, 'it is a link to gone/memseal.log'],
  ['it is a link to itself', folder => { symlinkSync('loop', join(folder, 'loop')); return join(folder, 'loop') }, 'in a circle'],
])('a log file that cannot be opened, since %s, is told in words, by check as by run, and check makes nothing', (_, make, words) => {
  const file = make(tempFolder())
  const known = logFileFault(file)
  expect(known).toBeInstanceOf(LogFileError)
  expect(known!.message).toContain(`${file} cannot be opened for the log: `)
  expect(known!.message).toContain(words)
  expect(known!.fix).toMatch(/^[A-Z].*\.$/)
  expect(new LogFile(file).fault?.message).toBe(known!.message)
})

test('a socket, and a pipe that nobody reads, are told and not waited for', async () => {
  const folder = tempFolder()
  const server = createServer().listen(join(folder, 'socket'))
  onTestFinished(() => { server.close() })
  await new Promise(resolve => server.once('listening', resolve))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  for (const name of ['socket', 'pipe']) {
    expect(new LogFile(join(folder, name)).fault?.message).toContain('it is a socket, or a pipe that nobody reads')
  }
  expect(logFileFault(join(folder, 'socket'))?.message).toContain('it is a socket')
})

test.skipIf(process.getuid!() === 0)('a file of somebody else is told', () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'memseal.log'), '')
  chmodSync(join(folder, 'memseal.log'), 0o400)
  expect(logFileFault(join(folder, 'memseal.log'))?.message).toContain('the user that memseal runs as may not write to it')
})

test('what check finds nothing wrong with can be opened, and is not made by looking', async () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'real'))
  symlinkSync('real/memseal.log', join(folder, 'link'))
  for (const name of ['new.log', 'link']) {
    expect(logFileFault(join(folder, name))).toBeUndefined()
    expect(() => readFileSync(join(folder, name))).toThrow('ENOENT')
    await new LogFile(join(folder, name)).flush()
    expect(readFileSync(join(folder, name), 'utf8')).toBe('')
  }
  for (const stream of ['-', '/dev/stdout', '/dev/stderr']) expect(logFileFault(stream)).toBeUndefined()
})

test('rotation under load: no line is lost, torn or out of order, and each file has whole lines', async () => {
  const file = join(tempFolder(), 'memseal.log')
  const log = createLogger({ ...settings, file })
  let written = 0
  for (let rotation = 1; rotation <= 20; rotation++) {
    for (let i = 0; i < 200; i++) log.log.tell('ready', { at: written++, filler: 'x'.repeat(100) }, 'x')
    renameSync(file, `${file}.${rotation}`)
    const reopened = log.reopen()
    for (let i = 0; i < 50; i++) {
      log.log.tell('ready', { at: written++ }, 'x')
      await turn()
    }
    expect(await reopened).toBe(true)
  }
  const files = [...Array.from({ length: 20 }, (_, at) => `${file}.${at + 1}`), file]
  const linesOf = (each: string): string[] => readFileSync(each, 'utf8').split('\n').slice(0, -1)
  await vi.waitUntil(() => files.flatMap(linesOf).length === written, { timeout: 150_000 })
  expect(files.flatMap(linesOf).map(line => (JSON.parse(line) as { at: number }).at)).toEqual(Array.from({ length: written }, (_, at) => at))
})

test('when it cannot be opened again the old file goes on, and the next time it is opened', async () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'logs'))
  const file = join(folder, 'logs/memseal.log')
  const log = createLogger({ ...settings, file })
  renameSync(join(folder, 'logs'), join(folder, 'old'))
  for (const at of [1, 2]) {
    await expect(log.reopen()).rejects.toThrow(`${file} cannot be opened for the log: there is no folder`)
    log.log.tell('ready', { at }, 'x')
  }
  mkdirSync(join(folder, 'logs'))
  expect(await log.reopen()).toBe(true)
  log.log.tell('ready', { at: 3 }, 'x')
  await log.flush()
  expect(readFileSync(join(folder, 'old/memseal.log'), 'utf8').match(/"at":\d/g)).toEqual(['"at":1', '"at":2'])
  expect(readFileSync(file, 'utf8').match(/"at":\d/g)).toEqual(['"at":3'])
})

test('a stream has no name to be opened by', async () => {
  expect(await createLogger({ ...settings, file: '/dev/stderr' }).reopen()).toBe(false)
})

const openedAs = (file: string): number => readdirSync('/proc/self/fd').filter(fd => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === file
  } catch {
    return false
  }
}).length

test.skipIf(process.platform !== 'linux')('a pipe that nobody reads does not keep a descriptor for each time it is opened anew', async () => {
  const { file, fd } = fullPipe()
  onTestFinished(() => closeSync(fd))
  const log = createLogger({ ...settings, file })
  // Past the limit of four that wait, with the one in use, that of the test, and one that is just being tried.
  for (let i = 0; i < 40; i++) {
    log.log.tell('ready', { at: i }, 'x')
    expect(await log.reopen()).toBe(true)
  }
  await vi.waitUntil(async () => {
    log.log.tell('ready', {}, 'x')
    await log.reopen()
    return openedAs(file) <= 4 + 3
  }, { timeout: 150_000 })
})

test.skipIf(process.platform !== 'linux')('a pipe whose reader has gone keeps no descriptor', async () => {
  const { file, fd } = fullPipe()
  const log = createLogger({ ...settings, file })
  log.log.tell('ready', {}, 'x')
  await log.reopen()
  expect(openedAs(file)).toBe(3)
  log.log.tell('ready', {}, 'x')
  closeSync(fd)
  await vi.waitUntil(() => openedAs(file) === 0, { timeout: 150_000 })
})
