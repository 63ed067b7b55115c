import { expect, test } from 'vitest'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { commands, runCommandLine } from '../../src/cli/commands.ts'
import { defaultFile } from '../../src/cli/configuration.ts'
import { exitStatuses } from '../../src/errors.ts'
import { setupOptions } from '../../src/config/setup.ts'
import packageJson from '../../package.json' with { type: 'json' }

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const bare = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] }

function memseal(args: string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env: { ...bare, ...environment } })
  return { status, stdout, stderr }
}

function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-cli-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'memseal.yaml'), text)
  return join(folder, 'memseal.yaml')
}

const good = 'services:\n  cache:\n    listen: 127.0.0.1:0\n'

/** The same within this process. */
async function said(...args: string[]): Promise<{ status: number, stdout: string }> {
  let stdout = ''
  const status = await runCommandLine(args, { environment: {}, out: text => { stdout += text }, err: () => {} })
  return { status, stdout }
}

test('--help lists every command, and each command its flags, an example and what exit statuses mean', async () => {
  const all = await said('--help')
  expect(all.status).toBe(0)
  for (const command of commands) {
    expect(all.stdout).toContain(`memseal ${command.name} `)
    const own = await said(...command.name.split(' '), '--help')
    expect(own.status).toBe(0)
    for (const flag of command.flags) expect(own.stdout).toContain(`--${flag.name} ${flag.value}`)
    expect(own.stdout).toContain(`\nFor example:\n  memseal ${command.name}`)
    for (const { status, doc } of Object.values(exitStatuses)) expect(own.stdout).toContain(`${status}  ${doc}`)
  }
  expect(await said('help', 'run')).toEqual(await said('run', '--help'))
  expect((await said('config', '--help')).stdout).toContain('memseal config show')
})

test.each(['--version', '-v', '-V', 'version'])('%s is the package\'s', word => {
  expect(memseal([word])).toEqual({ status: 0, stdout: `memseal ${packageJson.version}\n`, stderr: '' })
})

test('a file may be named as most programs take it, without a flag', () => {
  const file = fileWith(good)
  expect(memseal(['check', file])).toEqual({ status: 0, stdout: `${file} is fine.\n`, stderr: '' })
  expect(memseal(['config', 'show', file]).stdout).toContain('listen: [127.0.0.1:0]')
  expect(memseal(['run', `${file}.no`])).toMatchObject({ stderr: expect.stringContaining(`${file}.no:1:1  there is no such file.`) })
})

test('check --json says all of it to machines, with the same exit status', () => {
  const file = fileWith(good)
  const json = (...args: string[]) => {
    const { status, stdout, stderr } = memseal(['check', '--json', ...args])
    expect(stderr).toBe('')
    return [status, JSON.parse(stdout) as unknown]
  }
  expect(json(file)).toEqual([0, { configuration: file, isFine: true, issues: [] }])
  writeFileSync(file, `${good}    workers: 1\n`)
  expect(json(file)).toEqual([78, { configuration: file, isFine: false, issues: [{
    severity: 'fault', where: `${file}:4:5`, file, line: 4, column: 5, path: 'services.cache.workers', message: expect.any(String), fix: expect.any(String),
  }] }])
  expect(json('--listen', 'x')).toMatchObject([78, { configuration: null, issues: [{ where: '--listen', message: '"x" is not an address with a port.' }] }])
})

test.skipIf(!existsSync('/dev/full'))('a full disk behind an output is told in a line, and never by a stack trace', () => {
  const toFull = (args: string[], stream: 1 | 2) => {
    const full = openSync('/dev/full', 'w')
    const stdio = ['ignore', stream === 1 ? full : 'pipe', stream === 2 ? full : 'pipe'] as const
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', stdio: [...stdio], env: bare })
    closeSync(full)
    return { status, stdout: stdout as string | null, stderr: stderr as string | null }
  }
  const told = 'memseal: standard output cannot be written to: its disk is full.\n'
  for (const args of [['--help'], ['config', 'reference'], ['check', fileWith(good)]]) expect(toFull(args, 1)).toMatchObject({ status: 1, stderr: told })
  // What it had to say goes first: the configuration is refused, whoever hears of it.
  expect(toFull(['check', '--listen', 'x'], 2)).toMatchObject({ status: 78, stdout: '' })
  expect(toFull(['check', '--json', '--listen', 'x'], 1)).toMatchObject({ status: 78, stderr: told })
  expect(toFull(['nonsense'], 2)).toMatchObject({ status: 2, stdout: '' })
})

test.each([
  [['chekc'], 'memseal: there is no command "chekc".\nDid you mean check?\n'],
  [['frobnicate'], 'memseal: there is no command "frobnicate".\nSee memseal --help.\n'],
  [['import'], 'memseal import: a word is missing.\nWrite memseal import stunnel.\n'],
  [['connections', '--limit', 'x'], 'memseal connections: "x" is not a number of connections.\nWrite 1 to 10000.\n'],
  [['config'], 'memseal config: a word is missing.\nWrite one of config reference, config schema, config events, config metrics, config show.\n'],
  [['run', '--lisen', 'x'], 'memseal run: there is no flag --lisen.\nDid you mean --listen?\n'],
  [['memseal.yaml'], 'memseal: there is no command "memseal.yaml".\nDid you mean memseal run memseal.yaml?\n'],
  [['check', 'a.yaml', 'b.yaml'], 'memseal check: "b.yaml" is one word too many.\nSee memseal check --help.\n'],
  [['check', 'a.yaml', '--config', 'b.yaml'], 'memseal check: a.yaml and --config are two files, and one is all it takes.\nGive one of them.\n'],
  [['status', 'memseal.yaml'], 'memseal status: "memseal.yaml" is one word too many.\nSee memseal status --help.\n'],
  [['check', '--config'], 'memseal check: --config has no value.\nGive --config FILE.\n'],
  [['check', '--json=yes'], 'memseal check: --json takes no value.\nGive it alone.\n'],
  [['check', '--cert', 'a', '--cert', 'b'], 'memseal check: --cert stands here twice.\nGive it once.\n'],
  [['run', '--config', 'a.yaml', '--listen', 'b', '--allow', 'c'],
    'memseal run: --listen, --allow and the file a.yaml cannot go together: the file says all of it.\nWrite the values into a.yaml, or leave the file out.\n'],
])('wrong usage is told and ends with 2: %j', (args, message) => {
  expect(memseal(args)).toEqual({ status: 2, stdout: '', stderr: message })
})

