// What OpenSSL and Node say of a failed handshake, put into words for the operator: what was wrong and what to do.
// The codes are those of Node 26 with OpenSSL 3.5, each seen for real in test/tls/handshake-failure.test.ts.

import type { HandshakeFailureReason } from '../telemetry/reasons.ts'

export interface HandshakeFailure { reason: HandshakeFailureReason, words: string, advice: string }

const failures: Record<HandshakeFailureReason, { words: string, advice: string }> = {
  'no-certificate': {
    words: 'the client showed no certificate',
    advice: 'give the client a certificate and key signed by the CA in tls.client_ca',
  },
  'unknown-ca': {
    words: "the client's certificate is not signed by a CA that this listener trusts",
    advice: 'sign it with the CA in tls.client_ca, or add its CA (and any intermediate) to that file',
  },
  'expired': {
    words: "the client's certificate has expired, or one that signed it has",
    advice: "renew the client's certificate; if it looks valid, compare the clocks of both hosts",
  },
  'not-yet-valid': {
    words: "the client's certificate is not valid yet",
    advice: 'compare the clocks of this host and of the one that issued it',
  },
  'revoked': {
    words: "the client's certificate has been revoked",
    advice: 'give the client a new certificate if it is to come in',
  },
  'denied-certificate': {
    words: "the client's certificate is denied (tls.deny_certificates)",
    advice: 'give the client a new certificate if it is to come in, or take this one off the list',
  },
  'crl-expired': {
    words: "the revocation list (tls.crl) has expired, so nobody can say whether the client's certificate is revoked",
    advice: 'get a new list from the CA; crl_expired: warn goes on with the old one meanwhile',
  },
  'crl-missing': {
    words: "the file of tls.crl has no usable list of the CA that signed the client's certificate",
    advice: "append that CA's list to the file",
  },
  'rules-changed': {
    words: 'the service, its networks, the CA or the revocation list changed before the handshake was done',
    advice: 'nothing needs doing: the client may come again and is judged by the new rules',
  },
  'banned': {
    words: 'the client was banned before its handshake was done',
    advice: 'memseal ban list says why and for how long; memseal ban remove lets it in again',
  },
  'wrong-pin': {
    words: "the client's certificate is none of those that are pinned in tls.fingerprints and tls.spki",
    advice: 'if it is to come in, add the fingerprint or spki beside this to the list',
  },
  'name-not-accepted': {
    words: "the client's certificate carries none of tls.names",
    advice: 'if it is to come in, add one of its names to tls.names',
  },
  'cn-only': {
    words: "the client's certificate has no subject alternative name, and the common name that would fit tls.names is not taken for one",
    advice: 'issue a certificate with a subject alternative name; or, where no CA of its chain has name constraints, write cn_as_name: allowed below tls',
  },
  'no-rule': {
    words: 'no rule of access is for this client',
    advice: 'if it is to come in, add a rule to access: the field match beside this is one that fits it',
  },
  'rule-full': {
    words: 'the client has all the connections that its rule lets it have',
    advice: 'let it close connections that it does not use, or raise limits.connections of its rule',
  },
  'wrong-purpose': {
    words: "the client's certificate may not be used by a TLS client",
    advice: 'issue it with extendedKeyUsage clientAuth (or without extendedKeyUsage)',
  },
  'weak-certificate': {
    words: "the client's certificate, or one that signed it, is too weak",
    advice: 'issue it anew: RSA with 2048 bits at least, or P-256, signed with SHA-256',
  },
  'bad-certificate': {
    words: "the client's certificate could not be used",
    advice: 'look at it with openssl x509 -text',
  },
  'bad-signature': {
    words: "a signature of the client's certificate or key is wrong",
    advice: "check that the client's certificate and key belong together, and that its chain is whole",
  },
  'tls-version': {
    words: 'the client offered no TLS version that this listener takes',
    advice: 'let the client use TLS 1.2 or 1.3 (tls.min_version)',
  },
  'no-shared-cipher': {
    words: 'the client offered no cipher suite, group or signature that this listener takes',
    advice: 'let the client use AES-GCM or ChaCha20 with ECDHE, and X25519, P-256 or P-384',
  },
  'plain-text': {
    words: 'the client spoke plain text to the TLS port',
    advice: 'turn TLS on in the client, or let it use a plain listener on loopback or a unix socket; a load balancer that sends PROXY ' +
      'headers has to be in proxy_protocol.from',
  },
  'http': {
    words: 'the client spoke HTTP to the TLS port',
    advice: 'this port takes memcached over TLS; a scanner or health check that speaks HTTP belongs elsewhere',
  },
  'proxy-header': {
    words: 'the client sent a PROXY header, and its address is not one of which they are believed',
    advice: 'if it is your load balancer, add its address to proxy_protocol.from; else it claims to be somebody else',
  },
  'timeout': {
    words: 'the handshake was not finished in time',
    advice: 'look for a client that connects and says nothing, or packet loss; see limits.handshake_timeout',
  },
  'displaced': {
    words: 'the client had connected and said nothing, or no more after its first message, and its place was needed for another',
    advice: 'look for a client that opens connections and does not use them; else raise limits.connections or connections_per_client',
  },
  'queue-full': {
    words: 'too many clients wait for their handshakes, most of them from this one',
    advice: 'let the client reconnect less often, or more slowly; keep its connections open between requests',
  },
  'gave-up': {
    words: 'the client left before the turn of its handshake came',
    advice: 'more clients connect than can be admitted at once; let them keep connections open, or wait longer for a new one',
  },
  'client-alert-unknown-ca': {
    words: "the client does not trust this listener's certificate",
    advice: "give the client the CA of tls.cert, and put any intermediate certificate into tls.cert",
  },
  'client-alert-bad-certificate': {
    words: "the client refused this listener's certificate, often because the name in it is another",
    advice: 'compare the name that the client connects to with the names in tls.cert',
  },
  'client-alert-expired': {
    words: "the client says that this listener's certificate has expired",
    advice: "renew tls.cert, and compare the client's clock",
  },
  'client-alert-other': {
    words: 'the client broke the handshake off with an alert',
    advice: "the alert is in the field code; the client's own log says more",
  },
  'closed': {
    words: 'the client closed the connection in the middle of the handshake',
    advice: "the client's log may say why; a client that does not trust this listener's certificate often just leaves",
  },
  'other': {
    words: 'the handshake failed',
    advice: 'the field code has the name of the error in OpenSSL',
  },
}

