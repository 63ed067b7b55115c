import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadText } from '../../src/config/load.ts'

/** The first line of each fault of services with these lines. */
function faultsOf(...services: string[][]): string[] {
  const text = services.map((lines, at) => `  s${at}:\n${lines.map(line => `    ${line}\n`).join('')}`).join('')
  return loadText(`services:\n${text}`, 'm.yaml', { environment: {} }).issues.map(issue => issueText(issue))
}

const tls = 'tls: { cert: c, key: k }'
const allow = 'allow: [10.0.0.0/8]'

test('a listener that other hosts can reach needs an allow list', () => {
  for (const listen of ['0.0.0.0:1', '"[::]:1"', '10.0.0.1:1', 'systemd:cache']) {
    const [fault, ...more] = faultsOf([`listen: ${listen}`, tls])
    expect(more).toEqual([])
    expect(fault).toContain('m.yaml:3:13  services.s0.listen: ')
    expect(fault).toContain('can be reached from other hosts, and there is no `allow` to say which.')
    expect(fault).toContain('Write allow: with the addresses of your clients')
    expect(faultsOf([`listen: ${listen}`, tls, allow])).toEqual([])
  }
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'allow: []'])).toHaveLength(1)
})

test('loopback and unix sockets need none, and may be plain', () => {
  for (const listen of ['127.0.0.1:1', '127.8.9.1:1', '"[::1]:1"', 'localhost:1', 'unix:/run/a.sock']) expect(faultsOf([`listen: ${listen}`])).toEqual([])
})

test('a plain listener that other hosts can reach must be allowed in so many words', () => {
  const [fault] = faultsOf(['listen: [127.0.0.1:1, 0.0.0.0:2]', allow])
  expect(fault).toContain('m.yaml:3:27  services.s0.listen[1]: 0.0.0.0:2 can be reached from other hosts, and without `tls`')
  expect(fault).toContain('or plaintext: allowed where the network itself is sealed.')
  expect(faultsOf(['listen: 0.0.0.0:1', allow, 'plaintext: allowed'])).toEqual([])
  expect(faultsOf(['listen: 0.0.0.0:1', 'plaintext: allowed'])).toHaveLength(1)   // the list is needed all the same
  expect(faultsOf(['listen: 0.0.0.0:1'])).toHaveLength(2)
})

test('a plain backend is on this host', () => {
  const [fault] = faultsOf(['listen: 127.0.0.1:1', 'backend: { connect: [127.0.0.1:11211, cache.example.com:11211] }'])
  expect(fault).toContain('m.yaml:4:43  services.s0.backend.connect[1]: cache.example.com:11211 is on another host, and the connection to it would be plain.')
  for (const connect of ['127.0.0.1:2', 'localhost:2', '"[::1]:2"', 'unix:/run/m.sock']) {
    expect(faultsOf(['listen: 127.0.0.1:1', `backend: { connect: ${connect} }`])).toEqual([])
  }
  expect(faultsOf(['listen: 127.0.0.1:1', 'backend: { connect: 10.0.0.1:11211 }'])[0]).toContain('services.s0.backend.connect: 10.0.0.1:11211')
})

test('a plain backend on another host must be allowed in so many words', () => {
  const [fault] = faultsOf(['listen: 127.0.0.1:1', 'backend: { connect: memcached:11211 }'])
  expect(fault).toContain('or plaintext: allowed where the network between is sealed itself.')
  expect(faultsOf(['listen: 127.0.0.1:1', 'backend: { connect: memcached:11211, plaintext: allowed }'])).toEqual([])
})

test('client certificates are asked for only with authorities to check them', () => {
  for (const auth of ['required', 'optional']) {
    const [fault] = faultsOf(['listen: 127.0.0.1:1', `tls: { cert: c, key: k, client_auth: ${auth} }`])
    expect(fault).toContain(`services.s0.tls.client_auth: "${auth}" asks for client certificates, and there is no \`client_ca\``)
    expect(faultsOf(['listen: 127.0.0.1:1', `tls: { cert: c, key: k, client_ca: a, client_auth: ${auth} }`])).toEqual([])
  }
  expect(faultsOf(['listen: 127.0.0.1:1', 'tls: { cert: c, key: k, client_auth: none }'])).toEqual([])
})