test('flags and MEMSEAL_CONFIG cannot go together either', () => {
  const { status, stderr } = memseal(['check', '--listen', '127.0.0.1:0'], { MEMSEAL_CONFIG: 'a.yaml' })
  expect([status, stderr.split('\n')[0]]).toEqual([2, 'memseal check: --listen and MEMSEAL_CONFIG cannot go together: the file says all of it.'])
})

test.skipIf(existsSync(defaultFile))('without any configuration there is nothing to run', () => {
  for (const args of [[], ['run'], ['check'], ['config', 'show'], ['run', '--log-level', 'debug']]) {
    const { status, stderr } = memseal(args)
    expect(status).toBe(78)
    expect(stderr).toContain('There is no configuration: no /etc/memseal/memseal.yaml, no --config, no flags and no MEMSEAL_ variables.')
    expect(stderr).toContain('memseal run --listen')
  }
})

test('a configuration with faults is refused with 78 by every command that reads it', () => {
  const file = fileWith('services:\n  cache:\n    listen: 0.0.0.0:0\n    workers: 1\n')
  for (const args of [['--config', file], ['run', '--config', file], ['check', '--config', file], ['config', 'show', '--config', file]]) {
    const { status, stdout, stderr } = memseal(args)
    expect([status, stdout]).toEqual([78, ''])
    expect(stderr.match(/^\S+memseal\.yaml:\d+:\d+ /gm)).toEqual([`${file}:3:13 `, `${file}:3:13 `, `${file}:4:5 `])
  }
  expect(memseal(['check', '--config', `${file}.no`])).toMatchObject({ status: 78, stderr: expect.stringContaining('there is no such file') })
})

test('show prints the values of flags and variables with their names, flags first', () => {
  const { status, stdout } = memseal(
    ['config', 'show', '--listen', '127.0.0.1:1', '--listen', 'unix:/run/a.sock', '--cert', '/c', '--allow', '10.0.0.0/8', '--log-level', 'warn'],
    { MEMSEAL_LISTEN: '127.0.0.1:2', MEMSEAL_KEY: '/k', MEMSEAL_CLIENT_CA: '/ca', MEMSEAL_CONNECT: 'unix:/run/m.sock, 127.0.0.1:11211', MEMSEAL_LOG_FORMAT: 'pretty', MEMSEAL_ALLOW: '' })
  expect(status).toBe(0)
  const lines = stdout.split('\n').map(line => line.trim().replace(/ +/g, ' '))
  expect(lines).toEqual(expect.arrayContaining([
    'listen: [127.0.0.1:1, unix:/run/a.sock] # --listen', 'cert: /c # --cert', 'key: /k # MEMSEAL_KEY', 'client_ca: /ca # MEMSEAL_CLIENT_CA',
    'allow: [10.0.0.0/8] # --allow', 'connect: [unix:/run/m.sock, 127.0.0.1:11211] # MEMSEAL_CONNECT',
    'level: warn # --log-level', 'format: pretty # MEMSEAL_LOG_FORMAT', 'client_auth: required # default',
  ]))
})

test('every set-up variable does what its flag does', () => {
  const values: Record<string, string> = {
    'listen': '127.0.0.1:1', 'connect': '127.0.0.1:2', 'cert': '/c', 'key': '/k', 'client-ca': '/ca', 'allow': '10.0.0.0/8', 'log-level': 'warn', 'log-format': 'pretty',
    'backend-ca': '/bca', 'backend-cert': '/bc', 'backend-key': '/bk', 'server-name': 'cache.example.com', 'admin': 'unix:/run/a.sock',
  }
  const withoutOrigins = (text: string) => text.replace(/ +#.*$/gm, '')
  const byFlags = memseal(['config', 'show', ...setupOptions.flatMap(({ flag }) => [`--${flag}`, values[flag]])])
  const byVariables = memseal(['config', 'show'], Object.fromEntries(setupOptions.map(({ flag, variable }) => [variable, values[flag]])))
  expect(byFlags.status).toBe(0)
  expect(withoutOrigins(byVariables.stdout)).toBe(withoutOrigins(byFlags.stdout))
})

test('flags of the log go with a file, and MEMSEAL_CONFIG names one', () => {
  const file = fileWith(`log: { level: error }\n${good}`)
  const { status, stdout } = memseal(['config', 'show', '--log-level', 'debug'], { MEMSEAL_CONFIG: file })
  expect(status).toBe(0)
  expect(stdout).toMatch(/level: debug +# --log-level/)
  expect(stdout).toContain(`# ${file}:4:13`)
})

test('a reader that stops early is no fault', () => {
  const { status, stderr } = spawnSync('sh', ['-c', '"$0" "$1" config schema | head -n 1', process.execPath, main], { encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
})
