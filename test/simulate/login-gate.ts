/** A memcached that wants a login (-Y, -S), in front of the model of one: what comes before the login does not reach it. */
import { Login } from '../../src/proto/login.ts'
import { replyPacket } from './model.ts'

/** memseal has the first; after a reload the second. memcached takes both. */
export const logins = [new Login('cache', Buffer.from('of-the-cache')), new Login('cache', Buffer.from('another one'))] as const

const inText: readonly string[] = logins.map(({ textRequest }) => textRequest.toString('latin1'))
/** But for the opaque. */
const inBinary: readonly string[] = logins.map(({ binaryRequest }) => withoutOpaque(binaryRequest.toString('latin1')))
const UNAUTHENTICATED = 'CLIENT_ERROR unauthenticated\r\n'

export class LoginGate {
  readonly #version: string
  #in = ''
  isOpen = false
  /** It has refused a request, and closes. */
  hasQuit = false

  constructor(version: string) {
    this.#version = version
  }

  /** @returns what it says, and the bytes that came behind the login */
  takes(bytes: string): { out: string, rest: string } {
    this.#in += bytes
    let out = ''
    while (!this.isOpen && !this.hasQuit) {
      const said = this.#in.charCodeAt(0) === 0x80 ? this.#packet() : this.#line()
      if (said === undefined) return { out, rest: '' }
      out += said
    }
    const rest = this.#in
    this.#in = ''
    return { out, rest }
  }

  #line(): string | undefined {
    const shown = inText.find(request => request.startsWith(this.#in.slice(0, request.length)) && this.#in !== '')
    if (shown !== undefined && this.#in.length < shown.length) return undefined
    const end = shown?.length ?? this.#in.indexOf('\n') + 1
    if (end === 0) return undefined
    this.#in = this.#in.slice(end)
    this.isOpen = shown !== undefined
    return this.isOpen ? 'STORED\r\n' : UNAUTHENTICATED
  }

  #packet(): string | undefined {
    if (this.#in.length < 24) return undefined
    const header = Buffer.from(this.#in.slice(0, 24), 'latin1')
    const end = 24 + header.readUInt32BE(8)
    if (this.#in.length < end) return undefined
    const packet = this.#in.slice(0, end)
    this.#in = this.#in.slice(end)
    const [opcode, opaque] = [header[1], header.readUInt32BE(12)]
    if (opcode === 0x0b) return replyPacket(opcode, opaque, 0, '', '', this.#version, 0)
    this.isOpen = inBinary.includes(withoutOpaque(packet))
    this.hasQuit = !this.isOpen
    return this.isOpen ? replyPacket(opcode, opaque, 0, '', '', 'Authenticated', 0) : replyPacket(opcode, opaque, 0x20, '', '', 'Auth failure.', 0)
  }
}

function withoutOpaque(packet: string): string {
  return packet.slice(0, 12) + packet.slice(16)
}
