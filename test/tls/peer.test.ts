import { X509Certificate } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { alternativeNames, oneLine } from '../../src/tls/peer.ts'
import { odd } from '../support/certificates.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** @param names lines of an OpenSSL section, such as `DNS.1 = web-1.example` */
function certificate(...names: string[]): X509Certificate {
  const cwd = tempFolder()
  const extensions = names.length === 0 ? [] : ['subjectAltName = @names', '[names]', ...names]
  writeFileSync(join(cwd, 'x.cnf'), ['[req]', 'distinguished_name = dn', 'x509_extensions = ext', '[dn]', '[ext]', ...extensions, ''].join('\n'))
  const pem = execFileSync('openssl', ['req', '-x509', '-config', 'x.cnf', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-keyout', 'x.key', '-days', '1', '-subj', '/O=a, b/CN=x'], { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
  return new X509Certificate(pem)
}

test('names are told apart, and one cannot pose as two', () => {
  expect(alternativeNames(certificate('DNS.1 = web-1.example', 'DNS.2 = *.example', 'URI.1 = spiffe://a/b', 'IP.1 = 10.0.0.1', 'IP.2 = fd00::1', 'email.1 = a@b.example')))
    .toEqual(['DNS:web-1.example', 'DNS:*.example', 'URI:spiffe://a/b', 'IP Address:10.0.0.1', 'IP Address:FD00:0:0:0:0:0:0:1', 'email:a@b.example'])
  expect(alternativeNames(certificate('URI.1 = "http://a/?x=1, DNS:ops"', 'DNS.1 = b'))).toEqual(['URI:http://a/?x=1, DNS:ops', 'DNS:b'])
  expect(alternativeNames(certificate())).toEqual([])
})

test('a subject is one line', () => {
  expect(oneLine(certificate().subject)).toMatch(/^O=a.*, CN=x$/)
  expect(oneLine(undefined)).toBe('')
})

test('whatever bytes a name has, it can be read, and is one name', () => {
  for (const tag of [0x81, 0x82, 0x86]) {
    for (const from of [0, 100, 200]) {
      const bytes = Buffer.from(Array.from({ length: 100 }, (_, at) => Math.min(from + at, 255)))
      const der = Buffer.concat([Buffer.from([0x30, bytes.length + 2, tag, bytes.length]), bytes])
      const names = alternativeNames(new X509Certificate(odd({ extensions: [`subjectAltName = DER:${der.toString('hex').match(/../g)!.join(':')}`] }).cert))
      expect(names).toHaveLength(1)
      expect(names[0]).toMatch(/^(email|DNS|URI):/)
    }
  }
})
