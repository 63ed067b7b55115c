import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { AuditFile } from '../../src/telemetry/audit-file.ts'
import { tempFolder } from '../support/temp-folder.ts'

function make(file: string) {
  const faults: (string | undefined)[] = []
  const audit = new AuditFile(file, fault => { faults.push(fault?.message) })
  onTestFinished(() => audit.close())
  return { audit, faults }
}

const linesOf = (file: string): string[] => {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1)
  } catch {
    return []
  }
}
const seen = (file: string, lines: readonly string[]): Promise<unknown> =>
  vi.waitUntil(() => String(linesOf(file)) === String(lines), { timeout: 150_000, interval: 20 })

test('it is made with mode 0640 and only appended to', async () => {
  const file = join(tempFolder(), 'audit.log')
  const umask = process.umask(0)
  const first = make(file)
  process.umask(umask)
  first.audit.write('a\n')
  await first.audit.flush()
  expect(statSync(file).mode & 0o777).toBe(0o640)
  const second = make(file)
  second.audit.write('b\n')
  await second.audit.flush()
  expect([linesOf(file), first.faults, second.faults]).toEqual([['a', 'b'], [], []])
})

test('opened anew it goes on in the file that has the name; lines that wait go into the old one', async () => {
  const file = join(tempFolder(), 'audit.log')
  const { audit, faults } = make(file)
  audit.write('a\n')
  renameSync(file, `${file}.1`)
  expect(await audit.reopen()).toBe(true)
  audit.write('b\n')
  await audit.flush()
  await seen(`${file}.1`, ['a'])
  expect([linesOf(file), faults]).toEqual([['b'], []])
})

test('a folder that vanishes is told, lines wait, and all are there when it is back', async () => {
  const folder = join(tempFolder(), 'logs')
  mkdirSync(folder)
  const file = join(folder, 'audit.log')
  const { audit, faults } = make(file)
  audit.write('a\n')
  await audit.flush()
  rmSync(folder, { recursive: true })
  await vi.waitUntil(() => audit.fault !== undefined, { timeout: 150_000 })
  expect(faults).toEqual([expect.stringContaining(`${file} cannot be opened for the audit: there is no folder`)])
  await expect(audit.reopen()).rejects.toThrow('there is no folder')
  audit.write('b\n')
  audit.write('c\n')
  mkdirSync(folder)
  await seen(file, ['b', 'c'])
  // That of "a", if the file went before it was seen again.
  expect(audit.lost).toBeLessThanOrEqual(1)
  expect([faults.length, faults[1], audit.waitingBytes]).toEqual([2, undefined, 0])
})

test('a file that is deleted is made again, and what was written since it was last seen counts as lost', async () => {
  const file = join(tempFolder(), 'audit.log')
  const { audit, faults } = make(file)
  unlinkSync(file)
  audit.write('a\n')
  await vi.waitUntil(() => audit.lost > 0, { timeout: 150_000 })
  audit.write('b\n')
  await audit.flush()
  expect([linesOf(file), faults, audit.lost]).toEqual([['b'], [], 1])
})

test.skipIf(process.platform !== 'linux')('a full disk is told once, lines wait up to 8 MiB, more are lost and counted, and the rest is written when there is room', async () => {
  const [folder, line] = [tempFolder(), `${'x'.repeat(1023)}\n`]
  const file = join(folder, 'audit.log')
  symlinkSync('/dev/full', file)
  const { audit, faults } = make(file)
  audit.write(line)
  await vi.waitUntil(() => audit.fault !== undefined, { timeout: 150_000 })
  for (let i = 0; i < 8 * 1024 - 1; i++) audit.write(line)
  expect(audit.lost).toBe(0)
  for (let i = 0; i < 10; i++) audit.write(line)
  expect([audit.lost, audit.waitingBytes]).toEqual([10, 8 * 1024 * 1024])
  expect(faults).toEqual([expect.stringContaining(`${file} cannot be written to for the audit: its disk is full.`)])
  unlinkSync(file)
  symlinkSync(join(folder, 'room'), file)
  await vi.waitUntil(() => audit.waitingBytes === 0, { timeout: 150_000 })
  expect(linesOf(join(folder, 'room'))).toEqual(Array.from({ length: 8 * 1024 }, () => line.trim()))
  expect(faults.slice(1)).toEqual([undefined])
})

test('what cannot be opened at the start is told, and opened as soon as it can be', async () => {
  const folder = join(tempFolder(), 'logs')
  const { audit, faults } = make(join(folder, 'audit.log'))
  expect(faults).toEqual([expect.stringContaining('there is no folder')])
  audit.write('a\n')
  expect(audit.waitingBytes).toBe(2)
  mkdirSync(folder)
  await seen(join(folder, 'audit.log'), ['a'])
})

test('a pipe whose reader goes costs the line that was under way, and goes on with the next reader', async () => {
  const file = join(tempFolder(), 'pipe')
  execFileSync('mkfifo', [file])
  const open = (): number => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const bytes = Buffer.alloc(64)
  const read = (fd: number): string => {
    try {
      return bytes.toString('utf8', 0, readSync(fd, bytes))
    } catch {
      return ''   // nothing yet
    }
  }
  const first = open()
  const { audit, faults } = make(file)
  audit.write('a\n')
  await audit.flush()
  expect(read(first)).toBe('a\n')
  closeSync(first)
  audit.write('b\n')
  await vi.waitUntil(() => audit.fault !== undefined, { timeout: 150_000 })
  audit.write('c\n')
  const second = open()
  onTestFinished(() => closeSync(second))
  let got = ''
  await vi.waitUntil(() => (got += read(second)) === 'c\n', { timeout: 150_000 })
  await vi.waitUntil(() => audit.fault === undefined, { timeout: 150_000 })
  expect([audit.lost, faults.at(-1)]).toEqual([1, undefined])
})

test('a stream has no name to be opened by', async () => {
  expect(await make('/dev/stderr').audit.reopen()).toBe(false)
})
