// Certificates of odd kinds, each made for one test with `openssl`. The usual ones are in pki.ts.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from './pki.ts'
import { tempFolder } from './temp-folder.ts'

export interface Odd {
  /** `/CN=x`; left out: /CN=odd */
  subject?: string
  /** Who signs; left out: it signs itself. */
  signer?: Certificate
  /** Lines of an extension section, with the sections that they name below; left out: none at all. */
  extensions?: string[]
  /** What `openssl req -newkey` takes, or a key that exists; left out: P-256. */
  key?: string[] | Certificate
  hash?: string
  /** As 20200101000000Z. */
  from?: string
  to?: string
}

const p256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']

/** @returns PEM and the files that hold it */
export function odd({ subject = '/CN=odd', signer, extensions = [], key = p256, hash = 'sha256', from, to }: Odd = {}): Certificate {
  const cwd = tempFolder()
  const at = (file: string): string => join(cwd, file)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  const keyFile = Array.isArray(key) ? at('key') : key.keyFile
  writeFileSync(at('index'), '')
  writeFileSync(at('cnf'), ['[req]', 'distinguished_name = dn', '[dn]', '[ca]', 'default_ca = signing', '[signing]', 'database = index', 'rand_serial = yes',
    'new_certs_dir = .', `default_md = ${hash}`, 'policy = anything', 'unique_subject = no', ...extensions.length === 0 ? [] : ['x509_extensions = ext'],
    '[anything]', 'commonName = optional', 'organizationName = optional', ...extensions.length === 0 ? [] : ['[ext]', ...extensions], ''].join('\n'))
  openssl('req', '-new', '-config', 'cnf', '-utf8', '-subj', subject, '-out', 'csr', ...Array.isArray(key) ? ['-newkey', ...key, '-nodes', '-keyout', 'key'] : ['-key', keyFile])
  const dates = from !== undefined && to !== undefined ? ['-startdate', from, '-enddate', to] : ['-days', '30']
  const by = signer === undefined ? ['-selfsign', '-keyfile', keyFile] : ['-cert', signer.certFile, '-keyfile', signer.keyFile]
  openssl('ca', '-batch', '-notext', '-preserveDN', '-config', 'cnf', ...by, '-in', 'csr', '-out', 'crt', ...dates)
  return { certFile: at('crt'), keyFile, cert: readFileSync(at('crt'), 'utf8'), key: readFileSync(keyFile, 'utf8') }
}

/** Extensions of an authority. */
export const ofCa = ['basicConstraints = critical,CA:TRUE', 'keyUsage = critical,keyCertSign,cRLSign', 'subjectKeyIdentifier = hash']

/** A file that holds the texts, one after the other. */
export function fileOf(...texts: string[]): string {
  const file = join(tempFolder(), 'file.pem')
  writeFileSync(file, texts.join(''), { mode: 0o600 })
  return file
}
