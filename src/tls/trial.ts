import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { connect, Server, type ConnectionOptions, type SecureContext, type TLSSocket } from 'node:tls'
import { ciphers, groups, type ListenerTls } from './context.ts'

// OpenSSL takes certificates that no handshake can be done with: on a curve that TLS does not know, of DSA, without the usage
// `digitalSignature`. So each new one does a handshake with itself in memory, once for each version of TLS. It costs a few
// milliseconds when a certificate is new.

export type Version = 'TLSv1.2' | 'TLSv1.3'
/** Versions with which it fails, each with the code of OpenSSL. */
export type TrialFailures = Map<Version, string>

/** What a client that takes anything meets.   @param secure whose server nobody listens to yet */
export async function tryListener({ server, settings }: ListenerTls): Promise<TrialFailures> {
  return each(settings.min_version, version => shake(server, {
    rejectUnauthorized: false, minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0',
  }))
}

/** Can the certificate of this side be shown? It is shown to a server that has the same one. */
export async function tryShown(context: SecureContext, cert: string, key: string, minVersion: Version): Promise<TrialFailures> {
  return each(minVersion, version => {
    const server = new Server({ cert, key, ciphers, ecdhCurve: groups, ca: [], requestCert: true, rejectUnauthorized: false })
    return shake(server, { secureContext: context, rejectUnauthorized: false, minVersion: version, maxVersion: version },
      socket => socket.getPeerX509Certificate() === undefined ? 'NOT_SHOWN' : undefined)
  })
}

async function each(minVersion: Version, run: (version: Version) => Promise<string | undefined>): Promise<TrialFailures> {
  const failures: TrialFailures = new Map()
  for (const version of minVersion === 'TLSv1.2' ? ['TLSv1.2', 'TLSv1.3'] as const : ['TLSv1.3'] as const) {
    const code = await run(version)
    if (code !== undefined) failures.set(version, code)
  }
  return failures
}

async function shake(
  server: Server, options: ConnectionOptions, judge: (socket: TLSSocket) => string | undefined = () => undefined,
): Promise<string | undefined> {
  const [near, far] = duplexPair()
  const done = new AbortController()
  const { signal } = done
  const outcome = Promise.race([
    once(server, 'secureConnection', { signal }).then(([socket]) => judge(socket as TLSSocket)),
    once(server, 'tlsClientError', { signal }).then(([error]) => (error as NodeJS.ErrnoException).code ?? 'UNKNOWN'),
  ])
  server.emit('connection', far)
  const client = connect({ ...options, socket: near, checkServerIdentity: () => undefined })
  client.on('error', () => {})   // the server's own error says more
  client.once('close', () => far.destroy())   // and comes at the latest when the client is gone
  try {
    return await outcome
  } finally {
    done.abort()
    client.destroy()
    far.destroy()
  }
}
