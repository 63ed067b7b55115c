import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readMaterial } from '../../src/tls/material.ts'
import { execFileSync } from 'node:child_process'
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
  const folder = join(files, 'folder')
  mkdirSync(folder)
  expect(said({ cert: folder, key: server.keyFile })).toEqual([`cert: ${folder} is a folder.`])
})

test('a key of another certificate is a fault', async () => {
  const { server, client } = await pki()
  const { faults } = readMaterial({ cert: server.certFile, key: client.keyFile })
  expect(faults).toEqual([{ key: 'key', message: `${client.keyFile} does not belong to the certificate in ${server.certFile}.`, fix: expect.any(String) }])
})

test('dates: expired and not yet valid are faults, less than 14 days left is a warning', async () => {
  const { server, expiredClient, futureClient, ca } = await pki()
  const of = (who: typeof server, now?: number) => readMaterial({ cert: who.certFile, key: who.keyFile }, now)
  expect(of(expiredClient).faults[0].message).toContain('expired on 2021-01-01')
  expect(of(futureClient).faults[0].message).toContain('is valid only from 2090-01-01 on')
  const end = of(server).material!.notAfter.getTime()
  expect(of(server, end - 14 * DAY).warnings).toEqual([])
  expect(of(server, end - 14 * DAY + 1).warnings[0].message).toContain('expires in 13 days')
  expect(of(server, end - 1).faults).toEqual([])
  expect(of(server, end).faults[0].message).toContain('expired')
  const authorities = readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: ca.certFile }, end - DAY)
  expect(authorities.warnings.map(warning => warning.key)).toEqual(['cert', 'client_ca'])
})

test('the chain stands in order, the own certificate first', async () => {
  const { server, ca, otherCa } = await pki()
  const chain = (...certs: string[]) => readMaterial({ cert: written('chain.crt', certs.join('')), key: server.keyFile }).faults.map(fault => fault.message)
  expect(chain(server.cert, ca.cert)).toEqual([])
  expect(chain(server.cert, otherCa.cert)[0]).toContain('did not sign certificate 1')
  expect(chain(ca.cert, server.cert)[0]).toContain("starts with a CA's certificate")
})

test('a client_ca without a CA is a fault; one bad entry among good ones is a warning', async () => {
  const { server, ca, client, expiredClient } = await pki()
  const of = (...certs: string[]) => readMaterial({ cert: server.certFile, key: server.keyFile, client_ca: written('cas.pem', certs.join('')) })
  expect(of(client.cert).faults[0]).toMatchObject({ key: 'client_ca', message: expect.stringContaining('holds no CA') })
  expect(of(ca.cert, client.cert)).toMatchObject({ faults: [], warnings: [{ message: expect.stringContaining("is not a CA's certificate") }] })
  expect(of(ca.cert, expiredClient.cert)).toMatchObject({ faults: [], warnings: [{ message: expect.stringContaining('expired on 2021-01-01') }] })
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
