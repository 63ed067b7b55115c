/** Who may do what in one service: its rules in force, what each has done, and what they say to those who are in.
 *
 *      peer ─▶ admit ─▶ permit, use ─▶ client session          reload ─▶ prepare ─▶ each session gets another permit, or has to go */
import type { ServiceConfig } from '../config/schema.ts'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../lib/clock.ts'
import { Uses, type Use } from '../policy/allowance.ts'
import { Authority } from '../policy/authority.ts'
import { countedAs, identityOf } from '../policy/identity.ts'
import type { Peer } from '../policy/peer.ts'
import type { Permit } from '../policy/permit.ts'
import { RuleTraffic, type RequestRefusal } from '../telemetry/counters.ts'
import type { ClientEvents, Refusal } from './client-events.ts'

/** A client that is in, as far as rules have a say over it. */
export interface Governed {
  readonly peer: Peer
  readonly permit: Permit
  readonly isClosed: boolean
  usePermit(permit: Permit, use: Use | undefined): void
  expel(why: 'access-changed' | 'revoked'): void
}

type Settings = Pick<ServiceConfig, 'commands' | 'access' | 'access_mode' | 'revoked'>

export class Access {
  readonly #clock: Clock
  readonly #events: ClientEvents
  #settings: Settings
  #authority: Authority
  readonly #uses = new Uses()
  /** By the name of the rule; '': of those for whom there is none. */
  readonly #rules = new Map<string, RuleTraffic>()

  constructor(settings: Settings, { clock, events }: { clock: Clock; events: ClientEvents }) {
    this.#clock = clock
    this.#events = events
    this.#settings = settings
    this.#authority = new Authority(settings)
  }

  get authority(): Authority {
    return this.#authority
  }

  // Clients come.

  /** @returns why nobody like this may be a client */
  refusalOf(peer: Peer): 'no-rule' | 'rule-full' | undefined {
    const permit = this.#authority.permitFor(identityOf(peer))
    if (permit === undefined) return 'no-rule'
    return this.#useOf(peer, permit)?.isFull === true ? 'rule-full' : undefined
  }

  /** @returns undefined when there is no rule for it */
  admit(peer: Peer): { permit: Permit; use: Use | undefined } | undefined {
    const permit = this.#authority.permitFor(identityOf(peer))
    if (permit === undefined) return undefined
    if (permit.isStranger) {
      this.#rule('').observed['no-rule']++
      this.#events.stranger(peer)
    }
    else if (permit.rule !== '') this.#rule(permit.rule).connections++
    return { permit, use: this.#useOf(peer, permit) }
  }

  #useOf(peer: Peer, permit: Permit): Use | undefined {
    return this.#uses.of(permit, countedAs(identityOf(peer)), this.#clock.now)
  }

  // A reload.

  /** What it returns puts other rules in force, and cannot fail: every session is judged anew. */
  prepare(settings: Settings): (sessions: ReadonlySet<Governed>) => void {
    const isSame = isDeepStrictEqual(rulesOf(settings), rulesOf(this.#settings))
    const authority = isSame ? this.#authority : new Authority(settings)
    return (sessions) => {
      this.#settings = settings
      if (isSame) return
      this.#authority = authority
      const observes = authority.hasRules && settings.access_mode === 'observe'
      for (const rule of this.#rules.keys()) if (rule === '' ? !observes : !authority.rules.includes(rule)) this.#rules.delete(rule)
      for (const session of [...sessions]) {
        const permit = authority.permitFor(identityOf(session.peer))
        if (permit !== undefined) session.usePermit(permit, this.#useOf(session.peer, permit))
        else this.expel(session, 'access-changed', 'no rule of access is for it any more')
      }
    }
  }

  /** Its client may not be here any more.   @param words why, for the log */
  expel(session: Governed, why: 'access-changed' | 'revoked', words: string): void {
    if (this.#settings.revoked === 'keep' || session.isClosed) return
    this.#events.expelled(session.peer, session.permit, why, words)
    session.expel(why)
  }

  // Requests are refused.

  refused({ rule }: Permit, reason: RequestRefusal): void {
    if (rule !== '') this.#rule(rule).refused[reason]++
  }

  /** A request has passed that would have been refused if rules were more than observed.   @param observed that refuses it */
  observed(peer: Peer, observed: Permit, refusal: Refusal & { reason: RequestRefusal }): void {
    this.#rule(observed.rule).observed[refusal.reason]++
    this.#events.observed(peer, refusal, observed)
  }

  // What is known of the rules.

  #rule(name: string): RuleTraffic {
    let rule = this.#rules.get(name)
    if (rule === undefined) this.#rules.set(name, rule = new RuleTraffic())
    return rule
  }

  /** By rule, in their order: what it has done, and for how many connections it decides. */
  rules(sessions: Iterable<Governed>): Record<string, RuleTraffic & { open: number }> {
    const strangers = this.#rules.get('')
    const rules = Object.fromEntries(this.#authority.rules.map((name) => [name, { ...this.#rule(name), open: 0 }]))
    if (strangers !== undefined) rules[''] = { ...strangers, open: 0 }
    for (const { permit: { rule } } of sessions) if (rules[rule] !== undefined) rules[rule].open++
    return rules
  }

  tick(now: number): void {
    this.#uses.tick(now)
  }
}

/** What sessions are judged by. */
function rulesOf({ commands, access, access_mode }: Settings): unknown {
  return { commands, access, access_mode }
}
