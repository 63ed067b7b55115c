// Why a TLS connection to a cache host did not come about, in words for the operator of this side.
// The codes are those of Node 26 with OpenSSL 3.5, seen for real in test/e2e/sidecar-refusals.test.ts.

export const backendFailures = [
  'wrong-ca', 'wrong-name', 'cn-only', 'wrong-pin', 'name-not-accepted', 'expired', 'not-yet-valid', 'revoked', 'weak-certificate', 'bad-certificate', 'plain-text',
  'certificate-refused', 'closed-in-handshake', 'closed-after-handshake', 'tls-version', 'no-shared-cipher', 'handshake-failed',
] as const
export type BackendFailureReason = typeof backendFailures[number]

export interface BackendFailure { reason: BackendFailureReason, words: string, advice: string }

const failures: Record<BackendFailureReason, { words: string, advice: string }> = {
  'wrong-ca': {
    words: 'its certificate is not signed by a CA in backend.tls.ca',
    advice: 'add the CA of the cache host (and let it send its intermediates) to backend.tls.ca; if it never changed, find out who answers there',
  },
  'wrong-name': {
    words: 'its certificate is for another name',
    advice: 'write one of its names in backend.tls.server_name, or connect by that name, or issue a certificate with the expected one',
  },
  'cn-only': {
    words: 'its certificate has no subject alternative name, and the common name that would fit is not taken for one',
    advice: 'issue a certificate with a subject alternative name; or, where no CA of its chain has name constraints, write cn_as_name: allowed below backend.tls',
  },
  'wrong-pin': {
    words: 'its certificate is none of those that are pinned in backend.tls.fingerprints and spki',
    advice: 'if it was renewed on purpose, add the new fingerprint; if not, find out who answers there',
  },
  'name-not-accepted': {
    words: 'its certificate carries none of backend.tls.names',
    advice: 'add one of its names to backend.tls.names, if it is the right host',
  },
  'expired': {
    words: 'its certificate has expired, or one that signed it has',
    advice: 'renew it on the cache host; if it looks valid, compare the clocks of both hosts',
  },
  'not-yet-valid': {
    words: 'its certificate is not valid yet',
    advice: 'compare the clock of this host with that of the cache host',
  },
  'revoked': {
    words: 'its certificate has been revoked',
    advice: 'give the cache host a new certificate',
  },
  'weak-certificate': {
    words: 'its certificate, or one that signed it, is too weak',
    advice: 'issue it anew: RSA with 2048 bits at least, or P-256, signed with SHA-256',
  },
  'bad-certificate': {
    words: 'its certificate could not be used',
    advice: 'look at it with openssl x509 -text: it needs extendedKeyUsage serverAuth (or none), a strong key and hash',
  },
  'plain-text': {
    words: 'it does not speak TLS',
    advice: 'compare the port: this may be memcached itself; connect to the TLS listener of the memseal there',
  },
  'certificate-refused': {
    words: 'it refused the certificate of this host, or misses one',
    advice: 'write backend.tls.cert and key with a certificate that is signed by the CA in tls.client_ca over there, and has not expired',
  },
  'closed-in-handshake': {
    words: 'it closed the connection before the TLS handshake was done',
    advice: "see the log over there: this host's address may be missing in its allow list, banned (memseal ban list), or over a limit",
  },
  'closed-after-handshake': {
    words: 'it closed the connection after the TLS handshake, before it answered',
    advice: 'see the log over there: it may have refused the certificate of this host (backend.tls.cert), or its memcached may be down',
  },
  'tls-version': {
    words: 'it offers no TLS version that this side takes',
    advice: 'let both sides use TLS 1.2 or 1.3 (min_version)',
  },
  'no-shared-cipher': {
    words: 'it offers no cipher suite, group or signature that this side takes',
    advice: 'let it use AES-GCM or ChaCha20 with ECDHE, and X25519, P-256 or P-384',
  },
  'handshake-failed': {
    words: 'the TLS handshake failed',
    advice: 'the error beside it has its name in OpenSSL; the log over there may say more',
  },
}

const reasons: Record<string, BackendFailureReason> = {
  WRONG_NAME: 'wrong-name',
  CN_ONLY: 'cn-only',
  WRONG_PIN: 'wrong-pin',
  NAME_NOT_ACCEPTED: 'name-not-accepted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'wrong-ca',
  UNABLE_TO_GET_ISSUER_CERT: 'wrong-ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'wrong-ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'wrong-ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'wrong-ca',
  CERT_UNTRUSTED: 'wrong-ca',
  CERT_SIGNATURE_FAILURE: 'wrong-ca',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  CERT_REVOKED: 'revoked',
  WEAK_KEY: 'weak-certificate',
  WEAK_HASH: 'weak-certificate',
  ERR_SSL_WRONG_VERSION_NUMBER: 'plain-text',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'plain-text',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'tls-version',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'tls-version',
  ERR_SSL_NO_SHARED_CIPHER: 'no-shared-cipher',
  // "handshake failure": nothing in common, or TLS 1.2's way to say that it misses our certificate.
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'no-shared-cipher',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE': 'no-shared-cipher',
}

/** @param isSecured the handshake was done and the cache host's certificate was found good
 *  @param detail what the error says beyond its code, if anything */
export function backendFailure(code: string, isSecured: boolean, detail: string): BackendFailure {
  const reason = reasons[code] ?? otherReason(code, isSecured)
  const { words, advice } = failures[reason]
  return { reason, words: detail === '' ? words : `${words} (${detail})`, advice }
}

function otherReason(code: string, isSecured: boolean): BackendFailureReason {
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'CLOSED') return isSecured ? 'closed-after-handshake' : 'closed-in-handshake'
  if (/_ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT)/.test(code)) return 'certificate-refused'
  // X509_V_ERR names carry no ERR_ before them.
  if (code === 'UNSPECIFIED' || !code.startsWith('ERR_') && /CERT|CRL|CHAIN|PURPOSE|CA|KEY|HASH/.test(code)) return 'bad-certificate'
  return 'handshake-failed'
}
