import type { Dialect } from './dialect.ts'

const GET = 0x00
const SET = 0x01
const NOT_FOUND = 0x0001
const HEADER_BYTES = 24

/** Source: memcached wiki, BinaryProtocolRevamped; also protocol_binary.h */
export const binary: Dialect = {
  get: (key, value) => ({
    request: packet(0x80, GET, 0, [Buffer.alloc(0), Buffer.from(key), Buffer.alloc(0)]),
    reply: packet(0x81, GET, 0, [Buffer.alloc(4), Buffer.alloc(0), value]),
  }),
  miss: key => ({
    request: packet(0x80, GET, 0, [Buffer.alloc(0), Buffer.from(key), Buffer.alloc(0)]),
    reply: packet(0x81, GET, NOT_FOUND, [Buffer.alloc(0), Buffer.alloc(0), Buffer.from('Not found')]),
  }),
  set: (key, value) => ({
    request: packet(0x80, SET, 0, [Buffer.alloc(8), Buffer.from(key), value]),
    reply: packet(0x81, SET, 0, [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)]),
  }),
  getMany: () => {
    throw new Error('the bench has no multiget in the binary protocol')
  },
  unknown: { offset: 16, length: 8 },
}

function packet(magic: number, opcode: number, status: number, [extras, key, value]: Buffer[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header[0] = magic
  header[1] = opcode
  header.writeUInt16BE(key.length, 2)
  header[4] = extras.length
  header.writeUInt16BE(status, 6)
  header.writeUInt32BE(extras.length + key.length + value.length, 8)
  header.writeUInt32BE(0x6d736561, 12)   // opaque: returned as sent
  return Buffer.concat([header, extras, key, value])
}
