import { describe, expect, test } from 'vitest'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueText, originText } from '../../src/config/issue.ts'
import { loadFile, loadGiven, loadText } from '../../src/config/load.ts'
import { showConfig } from '../../src/config/show.ts'
import { givenByEnvironment, givenByFlags, setupOptions } from '../../src/config/setup.ts'

const smallest = 'services:\n  cache:\n    listen: 127.0.0.1:11212\n'

function told(where: string, message: string, fix: string): string {
  return `${where}  ${message}\n${' '.repeat(where.length + 2)}${fix}`
}

function faultsOf(text: string, environment: NodeJS.ProcessEnv = {}): string[] {
  return loadText(text, 'm.yaml', { environment }).issues.map(issueText)
}

test('the smallest configuration has every default', () => {
  const { config, issues } = loadText(smallest, 'm.yaml', { environment: {} })
  expect(issues).toEqual([])
  expect(config).toEqual({
    log: { level: 'info', format: 'json', file: '-' },
    audit: undefined,
    alerts: { scan: 20, new_network: false, new_command: false, new_command_after: 3_600_000 },
    admin: { listen: [], allow: [] },
    drain_timeout: 30_000, ticket_rotation: 43_200_000,
    include: [],
    services: {
      cache: {
        listen: [{ kind: 'tcp', host: '127.0.0.1', port: 11212 }],
        socket: { mode: 0o660, owner: undefined, group: undefined },
        plaintext: undefined, tls: undefined, allow: [], deny: [],
        limits: {
          connections: 10_000, connections_per_client: 'auto', ipv6_prefix: 'auto', new_connections_per_second: 0, handshakes: 16,
          handshake_timeout: 10_000, idle_timeout: 0, request_timeout: 60_000, request_size: 2 * 2 ** 20, in_flight: 1024,
          request_memory: 256 * 2 ** 20, reply_backlog: 64 * 2 ** 20, reply_memory: 512 * 2 ** 20, private_connections: 512, max_age: 0,
        },
        log: { connections: 'sampled' },
        reply_coalescing: true,
        backend: {
          tls: undefined, auth: undefined, connect: [{ kind: 'tcp', host: '127.0.0.1', port: 11211 }], policy: 'failover', sharing: 'shared',
          connections: 'auto', join_gets: true, connect_timeout: 1000, reply_timeout: 5000, when_down: 'answer', return_after: 30_000, probe_interval: 5000,
          longest_retry: 500, max_age: 0, resolve_interval: 30_000,
        },
        commands: ['read', 'write', 'delete', 'arithmetic', 'flush', 'stats', 'auth'],
        access: undefined, access_mode: 'enforce', revoked: 'close',
      },
    },
  })
})

test('client certificates are required once there is a client_ca', () => {
  const auth = (tls: string) => loadText(`${smallest}    tls: { cert: c, key: k${tls} }\n`, 'm.yaml', { environment: {} }).config?.services['cache'].tls?.client_auth
  expect([auth(''), auth(', client_ca: a'), auth(', client_ca: a, client_auth: optional')]).toEqual(['none', 'required', 'optional'])
})

test('all faults are told at once, each at its place', () => {
  expect(faultsOf(`log: { level: loud, fromat: json }
services:
  cache:
    listen: [127.0.0.1:1, 10.0.0.1]
    listen: 127.0.0.1:2
    idle_timeout: 5m
    limits:
      handshake_timeout: 5
      in_flight: 0
    tls: { cert: "\${NOPE}" }
    backend:
workers: 1
`)).toEqual([
    told('m.yaml:1:15', 'log.level: "loud" is not offered (trace, debug, info, warn, error, fatal, silent).',
      'Write trace, debug, info, warn, error, fatal or silent.'),
    told('m.yaml:1:21', 'log.fromat: there is no key "fromat" here.',
      'Did you mean format?'),
    told('m.yaml:4:27', 'services.cache.listen[1]: "10.0.0.1" is not an address with a port.',
      'Write an address and a port, such as 0.0.0.0:11212, [::]:11212 or 127.0.0.1:11212, or unix:/path.'),
    told('m.yaml:5:5', 'services.cache.listen: stands here twice, first on line 4.',
      'Remove one of the two.'),
    told('m.yaml:6:5', 'services.cache.idle_timeout: there is no key "idle_timeout" here.',
      'Write it below limits.'),
    told('m.yaml:8:26', 'services.cache.limits.handshake_timeout: "5" is not a duration: it has no unit.',
      'Write a number and a unit (ms, s, m, h, d), 10ms to 5m.'),
    told('m.yaml:9:18', 'services.cache.limits.in_flight: "0" is below the least, 1.',
      'Write a whole number, 1 to 65536.'),
    told('m.yaml:10:10', 'services.cache.tls.key: is missing.',
      'Write key: path of a file.'),
    told('m.yaml:10:18', 'services.cache.tls.cert: the environment variable NOPE is not set.',
      'Set it for the service, or write the value here.'),
    told('m.yaml:11:13', 'services.cache.backend: is empty.',
      'Write its keys below it, or remove the line. It takes tls, auth, connect, plaintext, policy, sharing, connections, join_gets, connect_timeout, reply_timeout, when_down, return_after, probe_interval, longest_retry, max_age, resolve_interval.'),
    told('m.yaml:12:1', 'workers: there is no key "workers" here.',
      'Remove it; the keys here are log, audit, alerts, admin, groups, ban, drain_timeout, ticket_rotation, include, services.'),
  ])
})

