/** The way of a client that shares a connection to memcached with others.
 *
 *  A client stays on its lane while that lives and is offered. It changes when nothing of it is in flight there: memcached may
 *  execute what comes on two connections in either order. */
import type { ServiceConfig } from '../config/schema.ts'
import { Status } from '../proto/binary-request.ts'
import { isShareableRow } from '../proto/commands.ts'
import { Found, type Dialect, type RequestFrame } from '../proto/frame.ts'
import type { PrivateReason } from '../telemetry/reasons.ts'
import type { BackendConnection } from './backend-connection.ts'
import { Pause } from './intake.ts'
import type { Pool } from './pool.ts'
import type { Traveller } from './traveller.ts'

/** What sharing needs of the service. */
export interface SharedHome {
  readonly limits: ServiceConfig['limits']
  pool(dialect: Dialect): Pool
  /** What a request gets that no lane can take. */
  downWords(dialect: Dialect): string
}

export class SharedRoute {
  readonly #home: SharedHome
  readonly #client: Traveller
  #lane: BackendConnection | undefined

  constructor(home: SharedHome, client: Traveller) {
    this.#home = home
    this.#client = client
  }

  /** @returns why the request cannot be shared, or undefined */
  obstacle(frame: RequestFrame): PrivateReason | undefined {
    if (frame.strict && isShareableRow[frame.row] === 1) return frame.size <= this.#home.limits.request_size ? undefined : 'oversize'
    return isShareableRow[frame.row] === 0 ? 'command' : 'unframed'
  }

  /** @returns why it is not taken: memcached wants a login, or its release at the lane may take the request for another */
  take(frame: RequestFrame, found: Found): PrivateReason | undefined {
    const lane = this.#laneFor(frame, found)
    if (lane === 'login') return lane
    if (lane === undefined) return undefined
    if (!lane.dialect.takes(frame)) return 'release'
    // The data block has to be whole before the request may enter a connection that others use.
    if (found === Found.head) this.#hold(frame)
    // What waits here counts among the unfinished requests; once handed over, only the lane's own limit applies.
    else if (lane.isFull) {
      lane.waitForRoom(this.#client)
      this.#client.intake.wait(found, Pause.backendFull)
    } else {
      lane.enter(frame, this.#client.outbox, false)
      this.#client.counted(frame)
    }
    return undefined
  }

  #hold(frame: RequestFrame): void {
    if (frame.size <= this.#home.limits.request_memory) return this.#client.intake.hold()
    this.#client.answer(frame, Found.head, 'SERVER_ERROR memseal: out of memory holding the request', Status.outOfMemory)
  }

  /** @returns undefined when there is none: the request waits, or was answered with an error */
  #laneFor(frame: RequestFrame, found: Found): BackendConnection | 'login' | undefined {
    const client = this.#client
    const lane = this.#lane
    if (lane !== undefined && lane.state === 'offered') return lane
    if (lane?.isReady === true && client.outbox.inFlight > 0) {
      client.move(found)
      return undefined
    }
    this.leave()
    const pool = this.#home.pool(client.intake.dialect)
    const next = pool.choose()
    if (next !== undefined) this.use(next)
    else if (pool.wantsLogin) return 'login'
    else if (pool.isDown) client.answer(frame, found, this.#home.downWords(client.intake.dialect), Status.unavailable)
    else {
      pool.wait(client)
      client.intake.wait(found, Pause.lane)
    }
    return next
  }

  use(lane: BackendConnection): void {
    if (this.#lane === lane) return
    this.leave()
    this.#lane = lane
    lane.clients++
  }

  leave(): void {
    if (this.#lane === undefined) return
    this.#lane.dialect.endRun()
    this.#lane.clients--
    this.#lane = undefined
  }

  endRun(): void {
    this.#lane?.dialect.endRun()
  }
}
