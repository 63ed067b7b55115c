/** Clients that log in by themselves in text. memcached with `-Y` takes the first `set` for a login, and stores nothing; any other would
 *  store it. So what a `set` is depends on what memcached has said.
 *
 *      a `set` that is not allowed ─┬─ memcached wants a login on the client's own connection ─▶ it is the login
 *                                   ├─ nobody knows yet ─▶ it waits
 *                                   └─ else ─▶ refused
 *      a `set` of the name and password that memseal has logged in with itself ─▶ answered as memcached does, and not sent */
import { Status } from '../proto/binary-request.ts'
import { SASL, SET } from '../proto/commands.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import { MOST_LOGIN_BYTES } from '../proto/login.ts'
import { Pause } from './intake.ts'
import type { PrivateHome, PrivateRoute } from './private-route.ts'
import type { SharedHome } from './shared-route.ts'
import type { Traveller } from './traveller.ts'

/** What is asked of the service. */
export interface LoginHome extends PrivateHome, Pick<SharedHome, 'pool'> {}

export class ClientLogins {
  readonly #home: LoginHome
  readonly #client: Traveller
  readonly #own: PrivateRoute

  constructor(home: LoginHome, client: Traveller, own: PrivateRoute) {
    this.#home = home
    this.#client = client
    this.#own = own
  }

  /** What becomes of a `set` that is not allowed.   @returns `waits`: it comes again */
  fateOf(frame: RequestFrame, found: Found): 'login' | 'waits' | 'refused' {
    const { login, hasLanes } = this.#home
    const isLogin = frame.dialect === 'text' && frame.size <= MOST_LOGIN_BYTES
    if (!isLogin || login !== undefined || !this.#client.permit.allowsRow(SASL)) return 'refused'
    if (found === Found.head) return this.#hold()
    if (this.#own.isOpen) return this.#own.isConnecting || this.#own.wantsLogin ? 'login' : 'refused'
    if (!hasLanes) return 'login'
    const pool = this.#home.pool('text')
    if (pool.wantsLogin) return 'login'
    if (pool.isReady || pool.isDown) return 'refused'
    pool.wait(this.#client)
    this.#client.intake.wait(found, Pause.lane)
    return 'waits'
  }

  /** A `set`.   @returns true when it is done with, or will come again */
  answers(frame: RequestFrame, found: Found): boolean {
    const { login } = this.#home
    if (login === undefined || frame.dialect !== 'text' || frame.valueBytes !== login.textBytes) return false
    const { permit } = this.#client
    if (!permit.allowsRow(SASL) && !permit.allowsRow(SET)) return false
    if (found === Found.head) return this.#hold() === 'waits'
    if (!login.isTextValue(valueOf(frame))) return false
    this.#client.answers.say(frame, found, 'STORED', Status.ok)
    this.#home.clientLogin(this.#client.peer, login.username, 'accepted')
    return true
  }

  #hold(): 'waits' {
    this.#client.intake.hold()
    return 'waits'
  }
}

function valueOf({ chunk, lineEnd, end, rest }: RequestFrame): Buffer {
  return Buffer.concat([chunk.subarray(lineEnd, end), ...rest]).subarray(0, -2)
}
