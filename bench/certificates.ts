import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of the PEM files of one run: ECDSA P-256 throughout, one CA for both sides. */
export interface Material {
  ca: string
  serverCert: string
  serverKey: string
  /** certificate and key in one file, as hitch and HAProxy want it */
  serverPem: string
  clientCert: string
  clientKey: string
  clientPem: string
}

export function materialIn(directory: string): Material {
  const at = (name: string) => join(directory, name)
  return {
    ca: at('ca.crt'),
    serverCert: at('server.crt'), serverKey: at('server.key'), serverPem: at('server.pem'),
    clientCert: at('client.crt'), clientKey: at('client.key'), clientPem: at('client.pem'),
  }
}

/** Makes a CA, a server certificate for localhost and a client certificate that end after two days. */
export function makeCertificates(directory: string): Material {
  const material = materialIn(directory)
  const caKey = join(directory, 'ca.key')
  openssl('req', '-x509', ...newKey(caKey), '-out', material.ca, '-days', '2', '-subj', '/CN=memseal bench CA',
    '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
  sign('server', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1', 'serverAuth')
  sign('client', '/CN=bench-client', 'subjectAltName=DNS:bench-client', 'clientAuth')
  return material

  function sign(name: string, subject: string, names: string, usage: string): void {
    const [cert, key, pem] = ['crt', 'key', 'pem'].map(ending => join(directory, `${name}.${ending}`))
    openssl('req', '-x509', ...newKey(key), '-out', cert, '-days', '2', '-subj', subject,
      '-CA', material.ca, '-CAkey', caKey, '-addext', 'basicConstraints=critical,CA:FALSE',
      '-addext', names, '-addext', `extendedKeyUsage=${usage}`, '-addext', 'keyUsage=critical,digitalSignature')
    writeFileSync(pem, readFileSync(cert), { mode: 0o600 })
    appendFileSync(pem, readFileSync(key))
    chmodSync(key, 0o600)
  }
}

function newKey(path: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path]
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