test('a near miss is told the right key', () => {
  for (const [wrong, right] of [['services', undefined], ['servces', 'services'], ['drain-timeout', 'drain_timeout'], ['lgo', 'log']]) {
    const fixes = loadText(`${wrong}: x\n`, 'm.yaml', { environment: {} }).issues.map(issue => issue.fix)
    expect(fixes.includes(`Did you mean ${right}?`)).toBe(right !== undefined)
  }
})

test('nothing at all, or no service, is a fault', () => {
  for (const text of ['', '# nothing\n', 'log: { level: info }\n']) expect(faultsOf(text)[0]).toContain('services: is missing: there is no service.')
  expect(faultsOf('services: {}\n')[0]).toContain('m.yaml:1:11  services: holds no service.')
  expect(faultsOf('services:\n')[0]).toContain('services: holds no service.')
  expect(faultsOf('- a\n')[0]).toContain('m.yaml:1:1  takes keys, not a value.')
})

test('what is no YAML is told with its place and what to write', () => {
  expect(faultsOf('log: { file: - }\n')[0]).toMatch(/^m\.yaml:1:\d+ {2}this is not YAML: .*\n *Write the dash in quotes: "-"\.$/)
  expect(faultsOf('services:\n  a:\n    listen: [::]:11212\n')[0]).toMatch(/^m\.yaml:3:\d+ .*\n *Write an address with brackets in quotes/)
  expect(faultsOf('a:\n\tb: 1\n')[0]).toContain('Indent with spaces')
  expect(faultsOf('a: { b: ${C} }\n')[0]).toContain('write a variable in quotes: "${NAME}"')
  expect(faultsOf('a: 1\n---\nb: 1\n')[0]).toContain('m.yaml:2:1  a second document begins here')
  expect(faultsOf('a: !secret b\n')[0]).toContain('Unresolved tag')
  expect(() => faultsOf('['.repeat(100_000))).not.toThrow()
})

