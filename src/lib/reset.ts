import type { Socket } from 'node:net'

/** Closes so that the other side learns of it at once, as of a failure: TCP says so with a reset, and nothing lingers in the
 *  kernel. Unix sockets have none.   @param socket TCP's own, also of a TLS connection */
export function reset(socket: Socket): void {
  socket.on('error', ignore)
  if (socket.remoteAddress === undefined) socket.destroy()
  else {
    socket.resetAndDestroy()
    // It would wait until the other side has taken what was written before.
    socket.destroy()
  }
}

function ignore(): void {}
