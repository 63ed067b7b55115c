import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { expect, test } from 'vitest'
import { readMaterial } from '../../src/tls/material.ts'
import { asAnchor } from '../../src/tls/pem.ts'
import { odd, ofCa } from '../support/certificates.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

const DAY = 86_400_000

const files = tempFolder()
let made = 0

function written(name: string, text: string, mode = 0o600): string {
  const file = join(files, `${++made}-${name}`)
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

test('a good set has no faults and no warnings', async () => {
  const { server, ca } = await pki()
  const { material, faults, warnings } = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: ca.certFile })
  expect([faults, warnings]).toEqual([[], []])
  expect(material).toMatchObject({ subject: expect.stringContaining('CN=localhost'), names: expect.stringContaining('DNS:localhost') })
  expect(material!.clientCa).toHaveLength(1)
  expect(readMaterial({ cert: server.certFile, key: server.keyFile }).material!.clientCa).toBeUndefined()
})

test('all faults are told at once, each under its key with what to do', () => {
  const missing = readMaterial({ cert: '/nowhere/a.crt', key: '/nowhere/a.key', client_ca: '/nowhere/ca.pem' })
  expect(missing.material).toBeUndefined()
  expect(missing.faults.map(fault => [fault.key, fault.message])).toEqual([
    ['cert', 'there is no file /nowhere/a.crt.'], ['key', 'there is no file /nowhere/a.key.'], ['client_ca', 'there is no file /nowhere/ca.pem.'],
  ])
  for (const fault of missing.faults) expect(fault.fix).not.toBe('')
})

test('what is in a file is told when it is something else', async () => {
  const { server } = await pki()
  const rubbish = written('rubbish.pem', 'hello\n')
  const damaged = written('damaged.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  const encrypted = written('encrypted.key', execFileSync('openssl', ['pkey', '-in', server.keyFile, '-aes256', '-passout', 'pass:x']).toString())
  const said = (tls: { cert: string, key: string, client_ca?: string }) => readMaterial(tls).faults.map(fault => `${fault.key}: ${fault.message}`)
  expect(said({ cert: server.keyFile, key: server.keyFile })).toEqual([`cert: ${server.keyFile} holds a private key, not a certificate.`])
  expect(said({ cert: rubbish, key: rubbish })).toEqual([`cert: ${rubbish} holds no certificate in PEM.`, `key: ${rubbish} holds no private key in PEM.`])
  expect(said({ cert: damaged, key: encrypted })).toEqual([`cert: ${damaged}: certificate 1 of 1 is damaged.`, `key: ${encrypted} is encrypted with a passphrase.`])
  const brokenKey = written('broken.key', server.key.replace(/^M.*$/m, 'AAAA'))
  expect(said({ cert: server.certFile, key: brokenKey })).toEqual([`key: ${brokenKey}: the private key is damaged.`])
  const derKey = join(files, 'key.der')
  writeFileSync(derKey, execFileSync('openssl', ['pkey', '-in', server.keyFile, '-outform', 'der']), { mode: 0o600 })
  expect(said({ cert: server.certFile, key: derKey })).toEqual([`key: ${derKey} holds no private key in PEM; it may be DER.`])
  const folder = join(files, 'folder')
  mkdirSync(folder)
  expect(said({ cert: folder, key: server.keyFile })).toEqual([`cert: ${folder} is a folder.`])
})

test.each([
  ['words before each block', (cert: string) => `Certificate:\n    Data:\n        Version: 3 (0x2)\n${cert}`],
  ['Windows line ends', (cert: string) => cert.replaceAll('\n', '\r\n')],
  ['a mark of UTF-8', (cert: string) => `\ufeff${cert}`],
  ['a caption with umlauts', (cert: string) => `# für die Zwischenstelle\n${cert}`],
  ['no line end at the end', (cert: string) => cert.trimEnd()],
  ['BEGIN X509 CERTIFICATE', (cert: string) => cert.replaceAll(' CERTIFICATE-', ' X509 CERTIFICATE-')],
])('a file with %s is read as what it holds: certificate, key and authority', async (_, form) => {
  const { server, ca } = await pki()
  const plain = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }).material!
  const { material, faults, warnings } = readMaterial({
    cert: written('form.crt', form(server.cert)), key: written('form.key', form(server.key)), client_ca: written('form.ca', form(ca.cert)),
  })
  expect([faults, warnings]).toEqual([[], []])
  expect([material!.cert, material!.fingerprint, material!.authorities]).toEqual([plain.cert, plain.fingerprint, plain.authorities])
  createSecureContext({ cert: material!.cert, key: material!.key, ca: material!.clientCa!.map(asAnchor) })
})