const reasons: Record<string, HandshakeFailureReason> = {
  // tlsSocket.authorizationError, and our own word for none at all
  NO_CERTIFICATE: 'no-certificate',
  NO_RULE: 'no-rule',
  RULE_FULL: 'rule-full',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown-ca',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown-ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown-ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown-ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknown-ca',
  CERT_UNTRUSTED: 'unknown-ca',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  CERT_REVOKED: 'revoked',
  CERT_DENIED: 'denied-certificate',
  CRL_HAS_EXPIRED: 'crl-expired',
  UNABLE_TO_GET_CRL: 'crl-missing',
  UNABLE_TO_GET_CRL_ISSUER: 'crl-missing',
  CRL_NOT_YET_VALID: 'crl-missing',
  CRL_SIGNATURE_FAILURE: 'crl-missing',
  RULES_CHANGED: 'rules-changed',
  BANNED: 'banned',
  WRONG_PIN: 'wrong-pin',
  NAME_NOT_ACCEPTED: 'name-not-accepted',
  CN_ONLY: 'cn-only',
  WEAK_KEY: 'weak-certificate',
  WEAK_HASH: 'weak-certificate',
  INVALID_PURPOSE: 'wrong-purpose',
  CERT_SIGNATURE_FAILURE: 'unknown-ca',
  UNABLE_TO_DECRYPT_CERT_SIGNATURE: 'bad-signature',
  // errors of the handshake itself
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'no-certificate',
  ERR_SSL_BAD_SIGNATURE: 'bad-signature',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'tls-version',
  ERR_SSL_VERSION_TOO_LOW: 'tls-version',
  ERR_SSL_WRONG_SSL_VERSION: 'tls-version',
  ERR_SSL_NO_SHARED_CIPHER: 'no-shared-cipher',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'no-shared-cipher',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'no-shared-cipher',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'no-shared-cipher',
  ERR_SSL_WRONG_VERSION_NUMBER: 'plain-text',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'plain-text',
  ERR_SSL_HTTP_REQUEST: 'http',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'http',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'timeout',
  // our own words for what is seen before the handshake
  PLAIN_TEXT: 'plain-text',
  HTTP_REQUEST: 'http',
  PROXY_HEADER: 'proxy-header',
  DISPLACED: 'displaced',
  QUEUE_FULL: 'queue-full',
  GAVE_UP: 'gave-up',
  ECONNRESET: 'closed',
  EPIPE: 'closed',
}

/** @param code of the error, or `tlsSocket.authorizationError`: `ERR_SSL_…`, `CERT_HAS_EXPIRED`, `NO_CERTIFICATE`,
 *  `ECONNRESET`, … */
export function handshakeFailure(code: string): HandshakeFailure {
  const reason = reasons[code] ?? (code.includes('_ALERT_') ? alertReason(code) : code === 'UNSPECIFIED' || isCertificateFault(code) ? 'bad-certificate' : 'other')
  return { reason, ...failures[reason] }
}

// ERR_SSL_TLSV1_ALERT_UNKNOWN_CA, ERR_SSL_TLSV13_ALERT_…, ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE: the prefix varies by
// the version of the RFC that brought the alert.
function alertReason(code: string): HandshakeFailureReason {
  const alert = code.slice(code.indexOf('_ALERT_') + '_ALERT_'.length)
  switch (alert) {
    case 'UNKNOWN_CA': return 'client-alert-unknown-ca'
    case 'BAD_CERTIFICATE': case 'CERTIFICATE_UNKNOWN': return 'client-alert-bad-certificate'
    case 'CERTIFICATE_EXPIRED': return 'client-alert-expired'
    case 'PROTOCOL_VERSION': return 'tls-version'
    default: return 'client-alert-other'
  }
}

// X509_V_ERR names that come as authorizationError carry no ERR_ before them.
function isCertificateFault(code: string): boolean {
  return !code.startsWith('ERR_') && /CERT|CRL|CHAIN|PURPOSE|CA|KEY|HASH/.test(code)
}
