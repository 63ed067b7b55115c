import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readAddressFile, type AddressFile, type LineFault } from '../../src/config/address-file.ts'
import { parseCidr } from '../../src/config/address-kinds.ts'
import { Problem } from '../../src/config/problem.ts'
import { prng } from '../support/prng.ts'
import { tempFolder } from '../support/temp-folder.ts'

const file = join(tempFolder(), 'clients.allow')

async function read(content: string | Buffer): Promise<AddressFile | LineFault[]> {
  writeFileSync(file, content)
  return readAddressFile(file)
}

async function ranges(content: string | Buffer) {
  const found = await read(content)
  if (Array.isArray(found)) throw new Error(JSON.stringify(found))
  return found.ranges
}

async function faults(content: string | Buffer): Promise<LineFault[]> {
  const found = await read(content)
  if (!Array.isArray(found)) throw new Error(`${found.ranges.size} ranges`)
  return found
}

test.each([['LF', '\n'], ['CR LF', '\r\n']])('ranges of both families, comments, blank lines, with %s, with and without an end of the last line', async (_, end) => {
  const lines = ['# who may come', '', '10.0.0.0/8 # web', '\t192.0.2.7\t', '   ', 'fd00::/8#batch', '2001:DB8::1', '#10.9.0.0/16', '203.0.113.0/24']
  for (const last of ['', end]) {
    for (const mark of ['', '\uFEFF']) {
      const found = await ranges(mark + lines.join(end) + last)
      expect(found.size).toBe(5)
      expect(['10.1.1.1', '192.0.2.7', 'fd12::1', '2001:db8::1', '203.0.113.255'].map(each => found.has(each))).toEqual(Array(5).fill(true))
      expect(['11.0.0.0', '192.0.2.8', '2001:db8::2', '203.0.114.0'].map(each => found.has(each))).toEqual(Array(4).fill(false))
    }
  }
})

test('the first line is a range behind a byte order mark', async () => {
  expect((await ranges('\uFEFF10.0.0.1\n')).has('10.0.0.1')).toBe(true)
})

test('a file without a range is one of none', async () => {
  for (const content of ['', '\n\n', '# nobody yet\n', '\uFEFF']) expect((await ranges(content)).size).toBe(0)
})

test('each faulty line is told, with its place and what to write', async () => {
  expect(await faults('10.0.0.0/8\n10.0.0/8\n  web.example.com # a name\n\n10.0.0.1/24\n::ffff:10.0.0.1\n10.0.0.1 10.0.0.2\n10.0.0.1-10.0.0.9\nfd00::/129\n')).toEqual([
    { line: 2, col: 1, message: '"10.0.0/8" is not an address range.', fix: expect.stringContaining('Write an address range such as 10.0.0.0/8') },
    { line: 3, col: 3, message: '"web.example.com" is not an address range.', fix: expect.any(String) },
    { line: 5, col: 1, message: '"10.0.0.1/24" has bits set beyond its /24.', fix: 'Write 10.0.0.0/24 for the network, or 10.0.0.1 for this address alone.' },
    { line: 6, col: 1, message: '"::ffff:10.0.0.1" is an IPv4 range written as IPv6.', fix: expect.any(String) },
    { line: 7, col: 1, message: '"10.0.0.1 10.0.0.2" is not an address range.', fix: expect.any(String) },
    { line: 8, col: 1, message: '"10.0.0.1-10.0.0.9" is not an address range.', fix: expect.any(String) },
    { line: 9, col: 1, message: '"/129" is not a prefix length of an IPv6 address.', fix: 'Write /0 to /128.' },
  ])
})

test('a hundred faulty lines are told each, and of more their number', async () => {
  expect(await faults('x\n'.repeat(100))).toHaveLength(100)
  const more = await faults('x\n'.repeat(102))
  expect(more).toHaveLength(101)
  expect(more[100]).toEqual({ message: '2 more lines of it are faulty too.', fix: 'Check that it is the file that is meant.' })
})

test('what is not text is told once', async () => {
  expect(await faults(Buffer.from('\uFEFF10.0.0.0/8\n', 'utf16le'))).toEqual([{ message: `${file} is not plain text: it holds NUL bytes.`, fix: 'Save it as UTF-8.' }])
})

test('what cannot be read is told, and a pipe is not waited for', async () => {
  expect(await readAddressFile('/nowhere/clients')).toEqual([{ message: 'there is no file /nowhere/clients.', fix: 'Write the path of the file, or put the file there.' }])
  expect(await readAddressFile(tempFolder())).toEqual([{ message: expect.stringContaining('is a folder.'), fix: expect.any(String) }])
  const pipe = join(tempFolder(), 'pipe')
  execFileSync('mkfifo', [pipe])
  expect(await readAddressFile(pipe)).toEqual([{ message: `${pipe} is a pipe, and only a file is read.`, fix: expect.any(String) }])
})

test('a file that is the same is not compiled again', async () => {
  const first = await read('10.0.0.0/8\n') as AddressFile
  expect(await readAddressFile(file, first)).toBe(first)
  writeFileSync(file, '10.0.0.0/9\n')
  expect(await readAddressFile(file, first)).not.toBe(first)
})

test('a line is taken exactly where `allow` takes it', async () => {
  const random = prng(3)
  const seeds = ['10.0.0.0/8', '10.0.0.1', '10.1.0.0/15', 'fd00::/8', '::/0', '::1/128', '2001:db8::/032', '::ffff:0:0/96', '::ffff:a01:203', 'fe80::1%2']
  for (let i = 0; i < 3_000; i++) {
    const text = [...random.pick(seeds)]
    for (let change = random.between(0, 2); change > 0; change--) text.splice(random.between(0, text.length), random.between(0, 1), random.pick([...'0123489afF:./']))
    const line = text.join('')
    if (line === '') continue
    expect([line, Array.isArray(await read(line))]).toEqual([line, typeof parseCidr(line) !== 'string'])
  }
})

test('100,000 ranges are all there, in memory of their size', async () => {
  const found = await ranges(Array.from({ length: 100_000 }, (_, at) => `${10 + (at >> 16)}.${at >> 8 & 255}.${at & 255}.64/26\n`).join(''))
  expect(found.size).toBe(100_000)
  expect(found.bytes).toBeLessThan(1.3e6)
  for (let at = 0; at < 100_000; at += 77) {
    const network = `${10 + (at >> 16)}.${at >> 8 & 255}.${at & 255}`
    expect([63, 64, 127, 128].map(last => found.has(`${network}.${last}`))).toEqual([false, true, true, false])
  }
})

test('a file holds 200,000 ranges, and not one more', async () => {
  const lines = Array.from({ length: 200_000 }, (_, at) => `10.${at >> 16}.${at >> 8 & 255}.${at & 255}`).join('\n')
  expect((await ranges(`${lines}\n# and no more\n`)).size).toBe(200_000)
  expect(await faults(`${lines}\n\n11.0.0.0\nx\n`)).toEqual([{ line: 200_002, message: 'there are more than 200,000 ranges in this file.', fix: 'Write wider ranges.' }])
})

test('of a line that is a whole file little is quoted', async () => {
  const { message } = new Problem(`"${'x'.repeat(300_000)}" is not an address range.`, '')
  expect(message).toBe(`"${'x'.repeat(200)}…" is not an address range.`)
  const short = `"${'x'.repeat(219)}" is not an address range.`
  expect(new Problem(short, '').message).toBe(short)
})
