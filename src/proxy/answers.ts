/** What memseal itself says to a client in memcached's stead: in the client's dialect, and behind whatever it is still owed. */
import type { CommandPolicy } from '../policy/command-policy.ts'
import type { Peer } from '../policy/peer.ts'
import { commands, groupOfRow } from '../proto/commands.ts'
import { Status } from '../proto/binary-request.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import { binaryReply, notAllowed, textReply } from '../proto/refusal.ts'
import type { Traffic } from '../telemetry/counters.ts'
import type { ClientRecord } from './client-record.ts'
import type { Intake } from './intake.ts'
import type { Outbox } from './outbox.ts'

/** What refusals need of the service. */
export interface AnswersHome {
  readonly policy: CommandPolicy
  readonly traffic: Traffic
  /** A command was refused.   @param also the second command that the request needs, if that is the one that is not allowed */
  refused(peer: Peer, command: string, also: string | undefined): void
}

/** The client that is answered. */
export interface Answered {
  readonly peer: Peer
  readonly record: ClientRecord
  readonly intake: Intake
  readonly outbox: Outbox
  /** A reply is about to enter the outbox: what is open at memcached is closed. */
  endRun(): void
  /** It may have as many in flight now as it may. */
  pauseIfFull(): void
}

export class Answers {
  readonly #home: AnswersHome
  readonly #client: Answered

  constructor(home: AnswersHome, client: Answered) {
    this.#home = home
    this.#client = client
  }

  refuse(frame: RequestFrame, found: Found): void {
    const { policy, traffic } = this.#home
    const { record, peer } = this.#client
    record.refused++
    traffic.refused[groupOfRow[frame.row]]++
    const isAlso = policy.allows(frame.row, -1)
    this.#home.refused(peer, commands[frame.row].name, isAlso ? commands[frame.alsoRow].name : undefined)
    this.#answer(frame, found, notAllowed(frame))
  }

  /** A request that memcached would not take, in memcached's words. */
  faulty(frame: RequestFrame, found: Found): void {
    if (!this.#home.policy.allows(frame.row, -1)) return this.refuse(frame, found)
    const isBinary = frame.dialect === 'binary'
    this.say(frame, found, isBinary ? 'Invalid arguments' : frame.words, isBinary ? frame.status : Status.invalid)
  }

  quit(frame: RequestFrame): void {
    if (frame.dialect === 'binary' && !frame.quiet) this.#add(binaryReply(frame.opcode, frame.opaque, Status.ok, ''))
  }

  /** The request's data block is skipped. */
  say(frame: RequestFrame, found: Found, words: string, status: number): void {
    const isBinary = frame.dialect === 'binary'
    this.#answer(frame, found, isBinary ? binaryReply(frame.opcode, frame.opaque, status, words.replace(/^(CLIENT|SERVER)_ERROR /, '')) : textReply(words))
  }

  #answer(frame: RequestFrame, found: Found, reply: Buffer): void {
    if (found === Found.head) this.#client.intake.skip()
    if (!frame.silent) this.#add(reply)
  }

  #add(reply: Buffer): void {
    this.#client.endRun()
    this.#client.outbox.answer(reply)
    this.#client.pauseIfFull()
  }
}
