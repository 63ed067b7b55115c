import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check } from '../../src/cli/check.ts'
import { runCommandLine } from '../../src/cli/commands.ts'
import { runMemseal } from '../support/daemon.ts'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'memseal-check-'))
  for (const [name, isAuthority] of [['a', 'FALSE'], ['b', 'TRUE']]) {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '200', '-subj', `/CN=${name}`,
      '-addext', `basicConstraints=critical,CA:${isAuthority}`, '-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)], { stdio: 'ignore' })
    chmodSync(join(folder, `${name}.key`), 0o600)
  }
  return () => rmSync(folder, { recursive: true })
})

async function checked(tls: string): Promise<{ status: number, out: string, err: string }> {
  const file = join(folder, 'memseal.yaml')
  writeFileSync(file, `services:\n  cache:\n    listen: 127.0.0.1:0\n    tls: ${tls}\n`)
  let [out, err] = ['', '']
  const status = await check({ config: file }, { environment: {}, out: text => void (out += text), err: text => void (err += text) })
  return { status, out, err: err.replaceAll(`${folder}/`, '') }
}

const at = (name: string) => join(folder, name)

test('a certificate and its key are fine', async () => {
  expect(await checked(`{ cert: ${at('a.crt')}, key: ${at('a.key')}, client_ca: ${at('b.crt')} }`)).toMatchObject({ status: 0, err: '' })
})

test('a key that does not fit and a CA that is not there are faults at their places, told together', async () => {
  const { status, err } = await checked(`{ cert: ${at('a.crt')}, key: ${at('b.key')}, client_ca: ${at('no.crt')} }`)
  expect(status).toBe(78)
  expect(err).toMatch(/^memseal\.yaml:4:\d+ {2}services\.cache\.tls\.(key|cert): /m)
  expect(err).toMatch(/^memseal\.yaml:4:\d+ {2}services\.cache\.tls\.client_ca: /m)
})

test('a private key that everyone can read is warned of, and no more', async () => {
  chmodSync(at('a.key'), 0o644)
  onTestFinished(() => chmodSync(at('a.key'), 0o600))
  const { status, err } = await checked(`{ cert: ${at('a.crt')}, key: ${at('a.key')} }`)
  expect(status).toBe(0)
  expect(err).toMatch(/^memseal\.yaml:4:\d+ {2}warning: services\.cache\.tls\.key: /m)
})

test('files are read even when another part of the configuration is at fault', async () => {
  const { status, err } = await checked(`{ cert: ${at('no.crt')}, key: ${at('a.key')} }\n    nonsense: 1`)
  expect(status).toBe(78)
  expect(err).toContain('services.cache.tls.cert: ')
  expect(err).toContain('services.cache.nonsense: ')
})

test('a log file that cannot be opened is a fault at its place, among the others', async () => {
  const file = join(folder, 'log.yaml')
  const missing = at('missing/memseal.log')
  writeFileSync(file, `log: { file: ${missing} }\nservices:\n  cache:\n    listen: 127.0.0.1:0\n    tls: { cert: ${at('no.crt')}, key: ${at('a.key')} }\n`)
  const checkedIt = await runMemseal(['check', '--config', file])
  expect(checkedIt.code).toBe(78)
  expect(checkedIt.stderr).toContain(`${file}:1:14  log.file: ${missing} cannot be opened for the log: there is no folder ${at('missing')}.\n`)
  expect(checkedIt.stderr).toContain(`services.cache.tls.cert: `)
})

test.each(['', 'hello', '42', 'null', '- a', '"{"', '[[', '\u0000\u0001\uFFFD', 'log:', 'log: debug', 'log: []', 'log: { file: [] }', 'admin:', 'admin: x', 'admin: { listen: {} }',
  'services: x', 'services: []', 'services: { a: }', 'services: { a: x }', 'services: { a: [] }', 'services: { a: { tls: x, backend: [], listen: {} } }',
  'services: { a: { tls: { cert: [] }, backend: { tls: x } } }', 'services: { a: { backend: { tls: [], connect: {} } } }', 'include: {}',
])('whatever stands where a section should, the faults are named and nothing crashes: %j', async text => {
  const { file, ...names } = fileWith(text)
  const [out, err] = [[] as string[], [] as string[]]
  const terminal = { environment: {}, out: (words: string) => void out.push(words), err: (words: string) => void err.push(words) }
  for (const order of [['check'], ['config', 'show'], ['run'], ['status'], ['connections'], ['drain'], ['reload'], ['kill', 'c1']]) {
    err.length = 0
    expect([order, await runCommandLine([...order, '--config', file], terminal)]).toEqual([order, 78])
    expect(err.join('')).toContain(names.place)
  }
  expect(out).toEqual([])
})

function fileWith(text: string): { file: string, place: string } {
  const file = join(folder, 'unsound.yaml')
  writeFileSync(file, text)
  return { file, place: `${file}:1:` }
}

test('a configuration that is named may come through a pipe', () => {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const text = 'services:\n  cache: { listen: 127.0.0.1:1 }\n'
  for (const script of ['"$0" "$1" check --config <(printf "%s" "$2")', 'printf "%s" "$2" | "$0" "$1" check --config /dev/stdin']) {
    expect(execFileSync('bash', ['-c', script, process.execPath, main, text], { encoding: 'utf8' })).toContain('is fine.')
  }
})
