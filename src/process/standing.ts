/** Clients that are in are held against certificates, lists and CAs that a reload has put in force:
 *
 *      commit ─▶ judge(sessions, secure) ─ some, a turn of the loop, some … ─▶ expelled, unless `revoked: keep`
 *
 *  Others are served between two slices. A certificate is judged once, however many connections it has. */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import type { ClientSession } from '../proxy/client-session.ts'
import type { Service } from '../proxy/service.ts'
import type { ListenerTls } from '../tls/context.ts'
import { handshakeFailure } from '../tls/handshake-failure.ts'
import { standingFault } from '../tls/standing.ts'

/** Longest that others wait for a slice. */
const SLICE_MS = 5

export class Standing {
  readonly #service: Service
  /** The newest that is asked for; what is under way for an older one ends. */
  #generation = 0

  constructor(service: Service) {
    this.#service = service
  }

  /** @param secures by the name of the listener, of those where something is another now */
  async judge(secures: ReadonlyMap<string, ListenerTls>): Promise<void> {
    const generation = ++this.#generation
    const known = new Map<string, string | undefined>()
    let sliceEnds = performance.now() + SLICE_MS
    for (const session of [...this.#service.sessions]) {
      if (performance.now() > sliceEnds) {
        await turnOfTheLoop()
        if (generation !== this.#generation) return
        sliceEnds = performance.now() + SLICE_MS
      }
      const secure = secures.get(session.peer.listener)
      if (secure !== undefined && !session.isClosed) this.#look(session, secure, known)
    }
  }

  #look(session: ClientSession, secure: ListenerTls, known: Map<string, string | undefined>): void {
    const { socket, peer } = session
    if (!(socket instanceof TLSSocket)) return
    const key = `${peer.listener} ${peer.tls?.fingerprint ?? ''}`
    if (!known.has(key)) known.set(key, standingFault(secure, socket.getPeerX509Certificate()))
    const code = known.get(key)
    if (code !== undefined) this.#service.access.expel(session, 'revoked', handshakeFailure(code).words)
  }
}
