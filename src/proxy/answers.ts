/** What memseal itself says to a client in memcached's stead: in the client's dialect, and behind whatever it is still owed. */
import type { Peer } from '../policy/peer.ts'
import { Verdict, type Permit } from '../policy/permit.ts'
import { commands, groupOfRow } from '../proto/commands.ts'
import { Status } from '../proto/binary-request.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import { binaryReply, notAllowed, Refused, refusedFor, textReply } from '../proto/refusal.ts'
import type { RequestRefusal, Traffic } from '../telemetry/counters.ts'
import type { Access } from './access.ts'
import type { ClientEvents } from './client-events.ts'
import type { ClientRecord } from './client-record.ts'
import type { Intake } from './intake.ts'
import type { Outbox } from './outbox.ts'

/** What refusals need of the service. */
export interface AnswersHome {
  readonly traffic: Traffic
  readonly access: Access
  readonly events: ClientEvents
}

/** The client that is answered. */
export interface Answered {
  readonly peer: Peer
  readonly permit: Permit
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

  refuse(frame: RequestFrame, found: Found, verdict: Verdict): void {
    const { record, peer, permit } = this.#client
    record.refused++
    this.#home.traffic.refused[groupOfRow[frame.row]]++
    const also = verdict === Verdict.also ? commands[frame.alsoRow].name : undefined
    const reason = reasons[verdict]
    this.#home.access.refused(permit, reason)
    this.#home.events.refused(peer, { command: commands[frame.row].name, also, reason }, permit, frame)
    this.#answer(frame, found, reason === 'command' ? notAllowed(frame) : refusedFor(frame, Refused[reason]))
  }

  /** The request passes: what would become of it if the rules were more than observed? */
  observe(frame: RequestFrame, observed: Permit): void {
    const verdict = observed.verdict(frame)
    if (verdict === Verdict.allowed) return
    const also = verdict === Verdict.also ? commands[frame.alsoRow].name : undefined
    this.#home.access.observed(this.#client.peer, observed, { command: commands[frame.row].name, also, reason: reasons[verdict] })
  }

  /** A request that is to be recorded, and cannot be. */
  unrecorded(frame: RequestFrame, found: Found): void {
    const { record, peer, permit } = this.#client
    record.refused++
    this.#home.traffic.refused[groupOfRow[frame.row]]++
    this.#home.events.refused(peer, { command: commands[frame.row].name, also: undefined, reason: 'audit' }, permit, frame)
    this.say(frame, found, 'SERVER_ERROR memseal: the audit cannot be written', Status.unavailable)
  }

  /** A request that memcached would not take, in memcached's words. */
  faulty(frame: RequestFrame, found: Found): void {
    if (!this.#client.permit.allowsRow(frame.row)) return this.refuse(frame, found, Verdict.command)
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

const reasons: Record<Verdict, RequestRefusal> = {
  [Verdict.allowed]: 'command', [Verdict.command]: 'command', [Verdict.also]: 'command', [Verdict.key]: 'key', [Verdict.value]: 'value', [Verdict.keys]: 'keys',
}
