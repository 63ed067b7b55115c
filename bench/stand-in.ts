import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An HTTP server in the bench's own process, with the page that another one had a moment ago. */
export class StandIn {
  readonly url: string
  /** the other one's */
  readonly original: string
  #server: Server

  /** @throws when there is no such page */
  static async serving(url: string): Promise<StandIn> {
    const answer = await fetch(url)
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`)
    const page = await answer.text()
    const server = createServer((_, response) => response.end(page))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new StandIn(server, url)
  }

  private constructor(server: Server, original: string) {
    this.#server = server
    this.original = original
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
