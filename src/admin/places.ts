import type { Socket } from 'node:net'

/** The connections of one listener, a few at the most. Whoever comes always gets in: past the limit the one goes whose last
 *  answer (or, without one, whose coming) is longest ago, so that sockets which only sit there keep no scraper out. */
export class Places {
  readonly #most: number
  /** In the order in which they would have to go: a socket is set anew when it has been answered. */
  readonly #idle = new Set<Socket>()
  /** Somebody is working for it, or it is reading. These go last. */
  readonly #busy = new Set<Socket>()

  constructor(most: number) {
    this.#most = most
  }

  take(socket: Socket): void {
    while (this.#idle.size + this.#busy.size >= this.#most) {
      const gone = (this.#idle.values().next().value ?? this.#busy.values().next().value)!
      this.#leave(gone)
      gone.destroy()
    }
    this.#idle.add(socket)
    socket.once('close', () => this.#leave(socket))
  }

  asks(socket: Socket): void {
    if (this.#idle.delete(socket)) this.#busy.add(socket)
  }

  answered(socket: Socket): void {
    if (this.#busy.delete(socket)) this.#idle.add(socket)
  }

  #leave(socket: Socket): void {
    this.#idle.delete(socket)
    this.#busy.delete(socket)
  }
}
