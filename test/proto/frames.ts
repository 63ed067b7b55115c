import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { everySplit } from '../support/every-split.ts'
import { latin1, replies, textFrames, type Asked, type Frame } from './reading.ts'

/** The frames of `text` are these, however it is cut. */
export function expectFrames(text: string | Buffer, ...expected: Partial<Frame>[]): void {
  const bytes = typeof text === 'string' ? latin1(text) : text
  let whole: Frame[] | undefined
  everySplit(bytes, pieces => {
    const frames = textFrames(pieces)
    // The same to the last field as what was found good: no need to compare it in the dear way, thousands of times.
    if (whole !== undefined && isDeepStrictEqual(frames, whole)) return
    expect(frames).toHaveLength(expected.length)
    expected.forEach((frame, n) => expect(frames[n]).toMatchObject(frame))
    whole ??= frames
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

/** Replies to `asked` are `expected`, however their bytes are cut. */
export function expectReplies(text: string, asked: Asked[], expected: string[], isPrivate = false, anyOrder = false): void {
  everySplit(latin1(text), pieces => expect(replies(pieces, asked, isPrivate, anyOrder)).toEqual(expected))
}
