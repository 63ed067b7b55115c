// Clients that mind their own business on the same lane, and notice at once when a byte that is not theirs reaches them.
import { connect } from '../../support/wire.ts'
import type { Wire, WireOptions } from '../../support/wire.ts'
import { pause } from './conversation.ts'
import { counted, op, packet, stored } from './binary.ts'

export class Neighbours {
  rounds = 0
  readonly #place: WireOptions
  #lastRound = Infinity
  /** Somebody else flushes: misses are to be expected from then on, wrong bytes never. */
  #mayMiss = false
  #running: Promise<void[]> = Promise.resolve([])

  constructor(place: WireOptions) {
    this.#place = place
  }

  start(count = 3): void {
    const texts = Array.from({ length: count }, (_, n) => this.#text(`neighbour${n}`))
    this.#running = Promise.all([...texts, this.#binary('neighbour-b')])
    // A failure is told by stop().
    this.#running.catch(() => {})
  }

  allowMisses(): void {
    this.#mayMiss = true
  }

  /** Ends them once each has gone some rounds more. Fails when any of them was told something wrong. */
  async stop(): Promise<void> {
    this.#lastRound = this.rounds + 50
    await this.#running
  }

  async #text(name: string): Promise<void> {
    const wire = await connect(this.#place)
    const check = async (request: string, ...replies: string[]) => { await expectOne(wire, request, replies) }
    await check(`set ${name}-n 0 0 1\r\n0\r\n`, 'STORED\r\n')
    for (let round = 1; this.rounds < this.#lastRound; round++, this.rounds++) {
      const value = `${name} END\r\nVALUE x 0 1\r\n${round}`
      const miss = this.#mayMiss
      await check(`set ${name} ${round} 0 ${value.length}\r\n${value}\r\n`, 'STORED\r\n')
      const hit = `VALUE ${name} ${round} ${value.length}\r\n${value}\r\nEND\r\n`
      await check(`get missing-${name} ${name}\r\n`, hit, ...miss || this.#mayMiss ? ['END\r\n'] : [])
      const meta = `VA ${value.length} k${name} Oo${round}\r\n${value}\r\nMN\r\n`
      await check(`mg ${name} v k Oo${round} q\r\nmn\r\n`, meta, ...miss || this.#mayMiss ? ['MN\r\n'] : [])
      await check(`incr ${name}-n 1\r\n`, `${round}\r\n`, ...miss || this.#mayMiss ? ['NOT_FOUND\r\n'] : [])
      await pause(5)
    }
    wire.destroy()
  }

  async #binary(name: string): Promise<void> {
    const wire = await connect(this.#place)
    for (let round = 1; this.rounds < this.#lastRound; round++, this.rounds++) {
      const value = `${name}-${round}`
      void wire.write(Buffer.concat([
        packet(op.setq, { key: name, extras: stored(round), value, opaque: round }),
        packet(op.incrq, { key: `${name}-n`, extras: counted(1n, 0n), opaque: round + 1 }),
        packet(op.noop, { opaque: round + 2 }),
        packet(op.get, { key: name, opaque: round + 3 }),
      ]))
      const noop = await wire.readExactly(24)
      if (noop[1] !== op.noop || noop.readUInt32BE(12) !== round + 2) throw wrong('noop', noop)
      const header = await wire.readExactly(24)
      const body = await wire.readExactly(header.readUInt32BE(8))
      if (header[1] !== op.get || header.readUInt32BE(12) !== round + 3) throw wrong('get', header)
      if (header.readUInt16BE(6) === 0) {
        if (body.toString('latin1', 4) !== value || body.readUInt32BE(0) !== round) throw wrong('value', body)
      } else if (!this.#mayMiss) throw wrong('value', body)
      await pause(5)
    }
    wire.destroy()
  }
}

async function expectOne(wire: Wire, request: string, replies: string[]): Promise<void> {
  void wire.write(request)
  // All replies of one request differ in their first byte or two and are read to the length of the one that fits.
  const start = (await wire.readExactly(Math.min(...replies.map(reply => reply.length)))).toString('latin1')
  const wanted = replies.find(reply => reply.startsWith(start))
  if (wanted === undefined) throw wrong(request, Buffer.from(start))
  const rest = (await wire.readExactly(wanted.length - start.length)).toString('latin1')
  if (start + rest !== wanted || wire.received.length > 0) throw wrong(request, Buffer.from(start + rest + wire.received.toString('latin1')))
}

function wrong(request: string, reply: Buffer): Error {
  return new Error(`a neighbour asked ${JSON.stringify(request)} and got ${JSON.stringify(reply.toString('latin1'))}`)
}
