/** Why a connection to memcached was lost, in words for people. */
import { whyNotSeen } from '../lib/hidden-paths.ts'
import { systemErrorText } from '../lib/system-error.ts'
import type { ProtocolError } from '../proto/reply.ts'
import type { BackendClose } from '../telemetry/reasons.ts'
import type { Route } from './target.ts'

/** What else the log says of it. */
export interface Loss {
  /** In place of `BackendClose`, if it is TLS that failed. */
  reason?: string
  advice: string
  /** Of one that went out of step: what was asked, what came instead (the first bytes of both, printable), and how many clients
   *  were closed for it. */
  asked?: string
  answered?: string
  clients?: number
}

export type Ending = readonly [why: BackendClose, words: string, loss?: Loss]

export const OUT_OF_STEP_ADVICE =
  'if it comes again, compare what was asked with what was answered: behind backend.connect may be no memcached, or a proxy that answers in another order'
const LOGIN_OF = 'compare backend.auth (username, password_file) with '
const LOGIN_ADVICE = {
  text: `${LOGIN_OF}the line of that user in the file of memcached's -Y; it reads that file at its start and at SIGHUP`,
  binary: `${LOGIN_OF}the users of memcached's SASL (sasldblistusers2), and see that its mech_list has plain`,
}
export const NO_MEMORY_ADVICE = 'raise read_buf_mem_limit of memcached (-o), or let clients ask for fewer keys at once'

/** @param error undefined: the other side has ended it   @param failure of TLS, while it was being opened */
export function endingOf(error: NodeJS.ErrnoException | undefined, failure: (Loss & { words: string }) | undefined, isConnecting: boolean, route: Route): Ending {
  const words = error === undefined ? 'the backend closed the connection' : describe(error)
  if (!isConnecting) return [error === undefined ? 'closed-by-backend' : 'backend-error', words]
  if (failure !== undefined) return ['tls-failed', failure.words, failure]
  return ['connect-failed', error === undefined ? words : words + hiddenBy(route)]
}

/** What is there is no memcached, or not for us.   @param shown what it has said, as far as that is at hand */
export function greetingFailure({ code, message }: ProtocolError, dialect: 'text' | 'binary', shown: string): Ending {
  switch (code) {
    case 'login-wanted': return [code, message]
    case 'login-refused': return [code, message, { advice: LOGIN_ADVICE[dialect] }]
    case 'not-memcached': return [code, message]
    default: return ['not-memcached', `it answered "${shown}"`]
  }
}

/** A socket of memcached in /tmp is there for everybody but a unit with a /tmp of its own. */
function hiddenBy({ address }: Route): string {
  const hidden = 'path' in address ? whyNotSeen(address.path) : undefined
  return hidden === undefined ? '' : ` (${hidden.words}. ${hidden.fix})`
}

/** Node's message names the address already; its code is what people search for. */
function describe(error: NodeJS.ErrnoException): string {
  return error.code === undefined ? error.message : systemErrorText(error.code, `${error.code}: ${error.message}`)
}

/** One sentence for the log. */
export function lossText(words: string, loss: Loss | undefined): string {
  if (loss?.answered === undefined) return `the backend does not answer: ${words}`
  const asked = loss.asked === '' ? 'to nothing' : `to "${loss.asked}"`
  return `the backend is out of step (${words}): ${asked} it answered "${loss.answered}"; clients closed for it: ${loss.clients}`
}
