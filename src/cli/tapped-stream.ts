import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** Bytes kept of each direction: both flights of a handshake with long chains fit. */
const KEPT_BYTES = 256 * 1024

/** A TCP socket for `tls.connect` to run over, with the raw bytes at hand: they tell what OpenSSL does not, such as
 *  whether the server asked for a certificate, or in which words a server that knows no TLS answered. */
export class TappedStream {
  readonly stream: Duplex
  #sent: Buffer[] = []
  #sentBytes = 0
  #received: Buffer[] = []
  #receivedBytes = 0

  constructor(socket: Socket) {
    this.stream = new Duplex({
      read: () => void socket.resume(),
      write: (chunk: Buffer, _encoding, done) => {
        if (this.#sentBytes < KEPT_BYTES) this.#sent.push(Buffer.from(chunk))
        this.#sentBytes += chunk.length
        socket.write(chunk, done)
      },
      final: done => void socket.end(() => done()),
      destroy: (error, done) => {
        socket.destroy()
        done(error)
      },
    })
    socket.on('data', chunk => {
      if (this.#receivedBytes < KEPT_BYTES) this.#received.push(chunk as Buffer)
      this.#receivedBytes += chunk.length
      if (!this.stream.push(chunk)) socket.pause()
    })
    socket.on('end', () => void this.stream.push(null))
    socket.on('error', error => void this.stream.destroy(error))
    socket.on('close', () => void this.stream.destroy())
  }

  get received(): Buffer {
    return Buffer.concat(this.#received)
  }

  /** Has the server asked for a client certificate? Read it when the handshake is over and nothing else was sent yet: a
   *  client that was asked answers with a certificate message, even an empty one, and one that was not asked never does. */
  wasAskedForCertificate(): boolean {
    const records = recordsIn(Buffer.concat(this.#sent))
    // TLS 1.3 encrypts what follows the hello: a lone record there is Finished, and with a certificate there are more.
    const sealed = records.filter(({ type }) => type === APPLICATION_DATA)
    if (sealed.length > 0) return sealed.length > 1
    // TLS 1.2 shows its messages until ChangeCipherSpec.
    const end = records.findIndex(({ type }) => type === CHANGE_CIPHER_SPEC)
    const open = (end === -1 ? records : records.slice(0, end)).filter(({ type }) => type === HANDSHAKE)
    return messageTypesIn(Buffer.concat(open.map(({ body }) => body))).includes(CERTIFICATE)
  }
}

const CHANGE_CIPHER_SPEC = 20
const HANDSHAKE = 22
const APPLICATION_DATA = 23
const CERTIFICATE = 11

/** Record layer of TLS: type (1 byte), version (2), length (2), body. */
function recordsIn(bytes: Buffer): { type: number, body: Buffer }[] {
  const records = []
  for (let at = 0; at + 5 <= bytes.length;) {
    const end = at + 5 + bytes.readUInt16BE(at + 3)
    records.push({ type: bytes[at], body: bytes.subarray(at + 5, end) })
    at = end
  }
  return records
}

/** Handshake messages: type (1 byte), length (3), body. */
function messageTypesIn(bytes: Buffer): number[] {
  const types = []
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUIntBE(at + 1, 3)) types.push(bytes[at])
  return types
}
