import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check } from '../../src/cli/check.ts'
import { runCommandLine } from '../../src/cli/commands.ts'
import { doubtsOfPort } from '../../src/lib/listen-doubts.ts'
import { runMemseal } from '../support/daemon.ts'
import { pki } from '../support/pki.ts'

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

test('the login of a backend: its file, its name, what is missing, and nothing of the password', async () => {
  const told = (auth: string) => checked(`{ cert: ${at('a.crt')}, key: ${at('a.key')} }\n    backend: { auth: ${auth} }`)
  writeFileSync(at('pass'), 'open-sesame\n', { mode: 0o600 })
  expect(await told(`{ username: cache, password_file: ${at('pass')} }`)).toMatchObject({ status: 0, err: '' })
  writeFileSync(at('lines'), 'open\nsesame\n', { mode: 0o644 })
  const faulty = await told(`{ username: "ca che", password_file: ${at('lines')} }`)
  expect(faulty.status).toBe(78)
  expect(faulty.err).toMatch(/^memseal\.yaml:5:\d+ {2}services\.cache\.backend\.auth\.username: holds a blank/m)
  expect(faulty.err).toMatch(/^memseal\.yaml:5:\d+ {2}services\.cache\.backend\.auth\.password_file: lines holds more than one line\./m)
  expect(faulty.err).not.toContain('sesame')
  for (const name of ['"ca che"', '""', '[]']) {
    const nameless = await told(`{ username: ${name}, password_file: ${at('pass')} }`)
    expect(nameless.status).toBe(78)
    expect(nameless.err).toMatch(/^memseal\.yaml:5:\d+ {2}services\.cache\.backend\.auth\.username: .*\n.*\n\n?$/)
  }
  expect((await told('{ username: cache }')).err).toContain('services.cache.backend.auth.password_file: is missing.')
})

test('files are read even when another part of the configuration is at fault', async () => {
  const { status, err } = await checked(`{ cert: ${at('no.crt')}, key: ${at('a.key')} }\n    nonsense: 1`)
  expect(status).toBe(78)
  expect(err).toContain('services.cache.tls.cert: ')
  expect(err).toContain('services.cache.nonsense: ')
})

