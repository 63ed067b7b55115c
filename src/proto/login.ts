/** Who memseal is to memcached: a name and a password, and the requests that show them. Nothing that prints, compares or writes this
 *  object down gets to see the password. */
import { timingSafeEqual } from 'node:crypto'
import { printable } from '../lib/printable.ts'
import { HEADER } from './binary-request.ts'
import type { RequestFrame } from './frame.ts'

/** Bytes of a password. memcached's own list with `-Y` has room for 256 with the name; SASL has its own bounds. */
export const MAX_PASSWORD = 1024
/** A request in text that is longer than that, line and value, is not a login. */
export const MOST_LOGIN_BYTES = 4096
export const SASL_AUTH = 0x21
const PLAIN = 'PLAIN'

const LONGEST_USER = 128

/** Whose login a request shows, for the log; '' when it does not say so in a form that is known. Never anything of the password.
 *  @param frame whole: SASL PLAIN, or the `set` of `-Y` */
export function userOf({ dialect, opcode, chunk, keyStart, keyEnd, lineEnd, end, rest }: RequestFrame): string {
  const value = Buffer.concat([chunk.subarray(lineEnd, end), ...rest])
  let [from, to] = [0, value.indexOf(' ')]
  if (dialect === 'binary') {
    if (opcode !== SASL_AUTH || chunk.toString('latin1', keyStart, keyEnd) !== PLAIN) return ''
    // authzid NUL user NUL password
    from = value.indexOf(0) + 1
    to = from === 0 ? -1 : value.indexOf(0, from)
  }
  return to < 0 ? '' : printable(value, from, to, LONGEST_USER)
}

export class Login {
  readonly username: string
  readonly #password: Buffer
  /** Length of what `-Y` is shown as the value of a `set`. */
  readonly textBytes: number

  /** @param password its bytes, without line ends and NULs */
  constructor(username: string, password: Buffer) {
    this.username = username
    this.#password = password
    this.textBytes = Buffer.byteLength(username) + 1 + password.length
  }

  /** The first `set` of a memcached with `-Y`. The key is of no account, and nothing is stored.   Source: protocol.txt, "Authentication" */
  get textRequest(): Buffer {
    const value = this.#textValue
    return Buffer.concat([Buffer.from(`set auth 0 0 ${value.length}\r\n`), value, Buffer.from('\r\n')])
  }

  get #textValue(): Buffer {
    return Buffer.concat([Buffer.from(`${this.username} `), this.#password])
  }

  /** SASL PLAIN (RFC 4616), as a packet of the binary protocol. */
  get binaryRequest(): Buffer {
    const message = Buffer.concat([Buffer.from(`\0${this.username}\0`), this.#password])
    const header = Buffer.alloc(HEADER)
    header[0] = 0x80
    header[1] = SASL_AUTH
    header.writeUInt16BE(PLAIN.length, 2)
    header.writeUInt32BE(PLAIN.length + message.length, 8)
    return Buffer.concat([header, Buffer.from(PLAIN), message])
  }

  equals(other: Login | undefined): boolean {
    return other !== undefined && this.isTextValue(other.#textValue)
  }

  /** @param value the data block of a `set`   @returns whether it is this login, as a client would show it to `-Y` */
  isTextValue(value: Buffer): boolean {
    const own = this.#textValue
    return value.length === own.length && timingSafeEqual(value, own)
  }
}
