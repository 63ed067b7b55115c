/** The way of a client that has a connection to memcached of its own.
 *
 *      (nothing in flight elsewhere) ─▶ connecting ─▶ followed: requests framed, uploads in pieces ─▶ unread: both directions pass
 *
 *  It is opened by the first request that may not be shared, and opened anew after a loss, when the next request comes. */
import type { Clock } from '../lib/clock.ts'
import type { Peer } from '../policy/peer.ts'
import { Status } from '../proto/binary-request.ts'
import { isLoginRow, SASL, SET } from '../proto/commands.ts'
import { Found, type Dialect, type RequestFrame } from '../proto/frame.ts'
import { MOST_LOGIN_BYTES, userOf, type Login } from '../proto/login.ts'
import type { BackendClose, ClientClose, PrivateReason } from '../telemetry/reasons.ts'
import type { BackendConnection, BackendOwner } from './backend-connection.ts'
import { LOGIN_REFUSED_WORDS, UNAVAILABLE_WORDS } from './backend-pools.ts'
import { Pause } from './intake.ts'
import type { Loss } from './loss.ts'
import type { WaitsForPlace } from './place-queue.ts'
import type { Route } from './target.ts'
import { UNAUTHENTICATED } from './text-greeting.ts'
import type { Traveller } from './traveller.ts'

/** What private connections need of the service. */
export interface PrivateHome {
  readonly clock: Clock
  /** One more may be opened. */
  readonly hasPrivatePlace: boolean
  /** @returns undefined when there are as many as there may be */
  openPrivate(dialect: Dialect, owner: BackendOwner, why: PrivateReason): BackendConnection | undefined
  readonly replyTimeoutMs: number
  /** It is told when there are fewer, or when it has waited for `replyTimeoutMs`. */
  waitForPlace(who: WaitsForPlace): void
  privateRefused(): void
  leavePlaceQueue(who: WaitsForPlace): void
  privateClosed(connection: BackendConnection): void
  /** A client's own connection ended, and the client noticed. */
  privateLost(peer: Peer, route: Route, reason: string, words: string, loss: Loss | undefined): void
  lost(why: BackendClose): void
  /** A client has logged in by itself, or was not let. @param user '' when that is not known */
  clientLogin(peer: Peer, user: string, outcome: 'accepted' | 'refused'): void
  /** memcached's release has `mn`, as far as is known. */
  readonly hasMn: boolean
  /** There are lanes, which find out whether memcached wants a login. */
  readonly hasLanes: boolean
  /** It has said so. */
  readonly wantsLogin: boolean
  /** What memseal itself logs in with. */
  readonly login: Login | undefined
  /** It was refused a moment ago. */
  readonly isLoginBarred: boolean
}

/** It could not be opened. */
const neverReady: ReadonlySet<BackendClose> = new Set(['connect-failed', 'connect-timeout', 'tls-failed', 'not-memcached', 'login-refused'])

export class PrivateRoute implements BackendOwner, WaitsForPlace {
  readonly #home: PrivateHome
  readonly #client: Traveller
  #connection: BackendConnection | undefined
  #isRaw = false
  /** Its client shows a login of its own, so memseal does not: memcached takes but one on a connection. */
  bringsLogin = false
  /** Whose login was sent last. */
  #user = ''
  /** It has waited for a place in vain: for as long again it is told at once, or a pipeline would wait for each of its requests. */
  #refusedUntil = 0
  /** The connection that stands carries a login of its client; or perhaps: a `set` was the first that it asked. */
  #hasLogin = false
  #mayHaveLogin = false
  /** An earlier connection may have carried one, and is lost. */
  #mayHaveLostLogin = false

  constructor(home: PrivateHome, client: Traveller) {
    this.#home = home
    this.#client = client
  }

  get isOpen(): boolean {
    return this.#connection !== undefined
  }

  get isConnecting(): boolean {
    return this.#connection?.isConnecting === true
  }

  get isEndless(): boolean {
    return this.#connection?.isEndless === true
  }

