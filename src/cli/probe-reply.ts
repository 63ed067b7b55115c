import type { Socket } from 'node:net'
import { HEADER } from '../proto/binary-request.ts'

// What comes back to a probe: one line in text, or packets in binary, within a time.

/** How a wait ended: with the bytes, or without. */
export type Reply = { kind: 'line', text: string } | { kind: 'closed', code: string } | { kind: 'timeout' }

export interface Packet { opcode: number, status: number, value: string }
export type Packets = { kind: 'packets', packets: Packet[] } | { kind: 'closed', code: string } | { kind: 'timeout' } | { kind: 'other', text: string }

const MOST_BODY = 64 * 1024

export function firstReply(socket: Socket, timeoutMs: number): Promise<Reply> {
  return new Promise(resolve => {
    let bytes = Buffer.alloc(0)
    let code = ''
    const timer = setTimeout(() => settle(bytes.length > 0 ? { kind: 'line', text: firstLine(bytes) } : { kind: 'timeout' }), timeoutMs)
    const settle = (reply: Reply): void => {
      clearTimeout(timer)
      resolve(reply)
    }
    const ended = (): void => settle(bytes.length > 0 ? { kind: 'line', text: firstLine(bytes) } : { kind: 'closed', code })
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk as Buffer])
      if (bytes.includes('\n') || bytes.length > 2048) settle({ kind: 'line', text: firstLine(bytes) })
    })
    socket.on('error', error => { code = codeOf(error) })
    socket.once('end', ended)
    socket.once('close', ended)
    if (socket.destroyed) ended()
  })
}

/** As many packets of the binary protocol as are asked for. */
export function nextPackets(socket: Socket, count: number, timeoutMs: number): Promise<Packets> {
  return new Promise(resolve => {
    let bytes = Buffer.alloc(0)
    let code = ''
    const packets: Packet[] = []
    const timer = setTimeout(() => settle({ kind: 'timeout' }), timeoutMs)
    const settle = (got: Packets): void => {
      clearTimeout(timer)
      socket.off('data', more)
      resolve(got)
    }
    const more = (chunk: Buffer | string): void => {
      bytes = Buffer.concat([bytes, chunk as Buffer])
      while (bytes.length >= HEADER && packets.length < count) {
        const bodyBytes = bytes.readUInt32BE(8)
        if (bytes[0] !== 0x81 || bodyBytes > MOST_BODY) return settle({ kind: 'other', text: firstLine(bytes) })
        if (bytes.length < HEADER + bodyBytes) break
        const valueAt = HEADER + bytes.readUInt16BE(2) + bytes[4]
        packets.push({ opcode: bytes[1], status: bytes.readUInt16BE(6), value: bytes.toString('latin1', valueAt, HEADER + bodyBytes).slice(0, 200) })
        bytes = bytes.subarray(HEADER + bodyBytes)
      }
      if (packets.length === count) settle({ kind: 'packets', packets })
    }
    socket.on('data', more)
    socket.on('error', error => { code = codeOf(error) })
    socket.once('end', () => settle({ kind: 'closed', code }))
    socket.once('close', () => settle({ kind: 'closed', code }))
    if (socket.destroyed) settle({ kind: 'closed', code })
  })
}

export function codeOf(error: Error): string {
  // A name with several addresses fails with all their errors in one.
  const first = error instanceof AggregateError ? error.errors[0] as Error : error
  return (first as NodeJS.ErrnoException).code ?? first.message
}

export function firstLine(bytes: Buffer): string {
  return bytes.toString('latin1').split(/\r?\n/, 1)[0].slice(0, 200)
}

/** Whatever a stranger says is shown as text, never as control codes of this terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\x7f-\x9f]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
