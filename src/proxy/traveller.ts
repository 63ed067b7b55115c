/** A client, as the ways to memcached see it: the shared one (shared-route.ts) and its own (private-route.ts). */
import type { Peer } from '../policy/peer.ts'
import type { Meter } from '../policy/allowance.ts'
import type { Permit } from '../policy/permit.ts'
import type { Found, RequestFrame } from '../proto/frame.ts'
import type { ClientClose } from '../telemetry/reasons.ts'
import type { Answers } from './answers.ts'
import type { ClientRecord } from './client-record.ts'
import type { Intake } from './intake.ts'
import type { Outbox } from './outbox.ts'
import type { WaitsForLane } from './pool.ts'
import type { WaitsForRoom } from './staging.ts'

export interface Traveller extends WaitsForRoom, WaitsForLane {
  readonly peer: Peer
  readonly permit: Permit
  /** What it takes up of the limits of its rule, if those are of a kind that takes counting. */
  readonly meter: Meter | undefined
  readonly outbox: Outbox
  readonly intake: Intake
  readonly record: ClientRecord
  readonly answers: Answers
  readonly isClosed: boolean
  /** The request waits until nothing is in flight, or until the connection stands. */
  move(found: Found): void
  /** Its own connection stands. */
  arrived(): void
  /** Nothing that it sends is looked at any more. */
  turnedRaw(): void
  /** The connection is gone; the next request opens another. */
  wentBack(): void
  /** The request is in flight. */
  counted(frame: RequestFrame): void
  /** It may have as many in flight now as it may. */
  pauseIfFull(): void
  bodyDone(): void
  finish(why: ClientClose): void
  destroy(why: ClientClose): void
}