test('a file that cannot be read is a fault, not a crash', () => {
  const folder = mkdtempSync(join(tmpdir(), 'memseal-load-'))
  try {
    expect(issueText(loadFile(join(folder, 'no.yaml'), { environment: {} }).issues[0])).toContain('no.yaml:1:1  there is no such file.')
    expect(loadFile(folder, { environment: {} }).issues[0].message).toBe('this is a folder.')
    const locked = join(folder, 'locked.yaml')
    writeFileSync(locked, smallest)
    chmodSync(locked, 0)
    // root reads everything
    if (process.getuid?.() !== 0) expect(loadFile(locked, { environment: {} }).issues[0].message).toContain('may not be read')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('each value knows where it came from', () => {
  const { origins } = loadText('services:\n  cache:\n    listen: ${WHERE}\n', 'm.yaml', { environment: { WHERE: '127.0.0.1:1' } })
  expect(originText(origins.get('services.cache.listen')!)).toBe('m.yaml:3:13')
  expect(origins.get('services.cache.listen')).toMatchObject({ variables: ['WHERE'] })
  expect(originText(origins.get('services.cache.limits.in_flight')!)).toBe('default')
})

test('a set-up variable that a file does not name is warned of', () => {
  const environment = { MEMSEAL_LISTEN: '127.0.0.1:1', MEMSEAL_CERT: 'x', MEMSEAL_LOG_LEVEL: 'warn' }
  const { config, issues } = loadText('services:\n  cache:\n    listen: ${MEMSEAL_LISTEN}\n', 'm.yaml', { environment })
  expect(config).toBeDefined()
  expect(issues.map(issueText)).toEqual([
    'm.yaml:1:1  warning: MEMSEAL_CERT is set but changes nothing: this file is in use.\n            Write ${MEMSEAL_CERT} in the file where it should count, or unset it.',
  ])
})

test('a set-up without a file names its flags in faults', () => {
  const { config, issues } = loadGiven({ environment: {}, given: [{ path: ['services', 'memcached', 'tls', 'cert'], value: 'x', origin: { kind: 'flag', name: '--cert' } }] })
  expect(config).toBeUndefined()
  expect(issues.map(issueText)).toEqual([
    '--listen  is missing.\n          Give --listen ADDRESS:PORT, or set MEMSEAL_LISTEN.',
    '--key  is missing.\n       Give --key FILE, or set MEMSEAL_KEY.',
  ])
})

test.each<[Record<string, string | string[]>, string[]]>([
  [{ listen: ['x'] }, ['--listen  "x" is not an address with a port.']],
  [{ listen: ['0.0.0.0:1'] }, [
    '--listen  0.0.0.0:1 can be reached from other hosts, and there is no --allow to say which.',
    '          Give --allow with the addresses of your clients, such as 10.0.0.0/8; or listen on 127.0.0.1, [::1] or a unix socket.',
    '--listen  0.0.0.0:1 can be reached from other hosts, and without --cert and --key everyone on the way reads and changes all data.',
    '          Give --cert and --key; or, in a file, plaintext: allowed where the network itself is sealed.']],
  [{ 'listen': ['127.0.0.1:1'], 'backend-ca': '/ca', 'backend-cert': '/c' }, ['--backend-cert stands without --backend-key', 'Give --backend-key, or remove it.']],
  [{ 'listen': ['127.0.0.1:1'], 'backend-ca': '/ca', 'connect': ['unix:/a'] }, ['--connect  a unix socket has no host name', 'Give --server-name with a name']],
  [{ listen: ['127.0.0.1:1'], connect: ['10.0.0.1:1'] }, ['--connect  10.0.0.1:1 is on another host', 'and give --backend-ca; or write 127.0.0.1, [::1] or unix:/path; or, in a file, plaintext: allowed']],
  [{ listen: ['127.0.0.1:1', '127.0.0.1:1'] }, ['--listen  127.0.0.1:1 is taken by --listen (127.0.0.1:1) already.']],
  [{ listen: ['127.0.0.1:1'], admin: ['0.0.0.0:2'] }, ['--admin  0.0.0.0:2 can be reached', 'Write, in a file, allow: below admin']],
])('what flags say is told of flags: %j', (flags, parts) => {
  for (const shown of [
    loadGiven({ environment: {}, given: givenByFlags(flags) }),
    loadGiven({ environment: {}, given: givenByEnvironment(Object.fromEntries(Object.entries(flags).map(([flag, value]) => [`MEMSEAL_${flag.toUpperCase().replaceAll('-', '_')}`, String(value)]))) }),
  ].map(({ issues }) => issues.map(issueText).join('\n'))) {
    expect(shown).not.toContain('services.')
    const isByVariable = shown.startsWith('MEMSEAL_')
    for (const part of parts) expect(shown).toContain(isByVariable ? part.replace(/^(--[\w-]+ {2}| +)/, '') : part)
  }
})

test('a flag beside a file is named too, and the file goes on to be told of its keys', () => {
  const given = givenByFlags({ 'log-level': 'loud' })
  expect(loadText('services:\n  cache:\n    listen: x\n', 'm.yaml', { environment: {}, given }).issues.map(issueText).map(text => text.split('\n')[0])).toEqual([
    '--log-level  "loud" is not offered (trace, debug, info, warn, error, fatal, silent).', 'm.yaml:3:13  services.cache.listen: "x" is not an address with a port.',
  ])
})

test('a variable in a flag stays as it is', () => {
  const { issues } = loadGiven({ environment: { A: '127.0.0.1:1' }, given: [{ path: ['services', 'memcached', 'listen'], value: '${A}', origin: { kind: 'flag', name: '--listen' } }] })
  expect(issues[0].message).toBe('"${A}" is not an address with a port.')
})

test('what show prints loads to the same configuration', () => {
  const text = `log: { file: "-" }\nservices:\n  cache:\n    listen: ["[::1]:1", "unix:/run/a b.sock"]\n    allow: ["fd00::/8", 10.0.0.0/8]\n    tls: { cert: "/a #b", key: /k, client_ca: /c }\n    limits: { idle_timeout: 90s, request_size: 1500B, connections_per_client: 7 }\n    commands: [read, "stats settings"]\n`
  const first = loadText(text, 'm.yaml', { environment: {} })
  const shown = showConfig(first.config!, first.origins)
  expect(shown).toMatch(/ {6}idle_timeout: 90s +# m\.yaml:7:29\n/)
  expect(shown).toMatch(/ {6}in_flight: 1024 +# default\n/)
  expect(loadText(shown, 'm.yaml', { environment: {} }).config).toEqual(first.config)
})

test('words: lists in the place of names, a second document, an address without a host', () => {
  expect(faultsOf('services: [a]\n')).toEqual([told('m.yaml:1:11', 'services: is a list, and takes names: one for each service.', "Write a name below it, and the service's keys below that.")])
  expect(faultsOf(`${smallest}---\nservices: {}\n`)).toEqual([told('m.yaml:4:1', 'a second document begins here, and a configuration is one.',
    'Remove the line --- and what does not belong to this configuration.')])
  expect(faultsOf('services: { a: { listen: ":21215" } }')[0]).toContain('":21215" is not an address to listen on.')
  expect(faultsOf('services: { a: { listen: 127.0.0.1:1, backend: { connect: ":21215" } } }')[0]).toContain('":21215" is neither an address nor a host name.')
})

describe('a variable that looks like one of memseal and is none', () => {
  const set = { MEMSEAL_LISTEN: '127.0.0.1:1' }
  const issuesOf = (environment: NodeJS.ProcessEnv): string[] =>
    loadGiven({ environment, given: givenByEnvironment(environment) }).issues.map(issue => `${issue.severity} ${issueText(issue)}`)

  test.each(setupOptions.map(({ variable }) => variable).concat('MEMSEAL_CONFIG'))('refuses a service that variables make, and says what was meant: %s', variable => {
    for (const slip of new Set([`${variable}S`, variable.toLowerCase(), variable.replace(/_(?=[A-Z]+$)/, '__'), variable.replace(/(?<=_[A-Z]+)_/, '')])) {
      if (slip === variable) continue
      const [issue, ...others] = issuesOf({ ...set, [slip]: 'x' })
      expect(issue).toContain(`fault ${slip}  memseal knows no variable of this name, so it changes nothing.\n`)
      expect(issue).toContain(`Did you mean ${variable}?`)
      expect(others).toEqual([])
    }
  })

  test('is warned of beside flags or a file, unless the file reads it', () => {
    const environment = { MEMSEAL_CLIENTCA: 'x', MEMSEAL_WHATEVER_IT_IS: 'x' }
    const flags = loadGiven({ environment, given: givenByFlags({ listen: ['127.0.0.1:1'] }) })
    const file = loadText(smallest, 'm.yaml', { environment })
    for (const { issues, config } of [flags, file]) {
      expect(config).toBeDefined()
      expect(issues.map(({ severity, origin }) => [severity, originText(origin)])).toEqual([['warning', 'MEMSEAL_CLIENTCA'], ['warning', 'MEMSEAL_WHATEVER_IT_IS']])
    }
    expect(loadText(`${smallest}    tls: { cert: c, key: k, client_ca: "\${MEMSEAL_CLIENTCA}" }\n`, 'm.yaml', { environment: { MEMSEAL_CLIENTCA: 'x' } }).issues).toEqual([])
  })

  test('is left alone where an orchestrator sets it for a service of this name, or where it is empty', () => {
    const ofKubernetes = {
      MEMSEAL_SERVICE_HOST: '10.0.0.1', MEMSEAL_SERVICE_PORT: '11212', MEMSEAL_SERVICE_PORT_TLS: '11212', MEMSEAL_PORT: 'tcp://10.0.0.1:11212',
      MEMSEAL_PORT_11212_TCP: 'tcp://10.0.0.1:11212', MEMSEAL_PORT_11212_TCP_PROTO: 'tcp', MEMSEAL_PORT_11212_TCP_PORT: '11212', MEMSEAL_PORT_11212_TCP_ADDR: '10.0.0.1',
      MEMSEAL_ADMIN_SERVICE_HOST: '10.0.0.2', MEMSEAL_ADMIN_PORT: 'tcp://10.0.0.2:1', MEMSEAL_ADMIN_PORT_1_TCP_ADDR: '10.0.0.2',
    }
    expect(issuesOf({ ...set, ...ofKubernetes, MEMSEAL_CLIENTCA: '' })).toEqual([])
    expect(issuesOf({ ...set, MEMSEAL_PORT: '11212' })).toEqual([expect.stringContaining('fault MEMSEAL_PORT  ')])
  })
})
