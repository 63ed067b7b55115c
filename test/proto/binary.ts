// Packets of the binary protocol for tests. Source: protocol-binary.txt.

export interface Packet {
  magic?: number
  opcode: number
  extras?: Buffer | number
  key?: string
  value?: string
  opaque?: number
  status?: number
  cas?: number
  /** Said in the header instead of the true length. */
  body?: number
  keyBytes?: number
  extrasBytes?: number
}

export function packet(parts: Packet): Buffer {
  const { magic = 0x80, opcode, key = '', value = '', opaque = 0xcafe, status = 0, cas = 0 } = parts
  const extras = typeof parts.extras === 'number' ? Buffer.alloc(parts.extras) : parts.extras ?? Buffer.alloc(0)
  const body = Buffer.concat([extras, Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1')])
  const header = Buffer.alloc(24)
  header[0] = magic
  header[1] = opcode
  header.writeUInt16BE(parts.keyBytes ?? Buffer.byteLength(key, 'latin1'), 2)
  header[4] = parts.extrasBytes ?? extras.length
  header.writeUInt16BE(status, 6)
  header.writeUInt32BE(parts.body ?? body.length, 8)
  header.writeUInt32BE(opaque, 12)
  header.writeUInt32BE(cas, 20)
  return Buffer.concat([header, body])
}

export const reply = (parts: Packet): Buffer => packet({ magic: 0x81, ...parts })