test('pins of client certificates stand for authorities, names do not; and neither is written where no certificate is asked for', () => {
  const pin = 'ab'.repeat(32)
  const faults = (more: string) => faultsOf(['listen: 127.0.0.1:1', `tls: { cert: c, key: k, ${more} }`])
  for (const pins of [`fingerprints: "${pin}"`, `spki: "${pin}"`]) {
    for (const more of ['', ', client_ca: a', ', client_auth: optional', ', client_auth: required', ', names: "dns:x.example"']) expect(faults(pins + more)).toEqual([])
    expect(faults(`${pins}, client_auth: none`)[0]).toContain('says which client certificates are taken, and none is asked for.')
    expect(faults(`${pins}, crl: r`)[0]).toContain('services.s0.tls.crl: a revocation list stands without `client_ca`')
  }
  expect(faults('names: "dns:x.example"')[0]).toContain('services.s0.tls.names: says which client certificates are taken, and none is asked for.')
  expect(faults('names: "dns:x.example", client_auth: required')[0]).toContain('services.s0.tls.names: stands without `client_ca`, and anybody can make')
  expect(faults('names: "dns:x.example", client_ca: a')).toEqual([])
  expect(faults('spki: [], client_auth: required')[0]).toContain('there is no `client_ca`')
  expect(faults('spki: "x"')).toHaveLength(1)
  const auth = (more: string) => loadText(`services:\n  s:\n    listen: 127.0.0.1:1\n    tls: { cert: c, key: k, ${more} }\n`, 'm.yaml', { environment: {}, directory: '/' }).config!.services['s'].tls!.client_auth
  expect([`spki: "${pin}"`, `fingerprints: ["${pin}"]`, 'client_ca: a', 'cn_as_name: allowed', 'spki: []'].map(auth)).toEqual(['required', 'required', 'required', 'none', 'none'])
})

test('two listeners do not share an endpoint', () => {
  const both = (a: string, b: string) => faultsOf([`listen: ${a}`, tls, allow], [`listen: ${b}`, tls, allow])
  expect(both('127.0.0.1:1', '127.0.0.1:1')).toEqual([
    'm.yaml:7:13  services.s1.listen: 127.0.0.1:1 is taken by services.s0.listen (127.0.0.1:1) already.\n' +
    '             Write another port or address, or remove one of the two.'])
  for (const [a, b] of [['0.0.0.0:1', '127.0.0.1:1'], ['"[::]:1"', '0.0.0.0:1'], ['"[::1]:1"', '"[0:0::1]:1"'], ['unix:/a', 'unix:/a'], ['systemd:a', 'systemd:a']]) {
    expect(both(a, b)).toHaveLength(1)
  }
  for (const [a, b] of [['127.0.0.1:1', '127.0.0.1:2'], ['127.0.0.1:1', '127.0.0.2:1'], ['0.0.0.0:1', '"[::1]:1"'], ['127.0.0.1:0', '127.0.0.1:0'], ['unix:/a', 'unix:/b']]) {
    expect(both(a, b)).toEqual([])
  }
  expect(faultsOf(['listen: [127.0.0.1:1, 127.0.0.1:1]'])[0]).toContain('services.s0.listen[1]: 127.0.0.1:1 is taken by services.s0.listen[0]')
})

test('rules say nothing of values that have faults of their own, and all of the others', () => {
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'allow: [x]'])).toHaveLength(1)
  expect(faultsOf(['listen: 0.0.0.0:1', 'tls: 7', allow])).toHaveLength(1)
  expect(faultsOf(['listen: [x, 0.0.0.0:1]', tls])).toHaveLength(2)
  expect(faultsOf(['listen: 127.0.0.1:1', 'backend: 7'])).toHaveLength(1)
  expect(faultsOf(['listen: 127.0.0.1:1', 'tls: { cert: c, client_auth: required }'])).toHaveLength(2)
})

