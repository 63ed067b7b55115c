import assert from 'node:assert/strict'
import { BinaryReplyFramer } from '../../src/proto/binary-reply.ts'
import { BinaryRequestFramer, HEADER } from '../../src/proto/binary-request.ts'
import { commands } from '../../src/proto/commands.ts'
import { Found, MAX_KEY, MAX_LINE } from '../../src/proto/frame.ts'
import { Got, ProtocolError, Shape, type Expectations } from '../../src/proto/reply.ts'
import { TextReplyFramer } from '../../src/proto/text-reply.ts'
import { TextRequestFramer } from '../../src/proto/text-request.ts'

// What framers make of bytes, as plain objects that do not tell how the bytes were cut. Also for test/soak, so without vitest.

export interface Frame {
  found: 'request' | 'faulty' | 'lost' | 'http'
  command: string
  strict: boolean
  quiet: boolean
  silent: boolean
  /** Of a request: its bytes. Of what is lost: everything from its start on. */
  bytes: string
  /** What goes to memcached: the bytes, `noreply` cut out. */
  sent: string
  key: string
  /** As memcached reads them. */
  eachKey: string[]
  needs: number
  alsoRow: number
  words: string
  opaque: number
  status: number
}

const names = Object.entries(Found)
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** How a request's data block is taken: whole, or in pieces as for a private connection. */
export type Taking = 'hold' | 'stream' | 'skip'

export function textFrames(pieces: Buffer[], maxGetLine = 2 * 2 ** 20, taking: Taking = 'hold'): Frame[] {
  return requestFrames(new TextRequestFramer(maxGetLine), pieces, taking, Math.max(maxGetLine, MAX_LINE))
}

export function binaryFrames(pieces: Buffer[], taking: Taking = 'hold'): Frame[] {
  return requestFrames(new BinaryRequestFramer(), pieces, taking, HEADER + 20 + MAX_KEY)
}

function requestFrames(framer: TextRequestFramer | BinaryRequestFramer, pieces: Buffer[], taking: Taking, mostHeld: number): Frame[] {
  const frames: Frame[] = []
  for (let n = 0; n < pieces.length; n++) {
    framer.push(pieces[n])
    for (;;) {
      if (framer.isStreaming) {
        const piece = framer.body()
        if (piece === undefined) break
        frames.at(-1)!.bytes += piece.toString('latin1')
        continue
      }
      const found = framer.next()
      if (found === Found.more) {
        assert(framer.held <= mostHeld, 'no more is kept than may be')
        break
      }
      if (found === Found.head) {
        mostHeld = Math.max(mostHeld, framer.frame.size)
        if (taking === 'hold') {
          framer.hold()
          continue
        }
        if (taking === 'skip') framer.skip()
        else framer.stream()
        frames.push(shown(framer, Found.request))
        continue
      }
      const { start, lineEnd, end, chunk } = framer.frame
      assert(start >= 0 && lineEnd <= chunk.length && end <= chunk.length, 'a frame within its chunk')
      frames.push(shown(framer, found))
      if (found !== Found.lost) continue
      const rest = Buffer.concat([...framer.takeRest(), ...pieces.slice(n + 1)])
      frames.at(-1)!.bytes = frames.at(-1)!.sent = rest.toString('latin1')
      return frames
    }
  }
  return frames
}

function shown({ frame, isStreaming }: TextRequestFramer | BinaryRequestFramer, found: Found): Frame {
  const { chunk, start, rest, keyStart, keyEnd } = frame
  const end = isStreaming ? frame.lineEnd : frame.end
  const after = rest.map(piece => piece.toString('latin1')).join('')
  const isText = frame.dialect === 'text'
  return {
    found: names.find(([, value]) => value === found)![0] as Frame['found'],
    command: commands[frame.row].name,
    strict: frame.strict, quiet: frame.quiet, silent: frame.silent,
    bytes: chunk.toString('latin1', start, end) + after,
    sent: (frame.silent ? chunk.toString('latin1', start, frame.cutStart) + chunk.toString('latin1', frame.cutEnd, end)
      : chunk.toString('latin1', start, end)) + after,
    key: found === Found.request && frame.keys > 0 ? chunk.toString('latin1', keyStart, keyEnd) : '',
    eachKey: found === Found.request ? [...frame.eachKey()].map(key => key.toString('latin1')) : [],
    needs: frame.needs, alsoRow: frame.alsoRow,
    words: isText && (found === Found.faulty || found === Found.lost) ? frame.words : '',
    opaque: frame.opaque, status: frame.status,
  }
}

