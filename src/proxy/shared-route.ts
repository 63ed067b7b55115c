/** The way of a client that shares a connection to memcached with others.
 *
 *  A client stays on its lane while that lives and is offered. It changes when nothing of it is in flight there: memcached may
 *  execute what comes on two connections in either order. */
import type { ServiceConfig } from '../config/schema.ts'
import { Status } from '../proto/binary-request.ts'
import { commands, isReadRow, isShareableRow } from '../proto/commands.ts'
import { Found, MAX_GET_LINE, MAX_KEYS, MAX_LINE, SPACE, type Dialect, type RequestFrame } from '../proto/frame.ts'
import type { PrivateReason } from '../telemetry/reasons.ts'
import type { BackendConnection } from './backend-connection.ts'
import type { Part } from './dialect.ts'
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
  /** Of the get in hand, where the keys begin that were not sent yet; 0: no part of it was sent. */
  #nextKey = 0

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
    else if (lane.staging.isFull) {
      lane.staging.waitForRoom(this.#client)
      this.#client.intake.wait(found, Pause.backendFull)
    } else if (isReadRow[frame.row] === 1) this.#read(lane, frame, found)
    else {
      lane.enter(frame, this.#client.outbox, false)
      this.#client.counted(frame)
    }
    return undefined
  }

  /** What it reads is bounded by its share. A get of more keys than that goes out in parts, as the replies to those before come. */
  #read(lane: BackendConnection, frame: RequestFrame, found: Found): void {
    const client = this.#client
    const { outbox, intake } = client
    for (;;) {
      const room = Math.min(outbox.share.room, MAX_KEYS)
      // Paused for another reason it waits for that; what is outstanding may have been answered by then.
      if (room === 0 || intake.isPaused) return intake.wait(found, room === 0 ? Pause.share : 0)
      if (this.#nextKey === 0 && (frame.keys === 1 || (frame.keys <= room && frame.size <= longestLine(frame)))) {
        lane.enter(frame, outbox, false)
        return client.counted(frame)
      }
      const part = partOf(frame, this.#nextKey, room)
      lane.enterPart(frame, outbox, part)
      if (part.isLast) {
        this.#nextKey = 0
        return client.counted(frame)
      }
      this.#nextKey = part.to
      client.pauseIfFull()
    }
  }

  /** Parts of a get have been sent, and others are to follow. */
  get isInParts(): boolean {
    return this.#nextKey > 0
  }

  dropRest(): void {
    if (this.#nextKey === 0) return
    this.#nextKey = 0
    this.#client.intake.takeBackWaiting()
  }

  #hold(frame: RequestFrame): void {
    if (frame.size <= this.#home.limits.request_memory) return this.#client.intake.hold()
    this.#client.answers.say(frame, Found.head, 'SERVER_ERROR memseal: out of memory holding the request', Status.outOfMemory)
  }

  /** @returns undefined when there is none: the request waits, or was answered with an error */
  #laneFor(frame: RequestFrame, found: Found): BackendConnection | 'login' | undefined {
    const client = this.#client
    const lane = this.#lane
    if (lane !== undefined && (lane.state === 'offered' || (this.isInParts && lane.isReady))) return lane
    if (lane?.isReady === true && client.outbox.inFlight > 0) {
      client.move(found)
      return undefined
    }
    this.leave()
    const pool = this.#home.pool(client.intake.dialect)
    const next = pool.choose()
    if (next !== undefined) this.use(next)
    else if (pool.wantsLogin) return 'login'
    // Some of the values are with the client: nothing else may stand in the place of the rest.
    else if (pool.isDown && this.isInParts) client.destroy('backend-lost-mid-reply')
    else if (pool.isDown) client.answers.say(frame, found, this.#home.downWords(client.intake.dialect), Status.unavailable)
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
    this.#lane.longReply.letGo(this.#client.outbox)
    this.#lane.clients--
    this.#lane = undefined
  }

  endRun(): void {
    this.#lane?.dialect.endRun()
  }

  /** The lane may have waited for that. */
  repliesTaken(): void {
    this.#lane?.longReply.repliesTaken()
  }
}

/** Bytes that memcached takes of a line of its kind. */
const longestLine = ({ row }: RequestFrame): number => commands[row].syntax === 'exptime-keys' ? MAX_LINE : MAX_GET_LINE

/** The next `most` keys, or as many of them as make a line that memcached takes.   @param from 0: the first one */
function partOf(frame: RequestFrame, from: number, most: number): Part {
  const { chunk, keyStart, keyEnd, start } = frame
  const isFirst = from === 0
  let at = isFirst ? keyStart : from
  while (chunk[at] === SPACE) at++
  const begin = at
  const longest = longestLine(frame) - (keyStart - start) - 2
  let to = at
  let keys = 0
  while (at < keyEnd) {
    let end = at
    while (end < keyEnd && chunk[end] !== SPACE) end++
    if (keys === most || (keys > 0 && end - begin > longest)) break
    keys++
    to = end
    for (at = end; at < keyEnd && chunk[at] === SPACE;) at++
  }
  return { from: begin, to, keys, isFirst, isLast: at === keyEnd }
}
