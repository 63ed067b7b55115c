import { isIPv4, isIPv6 } from 'node:net'
import { shortAddress, unmapped } from './ip.ts'

// The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.6/doc/proxy-protocol.txt): what a load balancer says first on a connection,
// so that whoever is behind it knows for whom the connection is.
//
//   v1   PROXY TCP4 192.0.2.7 10.0.0.1 56324 11211 CR LF
//   v2   CR LF CR LF NUL CR LF QUIT LF │ version, command │ family, transport │ length │ addresses, ports │ TLVs (not read)

const V1_START = Buffer.from('PROXY ')
const V2_START = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Of v1, with its CR LF. */
const MOST_V1_BYTES = 107
const V2_HEAD_BYTES = V2_START.length + 4
/** Of v2: addresses take 216 at the most, and a TLV may hold a client's certificate. */
const MOST_V2_BYTES = 16 * 1024
/** As few as these of version 2 are taken for it where none is expected: no client of a cache begins so. */
const V2_SURE_BYTES = 5

export interface Source { address: string, port: number }

/** What `readProxyHeader` found. */
export type ProxyHeader =
  | { kind: 'unfinished' }
  /** @param source for whom the connection is; undefined: the balancer does not say, or it is a connection of its own */
  | { kind: 'whole', bytes: number, source: Source | undefined }
  /** @param words how it is wrong, the end of a sentence */
  | { kind: 'wrong', words: string }

const unfinished: ProxyHeader = { kind: 'unfinished' }
const none = wrong('begins with something else than a PROXY header')

/** @param bytes all that has come of a connection on which a header is due */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (isStartOf(bytes, V1_START)) return readV1(bytes)
  return isStartOf(bytes, V2_START) ? readV2(bytes) : none
}

/** Do these bytes, the first of a connection on which no header is due, begin one all the same? */
export function beginsProxyHeader(bytes: Buffer): boolean {
  return (bytes.length >= V1_START.length && isStartOf(bytes, V1_START)) || (bytes.length >= V2_SURE_BYTES && isStartOf(bytes, V2_START))
}

/** As far as both reach, they are the same. */
function isStartOf(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, length, 0, length) === 0
}

function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MOST_V1_BYTES).indexOf('\r\n')
  if (end < 0) return bytes.length < MOST_V1_BYTES ? unfinished : wrong('begins with a PROXY header of version 1 that has no end')
  const words = bytes.toString('latin1', V1_START.length, end).split(' ')
  if (words[0] === 'UNKNOWN') return { kind: 'whole', bytes: end + 2, source: undefined }
  const [family, address, destination, port, destinationPort] = words
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false
  const isWhole = words.length === 5 && [address, destination].every(each => isAddress(each) && !each.includes('%')) && [port, destinationPort].every(isPort)
  return isWhole ? whole(end + 2, address, Number(port)) : wrong('begins with a PROXY header of version 1 that is malformed')
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

const LOCAL = 0x20
const PROXY = 0x21

/** Bytes that the addresses take, by family and transport. Only those of TCP name a client; UDP cannot come over a stream. */
const v2Families: Readonly<Record<number, { bytes: number, addressBytes: number }>> = {
  0x00: { bytes: 0, addressBytes: 0 },
  0x11: { bytes: 12, addressBytes: 4 },
  0x21: { bytes: 36, addressBytes: 16 },
  0x31: { bytes: 216, addressBytes: 0 },
}

function readV2(bytes: Buffer): ProxyHeader {
  if (bytes.length <= V2_START.length) return unfinished
  const command = bytes[12]
  if (command !== LOCAL && command !== PROXY) return wrong('begins with a PROXY header of a version or command that does not exist')
  if (bytes.length < V2_HEAD_BYTES) return unfinished
  const end = V2_HEAD_BYTES + bytes.readUInt16BE(14)
  if (end > MOST_V2_BYTES) return wrong(`begins with a PROXY header of ${end} bytes, and ${MOST_V2_BYTES} are read`)
  const family = command === LOCAL ? v2Families[0] : v2Families[bytes[13]]
  if (family === undefined) return wrong('begins with a PROXY header of a family or transport that is not TCP')
  if (end < V2_HEAD_BYTES + family.bytes) return wrong('begins with a PROXY header that is too short for its addresses')
  if (bytes.length < end) return unfinished
  const { addressBytes } = family
  if (addressBytes === 0) return { kind: 'whole', bytes: end, source: undefined }
  const address = bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + addressBytes)
  const text = addressBytes === 4 ? address.join('.') : [0, 2, 4, 6, 8, 10, 12, 14].map(at => address.readUInt16BE(at).toString(16)).join(':')
  return whole(end, text, bytes.readUInt16BE(V2_HEAD_BYTES + 2 * addressBytes))
}

/** Addresses in the one form in which they are compared, counted and logged. */
function whole(bytes: number, address: string, port: number): ProxyHeader {
  return { kind: 'whole', bytes, source: { address: unmapped(shortAddress(address)), port } }
}

function wrong(words: string): ProxyHeader {
  return { kind: 'wrong', words }
}
