import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { names, parseCrl } from '../../src/tls/crl.ts'
import { readRevocation } from '../../src/tls/revocation.ts'
import { makeCrl } from '../support/crl.ts'
import { pki } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

const rules = { check: 'leaf', expired: 'refuse', missing: 'refuse' } as const

test('a list is read as openssl reads it', async () => {
  const { ca, client, ops } = await pki()
  const file = join(tempFolder(), 'a.crl')
  await makeCrl(file, { ca, revoked: [client] })
  const list = parseCrl(readCrl(file))
  const dates = execFileSync('openssl', ['crl', '-in', file, '-noout', '-lastupdate', '-nextupdate']).toString()
  const [last, next] = dates.trim().split('\n').map(line => new Date(line.split('=')[1]))
  expect([list.thisUpdate, list.nextUpdate]).toEqual([last, next])
  expect(names(list, new X509Certificate(client.cert))).toBe(true)
  expect(names(list, new X509Certificate(ops.cert))).toBe(false)
})

test('the same serial number of another CA is another certificate', async () => {
  const { ca, otherCa, client } = await pki()
  const file = join(tempFolder(), 'a.crl')
  await makeCrl(file, { ca: otherCa, revoked: [client] })
  expect(readRevocation(file, [new X509Certificate(ca.cert)], rules, Date.now()).warnings.map(({ message }) => message)).toEqual([
    `${file}: revocation list 1 is of no CA in client_ca, so it counts only for clients that send that CA's certificate along.`,
    `${file}: there is no list of O=memseal tests, CN=memseal test CA in it: clients that it signed are refused (crl_missing: refuse).`,
  ])
})

test('only the CA itself can make its list', async () => {
  const { ca, otherCa } = await pki()
  const list = async (signer: typeof ca) => {
    const file = join(tempFolder(), 'a.crl')
    await makeCrl(file, { ca: signer })
    return parseCrl(readCrl(file))
  }
  expect((await list(ca)).isSignedBy(new X509Certificate(ca.cert))).toBe(true)
  expect((await list(otherCa)).isSignedBy(new X509Certificate(ca.cert))).toBe(false)
})

test('each fault of the file is told', async () => {
  const { ca, server } = await pki()
  const folder = tempFolder()
  const faultsOf = (name: string, text?: string) => {
    const file = join(folder, name)
    if (text !== undefined) writeFileSync(file, text)
    return readRevocation(file, [new X509Certificate(ca.cert)], rules, Date.now()).faults.map(({ message }) => message.replace(folder, ''))
  }
  await makeCrl(join(folder, 'whole.crl'), { ca })
  const whole = readCrl(join(folder, 'whole.crl'))
  expect(faultsOf('missing.crl')).toEqual(['there is no file /missing.crl.'])
  expect(faultsOf('cert.crl', server.cert)).toEqual(['/cert.crl holds a certificate, and no revocation list.'])
  expect(faultsOf('cut.crl', `${whole.split('\n').slice(0, 3).join('\n')}\n-----END X509 CRL-----\n`)).toEqual(['/cut.crl: revocation list 1 of 1 is damaged.'])
  expect(faultsOf('whole.crl')).toEqual([])
})

test('an expired list is a loud warning that says what becomes of the clients', async () => {
  const { ca } = await pki()
  const file = join(tempFolder(), 'old.crl')
  await makeCrl(file, { ca, isExpired: true })
  const warnings = (expired: 'refuse' | 'warn') => readRevocation(file, [new X509Certificate(ca.cert)], { ...rules, expired }, Date.now()).warnings.map(({ message }) => message)
  expect(warnings('refuse')).toEqual([expect.stringMatching(/old\.crl expired on 2021-01-01 00:00 UTC; clients of its CA are refused \(crl_expired: refuse\)/)])
  expect(warnings('warn')).toEqual([expect.stringMatching(/clients are judged by the old list \(crl_expired: warn\)/)])
})

function readCrl(file: string): string {
  return execFileSync('cat', [file]).toString()
}
