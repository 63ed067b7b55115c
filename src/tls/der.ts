/** One value of DER: where it starts (its tag), where its content starts, and where it ends. */
export interface DerValue { tag: number, start: number, content: number, end: number }

/** Just enough of DER (X.690) to read what Node's X509Certificate does not tell: revocation lists, and names as bytes.
 *  @throws Error when the bytes end too early */
export class DerReader {
  readonly bytes: Buffer
  #at: number
  readonly #end: number

  constructor(bytes: Buffer, from = 0, end = bytes.length) {
    this.bytes = bytes
    this.#at = from
    this.#end = end
  }

  get isDone(): boolean {
    return this.#at >= this.#end
  }

  /** Tag of the next value, -1 when there is none. */
  get tag(): number {
    return this.isDone ? -1 : this.bytes[this.#at]
  }

  next(): DerValue {
    const start = this.#at
    const tag = this.bytes[start]
    let length = this.bytes[start + 1]
    let content = start + 2
    if (length === undefined) throw new Error('the DER ends too early')
    if (length > 127) {
      const bytes = length & 127
      if (bytes === 0 || bytes > 4 || content + bytes > this.#end) throw new Error('a DER length that cannot be')
      length = this.bytes.readUIntBE(content, bytes)
      content += bytes
    }
    const end = content + length
    if (end > this.#end) throw new Error('the DER ends too early')
    this.#at = end
    return { tag, start, content, end }
  }

  /** The next value, if it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.tag === tag ? this.next() : undefined
  }

  /** Reads what is inside the next value. */
  inside(): DerReader {
    const { content, end } = this.next()
    return new DerReader(this.bytes, content, end)
  }

  /** The next value as it stands, tag and length included. */
  raw(): Buffer {
    const { start, end } = this.next()
    return this.bytes.subarray(start, end)
  }

  content(): Buffer {
    const { content, end } = this.next()
    return this.bytes.subarray(content, end)
  }
}

export const Tag = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, oid: 0x06, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30, context0: 0xa0,
  utf8String: 0x0c, printableString: 0x13, t61String: 0x14, ia5String: 0x16, visibleString: 0x1a, universalString: 0x1c, bmpString: 0x1e,
} as const
