import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadFile } from '../../src/config/load.ts'
import { readWhole, readWholeFile } from '../../src/lib/whole-file.ts'
import { readMaterial } from '../../src/tls/material.ts'
import { readRevocation } from '../../src/tls/revocation.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { atEndOfTest } from '../support/test-life.ts'

async function odds(): Promise<Record<string, string>> {
  const folder = tempFolder()
  const at = (name: string): string => join(folder, name)
  execFileSync('mkfifo', [at('pipe')])
  mkdirSync(at('folder'))
  symlinkSync('pipe', at('link'))
  const server = createServer().listen(at('socket'))
  await once(server, 'listening')
  await atEndOfTest(async () => void server.close())
  return { pipe: at('pipe'), folder: at('folder'), link: at('link'), socket: at('socket'), device: '/dev/zero' }
}

const words: Record<string, string> = { pipe: 'is a pipe', folder: 'is a folder', link: 'is a pipe', socket: 'is a socket', device: 'is a device' }

test('what is not a file is refused with words and without waiting, wherever a file of ours is read', async () => {
  for (const [name, path] of Object.entries(await odds())) {
    const word = `${name} ${words[name]}`
    expect(() => readWholeFile(path, 10)).toThrow(words[name])
    const { faults } = readMaterial({ cert: path, key: path, client_ca: path })
    expect(faults.map(({ key, message }) => `${key} ${message}`.replace(path, name))).toEqual(['cert', 'key', 'client_ca'].map(key => `${key} ${word}${name === 'folder' ? '.' : ', and only a file is read.'}`))
    expect(readRevocation(path, [], { check: 'leaf', expired: 'refuse', missing: 'refuse' }, 0).faults[0].message.replace(path, name)).toContain(word)
    const options = { environment: {}, directory: '/' }
    expect(loadFile(path, options)).toMatchObject({ isUnread: true, issues: [{ message: expect.stringContaining(`this ${words[name]}`) }] })
    const main = join(tempFolder(), 'main.yaml')
    writeFileSync(main, `include: ${path}\nservices:\n  a: { listen: 127.0.0.1:1 }\n`)
    expect(loadFile(main, options).issues.map(({ message }) => message)).toContainEqual(expect.stringContaining(`${path}: this ${words[name]}`))
  }
})

test('a file of the most bytes is read, links are followed, and one byte more is too large', () => {
  const [file, link] = [join(tempFolder(), 'file'), join(tempFolder(), 'link')]
  symlinkSync(file, link)
  writeFileSync(file, '')
  for (const read of [readWholeFile, readWhole]) {
    for (const size of [0, 65_535, 65_536, 2 ** 20]) {
      truncateSync(file, size)
      expect(read(link, 2 ** 20).length).toBe(size)
    }
    truncateSync(file, 2 ** 20 + 1)
    expect(() => read(link, 2 ** 20)).toThrow('is larger than 1 MiB, which is the most that is read')
  }
  expect(() => readWhole('/dev/zero', 2 ** 20)).toThrow('is larger than 1 MiB')
  expect(() => readWholeFile(join(file, 'x'), 1)).toThrow('ENOTDIR')
})
