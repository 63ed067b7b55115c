// Material that parses, fits and is taken by OpenSSL, and that no handshake can be done with all the same.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadText } from '../../src/config/load.ts'
import { buildTls } from '../../src/process/service-tls.ts'
import { issue, leaf, rsa } from '../support/issue.ts'
import { pki, type Certificate } from '../support/pki.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** @returns `severity path: message` of each finding, without folders */
async function findings(service: object): Promise<string[]> {
  const { config, issues } = loadText(JSON.stringify({ services: { cache: { listen: '127.0.0.1:0', ...service } } }), 'm.yaml', { environment: {} })
  expect(issues).toEqual([])
  const found: string[] = []
  await buildTls(config!.services, (severity, path, message) => void found.push(`${severity} ${path}: ${message.replace(/\/\S*\//g, '')}`))
  return found
}

const files = ({ certFile: cert, keyFile: key }: Certificate) => ({ cert, key })
const curve = (name: string): string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${name}`]

test.each([
  ['RSA', rsa(2048)], ['RSA-PSS', ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048']], ['P-384', curve('secp384r1')],
  ['P-521', curve('secp521r1')], ['Ed25519', ['-newkey', 'ed25519']], ['Ed448', ['-newkey', 'ed448']],
])('a key of %s is fine, to serve with and to show', async (_, key) => {
  const { ca } = await pki()
  const own = files(await issue({ ca, key }))
  expect(await findings({ tls: own })).toEqual([])
  expect(await findings({ backend: { tls: { ca: ca.certFile, ...own } } })).toEqual([])
})

test.each([['P-224', curve('secp224r1')], ['secp256k1', curve('secp256k1')]])('a key on %s, which TLS does not use, is a fault on both sides', async (_, key) => {
  const { ca } = await pki()
  const own = files(await issue({ ca, key }))
  const words = /^fault services\.cache\.(backend\.)?tls\.cert: it\.crt: no TLS handshake can be done with it \(TLSv1\.2: \w+, TLSv1\.3: \w+\)\.$/
  expect(await findings({ tls: own })).toEqual([expect.stringMatching(words)])
  expect(await findings({ backend: { tls: { ca: ca.certFile, ...own } } })).toEqual([expect.stringMatching(words)])
})

test('a certificate that may not sign serves one version of TLS only, if any', async () => {
  const { ca } = await pki()
  const found = await findings({ tls: files(await issue({ ca, extensions: [...leaf, 'keyUsage=critical,keyAgreement'] })) })
  expect(found).toEqual([expect.stringMatching(/^(fault|warning) services\.cache\.tls\.cert: it\.crt: no(t every)? TLS handshake can be done with it \(TLSv1\.2: /)])
})

test('a CA with a weak key is a warning beside a good one, and a fault alone', async () => {
  const { server, client, ca } = await pki()
  const weak = await issue({ key: rsa(1024), name: 'weak' })
  const both = join(tempFolder(), 'both.pem')
  writeFileSync(both, weak.cert + ca.cert)
  const warned = (path: string, file: string, peers: string): string => `warning ${path}: ${file}: O=memseal tests, CN=weak has a key of RSA with 1024 bits, and 2048 are the least: ${peers} that it signed are refused.`
  const refused = (path: string, peers: string): string => `fault ${path}: it.crt holds no CA whose ${peers} could be believed: each has a weak key.`
  const [front, back] = ['services.cache.tls.client_ca', 'services.cache.backend.tls.ca']
  expect(await findings({ tls: { ...files(server), client_ca: both } })).toEqual([warned(front, 'both.pem', 'clients')])
  expect(await findings({ tls: { ...files(server), client_ca: weak.certFile } })).toEqual([warned(front, 'it.crt', 'clients'), refused(front, 'clients')])
  expect(await findings({ backend: { tls: { ca: both, ...files(client) } } })).toEqual([warned(back, 'both.pem', 'cache hosts')])
  expect(await findings({ backend: { tls: { ca: weak.certFile, ...files(client) } } })).toEqual([warned(back, 'it.crt', 'cache hosts'), refused(back, 'cache hosts')])
})

test('an old hash in what is shown is a warning; that of an authority is not looked at', async () => {
  const root = await issue({ key: rsa(2048), hash: '-sha1', name: 'root' })
  const own = files(await issue({ ca: root, hash: '-md5', name: 'own' }))
  const words = (path: string, peers: string): string => `warning ${path}: it.crt: O=memseal tests, CN=own has a signature with MD5, which ${peers} of today refuse.`
  expect(await findings({ tls: { ...own, client_ca: root.certFile } })).toEqual([words('services.cache.tls.cert', 'clients')])
  expect(await findings({ backend: { tls: { ca: root.certFile, ...own } } })).toEqual([words('services.cache.backend.tls.cert', 'cache hosts')])
})
