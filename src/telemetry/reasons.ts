// Closed lists of words that the log, the metrics and `memseal connections` share.

/** Why a client connection ended. */
export const clientCloses = [
  'client-closed', 'client-reset', 'quit', 'idle', 'request-timeout', 'max-age', 'drain', 'drain-timeout', 'killed', 'commands-changed',
  'tls-flood', 'request-memory', 'reply-backlog', 'reply-memory', 'protocol', 'http', 'private-limit', 'backend-closed',
  'login-lost', 'backend-down', 'backend-unavailable', 'backend-lost-mid-reply', 'backend-out-of-step',
] as const
export type ClientClose = typeof clientCloses[number]

/** Why a connection to the backend ended, or could not be opened. */
export const backendCloses = [
  'connect-failed', 'connect-timeout', 'closed-by-backend', 'backend-error', 'reply-timeout', 'upload-stuck', 'replies-lost', 'out-of-step', 'not-memcached', 'login-wanted',
  'client-gone', 'drained', 'tls-failed', 'replaced',
] as const
export type BackendClose = typeof backendCloses[number]

/** Why a client was given a backend connection of its own. */
export const privateReasons = ['configured', 'command', 'oversize', 'release', 'heavy', 'behind', 'unframed', 'login'] as const
export type PrivateReason = typeof privateReasons[number]
