import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readMaterial } from '../../src/tls/material.ts'
import { fileOf, odd, ofCa } from '../support/certificates.ts'
import type { Certificate } from '../support/pki.ts'
import { edge } from './edge.ts'

// Certificate files as careless scripts make them: each is served, and a client that trusts the root verifies it.

const past = { from: '20200101000000Z', to: '20210101000000Z' }
const root = odd({ subject: '/CN=root', extensions: ofCa })
const oldRoot = odd({ subject: '/CN=old root', extensions: ofCa })
const int = odd({ subject: '/CN=int', signer: root, extensions: ofCa })
const leaf = odd({ subject: '/CN=localhost', signer: int, extensions: ['subjectAltName = DNS:localhost'] })
/** The same key and name as `int`, signed by a root that went. */
const cross = odd({ subject: '/CN=int', signer: oldRoot, extensions: ofCa, key: int, ...past })
const otherInt = odd({ subject: '/CN=int', signer: root, extensions: ofCa })
const stranger = odd({ subject: '/CN=stranger' })
const ended = odd({ subject: '/CN=localhost', signer: int, key: leaf, ...past })

const files = { leaf, int, root, cross, otherInt, stranger, oldRoot, ended }
type Name = keyof typeof files | 'key'
const textOf = (name: Name): string => name === 'key' ? leaf.key : files[name].cert

function read(names: Name[], key: Certificate = leaf) {
  const file = fileOf(...names.map(textOf))
  const { material, faults, warnings } = readMaterial({ cert: file, key: key.keyFile })
  const served = material?.cert.match(/-----BEGIN[^]+?END CERTIFICATE-----/g)?.map(pem => Object.keys(files)
    .find(name => new X509Certificate(files[name as 'leaf'].cert).fingerprint256 === new X509Certificate(pem).fingerprint256))
  return { file, served: served?.join(' '), faults: faults.map(({ message }) => message), warnings: warnings.map(({ message }) => message.replace(`${file}: `, '')) }
}

const twice = (name: string) => `CN=${name} stands there more than once; it is served once.`
const order = 'its certificates do not stand in the order in which they signed each other; they are served in it.'
const odds = (name: string) => `CN=${name} is not needed for the chain; it is served last.`

const layouts: [Name[], string, string[]][] = [
  [['leaf', 'int'], 'leaf int', []],
  [['leaf', 'int', 'root'], 'leaf int root', []],
  [['leaf', 'leaf', 'int'], 'leaf int', [twice('localhost')]],
  [['leaf', 'int', 'int'], 'leaf int', [twice('int')]],
  [['leaf', 'int', 'root', 'leaf', 'int', 'root'], 'leaf int root', [twice('localhost'), twice('int'), twice('root')]],
  [['key', 'leaf', 'root', 'int'], 'leaf int root', [order]],
  [['root', 'int', 'leaf'], 'leaf int root', [order]],
  [['int', 'leaf'], 'leaf int', [order]],
  [['leaf', 'int', 'cross'], 'leaf int cross', ['CN=int expired on 2021-01-01 and is not needed for the chain; it is served last.']],
  [['leaf', 'cross', 'int'], 'leaf int cross', [order, 'CN=int expired on 2021-01-01 and is not needed for the chain; it is served last.']],
  [['leaf', 'int', 'cross', 'oldRoot'], 'leaf int cross oldRoot', ['CN=int expired on 2021-01-01 and is not needed for the chain; it is served last.', odds('old root')]],
  [['leaf', 'otherInt', 'int'], 'leaf int otherInt', [order, odds('int')]],
  [['leaf', 'stranger', 'int'], 'leaf int stranger', [order, odds('stranger')]],
  [['leaf', 'int', 'stranger'], 'leaf int stranger', [odds('stranger')]],
  [['ended', 'leaf', 'int'], 'leaf int ended', [order, 'CN=localhost expired on 2021-01-01 and is not needed for the chain; it is served last.']],
]

test.each(layouts)('%j is served as %s', async (names, served, warnings) => {
  const found = read(names)
  expect(found).toMatchObject({ served, faults: [], warnings })
  // As s_client judges: the root is all that it trusts.
  const e = await edge({ tls: { client_auth: 'none', cert: found.file, key: leaf.keyFile } })
  for (const version of ['-tls1_2', '-tls1_3']) {
    const asked = promisify(execFile)('openssl', ['s_client', '-connect', `127.0.0.1:${e.port}`, '-CAfile', root.certFile, '-verify_return_error', '-brief', version])
    asked.child.stdin!.end()
    expect((await asked).stderr).toContain('Verification: OK')
  }
})

test('only what cannot work is refused: a key that fits none of them', () => {
  expect(read(['leaf', 'int'], stranger)).toMatchObject({ served: undefined, faults: [expect.stringContaining('does not belong to the certificate in')] })
  expect(read(['int', 'root'], leaf).faults).toEqual([expect.stringContaining('does not belong')])
})

test('an end that is near or past in the chain is told, wherever it stands', () => {
  const oldInt = odd({ subject: '/CN=int', signer: root, extensions: ofCa, key: int, ...past })
  const file = fileOf(leaf.cert, oldInt.cert)
  const { faults, warnings } = readMaterial({ cert: file, key: leaf.keyFile })
  expect(faults).toEqual([])
  expect(warnings.map(({ message }) => message)).toEqual([`${file}: CN=int, which is in the chain, expired on 2021-01-01; whoever needs it refuses the chain.`])
})
