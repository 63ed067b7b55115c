import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificate } from './pki.ts'

const run = promisify(execFile)

/** Makes a revocation list with `openssl ca` and puts it in place in one step.
 *  @param isExpired its next update was due at the start of 2021 */
export async function makeCrl(file: string, { ca, revoked = [], isExpired = false }: { ca: Certificate, revoked?: Certificate[], isExpired?: boolean }): Promise<void> {
  const folder = mkdtempSync(join(dirname(file), 'crl-'))
  const rows = revoked.map(({ cert }) => {
    const { serialNumber, subject } = new X509Certificate(cert)
    return `R\t490101000000Z\t200601000000Z\t${serialNumber}\tunknown\t/${subject.replaceAll('\n', '/')}\n`
  })
  writeFileSync(join(folder, 'index'), rows.join(''))
  writeFileSync(join(folder, 'cnf'), '[ca]\ndefault_ca = a\n[a]\ndatabase = index\ndefault_md = sha256\nunique_subject = no\n')
  const dates = isExpired ? ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20210101000000Z'] : ['-crldays', '30']
  await run('openssl', ['ca', '-gencrl', '-config', 'cnf', '-cert', ca.certFile, '-keyfile', ca.keyFile, '-out', 'list', ...dates], { cwd: folder })
  renameSync(join(folder, 'list'), file)
}
