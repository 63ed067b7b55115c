/** Whoever is owed nothing: replies that come for it are dropped, and keep the place of what was asked. */
import { Socket } from 'node:net'
import { Outbox, type Receiver } from './outbox.ts'
import type { Turn } from './turn.ts'

class Nobody implements Receiver {
  readonly record = { hits: 0 }
  readonly mostBehind = Infinity

  repliesGrew(): void {}
  settled(): void {}
  repliesTaken(): void {}
  repliesLost(): void {}
  dropRest(): void {}
  goesOnAt(): void {}
  destroy(): void {}
}

export function outboxOfNobody(turn: Turn): Outbox {
  const outbox = new Outbox(new Nobody(), new Socket(), turn, false)
  outbox.close()
  return outbox
}
