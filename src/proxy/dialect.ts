/** What differs between text and binary on a connection to memcached. Each connection has a dialect of its own, which knows what
 *  was written last and what the reply in hand has come to. */
import type { Clock } from '../lib/clock.ts'
import type { RequestFrame } from '../proto/frame.ts'
import type { Login } from '../proto/login.ts'
import type { Expected } from './expected.ts'
import type { Outbox, Run } from './outbox.ts'
import type { ReplyWindow } from './reply-window.ts'
import type { SlabPool } from './slab.ts'

/** Some of the keys of a get that goes out in parts: `from` to `to` of its chunk. */
export interface Part {
  from: number
  to: number
  keys: number
  isFirst: boolean
  isLast: boolean
}

/** What of a request and of its reply is shown in the log when they do not fit. */
export const SHOWN_BYTES = 80

export interface Dialect {
  readonly name: 'text' | 'binary'

  // Requests.

  /** Asks who is there, and logs in with `wire.login` if memcached wants that; calls `wire.greeted()` when it is a memcached. */
  greet(): void
  /** Asks for a sign of life. */
  probe(): void
  /** Every release that could be behind the connection reads the request as this one does. */
  takes(frame: RequestFrame): boolean
  /** Writes the request and notes what is expected. `isHead`: its data block follows, by `wire.send()`; only where one client is. */
  enter(frame: RequestFrame, run: Run, isHead: boolean): void
  /** The same of some of the keys of a get: to its client the replies to all parts are one. */
  enterPart(frame: RequestFrame, run: Run, part: Part): void
  /** One client's input has run dry: whatever it asked quietly gets a fence behind it. */
  endRun(): void
  /** A value follows that may take long: memcached is to answer what was asked before it. */
  endBeforeUpload(): void
  /** The bytes of this turn are about to be written. */
  endTurn(): void

  readonly replies: Replies

  // A connection that was lost.

  /** The start of a request, for the log. */
  asked(entry: number): string
  /** Keys that it gets. */
  keys(entry: number): number
  /** memcached's own word for a get that it had no memory for. */
  readonly noMemory: Buffer
  /** What its client gets when no reply will ever come. @param isFirst it is the oldest one */
  inPlaceOf(entry: number, words: string, isFirst: boolean): Buffer
  /** The bytes to ask once more on another connection; undefined: they may not be. */
  again(entry: number): Buffer | undefined
  /** Asks here what was asked on a connection that was lost. */
  enterAgain(lost: Expected, entry: number, bytes: Buffer, run: Run): void
  /** Lets go of its memory. */
  close(): void
}

/** What comes back. */
export interface Replies {
  /** Takes replies from `window.at` to `window.end`. @throws ProtocolError */
  read(): void
  /** Clients that were given replies which nothing has proved yet to be theirs. */
  readonly unproved: readonly Outbox[]
  /** A part of the answer to the oldest request has been taken. */
  readonly hasBegun: boolean
  /** Of the value in hand so much is still to come, as its header says. */
  readonly bytesLeft: number
  /** Of a private connection: memcached has said that it wants a login, and its client has not logged in yet. */
  readonly wantsLogin: boolean
  /** The oldest request may rightly stay without an answer for long. */
  readonly isEndless: boolean
  /** The connection is lost. Of several requests that are one entry, the oldest: those leave that were answered, and the one in hand
   *  gets an entry of its own. */
  takeApart(): void
}

/** The connection, as its dialect sees it. */
export interface Wire {
  readonly isPrivate: boolean
  readonly isConnecting: boolean
  readonly isClosed: boolean
  /** Replies that nobody expects pass unread. */
  readonly isRaw: boolean
  readonly joinsGets: boolean
  readonly clock: Clock
  readonly slabs: SlabPool
  readonly expected: Expected
  /** What memseal itself logs in with; undefined: it does not. */
  readonly login: Login | undefined
  readonly witness: LoginWitness
  /** Release of memcached, as `release()` gives it; 0 when unknown. */
  readonly release: number
  /** What was received. */
  readonly window: ReplyWindow
  /** Queues bytes for this turn's write. */
  send(bytes: Buffer, from: number, to: number): void
  /** Hands what lies from `from` to `to` to a client. */
  deliver(run: Run, isSwallowed: number, to: number): void
  /** Hands on what has come of the oldest reply. */
  deliverPart(): void
  greeted(version: string, release: number): void
}

/** Is told of logins on a connection. */
export interface LoginWitness {
  /** memcached does not ask for the login that memseal has. */
  loginNotWanted?(): void
  /** The client of a private connection is asked for a login, and has not been served on it before. */
  loginWanted?(): void
  /** That client has logged in. @param isSure else it was an ordinary `set` that looks the same */
  loggedIn?(isSure: boolean): void
  /** memcached has refused the login of that client. */
  loginRefused?(): void
}
