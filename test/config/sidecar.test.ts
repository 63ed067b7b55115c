import { expect, test } from 'vitest'
import { issueText } from '../../src/config/issue.ts'
import { loadText } from '../../src/config/load.ts'

const load = (backend: string, more = '') =>
  loadText(`services:\n  s:\n    listen: 127.0.0.1:9\n${more}    backend: ${backend}\n`, 'm.yaml', { environment: {}, directory: '/' })
const faults = (backend: string, more = '') => load(backend, more).issues.map(issue => issueText(issue))
const pin = 'ab'.repeat(32)
const colons = 'AB:'.repeat(31) + 'AB'

test('with tls a backend may be on another host, and the times that suit it are others', () => {
  const remote = load('{ connect: [a.example:1, 10.0.0.1:1, "[fd00::1]:1"], tls: { ca: c } }')
  expect(remote.issues).toEqual([])
  expect(remote.config!.services['s'].backend).toMatchObject({
    policy: 'failover', max_age: 3_600_000, longest_retry: 2000, probe_interval: 5000, resolve_interval: 30_000, return_after: 30_000,
    tls: { ca: '/c', cert: undefined, min_version: 'TLSv1.2', fingerprints: [], spki: [], names: [], cn_as_name: 'refused' },
  })
  expect(load('{ connect: 127.0.0.1:1 }').config!.services['s'].backend).toMatchObject({ max_age: 0, longest_retry: 500 })
})

test('there are authorities, or pins that stand for them; certificate and key come together', () => {
  expect(faults('{ tls: { cert: c, key: k } }')[0]).toContain('services.s.backend.tls.ca: is missing, and there is no pin either')
  expect(faults('{ tls: { names: "dns:x.example", server_name: x.example } }')[0]).toContain('services.s.backend.tls.ca: is missing')
  expect(faults('{ tls: {} }')[0]).toContain('services.s.backend.tls.ca: is missing')
  for (const pins of ['fingerprints', 'spki']) {
    expect(faults(`{ tls: { ${pins}: "${pin}" } }`)).toEqual([])
    expect(faults(`{ tls: { ${pins}: [] } }`)[0]).toContain('services.s.backend.tls.ca: is missing')
    expect(faults(`{ tls: { ${pins}: "ab" } }`)).toEqual([expect.stringContaining(`.${pins}: "ab" is `)])
  }
  expect(faults('{ tls: { ca: a, cert: c } }')[0]).toContain('services.s.backend.tls.cert: "cert" stands without `key`')
  expect(faults('{ tls: { ca: a, key: k } }')[0]).toContain('services.s.backend.tls.key: "key" stands without `cert`')
  expect(faults('{ tls: { ca: a, cert: c, key: k } }')).toEqual([])
})

test('a unix socket needs the name that is expected behind it', () => {
  expect(faults('{ connect: [127.0.0.1:1, unix:/s], tls: { ca: a } }')[0]).toContain('services.s.backend.connect[1]: a unix socket has no host name')
  expect(faults('{ connect: unix:/s, tls: { ca: a, server_name: x.example } }')).toEqual([])
  expect(faults(`{ connect: unix:/s, tls: { ca: a, spki: "${pin}" } }`)[0]).toContain('a unix socket has no host name')
  expect(faults(`{ connect: unix:/s, tls: { spki: "${pin}" } }`)).toEqual([])
})

test('pins are SHA-256, in whatever way they are written', () => {
  for (const text of [pin, pin.toUpperCase(), colons, `sha256:${pin}`, `SHA256=${colons}`, `sha256 Fingerprint=${colons}`, `SHA2-256(stdin)= ${pin}`]) {
    expect(load(`{ tls: { ca: a, fingerprints: "${text}" } }`).config!.services['s'].backend.tls!.fingerprints).toEqual([colons])
  }
  for (const text of [pin.slice(1), `${pin}a`, pin.replace('a', 'g'), 'ab'.repeat(20)]) {
    expect(faults(`{ tls: { ca: a, fingerprints: "${text}" } }`)[0]).toContain('is not a SHA-256 fingerprint: it takes 64 hex digits.')
  }
})

test('pins of keys are SHA-256, in base64 or in hex', () => {
  const base64 = Buffer.from(pin, 'hex').toString('base64')
  for (const text of [pin, colons, `SHA2-256(stdin)= ${pin}`, base64, `sha256/${base64}`, `sha256//${base64}`]) {
    expect(load(`{ tls: { ca: a, spki: "${text}" } }`).config!.services['s'].backend.tls!.spki).toEqual([`sha256/${base64}`])
  }
  const otherBits = base64.replace(/.=$/, last => `${String.fromCharCode(last.charCodeAt(0) + 1)}=`)
  for (const text of [pin.slice(1), `${pin}a`, base64.slice(0, 43), `a${base64}`, base64.replace('=', 'a'), `sha1/${base64}`, otherBits, '', 'sha256/']) {
    expect(faults(`{ tls: { ca: a, spki: "${text}" } }`)[0]).toMatch(/is not a SHA-256 pin of a key: it takes 44 characters of base64 or 64 hex digits\./)
  }
})

test('names say what kind they are', () => {
  expect(faults('{ tls: { ca: a, names: ["dns:*.cache.example", "uri:spiffe://example/cache"] } }')).toEqual([])
  for (const text of ['cache.example', 'dns:', 'uri:cache', 'dns:a b', 'ip:10.0.0.1']) {
    expect(faults(`{ tls: { ca: a, names: "${text}" } }`)[0]).toContain(`"${text}" is not a name of a certificate.`)
  }
  for (const text of ['a b', '-a', 'a..b']) {
    expect(faults(`{ tls: { ca: a, server_name: "${text}" } }`)[0]).toContain(`"${text}" is neither a host name nor an address.`)
  }
})

test('times have a least and a most, and off where that makes sense', () => {
  for (const [key, least, most] of [
    ['max_age', '10ms', '20d'], ['probe_interval', '10ms', '1h'], ['resolve_interval', '10ms', '1d'], ['longest_retry', '10ms', '10m'],
    ['return_after', '0s', '1d'],
  ]) {
    expect(faults(`{ ${key}: ${least} }`)).toEqual([])
    expect(faults(`{ ${key}: ${most} }`)).toEqual([])
    expect(faults(`{ ${key}: 100d }`)[0]).toContain(`"100d" is above the most, ${most}.`)
    if (least !== '0s') expect(faults(`{ ${key}: 9ms }`)[0]).toContain(`"9ms" is below the least, ${least}.`)
    expect(faults(`{ ${key}: off }`)).toHaveLength(['longest_retry', 'return_after'].includes(key) ? 1 : 0)
  }
})

test('unix sockets have a mode, an owner and a group', () => {
  const socketOf = (text: string) => load('{}', `    socket: ${text}\n`)
  expect(load('{}').config!.services['s'].socket).toEqual({ mode: 0o660, owner: undefined, group: undefined })
  expect(socketOf('{ mode: "0666", owner: www-data, group: "33" }').config!.services['s'].socket).toEqual({ mode: 0o666, owner: 'www-data', group: '33' })
  expect(socketOf('{ mode: 0600 }').config!.services['s'].socket.mode).toBe(0o600)
  for (const text of ['0888', '66', '01777', 'rw']) expect(issueText(socketOf(`{ mode: "${text}" }`).issues[0])).toContain(`"${text}" is not a mode.`)
  expect(issueText(socketOf('{ owner: "a b" }').issues[0])).toContain('"a b" is not a name of a user or group.')
})
