/** Packets of the binary protocol, right ones and wrong ones. */
export interface Packet {
  extras?: Buffer | number[]
  key?: string
  value?: string | Buffer
  opaque?: number
  cas?: bigint
  /** Header fields that say something else than what is there. */
  keyBytes?: number
  extraBytes?: number
  bodyBytes?: number
  magic?: number
  dataType?: number
  vbucket?: number
}

export const op = {
  get: 0x00, set: 0x01, add: 0x02, replace: 0x03, delete: 0x04, incr: 0x05, decr: 0x06, quit: 0x07, flush: 0x08,
  getq: 0x09, noop: 0x0a, version: 0x0b, getk: 0x0c, getkq: 0x0d, append: 0x0e, prepend: 0x0f, stat: 0x10,
  setq: 0x11, addq: 0x12, replaceq: 0x13, deleteq: 0x14, incrq: 0x15, decrq: 0x16, quitq: 0x17, flushq: 0x18,
  appendq: 0x19, prependq: 0x1a, verbosity: 0x1b, touch: 0x1c, gat: 0x1d, gatq: 0x1e,
  saslList: 0x20, saslAuth: 0x21, saslStep: 0x22, gatk: 0x23, gatkq: 0x24,
} as const

export function packet(opcode: number, of: Packet = {}): Buffer {
  const extras = Buffer.from(of.extras ?? [])
  const key = Buffer.from(of.key ?? '', 'latin1')
  const value = Buffer.from(of.value as string ?? '', 'latin1')
  const header = Buffer.alloc(24)
  header[0] = of.magic ?? 0x80
  header[1] = opcode
  header.writeUInt16BE(of.keyBytes ?? key.length, 2)
  header[4] = of.extraBytes ?? extras.length
  header[5] = of.dataType ?? 0
  header.writeUInt16BE(of.vbucket ?? 0, 6)
  header.writeUInt32BE(of.bodyBytes ?? extras.length + key.length + value.length, 8)
  header.writeUInt32BE(of.opaque ?? 0x01020304, 12)
  header.writeBigUInt64BE(of.cas ?? 0n, 16)
  return Buffer.concat([header, extras, key, value])
}

/** Extras of set, add and replace. */
export function stored(flags = 0, exptime = 0): Buffer {
  const extras = Buffer.alloc(8)
  extras.writeUInt32BE(flags, 0)
  extras.writeInt32BE(exptime, 4)
  return extras
}

/** Extras of incr and decr. @param exptime 0xffffffff: do not create */
export function counted(delta: bigint, initial: bigint, exptime = 0): Buffer {
  const extras = Buffer.alloc(20)
  extras.writeBigUInt64BE(delta, 0)
  extras.writeBigUInt64BE(initial, 8)
  extras.writeUInt32BE(exptime, 16)
  return extras
}

/** cas of the first reply among `bytes`. */
export const casOf = (bytes: Buffer): bigint => bytes.readBigUInt64BE(16)
