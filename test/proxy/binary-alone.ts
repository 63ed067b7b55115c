// What tests of memcacheds that want a login, or speak one protocol alone, ask of a transcript.
import { expect } from 'vitest'
import { packet, reply } from '../proto/binary.ts'
import type { transcript } from './transcript.ts'

export type T = Awaited<ReturnType<typeof transcript>>
export const noop = (opaque: number) => packet({ opcode: 0x0a, opaque })
export const state = (t: T) => Object.values(t.service.measure().now.backendStates)
export const isUp = (t: T) => Object.values(t.service.measure().now.backends)

/** Binary clients share the lane, and those of the text protocol learn why they are not served. */
export async function servesBinaryAlone(t: T, lane: Awaited<ReturnType<T['lanes']>>): Promise<void> {
  expect([state(t), isUp(t)]).toEqual([['binary-only'], [true]])
  t.client(1).sends(noop(7))
  const [opaque] = await lane.seesPackets(0x0a)
  lane.says(reply({ opcode: 0x0a, opaque }))
  await t.client(1).gets(reply({ opcode: 0x0a, opaque: 7 }))
  const text = await t.connect()
  text.sends('get a\r\n')
  await text.gets('SERVER_ERROR memseal: memcached speaks the binary protocol alone\r\n')
}
