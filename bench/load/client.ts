import type { Socket } from 'node:net'
import { Conversation, type Tally } from './conversation.ts'
import { dial, type Listener, type Target } from './dial.ts'
import type { Script } from './script.ts'

export interface ClientEvents {
  /** replies were completed; the client may send again */
  answered(client: Client, replies: number): void
  failed(reason: string): void
}

/** One connected client that walks a script. */
export class Client implements Listener {
  isResumed = false
  conversation: Conversation
  #events: ClientEvents
  #socket: Socket | undefined
  #isClosing = false

  constructor(script: Script, tally: Tally, depth: number, start: number, events: ClientEvents) {
    this.conversation = new Conversation(script, tally, depth, start)
    this.#events = events
  }

  async open(target: Target, session?: Buffer): Promise<void> {
    const { socket, isResumed } = await dial(target, this, session)
    this.#socket = socket
    this.isResumed = isResumed
  }

  /** Sends `count` requests that were meant to leave at `startedAt` (`performance.now()`). */
  send(count: number, startedAt: number): void {
    const wanted = this.conversation.inFlight + count
    this.#socket!.write(this.conversation.next(count, startedAt))
    // Only at the seam of the script's circle.
    while (this.conversation.inFlight < wanted) {
      this.#socket!.write(this.conversation.next(wanted - this.conversation.inFlight, startedAt))
    }
  }

  close(): void {
    this.#isClosing = true
    this.#socket?.destroy()
  }

  received(chunk: Buffer, length: number): void {
    if (this.#isClosing) return
    let replies: number
    try {
      replies = this.conversation.receive(chunk, length, performance.now())
    } catch (error) {
      this.close()
      return this.#events.failed((error as Error).message)
    }
    if (replies > 0) this.#events.answered(this, replies)
  }

  closed(reason: string): void {
    if (!this.#isClosing) this.#events.failed(reason)
  }

  /** Set where sessions are to be resumed; `dial` asks for tickets only then. */
  session?: (session: Buffer) => void
}

/** Opens all clients, a few at a time: a benchmark's first moment is no storm.   @throws the first refusal */
export async function openAll(clients: Client[], target: Target): Promise<void> {
  const AT_ONCE = 12
  const waiting = clients.values()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const client of waiting) await client.open(target)
  }))
}