test('an audit file that cannot be opened is a fault at its place; so is an event that there is not', async () => {
  const file = join(folder, 'audit.yaml')
  const missing = at('missing/audit.log')
  const service = 'services: { cache: { listen: 127.0.0.1:0 } }'
  writeFileSync(file, `audit: { file: ${missing}, keys: hash }\n${service}\n`)
  const { code, stderr } = await runMemseal(['check', '--config', file])
  expect([code, stderr.split('\n')[0]]).toEqual([78, `${file}:1:16  audit.file: ${missing} cannot be opened for the audit: there is no folder ${at('missing')}.`])
  writeFileSync(file, `audit: { file: ${at('audit.log')}, events: [command, backend-lost], keys: some }\n${service}\n`)
  const other = await runMemseal(['check', '--config', file])
  expect(other.stderr).toContain('audit.events[1]: "backend-lost" is not offered')
  expect(other.stderr).toContain('audit.keys: "some" is not offered (none, prefix, hash, full).')
  writeFileSync(file, `audit: { keys: none }\n${service}\n`)
  expect((await runMemseal(['check', '--config', file])).stderr).toContain('audit.file: is missing')
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

async function checkedText(text: string): Promise<{ status: number, err: string }> {
  const file = join(folder, 'memseal.yaml')
  writeFileSync(file, text)
  let err = ''
  const status = await check({ config: file }, { environment: {}, out: () => {}, err: words => void (err += words) })
  return { status, err: err.replaceAll(`${folder}/`, '') }
}

test('files of a section are looked at while something else in it, or around it, is wrong', async () => {
  const gap = await checked(`{ cert: FILL-IN, key: ${at('no.key')}, client_ca: ${at('no.pem')}, crl: ${at('no.crl')} }\n    backend: { tls: { ca: FILL-IN, cert: ${at('no.crt')}, key: ${at('a.key')} } }`)
  for (const words of ['tls.cert: FILL-IN', 'tls.key: there is no file no.key', 'tls.client_ca: there is no file no.pem', 'tls.crl: there is no file no.crl',
    'backend.tls.ca: FILL-IN', 'backend.tls.cert: there is no file no.crt']) expect(gap.err).toContain(words)
  const around = await checkedText(`services: { a: { listen: 0.0.0.0:0, alow: x, tls: { cert: ${at('no.crt')}, key: ${at('a.key')} } } }`)
  for (const words of ['a.alow: ', 'a.listen: ', 'a.tls.cert: there is no file no.crt']) expect(around.err).toContain(words)
})

test('what would keep run from listening is told, and what is there is fine', async () => {
  const { socket: taken, close } = await listening(at('taken.sock'))
  onTestFinished(close)
  const said = async (listen: string, more = ''): Promise<string[]> => {
    const { status, err } = await checkedText(`services: { a: { listen: "${listen}", allow: 10.0.0.0/8, plaintext: allowed${more} } }`)
    return [String(status), ...err.split('\n').filter(line => line.includes('services.a.'))]
  }
  for (const fine of [`unix:${taken}`, `unix:${at('free.sock')}`, '127.0.0.1:0', '127.9.9.9:0', '0.0.0.0:0', '[::]:0', 'localhost:0', 'systemd:x']) expect(await said(fine)).toEqual(['0'])
  for (const [listen, status, words] of [
    [`unix:${at('nodir/a.sock')}`, '78', /listen: there is no folder nodir|listen: there is no folder .*nodir\./],
    [`unix:${at('a.crt')}`, '78', /listen: a file lies at a\.crt/],
    [`unix:${at('a.crt/a.sock')}`, '78', /listen: a\.crt is not a folder/],
    ['unix:/run/there-is-no-such-folder/a.sock', '0', /warning: services\.a\.listen: there is no folder/],
    ['192.0.2.77:0', '0', /warning: services\.a\.listen: this host has no address 192\.0\.2\.77 now/],
  ] as const) expect(await said(listen)).toEqual([status, expect.stringMatching(words)])
  const accounts = await said(`unix:${at('free.sock')}`, ', socket: { owner: no-such-user, group: no-such-group }')
  expect(accounts).toEqual(['78', expect.stringContaining('a.socket.owner: there is no user "no-such-user"'), expect.stringContaining('a.socket.group: there is no group "no-such-group"')])
  expect(await said('127.0.0.1:0', ', socket: { owner: no-such-user }')).toEqual(['0'])
  const admin = await checkedText(`admin: { listen: "unix:${at('nodir/admin.sock')}" }\nservices: { a: { listen: 127.0.0.1:0 } }`)
  expect(admin).toEqual({ status: 0, err: expect.stringMatching(/warning: admin\.listen: there is no folder/) })
})

test('a port below those that everybody may have is warned of, for a user without the right', async () => {
  expect(doubtsOfPort(79, { lowest: 80, isCapable: false })).toMatchObject([{ severity: 'warning' }])
  for (const [port, lowest, isCapable] of [[80, 80, false], [79, 80, true], [0, 80, false]] as const) expect(doubtsOfPort(port, { lowest, isCapable })).toEqual([])
})

test('certificates that peers refuse by their purpose, and keys beside them that all may read, are warned of', async () => {
  const { ca, server, client } = await pki()
  const made = async (usage: string): Promise<string> => {
    const file = at(`${usage.replace(',', '-')}.crt`)
    execFileSync('openssl', ['req', '-x509', '-key', at('a.key'), '-subj', `/CN=${usage}`, '-addext', 'basicConstraints=CA:FALSE', '-addext', `extendedKeyUsage=${usage}`, '-days', '200', '-out', file], { stdio: 'ignore' })
    return file
  }
  const words = async (usage: string): Promise<string[]> => {
    const pair = `cert: ${await made(usage)}, key: ${at('a.key')}`
    const { err, status } = await checked(`{ ${pair} }\n    backend: { tls: { ca: ${ca.certFile}, ${pair}, server_name: a } }`)
    expect(status).toBe(0)
    return [...err.matchAll(/cache\.(\S+): .*extendedKeyUsage lacks (\w+)/g)].map(([, path, lacks]) => `${path} ${lacks}`)
  }
  expect(await words('clientAuth')).toEqual(['tls.cert serverAuth'])
  expect(await words('serverAuth')).toEqual(['backend.tls.cert clientAuth'])
  expect(await words('emailProtection')).toEqual(['tls.cert serverAuth', 'backend.tls.cert clientAuth'])
  for (const both of ['serverAuth,clientAuth', 'anyExtendedKeyUsage']) expect(await words(both)).toEqual([])
  const beside = at('beside.pem')
  writeFileSync(beside, server.cert + server.key)
  for (const [mode, isTold] of [[0o644, true], [0o640, false]] as const) {
    chmodSync(beside, mode)
    const { err } = await checked(`{ cert: ${beside}, key: ${server.keyFile} }`)
    expect(err.includes('tls.cert: beside.pem holds a private key too, and can be read by every user')).toBe(isTold)
  }
  expect((await checked(`{ cert: ${server.certFile}, key: ${server.keyFile}, client_ca: ${ca.certFile}, crl: ${client.certFile} }`)).err).toMatch(/tls\.crl: .* holds a certificate, and no revocation list\./)
})

async function listening(path: string): Promise<{ socket: string, close: () => void }> {
  const server = createServer().listen(path)
  await once(server, 'listening')
  return { socket: path, close: () => void server.close() }
}