test('a revocation list needs the authorities whose list it is', () => {
  expect(faultsOf(['listen: 127.0.0.1:1', 'tls: { cert: c, key: k, crl: r }'])[0]).toContain('services.s0.tls.crl: a revocation list stands without `client_ca`')
  expect(faultsOf(['listen: 127.0.0.1:1', 'tls: { cert: c, key: k, crl: r, client_ca: a }'])).toEqual([])
})

test('the admin listener is for this host, or for those that are named, and shares no endpoint', () => {
  const withAdmin = (listen: string, more = '') => loadText(`admin: { listen: ${listen}${more} }\nservices: { cache: { listen: 127.0.0.1:1 } }\n`, 'm.yaml', { environment: {} }).issues.map(({ path, message }) => `${path}: ${message}`)
  for (const listen of ['unix:/a', '127.0.0.1:2', '"[::1]:1"', '[unix:/a, 127.0.0.1:2]']) expect(withAdmin(listen)).toEqual([])
  for (const listen of ['0.0.0.0:2', '10.0.0.1:2', '"[::]:2"']) {
    expect(withAdmin(listen)).toEqual([expect.stringMatching(/^admin\.listen: .* can be reached from other hosts, and there is no `allow` to say which may read there\.$/)])
    expect(withAdmin(listen, ', allow: [10.0.0.5]')).toEqual([])
    expect(withAdmin(listen, ', allow: [nobody]')).toEqual([expect.stringMatching(/^admin\.allow/)])
  }
  expect(withAdmin('0.0.0.0:2', ', allow: [0.0.0.0/0]')).toEqual([expect.stringMatching(/^admin\.allow: 0\.0\.0\.0\/0 lets in large parts/)])
  expect(withAdmin('systemd:admin', ', allow: [10.0.0.5]')).toEqual(['admin.listen: the admin listener takes no socket of systemd.'])
  expect(withAdmin('127.0.0.1:1')).toEqual(['services.cache.listen: 127.0.0.1:1 is taken by admin.listen (127.0.0.1:1) already.'])
})

test('a list that lets in the public internet is warned of, however it is written', () => {
  const told = (...ranges: string[]) => faultsOf(['listen: "[::]:1"', tls, `allow: ${JSON.stringify(ranges)}`])
  for (const [ranges, named] of [
    [['0.0.0.0/0'], '0.0.0.0/0'], [['::/0'], '::/0'], [['0.0.0.0/1', '128.0.0.0/1'], '0.0.0.0/1, 128.0.0.0/1'], [['10.0.0.0/8', '8.0.0.0/7'], '8.0.0.0/7, 10.0.0.0/8'],
    [['2000::/3'], '2000::/3'], [['2000::/15'], '2000::/15'], [Array.from({ length: 256 }, (_, at) => `${at}.0.0.0/8`), '0.0.0.0/8, 1.0.0.0/8'],
    [['9.0.0.0/8', '11.0.0.0/32'], '9.0.0.0/8'],
  ] as const) {
    expect(told(...ranges)).toEqual([expect.stringContaining(
      `warning: services.s0.allow: ${named} ${named.includes(',') ? 'let' : 'lets'} in large parts of the public internet, so this list keeps out few.\n`)])
  }
  for (const ranges of [
    ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8'], ['9.0.0.0/8'], ['9.0.0.0/8', '9.1.0.0/16'], ['fc00::/7', 'fe80::/10', '::1'],
    ['2000::/16'], ['2001:db8::/32', '203.0.113.0/24'], ['224.0.0.0/3'],
  ]) expect(told(...ranges)).toEqual([])
})

test('what deny takes back does not count, and on loopback anything goes', () => {
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'allow: [0.0.0.0/0]', 'deny: [0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3]'])).toEqual([])
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'allow: [0.0.0.0/0]', 'deny: [0.0.0.0/1, 128.0.0.0/2]'])).toHaveLength(1)
  expect(faultsOf(['listen: 127.0.0.1:1', 'allow: [0.0.0.0/0]'])).toEqual([])
})

