import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { MaterialFault } from './material-fault.ts'

// Files that parse and that OpenSSL does not take all the same. It says why in a code and not of which file, so each is
// offered alone.

export type Side = 'listener' | 'backend'

export interface Offered { cert: string | undefined, key: string | undefined, ca: string[] | undefined, crl: string[] | undefined }

const words: Record<string, [message: string, fix: string]> = {
  ERR_SSL_EE_KEY_TOO_SMALL: ['its key is too small for OpenSSL.', 'Use a certificate with a key of RSA 2048 bits or more, or of EC P-256.'],
  ERR_SSL_CA_KEY_TOO_SMALL: ['a certificate in its chain has a key that is too small for OpenSSL.',
    'Get a chain whose keys have RSA 2048 bits or more, or EC P-256.'],
  ERR_SSL_CA_MD_TOO_WEAK: ['a certificate in its chain is signed with a hash that is too weak for OpenSSL.',
    'Get a chain that is signed with SHA-256 or better.'],
  ERR_SSL_UNKNOWN_CERTIFICATE_TYPE: ['TLS knows no keys of this type.', 'Use a certificate with a key of RSA 2048 bits or more, or of EC P-256.'],
}

/** @param files by key, for the message   @param error what `createSecureContext` threw for all of it together */
export function refusedByOpenSsl(
  side: Side, offered: Offered, files: Partial<Record<MaterialFault['key'], string>>, error: Error,
): MaterialFault {
  const { cert, key, ca, crl } = offered
  const parts: [MaterialFault['key'], SecureContextOptions][] = [
    ['cert', { cert, key }], [side === 'listener' ? 'client_ca' : 'ca', { ca }], ['crl', { crl }],
  ]
  for (const [part, options] of parts) {
    const refused = refusalOf(options)
    if (refused !== undefined) return faultOf(part, files[part], refused)
  }
  return faultOf(side === 'listener' || cert !== undefined ? 'cert' : 'ca', undefined, error)
}

function refusalOf(options: SecureContextOptions): Error | undefined {
  try {
    createSecureContext(options)
    return undefined
  } catch (error) {
    return error as Error
  }
}

function faultOf(key: MaterialFault['key'], file: string | undefined, error: NodeJS.ErrnoException): MaterialFault {
  const [message, fix] = words[error.code ?? ''] ?? [`OpenSSL does not take it (${error.message}).`, 'Get the file again, or another.']
  return { key, message: file === undefined ? message : `${file}: ${message}`, fix }
}
