import { execFile } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificate } from './pki.ts'
import { tempFolder } from './temp-folder.ts'

const run = promisify(execFile)

export interface Wish {
  /** Left out: it signs itself. */
  ca?: Certificate
  name?: string
  /** Arguments of `openssl req`; left out: an EC key on P-256. */
  key?: string[]
  /** `-sha1` and the like. */
  hash?: string
  /** Lines of extensions; left out: those of a leaf for localhost, or of a CA if it signs itself. */
  extensions?: string[]
  days?: number
  /** As `openssl x509 -set_serial` takes it; left out: any. */
  serial?: string
}

const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
export const rsa = (bits: number): string[] => ['-newkey', `rsa:${bits}`]
export const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash']
export const leaf = ['basicConstraints=critical,CA:FALSE', 'subjectAltName=DNS:localhost,IP:127.0.0.1', 'authorityKeyIdentifier=keyid']

/** Makes certificates that the shared ones of `pki()` are not: weak, odd, soon to end. In a folder of its own each. */
export async function issue({ ca, name = 'odd', key = ec, hash = '-sha256', extensions = ca === undefined ? authority : leaf, days = 30, serial = anySerial() }: Wish): Promise<Certificate> {
  const folder = tempFolder()
  const [certFile, keyFile] = [join(folder, 'it.crt'), join(folder, 'it.key')]
  const at = { cwd: folder }
  writeFileSync(join(folder, 'ext'), ['[it]', ...extensions, ''].join('\n'))
  await run('openssl', ['req', ...key, '-nodes', '-keyout', keyFile, '-out', 'it.csr', '-subj', `/O=memseal tests/CN=${name}`], at)
  const signer = ca === undefined ? ['-signkey', keyFile] : ['-CA', ca.certFile, '-CAkey', ca.keyFile]
  await run('openssl', ['x509', '-req', '-in', 'it.csr', ...signer, '-set_serial', serial, '-days', String(days), hash, '-extfile', 'ext', '-extensions', 'it', '-out', certFile], at)
  chmodSync(keyFile, 0o600)
  return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
}

function anySerial(): string {
  return String(1 + Math.floor(Math.random() * 1e12))
}
