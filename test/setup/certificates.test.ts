import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { copyFileSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { pki } from '../support/pki.ts'
import { likeLibreSsl } from './libressl.ts'
import { tempFolder } from '../support/temp-folder.ts'

const makeScript = fileURLToPath(new URL('../../certs-dev/make.sh', import.meta.url))

/** A folder with certs-dev/make.sh in it, which has been run. */
function madeFolder(): string {
  const folder = tempFolder()
  copyFileSync(makeScript, join(folder, 'make.sh'))
  make(folder)
  return folder
}

function make(folder: string, ...args: string[]): void {
  const made = spawnSync('sh', [join(folder, 'make.sh'), ...args], { encoding: 'utf8' })
  expect(made).toMatchObject({ status: 0, stdout: '', stderr: '' })
}

function certificate(folder: string, name: string): X509Certificate {
  return new X509Certificate(readFileSync(join(folder, name)))
}

test('development certificates: P-256, from one CA whose key is thrown away; keys for the owner only', () => {
  const folder = madeFolder()
  const files = ['ca.crt', 'client.crt', 'client.key', 'make.sh', 'server.crt', 'server.key']
  expect(readdirSync(folder).sort()).toEqual(files)
  for (const key of ['server.key', 'client.key']) expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600)
  const ca = certificate(folder, 'ca.crt')
  const server = certificate(folder, 'server.crt')
  expect(server.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' })
  expect(server.checkHost('localhost')).toBe('localhost')
  expect(server.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect(server.verify(ca.publicKey)).toBe(true)
  expect(certificate(folder, 'client.crt').verify(ca.publicKey)).toBe(true)
})

test('development certificates are kept while good, and remade when expired, mixed up or asked to', async () => {
  const folder = madeFolder()
  const serial = () => certificate(folder, 'client.crt').serialNumber
  const first = serial()
  make(folder)
  expect(serial()).toBe(first)

  const { ca, expiredClient, client } = await pki()
  copyFileSync(ca.certFile, join(folder, 'ca.crt'))
  copyFileSync(expiredClient.certFile, join(folder, 'client.crt'))
  copyFileSync(expiredClient.keyFile, join(folder, 'client.key'))
  make(folder)
  const second = serial()
  expect(certificate(folder, 'client.crt').subject).toContain('memseal development')

  copyFileSync(client.keyFile, join(folder, 'client.key'))
  make(folder)
  const third = serial()
  expect(third).not.toBe(second)

  make(folder, '--force')
  expect(serial()).not.toBe(third)
})

test('arguments that make.sh does not know are refused, and nothing is made', () => {
  const folder = tempFolder()
  copyFileSync(makeScript, join(folder, 'make.sh'))
  for (const [args, words] of [[['--forse'], 'there is no argument --forse'], [['certs'], 'there is no argument certs'], [['--folder'], '--folder needs the name'],
    [['--force', '--folder', join(folder, 'in'), 'more'], 'there is no argument more']] as const) {
    const made = spawnSync('sh', [join(folder, 'make.sh'), ...args], { encoding: 'utf8' })
    expect(made).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(words) })
    expect(made.stderr).toContain('usage: make.sh [--force] [--folder DIR]')
  }
  expect(readdirSync(folder)).toEqual(['make.sh'])
})

test('--force and --folder go together, in either order', () => {
  const folder = madeFolder()
  const inside = join(folder, 'in')
  const serials = [['--folder', inside], ['--folder', inside, '--force'], ['--force', '--folder', inside]].map(args => {
    make(folder, ...args)
    return certificate(inside, 'ca.crt').fingerprint256
  })
  expect(new Set(serials).size).toBe(3)
})

test('certificates are made with LibreSSL\'s openssl as well, and without a configuration of OpenSSL on the system', () => {
  const folder = tempFolder()
  copyFileSync(makeScript, join(folder, 'make.sh'))
  const env = { ...process.env, PATH: `${likeLibreSsl()}:${process.env.PATH}`, OPENSSL_CONF: join(folder, 'missing.cnf') }
  const made = spawnSync('sh', [join(folder, 'make.sh')], { encoding: 'utf8', env })
  expect(made).toMatchObject({ status: 0, stdout: '', stderr: '' })
  expect(certificate(folder, 'ca.crt').ca).toBe(true)
  expect(certificate(folder, 'server.crt').checkIssued(certificate(folder, 'ca.crt'))).toBe(true)
})
