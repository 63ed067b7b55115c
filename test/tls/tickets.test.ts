import type { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test, vi } from 'vitest'
import { TicketRotation } from '../../src/tls/tickets.ts'
import { pki } from '../support/pki.ts'
import { as, connect } from '../support/wire.ts'
import { edge, type Edge } from './edge.ts'

const HOUR = 3_600_000

async function visit({ port, peers }: Edge, version: 'TLSv1.2' | 'TLSv1.3', session?: Buffer): Promise<{ isResumed: boolean, session: Buffer | undefined }> {
  const { client, ca } = await pki()
  const wire = await connect({ port, tls: as(client, ca, { minVersion: version, maxVersion: version, session }) })
  expect(await wire.ask('hello', 5)).toBe('hello')
  const next = (wire.socket as TLSSocket).getSession()
  wire.destroy()
  return { isResumed: peers.at(-1)!.tls!.resumed, session: next }
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)('after a rotation an old ticket leads to a whole handshake, and the next one holds again (%s)', async version => {
  const [at, beside] = [await edge(), await edge()]
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => { vi.useRealTimers() })
  const rotation = new TicketRotation(() => [at.listener.secure!, beside.listener.secure!])
  rotation.every(12 * HOUR)
  const { session } = await visit(at, version)
  vi.advanceTimersByTime(6 * HOUR)
  rotation.every(12 * HOUR)   // a reload that changes nothing of it
  vi.advanceTimersByTime(6 * HOUR - 1)
  expect((await visit(at, version, session)).isResumed).toBe(true)
  vi.advanceTimersByTime(1)
  const anew = await visit(at, version, session)
  expect(anew.isResumed).toBe(false)
  expect((await visit(at, version, anew.session)).isResumed).toBe(true)
  expect((await visit(beside, version, anew.session)).isResumed).toBe(false)
  rotation.every(HOUR)
  vi.advanceTimersByTime(HOUR)
  expect((await visit(at, version, anew.session)).isResumed).toBe(false)
  rotation.close()
})
