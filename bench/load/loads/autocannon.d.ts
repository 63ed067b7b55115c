// The part of autocannon that scraping.ts uses; the package brings no types.
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  interface Options {
    url: string
    connections: number
    /** requests per second of all connections. It lets go of a second's requests at once */
    overallRate: number
    /** seconds */
    duration: number
    /** milliseconds between its samples; `stop` waits for the next */
    sampleInt: number
  }

  /** Emits `response` (client, status, bytes, milliseconds) and `reqError` (error); settles once it has stopped. */
  interface Run extends EventEmitter, PromiseLike<unknown> {
    stop(): void
  }

  export default function autocannon(options: Options): Run
}
