import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FileWatch, signatureOf } from '../../src/tls/watch.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { until } from './edge.ts'

/** Watches a file that `make` lays out. @param pollMs an hour: only events count */
async function watched(make: (folder: string) => string, pollMs = 3_600_000) {
  const folder = tempFolder()
  const file = make(folder)
  let changes = 0
  const watch = new FileWatch({ onChange: () => { changes++ }, pollMs, settleMs: 10 })
  onTestFinished(() => watch.close())
  watch.set([file])
  // A fence: events come in the order of what happened, so when another watcher has told of this one, ours has told of what
  // was before it.
  const fence = join(folder, 'fence')
  writeFileSync(fence, '')
  let fences = 0
  const fenceWatch = new FileWatch({ onChange: () => { fences++ }, pollMs: 3_600_000, settleMs: 10 })
  onTestFinished(() => fenceWatch.close())
  fenceWatch.set([fence], signatureOf([fence]))
  const settled = async (): Promise<number> => {
    // Twice: looking at files takes a thread, and the second look begins when the first has ended.
    for (const wanted of [fences + 1, fences + 2]) {
      writeFileSync(fence, 'x', { flag: 'a' })
      await until(() => fences >= wanted, 'the fence is noticed')
    }
    const seen = changes
    changes = 0
    return seen
  }
  await settled()
  return { folder, file, settled, changed: async () => { await until(() => changes > 0, 'the change is noticed'); await settled() } }
}

function plain(folder: string): string {
  writeFileSync(join(folder, 'a.pem'), 'one')
  return join(folder, 'a.pem')
}

/** Once new files are watched they count as changed; touching a neighbour makes it look. */
async function calm(at: Awaited<ReturnType<typeof watched>>): Promise<void> {
  writeFileSync(join(at.folder, 'neighbour'), '')
  await at.settled()
}

test('written in place, renamed over, removed and made again', async () => {
  const at = await watched(plain)
  await calm(at)
  writeFileSync(at.file, 'two!')
  await at.changed()
  writeFileSync(`${at.file}.new`, 'three')
  renameSync(`${at.file}.new`, at.file)
  await at.changed()
  rmSync(at.file)
  await at.changed()
  writeFileSync(at.file, 'four')
  await at.changed()
})

test('what happens to its neighbours is nothing', async () => {
  const at = await watched(plain)
  await calm(at)
  writeFileSync(join(at.folder, 'other.pem'), 'x')
  expect(await at.settled()).toBe(0)
})

test('a symlink that is replaced, and a folder behind a symlink that is', async () => {
  const at = await watched(folder => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(folder, version))
      writeFileSync(join(folder, version, 'a.pem'), version)
    }
    symlinkSync('v1', join(folder, 'current'))
    return join(folder, 'current', 'a.pem')
  })
  await calm(at)
  symlinkSync('v2', join(at.folder, 'next'))
  renameSync(join(at.folder, 'next'), join(at.folder, 'current'))
  await at.changed()
  writeFileSync(join(at.folder, 'v2', 'a.pem'), 'changed where it lies')
  await at.changed()
})

test('where there are no events, looking every now and then does', async () => {
  const at = await watched(folder => join(folder, 'not', 'there', 'yet.pem'), 20)
  await at.settled()
  mkdirSync(join(at.folder, 'not', 'there'), { recursive: true })
  writeFileSync(at.file, 'x')
  await at.changed()
})

test('what nobody has touched since it was read is no change; what was touched in between is one', async () => {
  const folder = tempFolder()
  const file = plain(folder)
  const told: string[] = []
  const watching = (name: string, seen?: string): Promise<void> => new Promise(resolve => {
    const watch = new FileWatch({ onChange: () => { told.push(name); resolve() }, pollMs: 3_600_000, settleMs: 10 })
    onTestFinished(() => watch.close())
    watch.set([file], seen)
  })
  const before = signatureOf([file])
  void watching('untouched', signatureOf([file]))
  await watching('unknown')   // looks after the one above has looked
  writeFileSync(file, 'two!')
  await watching('touched', before)
  expect(told.slice(0, 1)).toEqual(['unknown'])
  expect(told).toContain('touched')
})

test('looking every few seconds keeps nobody waiting: files are asked for in the background, and one at a time', async () => {
  const fs = createRequire(import.meta.url)('node:fs') as typeof import('node:fs')
  const { statSync, realpathSync } = fs
  const real = fs.promises.stat
  let [synchronous, running, most, looks] = [0, 0, 0, 0]
  const folder = tempFolder()
  const files = ['a', 'b', 'c'].map(name => join(folder, name))
  for (const file of files) writeFileSync(file, 'x')
  let changes = 0
  const watch = new FileWatch({ onChange: () => { changes++ }, pollMs: 5, settleMs: 5 })
  watch.set(files, signatureOf(files))
  fs.statSync = ((...args: Parameters<typeof statSync>) => { synchronous++; return statSync(...args) }) as typeof statSync
  fs.realpathSync = ((...args: Parameters<typeof realpathSync>) => { synchronous++; return realpathSync(...args) }) as typeof realpathSync
  // Slower than the looks come: as a file system over the network is.
  fs.promises.stat = (async (file: string) => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setTimeout(resolve, 10))
    running--
    looks++
    return await real(file)
  }) as typeof real
  syncBuiltinESMExports()
  onTestFinished(() => {
    watch.close()
    Object.assign(fs, { statSync, realpathSync })
    fs.promises.stat = real
    syncBuiltinESMExports()
  })
  await until(() => looks >= 9, 'three looks')
  expect([synchronous, most, changes]).toEqual([0, 1, 0])
})
