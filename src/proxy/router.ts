/** What becomes of each request of a client, by what its commands may be and by how its requests travel.
 *
 *      take(frame) ─▶ permit ─┬─ refused ─▶ our words, in their turn
 *                             ├─ shared ──▶ a lane; what may not be shared, or weighs too much, is private from then on
 *                             └─ private ─▶ the client's own connection: followed, or unread if everything is allowed and something
 *                                           came that cannot be framed. Heavy readers share again once they are light. */
import { Verdict } from '../policy/permit.ts'
import { isAuditedRow, QUIT, SET, UNKNOWN } from '../proto/commands.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { PrivateReason } from '../telemetry/reasons.ts'
import type { AnswersHome } from './answers.ts'
import { ClientLogins, type LoginHome } from './client-logins.ts'
import { Pause, type Taker } from './intake.ts'
import type { PrivateRoute } from './private-route.ts'
import type { SharedRoute } from './shared-route.ts'
import type { Traveller } from './traveller.ts'

export interface RouterHome extends AnswersHome, LoginHome {
  readonly sharing: 'shared' | 'private'
  readonly log: EventLog
}

export class Router implements Taker {
  readonly #home: RouterHome
  readonly #client: Traveller
  readonly #shared: SharedRoute
  readonly #private: PrivateRoute
  readonly #logins: ClientLogins
  /** How requests are to travel from now on; the client's state is where they are. */
  #goal: 'shared' | 'followed' | 'raw'

  constructor(home: RouterHome, client: Traveller, shared: SharedRoute, own: PrivateRoute) {
    this.#home = home
    this.#client = client
    this.#shared = shared
    this.#private = own
    this.#logins = new ClientLogins(home, client, own)
    this.#goal = home.sharing === 'private' ? 'followed' : 'shared'
  }

  get shares(): boolean {
    return this.#goal === 'shared'
  }

  take(frame: RequestFrame, found: Found): void {
    switch (found) {
      case Found.request: case Found.head: return this.#request(frame, found)
      case Found.faulty: return this.#faulty(frame)
      case Found.lost: return this.#lost(frame)
      case Found.http: return this.#client.finish('http')
      case Found.more: return
      default: found satisfies never
    }
  }

  #request(frame: RequestFrame, found: Found): void {
    const { permit } = this.#client
    // It was allowed, with all its keys, when its first part was sent.
    if (this.#shared.isInParts) return void this.#shared.take(frame, found)
    if (frame.row === SET && this.#logins.answers(frame, found)) return
    const verdict = permit.verdict(frame)
    if (verdict !== Verdict.allowed) return this.#forbidden(frame, found, verdict)
    if (isAuditedRow[frame.row] === 1 && this.#home.log.audit?.isBlind === true) return this.#client.answers.unrecorded(frame, found)
    if (frame.row === QUIT) return this.#quit(frame)
    if (this.#client.meter?.mayAsk() === false) return this.#client.intake.wait(found, Pause.rate)
    if (this.#goal === 'shared') {
      const obstacle = this.#shared.obstacle(frame) ?? this.#weight() ?? this.#shared.take(frame, found)
      if (obstacle === undefined) return
      const isFollowed = obstacle === 'oversize' || obstacle === 'heavy' || obstacle === 'login' || this.#isFollowed(frame)
      this.leaveSharing(isFollowed ? 'followed' : 'raw', obstacle)
    } else if (this.#goal === 'followed' && permit.passesUnread && !frame.strict && !this.#isFollowed(frame)) this.#goal = 'raw'
    else if (this.#mayShareAgain(frame)) return this.#shareAgain(frame, found)
    this.#privately(frame, found)
  }

  #forbidden(frame: RequestFrame, found: Found, verdict: Verdict): void {
    const fate = frame.row === SET ? this.#logins.fateOf(frame, found) : 'refused'
    if (fate === 'refused') return this.#client.answers.refuse(frame, found, verdict)
    if (fate === 'waits') return
    if (this.#client.meter?.mayAsk() === false) return this.#client.intake.wait(found, Pause.rate)
    if (this.#goal === 'shared') this.leaveSharing('followed', 'login')
    this.#privately(frame, found)
  }

  /** With an audit, what is known passes read: behind a `stats` nobody flushes unseen. */
  #isFollowed({ row }: RequestFrame): boolean {
    return this.#home.log.audit !== undefined && row !== UNKNOWN
  }

  /** @returns `heavy` when its values would hold up the others, and there is a connection to be had for it */
  #weight(): PrivateReason | undefined {
    return this.#client.outbox.share.isHeavy && this.#home.hasPrivatePlace ? 'heavy' : undefined
  }

  /** Who had to go for what it reads, and not for what it sends, may come back when it is light. A heavy reader that finds no place,
   *  since others were quicker, does not wait for one. */
  #mayShareAgain(frame: RequestFrame): boolean {
    const { record: { whyPrivate }, outbox } = this.#client
    const isLight = (whyPrivate === 'heavy' || whyPrivate === 'behind') && outbox.share.isLightAgain
    const findsNoPlace = whyPrivate === 'heavy' && !this.#private.isOpen && !this.#home.hasPrivatePlace
    return (isLight || findsNoPlace) && this.#shared.obstacle(frame) === undefined
  }

  #shareAgain(frame: RequestFrame, found: Found): void {
    if (this.#client.outbox.inFlight > 0) return this.#client.move(found)
    this.#private.leave()
    this.#goal = 'shared'
    this.#request(frame, found)
  }

  #faulty(frame: RequestFrame): void {
    if (!this.#client.intake.isOtherDialect && this.#goesRaw(frame, Found.faulty)) return
    this.#client.answers.faulty(frame, Found.faulty)
  }

  /** Nobody can say where it ends, so it is the last one. */
  #lost(frame: RequestFrame): void {
    if (this.#client.intake.isOtherDialect) return this.#client.finish('protocol')
    if (this.#goesRaw(frame, Found.lost)) return
    this.#client.answers.faulty(frame, Found.lost)
    this.#client.finish('protocol')
  }

  #goesRaw(frame: RequestFrame, found: Found): boolean {
    if (!this.#client.permit.passesUnread || this.#home.log.audit?.isBlind === true) return false
    if (this.#goal === 'shared') this.leaveSharing('raw', 'unframed')
    this.#goal = 'raw'
    this.#privately(frame, found)
    return true
  }

  #privately(frame: RequestFrame, found: Found): void {
    if (this.#client.outbox.inFlight === 0) this.#shared.leave()
    this.#private.take(frame, found, this.#goal === 'raw')
  }

  #quit(frame: RequestFrame): void {
    this.#client.answers.quit(frame)
    this.#client.finish('quit')
  }

  takePiece(piece: Buffer): void {
    this.#private.takePiece(piece)
  }

  bodyEnded(): void {
    this.#private.bodyEnded()
  }

  /** From now on only a private connection will do.   @param goal `raw`: unread, if everything is allowed */
  leaveSharing(goal: 'followed' | 'raw', why: PrivateReason): void {
    this.#goal = this.#client.permit.passesUnread ? goal : 'followed'
    this.#client.record.whyPrivate = why
  }

  /** Not everything is allowed any more: what comes is read. */
  permitNarrowed(): void {
    if (this.#goal === 'raw') this.#goal = 'followed'
  }
}
