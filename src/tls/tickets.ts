import { randomBytes } from 'node:crypto'
import type { ListenerTls } from './context.ts'

/** Gives every listener new keys for its session tickets, time and again: whoever gets hold of a key reads the sessions of that
 *  time, and no others. Node keeps one key at a time, so a ticket of the old one leads to a whole handshake, and no error. */
export class TicketRotation {
  readonly #listeners: () => Iterable<ListenerTls>
  #everyMs = 0
  #timer: NodeJS.Timeout | undefined

  /** @param listeners those that serve when it is asked */
  constructor(listeners: () => Iterable<ListenerTls>) {
    this.#listeners = listeners
  }

  /** The same as before goes on as it is, or reloads in quick succession would put rotation off for ever. */
  every(ms: number): void {
    if (ms === this.#everyMs) return
    this.#everyMs = ms
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#rotate(), ms)
    this.#timer.unref()
  }

  /** Each listener has keys of its own: a session of one is not resumed on another, where other clients may be admitted. */
  #rotate(): void {
    for (const { server } of this.#listeners()) server.setTicketKeys(randomBytes(48))
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