  /** memcached answers nothing but a login on it. */
  get wantsLogin(): boolean {
    return this.#connection?.isReady === true && this.#connection.dialect.replies.wantsLogin
  }

  get mayLogIn(): boolean {
    const { login, wantsLogin, hasLanes } = this.#home
    const { permit, intake } = this.#client
    if (login !== undefined || intake.dialect !== 'text') return false
    return wantsLogin || (!hasLanes && permit.allowsRow(SASL) && permit.mayRefuseSet)
  }

  /** @param isUnread from this request on bytes pass unread */
  take(frame: RequestFrame, found: Found, isUnread: boolean): void {
    const client = this.#client
    if (isLoginRow[frame.row] === 1 && !this.#takesLogin(frame, found)) return
    const connection = this.#connection
    // Replies that are still to come on the shared lane come first.
    if (connection === undefined) return client.outbox.inFlight > 0 ? client.move(found) : this.#open(found)
    // Being opened; or lost a moment ago, and still telling those in flight: `backendClosed` comes next, and another with it.
    if (!connection.isReady) return client.move(found)
    if (isUnread) return client.outbox.inFlight > 0 ? client.move(found) : this.#turnRaw(connection)
    client.arrived()
    if (connection.dialect.replies.wantsLogin && this.#isHeldOff(frame, found)) return
    const isHead = found === Found.head
    if (isHead && this.#home.hasMn) connection.dialect.endBeforeUpload()
    connection.enter(frame, client.outbox, isHead)
    if (isHead) {
      client.intake.stream()
      connection.uploading(true)
    }
    client.counted(frame)
    this.#waitIfFull(connection)
  }

  /** memcached would say the same to each of them, but to several of one packet only once, and to a value of its own. So it is asked
   *  nothing but the login, and what follows waits for the answer.   @returns true when the request is not to be sent now */
  #isHeldOff(frame: RequestFrame, found: Found): boolean {
    const { outbox, answers } = this.#client
    if (outbox.inFlight > 0) this.#client.move(found)
    else if (frame.row !== SET) answers.say(frame, found, UNAUTHENTICATED, Status.invalid)
    else return !this.#takesLogin(frame, found)
    return true
  }

  /** One after the other, and whole, so that it is known whose login is answered.   @returns false when it comes again */
  #takesLogin(frame: RequestFrame, found: Found): boolean {
    const { outbox, intake } = this.#client
    if (found === Found.head && frame.size <= MOST_LOGIN_BYTES) intake.hold()
    else if (outbox.inFlight > 0) this.#client.move(found)
    else {
      this.#user = userOf(frame)
      if (this.#home.login !== undefined && !this.bringsLogin) {
        this.bringsLogin = true
        this.leave('its client logs in by itself')
      }
      return true
    }
    return false
  }

  #open(found: Found): void {
    const client = this.#client
    client.move(found)
    if (this.#home.isLoginBarred && !this.bringsLogin) return this.#fail(LOGIN_REFUSED_WORDS, 'backend-unavailable')
    if (this.#mayOpen()) return
    if (this.#home.clock.now < this.#refusedUntil) this.placeLate()
    else this.#home.waitForPlace(this)
  }

  /** @returns false when there are as many as there may be */
  #mayOpen(): boolean {
    const client = this.#client
    const connection = this.#connection = this.#home.openPrivate(client.intake.dialect, this, client.record.whyPrivate)
    // Its memory was more than there may be, and this client was the one that had to go for it.
    if (client.isClosed) this.close()
    return connection !== undefined
  }

  placeFree(): void {
    this.#mayOpen()
  }

  placeLate(): void {
    const { clock, replyTimeoutMs } = this.#home
    this.#home.privateRefused()
    if (clock.now >= this.#refusedUntil) this.#refusedUntil = clock.now + replyTimeoutMs
    this.#fail('SERVER_ERROR memseal: too many private connections', 'private-limit')
  }

  backendReady(): void {
    this.#client.arrived()
  }

  // A login belongs to a connection. When that is lost, its client has to start over.

  loggedIn(isSure: boolean): void {
    if (isSure || this.#home.wantsLogin) {
      this.#hasLogin = true
      this.#home.clientLogin(this.#client.peer, this.#user, 'accepted')
    } else this.#mayHaveLogin = true
  }

  loginRefused(): void {
    this.#home.clientLogin(this.#client.peer, this.#user, 'refused')
  }

  /** It was served before, and now it is a stranger: it had logged in. */
  loginWanted(): void {
    if (this.#mayHaveLostLogin) this.#client.destroy('login-lost')
  }

  /** No fence in the middle of a data block: memcached would take it for a part of the value. */
  endRun(): void {
    if (!this.#client.intake.isStreaming) this.#connection?.dialect.endRun()
  }

  #waitIfFull(connection: BackendConnection): void {
    if (!connection.staging.isFull) return
    connection.staging.waitForRoom(this.#client)
    this.#client.intake.keep(connection.staging.unsent)
    this.#client.intake.pause(Pause.backendFull)
  }

  // A data block that passes in pieces.

  takePiece(piece: Buffer): void {
    if (this.#connection === undefined) return
    this.#connection.send(piece, 0, piece.length)
    this.#waitIfFull(this.#connection)
  }

  bodyEnded(): void {
    this.#connection?.uploading(false)
    this.#client.bodyDone()
    if (this.#connection !== undefined) this.#waitIfFull(this.#connection)
  }

  /** Its client has ended in the midst of it. */
  abandonUpload(): void {
    this.#connection?.abandonUpload()
  }

  // Unread.

  #turnRaw(connection: BackendConnection): void {
    this.#isRaw = true
    connection.passUnread(this.#client.outbox)
    for (const piece of this.#client.intake.takeRest()) connection.send(piece, 0, piece.length)
    this.#client.turnedRaw()
  }

  passOn(chunk: Buffer): void {
    if (this.#connection === undefined) return
    this.#connection.send(chunk, 0, chunk.length)
    this.#waitIfFull(this.#connection)
  }

  /** The client has sent all it will. */
  endWriting(): void {
    this.#connection?.endWriting()
  }

  // The client does not take its replies.

  pauseReading(): void {
    this.#connection?.pauseReading()
  }

  resumeReading(): void {
    this.#connection?.resumeReading()
  }

  // The end.

  backendClosed(connection: BackendConnection, why: BackendClose, words: string, loss: Loss | undefined): void {
    const client = this.#client
    this.#home.privateClosed(connection)
    if (this.#connection !== connection) return
    this.#connection = undefined
    const wasConnecting = neverReady.has(why)
    const isCutShort = this.#isRaw || client.intake.isStreaming || this.#hasLogin
    if (this.#mayHaveLogin) this.#mayHaveLostLogin = true
    if (why !== 'client-gone') {
      this.#home.lost(why)
      const isNoticed = wasConnecting || !connection.wasIdle || isCutShort
      if (isNoticed) this.#home.privateLost(client.peer, connection.route, loss?.reason ?? why, words, loss)
    }
    if (client.isClosed) return
    if (isCutShort) return client.finish(this.#hasLogin ? 'login-lost' : 'backend-closed')
    if (wasConnecting) this.#fail(why === 'login-refused' ? LOGIN_REFUSED_WORDS : UNAVAILABLE_WORDS, 'backend-unavailable')
    else client.wentBack()
  }

  /** No connection can be had: the request that waits gets its error; one whose end is not known cannot be skipped. */
  #fail(words: string, why: ClientClose): void {
    const client = this.#client
    const waiting = client.intake.takeBackWaiting()
    if (waiting !== undefined) {
      client.answers.say(waiting.frame, waiting.found, words, Status.unavailable)
      if (waiting.found !== Found.request && waiting.found !== Found.head) return client.finish(why)
    }
    client.wentBack()
  }

  /** Its client goes elsewhere; nothing is in flight here. */
  leave(words = 'its client shares again'): void {
    const connection = this.#connection
    this.#connection = undefined
    connection?.fail('replaced', words)
  }

  close(): void {
    this.#home.leavePlaceQueue(this)
    this.#connection?.fail('client-gone', 'its client has left')
  }
}