test('certificate and key may share a file, in either order; trust settings are no part of what is served', async () => {
  const { server } = await pki()
  const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
  const trusted = execFileSync('openssl', ['x509', '-in', server.certFile, '-trustout', '-addtrust', 'serverAuth'], { encoding: 'utf8' })
  for (const text of [server.cert + server.key, server.key + server.cert, parameters + server.key + server.cert, server.key + trusted]) {
    const file = written('both.pem', text)
    const { material, faults, warnings } = readMaterial({ cert: file, key: file })
    expect([faults, warnings]).toEqual([[], []])
    expect(material!.cert).toBe(server.cert.replace(/^[^]*(?=-----BEGIN)/, ''))
    createSecureContext({ cert: material!.cert, key: material!.key })
  }
})

test('what is no PEM is told as what it is, with the command that makes PEM of it', async () => {
  const { server } = await pki()
  const openssl = (...args: string[]) => execFileSync('openssl', args)
  const forms: [string, Buffer, string, string][] = [
    ['DER', openssl('x509', '-in', server.certFile, '-outform', 'der'), 'holds a certificate in DER, not in PEM.', 'openssl x509 -inform der'],
    ['PKCS #12', openssl('pkcs12', '-export', '-in', server.certFile, '-inkey', server.keyFile, '-passout', 'pass:'), 'it may be PKCS #12.', 'openssl pkcs12'],
    ['PKCS #7', openssl('crl2pkcs7', '-nocrl', '-certfile', server.certFile), 'holds certificates in PKCS #7.', 'openssl pkcs7 -print_certs'],
    ['a request', openssl('req', '-new', '-key', server.keyFile, '-subj', '/CN=x'), 'holds a certificate request, not a certificate.', 'that the CA made of it'],
    ['UTF-16', Buffer.from(`\ufeff${server.cert}`, 'utf16le'), 'is written in UTF-16', 'ascii'],
    ['nothing', Buffer.alloc(0), 'is empty.', 'Copy'],
  ]
  for (const [name, bytes, message, fix] of forms) {
    const file = join(files, `${++made}.bin`)
    writeFileSync(file, bytes)
    const { faults } = readMaterial({ cert: file, key: server.keyFile, client_ca: file })
    expect(faults.map(({ key }) => key)).toEqual(['cert', 'client_ca'])
    expect(`${name}: ${faults[0].message} ${faults[0].fix}`).toContain(message)
    expect(faults[0].fix).toContain(fix)
  }
})

test('a key of another certificate is a fault', async () => {
  const { server, client } = await pki()
  const { faults } = readMaterial({ cert: server.certFile, key: client.keyFile })
  expect(faults).toEqual([{ key: 'key', message: `${client.keyFile} does not belong to the certificate in ${server.certFile}.`, fix: expect.any(String) }])
})

