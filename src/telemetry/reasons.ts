// Closed lists of words that the log, the metrics and `memseal connections` share.

/** Why a connection was refused before a byte of it was read, but for a PROXY header, in the order in which the questions are asked; the
 *  last two of a client without TLS, which has said all that rules are held against. */
export const refusals = [
  'proxy-header', 'banned', 'denied', 'not-allowed', 'audit-unavailable', 'backend-down', 'process-full', 'service-full', 'group-full', 'client-full', 'too-fast', 'no-rule', 'rule-full',
] as const
export type RefusalReason = typeof refusals[number]

/** Why a handshake failed. */
export const handshakeFailures = [
  'no-certificate', 'unknown-ca', 'expired', 'not-yet-valid', 'revoked', 'denied-certificate', 'crl-expired', 'crl-missing', 'rules-changed', 'banned', 'wrong-pin',
  'name-not-accepted', 'cn-only', 'no-rule', 'rule-full', 'wrong-purpose', 'weak-certificate', 'bad-certificate',
  'bad-signature', 'tls-version', 'no-shared-cipher', 'plain-text', 'http', 'proxy-header', 'timeout', 'displaced', 'queue-full', 'gave-up',
  'client-alert-unknown-ca', 'client-alert-bad-certificate', 'client-alert-expired', 'client-alert-other',
  'closed', 'other',
] as const
export type HandshakeFailureReason = typeof handshakeFailures[number]
/** Those of a certificate that the CA has signed. `expired` is not among them: it is said of a certificate whose signature is bad, too. Nor
 *  are `denied-certificate`, which is asked first, and `wrong-pin`, which may stand in the place of a CA. */
export const vouchedFor: ReadonlySet<string> = new Set<HandshakeFailureReason>([
  'revoked', 'name-not-accepted', 'cn-only', 'no-rule', 'rule-full',
])

/** Why a client connection ended. */
export const clientCloses = [
  'client-closed', 'client-reset', 'quit', 'idle', 'request-timeout', 'max-age', 'drain', 'drain-timeout', 'killed', 'banned', 'commands-changed', 'access-changed', 'revoked',
  'tls-flood', 'request-memory', 'reply-backlog', 'reply-memory', 'protocol', 'http', 'proxy-header', 'private-limit', 'backend-closed',
  'login-lost', 'backend-down', 'backend-unavailable', 'backend-lost-mid-reply', 'backend-out-of-step',
] as const
export type ClientClose = typeof clientCloses[number]

/** Why a connection to the backend ended, or could not be opened. */
export const backendCloses = [
  'connect-failed', 'connect-timeout', 'closed-by-backend', 'backend-error', 'reply-timeout', 'upload-stuck', 'replies-lost', 'out-of-step', 'not-memcached', 'login-wanted', 'login-refused',
  'client-gone', 'drained', 'tls-failed', 'replaced',
] as const
export type BackendClose = typeof backendCloses[number]

/** Why a client was given a backend connection of its own. */
export const privateReasons = ['configured', 'command', 'oversize', 'release', 'heavy', 'behind', 'unframed', 'login'] as const
export type PrivateReason = typeof privateReasons[number]