/** What lies in memory where nothing has arrived yet: something else each time, so that who looks there is found out. */
const behinds = ['VALUE a 0 1\r\na\r\nEND\r\n', '\x81', '\n', 'x', ' 0']
let turn = 0
const behind = (): Buffer => latin1(behinds[turn++ % behinds.length])

export interface Asked { shape: keyof typeof Shape, keys?: string, count?: number, loud?: number, hasBlock?: boolean }

/** One request in flight, as a lane notes it. A meta request by itself is a batch of one. */
export function expecting({ shape, keys = '', count = 1, loud = 0, hasBlock = false }: Asked, inFlight = 1): Expectations {
  return {
    shape: Uint8Array.of(Shape[shape === 'meta' ? 'metaBatch' : shape]), asked: [latin1(keys)], keyFrom: Int32Array.of(0), keyTo: Int32Array.of(keys.length),
    mayAnswer: Int32Array.of(count), mustAnswer: Int32Array.of(shape === 'metaRun' ? loud : count),
    start: Int32Array.of(0), askedTo: Int32Array.of(keys.length), isEchoed: Uint8Array.of(/^m/.test(keys) ? 1 : 0),
    hasBlock: Uint8Array.of(hasBlock || shape === 'stored' ? 1 : 0), count: inFlight,
  }
}

/** Reads replies as a lane does: into one memory, asking again whenever there is more. Each reply comes back as its text,
 *  the parts of a run as texts of their own; a broken stream as its code. */
export function replies(pieces: Buffer[], asked: Asked[], isPrivate = false, anyOrder = false): string[] {
  const framer = new TextReplyFramer(isPrivate)
  framer.anyOrder = anyOrder
  const slab = Buffer.alloc(pieces.reduce((sum, piece) => sum + piece.length, 0) + 400, behind())
  const seen: string[] = []
  let from = 0
  let at = 0
  let end = 0
  let n = 0
  try {
    for (const piece of pieces) {
      piece.copy(slab, end)
      end += piece.length
      while (at < end) {
        if (n === asked.length) return [...seen, `unasked: ${slab.toString('latin1', at, at + 1)}`]
        const { shape } = asked[n]
        const got = framer.next(slab, at, end, expecting(asked[n], asked.length - n), 0)
        assert(framer.at >= at && framer.at <= end, 'what was consumed had been received')
        at = framer.at
        if (got === Got.more) break
        // How many answers of a batch come at once is left to how they arrive.
        if (got === Got.part && (shape === 'metaBatch' || shape === 'gets')) continue
        if (got === Got.absent || got === Got.refused) {
          assert(framer.at === from, 'what answers a later request is not consumed')
          seen.push(got === Got.absent ? '(nothing)' : `for all: ${slab.toString('latin1', from, framer.partTo)}`)
          n++
          continue
        }
        seen.push(slab.toString('latin1', from, at))
        from = at
        if (got === Got.whole) n++
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return [...seen, error.code]
  }
  return from < end ? [...seen, `held: ${slab.toString('latin1', from, end)}`] : seen
}

/** Reads packets as a lane does. What lies in the memory behind the pieces is no part of them. */
export function binaryReplies(pieces: Buffer[]): string[] {
  const framer = new BinaryReplyFramer()
  const slab = Buffer.alloc(pieces.reduce((sum, piece) => sum + piece.length, 0) + 400, behind())
  const seen: string[] = []
  let at = 0
  let end = 0
  for (const piece of pieces) {
    piece.copy(slab, end)
    end += piece.length
    while (at < end) {
      try {
        if (!framer.isInsideBody) {
          if (!framer.header(slab, at, end)) break
          const { opcode, status, opaque, keyStart, keyBytes, bodyBytes } = framer
          seen.push(`${opcode} ${status} ${opaque} ${bodyBytes} ${slab.toString('latin1', keyStart, keyStart + keyBytes)}`)
          at = framer.at
        }
        const got = framer.body(at, end)
        assert(framer.at >= at && framer.at <= end, 'what was consumed had been received')
        at = framer.at
        if (got === Got.more) break
        seen.push('whole')
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        return [...seen, error.code]
      }
    }
  }
  return at < end ? [...seen, `held ${end - at}`] : seen
}