test('dates: expired and not yet valid are warnings, and faults where something better serves; less than 14 days left is a warning', async () => {
  const { server, expiredClient, futureClient, ca } = await pki()
  const of = (who: typeof server, now?: number, servesUntil?: Date) => readMaterial({ cert: who.certFile, key: who.keyFile }, now, servesUntil)
  for (const [who, word] of [[expiredClient, 'expired on 2021-01-01'], [futureClient, 'is valid only from 2090-01-01 on']] as const) {
    const atStart = of(who)
    expect(atStart.material).toBeDefined()
    expect(atStart).toMatchObject({ faults: [], warnings: [{ key: 'cert', message: expect.stringContaining(`${word}: every client that checks it refuses it`) }] })
    const instead = of(who, Date.now(), new Date('2091-01-02'))
    expect(instead).toEqual({ warnings: [], faults: [{ key: 'cert', fix: expect.any(String), message: expect.stringContaining(`${word}, and the one that serves now is good until 2091-01-02`) }] })
    expect(of(who, Date.now(), new Date(Date.now() - 1)).faults).toEqual([])
  }
  const end = of(server).material!.notAfter.getTime()
  expect(of(server, end - 14 * DAY).warnings).toEqual([])
  expect(of(server, end - 14 * DAY + 1).warnings[0].message).toContain('expires in 13 days')
  expect(of(server, end - 1).warnings[0].message).toContain('expires in 0 days')
  expect(of(server, end).warnings[0].message).toContain('expired')
  const authorities = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, end - DAY)
  expect(authorities.warnings.map(warning => warning.key)).toEqual(['cert', 'client_ca'])
})

test('authorities: whatever OpenSSL takes is taken, and what is unusual is a warning', async () => {
  const { server, ca, client, expiredClient } = await pki()
  const of = (...certs: string[]) => {
    const { material, faults, warnings } = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: written('cas.pem', certs.join('')) })
    expect(faults).toEqual([])
    expect(material!.clientCa).toHaveLength(certs.length)
    return warnings.map(({ key, message }) => `${key} ${message.replace(/^\S+ /, '')}`)
  }
  const root = odd({ subject: '/CN=root', extensions: ofCa })
  expect(of(ca.cert, root.cert, odd({ subject: '/CN=int', signer: root, extensions: ofCa }).cert)).toEqual([])
  expect(of(client.cert)).toEqual([expect.stringMatching(/^client_ca .*CN=client is not a CA's certificate; it is believed itself, and none that it signed\.$/)])
  expect(of(ca.cert, odd({ extensions: ['basicConstraints = critical,CA:FALSE'] }).cert)).toEqual([expect.stringContaining("CN=odd is not a CA's certificate")])
  expect(of(odd({ extensions: ['keyUsage = digitalSignature'] }).cert)).toEqual([expect.stringContaining("CN=odd is not a CA's certificate")])
  const unmarked = "client_ca CN=odd does not say that it is a CA's certificate; it is taken for one."
  expect(of(odd().cert)).toEqual([unmarked])   // version 1
  expect(of(odd({ extensions: ['keyUsage = keyCertSign'] }).cert)).toEqual([unmarked])
  expect(of(ca.cert, expiredClient.cert)).toEqual([expect.stringContaining('expired on 2021-01-01; no client that it signed gets in')])
  expect(of(expiredClient.cert)).toEqual([expect.stringContaining('no client that it signed gets in')])

  const trusted = (...args: string[]) => execFileSync('openssl', ['x509', '-in', root.certFile, '-trustout', ...args], { encoding: 'utf8' })
  expect(of(trusted())).toEqual([])
  expect(of(trusted('-addreject', 'clientAuth'))).toEqual(['client_ca CN=root carries trust settings of its own, and they hold.'])
})

test('a private key that everybody may read is a warning', async () => {
  const { server } = await pki()
  const open = written('open.key', readFileSync(server.keyFile, 'utf8'), 0o644)
  const { material, warnings } = readMaterial({ cert: server.certFile, key: open })
  expect(material).toBeDefined()
  expect(warnings).toEqual([{ key: 'key', message: `${open} can be read by every user of this host (mode 644).`, fix: expect.stringContaining('chmod 640') }])
  const grouped = written('grouped.key', readFileSync(server.keyFile, 'utf8'), 0o640)
  expect(readMaterial({ cert: server.certFile, key: grouped }).warnings).toEqual([])
})
