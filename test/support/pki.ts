import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { tempFolder } from './temp-folder.ts'

const run = promisify(execFile)

export interface Certificate {
  certFile: string
  keyFile: string
  /** PEM text. */
  cert: string
  key: string
}

/** Certificates for tests, ECDSA P-256, made with `openssl`. Each has O=memseal tests beside the names below. */
export interface Pki {
  folder: string
  ca: Certificate
  /** CN=localhost; DNS:localhost, IP 127.0.0.1 and ::1. */
  server: Certificate
  /** A second server certificate from `ca`, for reloads and rotation. */
  serverRenewed: Certificate
  /** CN=client, OU=web; DNS:client.test, URI:spiffe://memseal.test/client. */
  client: Certificate
  /** CN=ops, OU=operations. */
  ops: Certificate
  /** From `ca`, valid from the year 2020 to 2021. */
  expiredClient: Certificate
  /** From `ca`, valid from the year 2090 on. */
  futureClient: Certificate
  /** CN=web-1, CN=ops: a certificate must not get by with whichever name is read. */
  severalNames: Certificate
  /** As `server`, but valid from the year 2020 to 2021. */
  expiredServer: Certificate
  otherCa: Certificate
  /** CN=client, as `client`, but from `otherCa`. */
  strangerClient: Certificate
}

let made: Promise<Pki> | undefined

/** The certificates of this test run: made at the first call, then shared by all test files. */
export function pki(): Promise<Pki> {
  made ??= make()
  return made
}

const leaves = {
  server: { subject: '/CN=localhost', san: 'DNS:localhost,IP:127.0.0.1,IP:::1', use: 'serverAuth', signer: 'ca' },
  serverRenewed: { subject: '/CN=localhost', san: 'DNS:localhost,IP:127.0.0.1,IP:::1', use: 'serverAuth', signer: 'ca' },
  client: { subject: '/OU=web/CN=client', san: 'DNS:client.test,URI:spiffe://memseal.test/client', use: 'clientAuth',
    signer: 'ca' },
  ops: { subject: '/OU=operations/CN=ops', san: 'DNS:ops.test', use: 'clientAuth', signer: 'ca' },
  expiredClient: { subject: '/CN=expired', san: 'DNS:expired.test', use: 'clientAuth', signer: 'ca',
    from: '20200101000000Z', to: '20210101000000Z' },
  futureClient: { subject: '/CN=future', san: 'DNS:future.test', use: 'clientAuth', signer: 'ca',
    from: '20900101000000Z', to: '20910101000000Z' },
  severalNames: { subject: '/CN=web-1/CN=ops', san: 'DNS:several.test', use: 'clientAuth', signer: 'ca' },
  expiredServer: { subject: '/CN=localhost', san: 'DNS:localhost,IP:127.0.0.1,IP:::1', use: 'serverAuth', signer: 'ca',
    from: '20200101000000Z', to: '20210101000000Z' },
  strangerClient: { subject: '/OU=web/CN=client', san: 'DNS:client.test', use: 'clientAuth', signer: 'otherCa' },
} satisfies Record<string, Leaf>

interface Leaf { subject: string; san: string; use: string; signer: 'ca' | 'otherCa'; from?: string; to?: string }

async function make(): Promise<Pki> {
  // Test files run in processes of their own. Each makes into a folder of its own; the first to be done is taken by all.
  const shared = process.env.MEMSEAL_TEST_RUN_FOLDER
  const folder = shared ? join(shared, 'pki') : tempFolder()
  if (!shared || !existsSync(folder)) {
    const workshop = `${folder}.${process.pid}`
    mkdirSync(workshop, { mode: 0o700 })
    await makeAuthority(workshop, 'ca', '/CN=memseal test CA')
    await makeAuthority(workshop, 'otherCa', '/CN=another CA')
    for (const [name, leaf] of Object.entries(leaves)) await makeLeaf(workshop, name, leaf)
    try {
      if (!shared) rmSync(folder, { recursive: true })
      renameSync(workshop, folder)
    } catch {
      rmSync(workshop, { recursive: true })
    }
  }
  const names = ['ca', 'otherCa', ...Object.keys(leaves)]
  return { folder, ...Object.fromEntries(names.map(name => [name, read(folder, name)])) } as unknown as Pki
}

async function makeAuthority(folder: string, name: string, subject: string): Promise<void> {
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '30', '-subj', `/O=memseal tests${subject}`,
    '-addext', 'keyUsage=critical,keyCertSign,cRLSign'], { cwd: folder })
}

/** Signs with `openssl ca`, the one command of OpenSSL 3.0 that takes both dates. */
async function makeLeaf(folder: string, name: string, leaf: Leaf): Promise<void> {
  writeFileSync(join(folder, `${name}.index`), '')
  writeFileSync(join(folder, `${name}.cnf`), [
    '[ca]', 'default_ca = signing',
    '[signing]', `database = ${name}.index`, 'rand_serial = yes', 'new_certs_dir = .', 'default_md = sha256',
    'policy = anything', 'copy_extensions = none', 'x509_extensions = leaf', 'unique_subject = no',
    '[anything]', 'organizationName = optional', 'organizationalUnitName = optional', 'commonName = supplied',
    '[leaf]', 'basicConstraints = critical,CA:FALSE', 'keyUsage = critical,digitalSignature',
    `extendedKeyUsage = ${leaf.use}`, `subjectAltName = ${leaf.san}`, 'authorityKeyIdentifier = keyid', '',
  ].join('\n'))
  await run('openssl', ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/O=memseal tests${leaf.subject}`], { cwd: folder })
  const dates = leaf.from && leaf.to ? ['-startdate', leaf.from, '-enddate', leaf.to] : ['-days', '30']
  await run('openssl', ['ca', '-batch', '-notext', '-preserveDN', '-config', `${name}.cnf`,
    '-cert', `${leaf.signer}.crt`, '-keyfile', `${leaf.signer}.key`,
    '-in', `${name}.csr`, '-out', `${name}.crt`, ...dates], { cwd: folder })
}

function read(folder: string, name: string): Certificate {
  const certFile = join(folder, `${name}.crt`)
  const keyFile = join(folder, `${name}.key`)
  return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
}
