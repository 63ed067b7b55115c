/** What is told of the clients of a service, one by one: that they came, what they were refused, what they did that is always recorded. */
import type { Authority } from '../policy/authority.ts'
import type { Peer } from '../policy/peer.ts'
import type { Permit } from '../policy/permit.ts'
import { commands } from '../proto/commands.ts'
import type { RequestFrame } from '../proto/frame.ts'
import type { Audit } from '../telemetry/audit.ts'
import type { RequestRefusal } from '../telemetry/counters.ts'
import type { EventLog } from '../telemetry/event-log.ts'

/** A request that was refused, and for what of it. */
export interface Refusal {
  command: string
  /** The second command that the request needs, if that is the one that is not allowed. */
  also: string | undefined
  reason: RequestRefusal | 'audit'
}

/** What a client does that it may be banned for. */
export type ClientFailure = 'command-refused' | 'http' | 'proxy-header' | 'tls-flood'

const words: Record<Refusal['reason'], (whose: string) => string> = {
  command: (whose) => `not among the commands of ${whose}`,
  key: (whose) => `its key is not among those of ${whose}`,
  value: (whose) => `its value is larger than ${whose} lets it be`,
  keys: (whose) => `it asks for more keys at once than ${whose} lets it`,
  audit: () => 'the audit cannot be written, and it may not go unrecorded (audit.required)',
}

export class ClientEvents {
  readonly #log: EventLog
  readonly #authority: () => Authority
  readonly failed: (peer: Peer, failure: ClientFailure) => void

  /** @param onFailure a client was refused what no client of this service is to do, or what it sent is no request at all */
  constructor(log: EventLog, authority: () => Authority, onFailure: (peer: Peer, failure: ClientFailure) => void) {
    this.#log = log
    this.#authority = authority
    this.failed = onFailure
  }

  connected(peer: Peer, permit: Permit): void {
    this.#log.watcher?.came(peer)
    if (!this.#log.tells('connected')) return
    const { version, cipher, resumed } = peer.tls ?? {}
    this.#log.tellOf(peer, 'connected', { port: peer.port, rule: ruleOf(permit), tls: version, cipher, resumed }, 'a client is in')
  }

  /** It has used a command of a group for the first time on its connection. */
  began(peer: Peer, row: number): void {
    this.#log.watcher?.began(peer, commands[row].group)
  }

  /** @param permit by which it was refused */
  refused(peer: Peer, { command, also, reason }: Refusal, permit: Permit, frame: RequestFrame): void {
    const rule = ruleOf(permit)
    const { audit } = this.#log
    const forAudit = audit && { group: commands[frame.row].group, ...this.#keyFor(audit, reason === 'key' ? permit.forbiddenKey(frame) : firstKey(frame)) }
    this.#log.tellOf(peer, 'command-refused', { rule, command, also, reason }, `refused ${command}: ${whyNot({ command, also, reason }, rule)}`, forAudit)
    // A line end too many behind a value is a slip of a library, not a try.
    if ((reason === 'command' && !isEmptyLine(frame)) || reason === 'key') this.failed(peer, 'command-refused')
  }

  /** With rules that are only observed it passes.   @param observed that would refuse it */
  observed(peer: Peer, refusal: Refusal, observed: Permit): void {
    const rule = ruleOf(observed)
    this.#log.tellOf(peer, 'access-observed', { rule, ...refusal }, `would refuse ${refusal.command}: ${whyNot(refusal, rule)}`)
  }

  /** The same of a client for whom there is no rule. */
  stranger(peer: Peer): void {
    this.#log.tellOf(peer, 'access-observed', { reason: 'no-rule' }, 'would refuse this client: no rule of access is for it')
  }

  /** After a reload it may not be here any more. */
  expelled(peer: Peer, permit: Permit, reason: string, words: string): void {
    this.#log.tellOf(peer, 'expelled', { rule: ruleOf(permit), serial: peer.tls?.serial, reason, words }, `a client may not be here any more, and its connection ends: ${words}`)
  }

  /** It is let do what is always recorded. */
  audited(peer: Peer, permit: Permit, { row }: RequestFrame): void {
    if (!this.#log.tells('command')) return
    const { name: command, group } = commands[row]
    this.#log.tellOf(peer, 'command', { rule: ruleOf(permit), command, group }, `let do ${command}`)
  }

  /** From here on nobody looks at what it asks. */
  unread(peer: Peer, permit: Permit): void {
    if (this.#log.tells('unread')) this.#log.tellOf(peer, 'unread', { rule: ruleOf(permit) }, 'what the client asks passes unread from here on')
  }

  /** The pattern of a rule that a key fits says nothing about anybody. */
  #keyFor(audit: Audit, key: Buffer | undefined): Record<string, string> {
    return audit.key(key, key && this.#authority().patternOf(key))
  }
}

function whyNot({ also, reason }: Refusal, rule: string | undefined): string {
  const whose = rule === undefined ? 'this service' : `the rule ${rule}`
  return also === undefined ? words[reason](whose) : `as it was sent it needs ${also} as well, which is not among the commands of ${whose}`
}

function ruleOf({ rule }: Permit): string | undefined {
  return rule === '' ? undefined : rule
}

function firstKey(frame: RequestFrame): Buffer | undefined {
  const [key] = frame.eachKey()
  return key
}

function isEmptyLine({ dialect, start, lineEnd }: RequestFrame): boolean {
  return dialect === 'text' && lineEnd - start <= 2
}