test('FILL-IN is named wherever it stands', () => {
  const { issues } = loadText(`
log: { level: FILL-IN }
admin: FILL-IN
drain_timeout: FILL-IN
services:
  m:
    listen: [FILL-IN:11212, "unix:/run/FILL-IN.sock"]
    allow: FILL-IN
    tls: { cert: /etc/FILL-IN/a.crt, key: FILL-IN, FILL-IN: x }
    backend: { connect: "\${HOST}:11211", connections: FILL-IN, tls: FILL-IN }
  FILL-IN: { listen: 127.0.0.1:1 }
`, 'm.yaml', { environment: { HOST: 'FILL-IN' } })
  expect(issues.map(({ message, origin }) => `${origin.kind === 'file' ? origin.line : origin.kind} ${message}`)).toEqual(
    [2, 3, 4, 7, 7, 8, 9, 9, 9, 10, 10, 10, 11].map(line => `${line} FILL-IN still stands here, in the place of a value that only you know.`))
  expect(issues[5].fix).toBe('Write it: address range or group.')
  expect(loadText('services:\n  m: { listen: 127.0.0.1:1 }   # FILL-IN of old\n', 'm.yaml', { environment: {} }).issues).toEqual([])
})

test('behind a load balancer clients come from elsewhere, so a list says which; and whoever is believed stands there by address', () => {
  const of = (...lines: string[]) => faultsOf(['listen: [127.0.0.1:1]', ...lines])
  expect(of('proxy_protocol: { from: 10.0.0.10 }')[0]).toContain('services.s0.proxy_protocol.from: the clients behind a load balancer come from other hosts, and there is no `allow`')
  expect(of(allow, 'proxy_protocol: { from: [10.0.0.10, "fd00::/64"] }')).toEqual([])
  expect(of('allow_file: /a', 'proxy_protocol: { from: 10.0.0.10 }')).toEqual([])
  expect(of(allow, 'proxy_protocol: { from: [] }')[0]).toContain('is an empty list.')
  expect(of(allow, 'proxy_protocol: {}')[0]).toContain('services.s0.proxy_protocol.from: is missing.')
  expect(of(allow, 'proxy_protocol: { from: lb.example.com }')[0]).toContain('"lb.example.com" is not an address range')
  expect(of(allow, 'proxy_protocol: { from: [10.0.0.10, unix] }')[0]).toContain('services.s0.proxy_protocol.from[1]: "unix" stands for a unix socket, and this service listens on none.')
  expect(faultsOf(['listen: unix:/run/a.sock', allow, 'proxy_protocol: { from: unix }'])).toEqual([])
  expect(faultsOf(['listen: unix:/run/a.sock', allow, 'proxy_protocol: { from: [unix, 10.0.0.10] }'])[0]).toContain('proxy_protocol.from[1]: nobody comes from an address')
  expect(faultsOf(['listen: systemd:a', tls, allow, 'proxy_protocol: { from: [unix, 10.0.0.10] }'])).toEqual([])
  for (const from of ['0.0.0.0/0', '[0.0.0.0/1, 128.0.0.0/1]', '"::/0"']) {
    expect(of(allow, `proxy_protocol: { from: ${from} }`)[0]).toContain('takes in large parts of the public internet, and whoever is believed here may claim to come from any address.')
  }
})

test('a list in a file is as good as one that is written', () => {
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'allow_file: /etc/memseal/allow'])).toEqual([])
  expect(faultsOf(['listen: 0.0.0.0:1', tls, 'deny_file: /etc/memseal/deny'])[0]).toContain('there is no `allow` to say which.')
})

test('log and audit have a file each', () => {
  const issuesOf = (log: string, audit: string) =>
    loadText(`log: { file: ${log} }\naudit: { file: ${audit} }\nservices: { s: { listen: 127.0.0.1:1 } }\n`, 'm.yaml', { environment: {} }).issues.map(issue => issueText(issue))
  const [fault, ...more] = issuesOf('/var/log/m/a.log', '/var/log/m/../m/a.log')
  expect(more).toEqual([])
  expect(fault).toContain('m.yaml:2:16  audit.file: /var/log/m/a.log is the file of the log (log.file), and the audit is to have one of its own.')
  for (const [log, audit] of [['/var/log/m/a.log', '/var/log/m/b.log'], ['"-"', '/var/log/m/a.log'], ['/dev/stdout', '/dev/stdout']]) expect(issuesOf(log, audit)).toEqual([])
})
