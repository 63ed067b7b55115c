import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { check } from '../../src/cli/check.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { pki } from '../support/pki.ts'

const text = readFileSync(new URL('../../config/sidecar.yaml', import.meta.url), 'utf8')

async function checked(yaml: string): Promise<{ status: number, err: string }> {
  const file = join(tempFolder(), 'sidecar.yaml')
  writeFileSync(file, yaml)
  let err = ''
  const status = await check({ config: file }, { environment: {}, out: () => {}, err: more => void (err += more) })
  return { status, err }
}

test('config/sidecar.yaml is fine once the paths are edited, its commented lines too', async () => {
  const { ca, client } = await pki()
  const edited = text.replaceAll('/etc/memseal/cache-ca.crt', ca.certFile).replaceAll('/etc/memseal/client.crt', client.certFile)
    .replaceAll('/etc/memseal/client.key', client.keyFile)
  expect(await checked(edited)).toEqual({ status: 0, err: '' })
  const all = edited.replace(/^ *socket: .*\n/m, '').replace(/^( *)#(?=[a-z])/gm, '$1').replace('5E:D1:14:54:…', 'AB'.repeat(32))
  expect(all).toContain('group: www-data')
  expect(await checked(all)).toEqual({ status: 0, err: '' })
})

test('`memseal check` reads the files of backend.tls and tells all that is wrong with them', async () => {
  const { ca, client, ops, expiredClient } = await pki()
  const service = (tls: string) => checked(`services:\n  s:\n    listen: 127.0.0.1:1\n    backend: { connect: a.example:1, tls: ${tls} }\n`)
  expect((await service(`{ ca: ${ca.certFile}, cert: ${client.certFile}, key: ${client.keyFile} }`)).status).toBe(0)
  const misfit = await service(`{ ca: /no/such.pem, cert: ${client.certFile}, key: ${ops.keyFile} }`)
  expect(misfit.status).toBe(78)
  expect(misfit.err).toContain('services.s.backend.tls.ca: there is no file /no/such.pem.')
  expect(misfit.err).toContain('services.s.backend.tls.key: ')
  const old = await service(`{ ca: ${client.certFile}, cert: ${expiredClient.certFile}, key: ${expiredClient.keyFile} }`)
  expect(old.err).toContain("is not a CA's certificate; it is believed itself, and none that it signed.")
  expect(old.err).toContain('every cache host that checks it refuses it.')
})
