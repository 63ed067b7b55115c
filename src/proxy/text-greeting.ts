/** How a connection of the text protocol gets to know its memcached, and who logs in there. With `-Y` memcached says "unauthenticated"
 *  to whatever it is asked, until the first good `set`: that is the login, and nothing is stored.
 *
 *      begin: version ─┬─ VERSION … ──────────────────────────────────────────────────────────────▶ greeted
 *                      └─ unauthenticated ─┬─ we have a login ─ set ─ STORED ─ version ─ VERSION … ─▶ greeted
 *                                          │                     └─ anything else ─────────────────▶ login-refused
 *                                          ├─ a lane without one ──────────────────────────────────▶ login-wanted
 *                                          └─ a private connection: its client has to log in ──────▶ greeted
 *
 *  A login is shown to nobody who has not asked for one on this very connection: without `-Y` it would be a `set`, and the password a
 *  value that every client can get. */
import { release } from '../proto/bytes.ts'
import { SET, VERSION } from '../proto/commands.ts'
import { ProtocolError } from '../proto/reply.ts'
import type { Wire } from './dialect.ts'

const VERSION_REQUEST = Buffer.from('version\r\n')
/** What stands for our login wherever requests are shown. */
const LOGIN_SHOWN = Buffer.from('(the login of memseal)\r\n')
/** What memcached with `-Y` says until the first good login. */
const LOGIN_WANTED = /^CLIENT_ERROR (unauthenticated|authentication failure|bad authentication token format)$/
export const UNAUTHENTICATED = 'CLIENT_ERROR unauthenticated'
const STORED = 'STORED'

/** Writes a request of ours, which any line answers.   @param shown stands for it where requests are shown */
type Ask = (request: Buffer, row: number, shown: Buffer) => void

export class TextGreeting {
  readonly #wire: Wire
  readonly #ask: Ask
  /** Of a private connection: it has answered its client nothing but that it wants a login. */
  isStranger: boolean
  /** It has said that it wants a login, and nobody has logged in yet. */
  wantsLogin = false
  #hasLoggedIn = false

  constructor(wire: Wire, ask: Ask) {
    this.#wire = wire
    this.#ask = ask
    this.isStranger = wire.isPrivate
  }

  begin(): void {
    this.#ask(VERSION_REQUEST, VERSION, VERSION_REQUEST)
  }

  /** The answer to a request of `begin`, or to what followed from it.
   *  @param line without its end   @param shown what has come, for the log   @throws ProtocolError */
  answered(row: number, line: string, shown: string): void {
    if (row === SET) this.#answeredLogin(line, shown)
    else if (line.startsWith('VERSION ')) this.#met(line.slice('VERSION '.length))
    else if (line === UNAUTHENTICATED) this.#asked(shown)
    else throw new ProtocolError('not-memcached', `it answered "${shown}"`)
  }

  #met(version: string): void {
    const wire = this.#wire
    this.isStranger = false
    if (wire.login !== undefined && !this.#hasLoggedIn) wire.witness.loginNotWanted?.()
    if (wire.isPrivate) wire.greeted('', 0)
    else wire.greeted(version, release(version))
  }

  #asked(shown: string): void {
    const wire = this.#wire
    if (this.#hasLoggedIn) throw new ProtocolError('login-refused', `it took the login, and then answered "${shown}"`)
    if (wire.login !== undefined) return this.#ask(wire.login.textRequest, SET, LOGIN_SHOWN)
    if (!wire.isPrivate) throw new ProtocolError('login-wanted', `it answered "${shown}"`)
    this.wantsLogin = true
    wire.greeted('', 0)
  }

  #answeredLogin(line: string, shown: string): void {
    if (line !== STORED) throw new ProtocolError('login-refused', `it answered "${shown}"`)
    this.#hasLoggedIn = true
    this.begin()
  }

  /** A reply to the client of a private connection: with `-Y` the first `set` is the login; without, it is a `set`. */
  saw(row: number, line: string): void {
    if (LOGIN_WANTED.test(line)) {
      this.wantsLogin = true
      if (row === SET && line !== UNAUTHENTICATED) this.#wire.witness.loginRefused?.()
      this.#wire.witness.loginWanted?.()
      return
    }
    this.isStranger = false
    if (row === SET && line === STORED) this.#wire.witness.loggedIn?.(this.wantsLogin)
    this.wantsLogin = false
  }
}
