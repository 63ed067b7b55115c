import { createPrivateKey, sign, X509Certificate } from 'node:crypto'
import { DerReader } from '../../src/tls/der.ts'
import type { Certificate } from './pki.ts'

/** `serial`: the content of the integer, instead of that of the certificate. */
export interface CraftedEntry { certificate: Certificate, serial?: Buffer, extensions?: Buffer[] }
export interface CraftedCrl {
  ca: Certificate
  /** Instead of the name that stands in `ca`: as `nameOf` makes it. */
  issuer?: Buffer
  revoked?: CraftedEntry[]
  /** As `extension` makes them. */
  extensions?: Buffer[]
  thisUpdate?: Date
  nextUpdate?: Date
  /** `sha256`, `sha1`, `md5`; the key is EC or RSA. */
  hash?: 'sha256' | 'sha1' | 'md5'
  /** Instead of the entries: bytes that are signed with the rest. */
  entries?: Buffer
}

const DAY = 86_400_000
const algorithms = {
  ec: { sha256: '2a8648ce3d040302', sha1: '2a8648ce3d0401', md5: '' },
  rsa: { sha256: '2a864886f70d01010b', sha1: '2a864886f70d010105', md5: '2a864886f70d010104' },
}

/** A revocation list in PEM, signed by the CA, with whatever in it: `openssl ca` makes no odd ones. */
export function craftCrl({ ca, issuer = subjectIn(ca), revoked = [], extensions = [], thisUpdate = new Date(Date.now() - DAY), nextUpdate = new Date(Date.now() + DAY), hash = 'sha256', entries }: CraftedCrl): string {
  const key = createPrivateKey(ca.key)
  const kind = key.asymmetricKeyType as 'ec' | 'rsa'
  const algorithm = sequence(value(0x06, Buffer.from(algorithms[kind][hash], 'hex')), ...kind === 'rsa' ? [value(0x05)] : [])
  const rows = entries ?? Buffer.concat(revoked.map(({ certificate, serial: given, extensions: more = [] }) => {
    const serial = given ?? Buffer.from(new X509Certificate(certificate.cert).serialNumber, 'hex')
    return sequence(value(0x02, ...given === undefined && serial[0] > 127 ? [Buffer.from([0]), serial] : [serial]), time(thisUpdate), ...more.length > 0 ? [sequence(...more)] : [])
  }))
  const signed = sequence(
    value(0x02, Buffer.from([1])), algorithm, issuer, time(thisUpdate), time(nextUpdate),
    ...rows.length > 0 ? [sequence(rows)] : [], ...extensions.length > 0 ? [value(0xa0, sequence(...extensions))] : [],
  )
  const whole = sequence(signed, algorithm, value(0x03, Buffer.from([0]), sign(hash, signed, key)))
  return `-----BEGIN X509 CRL-----\n${whole.toString('base64').match(/.{1,64}/g)!.join('\n')}\n-----END X509 CRL-----\n`
}

function subjectIn({ cert }: Certificate): Buffer {
  const tbs = new DerReader(new X509Certificate(cert).raw).inside().inside()
  for (const _ of ['version', 'serial', 'algorithm', 'issuer', 'validity']) tbs.next()
  return tbs.raw()
}

export type Attribute = [kind: 'CN' | 'O' | 'OU', tag: number, text: string | Buffer]

/** A distinguished name, each attribute in a string of the kind that its tag says. */
export function nameOf(...attributes: Attribute[]): Buffer {
  const oids = { CN: '550403', O: '55040a', OU: '55040b' }
  return sequence(...attributes.map(([kind, tag, text]) => (
    value(0x31, sequence(value(0x06, Buffer.from(oids[kind], 'hex')), value(tag, Buffer.from(text as string)))))))
}

/** @param oid as DER in hex */
export function extension(oid: string, content: Buffer, isCritical = true): Buffer {
  return sequence(value(0x06, Buffer.from(oid, 'hex')), ...isCritical ? [value(0x01, Buffer.from([255]))] : [], value(0x04, content))
}

export const deltaOf = extension('551d1b', value(0x02, Buffer.from([1])))
export const unknownExtension = (isCritical: boolean): Buffer => extension('2a030405', value(0x05), isCritical)
export const removedFromList = extension('551d15', value(0x0a, Buffer.from([8])), false)
/** @param parts of an IssuingDistributionPoint */
export const issuingPoint = (...parts: Buffer[]): Buffer => extension('551d1c', sequence(...parts))
export const onlyLeaves = value(0x81, Buffer.from([255]))
export const onlyAuthorities = value(0x82, Buffer.from([255]))
export const onlySomeReasons = value(0x83, Buffer.from([6, 64]))
export const pointOf = (uri: string): Buffer => value(0xa0, value(0xa0, value(0x86, Buffer.from(uri))))
export const folderPointOf = (name: Buffer): Buffer => value(0xa0, value(0xa0, value(0xa4, name)))

function time(date: Date): Buffer {
  return value(0x18, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, '')))
}

function sequence(...parts: Buffer[]): Buffer {
  return value(0x30, ...parts)
}

function value(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const head = length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), content])
}
