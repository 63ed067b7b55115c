import { expect } from 'vitest'
import { BinaryRequestFramer } from '../../src/proto/binary-request.ts'
import { commands } from '../../src/proto/commands.ts'
import { Found, Got, ProtocolError, Shape } from '../../src/proto/frame.ts'
import { TextReplyFramer } from '../../src/proto/text-reply.ts'
import { TextRequestFramer } from '../../src/proto/text-request.ts'
import { everySplit } from '../support/every-split.ts'

// What framers make of bytes, as plain objects that do not tell how the bytes were cut.

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
  return requestFrames(new TextRequestFramer(maxGetLine), pieces, taking)
}

export function binaryFrames(pieces: Buffer[], taking: Taking = 'hold'): Frame[] {
  return requestFrames(new BinaryRequestFramer(), pieces, taking)
}

function requestFrames(framer: TextRequestFramer | BinaryRequestFramer, pieces: Buffer[], taking: Taking): Frame[] {
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
      if (found === Found.more) break
      if (found === Found.head) {
        if (taking === 'hold') {
          framer.hold()
          continue
        }
        if (taking === 'skip') framer.skip()
        else framer.stream()
        frames.push(shown(framer, Found.request))
        continue
      }
      expect(framer.start).toBeGreaterThanOrEqual(0)
      expect(framer.lineEnd).toBeLessThanOrEqual(framer.chunk.length)
      expect(framer.end).toBeLessThanOrEqual(framer.chunk.length)
      frames.push(shown(framer, found))
      if (found !== Found.lost) continue
      const rest = Buffer.concat([...framer.takeRest(), ...pieces.slice(n + 1)])
      frames.at(-1)!.bytes = frames.at(-1)!.sent = rest.toString('latin1')
      return frames
    }
  }
  return frames
}

function shown(framer: TextRequestFramer | BinaryRequestFramer, found: Found): Frame {
  const { chunk, start, rest, keyStart, keyEnd } = framer
  const end = framer.isStreaming ? framer.lineEnd : framer.end
  const after = rest.map(piece => piece.toString('latin1')).join('')
  const text = framer instanceof TextRequestFramer ? framer : undefined
  const binary = framer instanceof BinaryRequestFramer ? framer : undefined
  const isCut = text !== undefined && text.silent
  return {
    found: names.find(([, value]) => value === found)![0] as Frame['found'],
    command: commands[framer.row].name,
    strict: framer.strict, quiet: framer.quiet, silent: framer.silent,
    bytes: chunk.toString('latin1', start, end) + after,
    sent: (isCut ? chunk.toString('latin1', start, text.cutStart) + chunk.toString('latin1', text.cutEnd, end)
      : chunk.toString('latin1', start, end)) + after,
    key: found === Found.request && framer.keys > 0 ? chunk.toString('latin1', keyStart, keyEnd) : '',
    needs: framer.needs, alsoRow: framer.alsoRow,
    words: found === Found.faulty || found === Found.lost ? text?.words ?? '' : '',
    opaque: binary?.opaque ?? 0, status: binary?.status ?? 0,
  }
}

/** The frames of `text` are these, however it is cut. */
export function expectFrames(text: string | Buffer, ...expected: Partial<Frame>[]): void {
  const bytes = typeof text === 'string' ? latin1(text) : text
  everySplit(bytes, pieces => {
    const frames = textFrames(pieces)
    expect(frames).toHaveLength(expected.length)
    expected.forEach((frame, n) => expect(frames[n]).toMatchObject(frame))
  })
}

/** May travel on a shared connection, as one request with nothing left over. */
export const shared = (text: string, more: Partial<Frame> = {}): void =>
  expectFrames(text, { found: 'request', strict: true, bytes: text, ...more })

/** A request whose extent is known, but not for shared connections. */
export const apart = (text: string, more: Partial<Frame> = {}): void =>
  expectFrames(text, { found: 'request', strict: false, bytes: text, ...more })

export const faulty = (text: string, words: string): void => expectFrames(text, { found: 'faulty', strict: false, words })
export const lost = (text: string, words: string): void =>
  expectFrames(text, { found: 'lost', strict: false, bytes: text, words })

export interface Asked { shape: keyof typeof Shape, keys?: string, count?: number, loud?: number }

/** Reads replies as a lane does: into one memory, asking again whenever there is more. Each reply comes back as its text,
 *  the parts of a run as texts of their own; a broken stream as its code. */
export function replies(pieces: Buffer[], asked: Asked[], isPrivate = false): string[] {
  const framer = new TextReplyFramer(isPrivate)
  const slab = Buffer.alloc(pieces.reduce((sum, piece) => sum + piece.length, 0) + 400, 'VALUE a 0 1\r\na\r\nEND\r\n')
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
        const { shape, keys = '', count = 0, loud = 0 } = asked[n]
        const isRun = shape === 'metaRun'
        const got = framer.next(slab, at, end, Shape[shape], latin1(keys), isRun ? count : 0, isRun ? loud : keys.length)
        expect(framer.at).toBeGreaterThanOrEqual(at)
        expect(framer.at).toBeLessThanOrEqual(end)
        at = framer.at
        if (got === Got.more) break
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

/** Replies to `asked` are `expected`, however their bytes are cut. */
export function expectReplies(text: string, asked: Asked[], expected: string[], isPrivate = false): void {
  everySplit(latin1(text), pieces => expect(replies(pieces, asked, isPrivate)).toEqual(expected))
}
