import type { X509Certificate } from 'node:crypto'
import { putBounded } from '../lib/bounded.ts'
import { shortAddress } from '../lib/ip.ts'
import { DerReader, Tag } from './der.ts'
import { spkiOf } from './peer.ts'
import { extensionsOf, Extension } from './x509.ts'

// Who a certificate is for, as fields read from its DER. Node prints subject and names as one text each, with escapes, and a comma
// or a line end within a name would make another name of it for whoever takes that text apart.

export interface CertificateNames {
  /** The common name; undefined: it has none, or several (nobody can say which one is meant), or one that cannot be read. */
  readonly cn: string | undefined
  /** Organizational units. */
  readonly ou: readonly string[]
  /** Alternative names, addresses in their short form. */
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly ip: readonly string[]
  /** The name of the CA that signed it. */
  readonly issuer: readonly Attribute[]
  /** As Node gives it: hex in capitals. */
  readonly serial: string
  /** SHA-256, hex pairs with colons. */
  readonly fingerprint: string
  /** Of its key, `sha256/BASE64=`; '' when it cannot be read. */
  readonly spki: string
}

/** `CN`, `O` and so on; another type is its object identifier in hex. */
export interface Attribute { readonly type: string, readonly value: string }

/** A name with one of these in it is not a name for anybody: what is read, shown and compared must be one and the same thing. */
const odd = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u

/** Those of clients that come again are read once. */
const MOST_KNOWN = 1_000
const known = new Map<string, CertificateNames>()

export function certificateNames(certificate: X509Certificate): CertificateNames {
  const fingerprint = certificate.fingerprint256
  const found = known.get(fingerprint)
  if (found !== undefined) return found
  const { serialNumber: serial } = certificate
  let names: CertificateNames
  try {
    names = { ...namesOf(certificate), serial, fingerprint, spki: spkiOf(certificate) }
  } catch {
    // Whatever OpenSSL has made of it: nobody is matched by a name that we cannot read.
    names = { cn: undefined, ou: [], dns: [], uri: [], ip: [], issuer: [], serial, fingerprint, spki: spkiOf(certificate) }
  }
  putBounded(known, fingerprint, names, MOST_KNOWN)
  return names
}

function namesOf(certificate: X509Certificate): Pick<CertificateNames, 'cn' | 'ou' | 'dns' | 'uri' | 'ip' | 'issuer'> {
  const tbs = new DerReader(certificate.raw).inside().inside()
  tbs.optional(Tag.context0)   // version
  tbs.next()                   // serial
  tbs.next()                   // algorithm
  const issuer = distinguishedName(tbs)
  tbs.next()                   // validity
  const subject = distinguishedName(tbs)
  const common = subject.filter(({ type }) => type === 'CN')
  return {
    cn: common.length === 1 ? common[0].value : undefined,
    ou: subject.flatMap(({ type, value }) => type === 'OU' && value !== undefined ? [value] : []),
    issuer: issuer.flatMap(({ type, value }) => value === undefined ? [] : [{ type, value }]),
    ...alternativeNamesOf(certificate),
  }
}

/** @returns its attributes; `value` undefined: it cannot be read, or is odd */
function distinguishedName(reader: DerReader): { type: string, value: string | undefined }[] {
  const attributes: { type: string, value: string | undefined }[] = []
  for (const name = reader.inside(); !name.isDone;) {
    for (const set = name.inside(); !set.isDone;) {
      const attribute = set.inside()
      const id = attribute.content().toString('hex')
      attributes.push({ type: types[id] ?? id, value: valueOf(attribute) })
    }
  }
  return attributes
}

const types: Record<string, string> = {
  '550403': 'CN', '55040b': 'OU', '55040a': 'O', '550406': 'C', '550408': 'ST', '550407': 'L', '550405': 'serialNumber',
  '0992268993f22c640119': 'DC', '0992268993f22c640101': 'UID', '2a864886f70d010901': 'emailAddress',
}

function valueOf(attribute: DerReader): string | undefined {
  const decode = decoders[attribute.tag]
  const content = attribute.content()
  return decode === undefined ? undefined : plain(decode(content))
}

const decoders: Record<number, ((content: Buffer) => string | undefined) | undefined> = {
  [Tag.utf8String]: utf8, [Tag.printableString]: latin1, [Tag.t61String]: latin1, [Tag.ia5String]: latin1, [Tag.visibleString]: latin1,
  [Tag.bmpString]: content => content.length % 2 === 0 ? Buffer.from(content).swap16().toString('utf16le') : undefined,
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(content: Buffer): string | undefined {
  try {
    return strictUtf8.decode(content)
  } catch {
    return undefined
  }
}

function latin1(content: Buffer): string {
  return content.toString('latin1')
}

/** @returns undefined when it is empty or odd */
function plain(text: string | undefined): string | undefined {
  return text === undefined || text === '' || odd.test(text) ? undefined : text
}

const General = { dns: 0x82, uri: 0x86, ip: 0x87 } as const

function alternativeNamesOf(certificate: X509Certificate): Pick<CertificateNames, 'dns' | 'uri' | 'ip'> {
  const names: Record<'dns' | 'uri' | 'ip', string[]> = { dns: [], uri: [], ip: [] }
  const value = extensionsOf(certificate)?.get(Extension.subjectAltName)
  if (value === undefined) return names
  for (const list = new DerReader(value).inside(); !list.isDone;) {
    const { tag } = list
    const content = list.content()
    if (tag === General.ip) {
      const address = addressOf(content)
      if (address !== undefined) names.ip.push(address)
      continue
    }
    if (tag !== General.dns && tag !== General.uri) continue
    // IA5String, so ASCII; and no blank is in any such name.
    const text = content.toString('latin1')
    if (/^[\x21-\x7e]+$/.test(text)) names[tag === General.dns ? 'dns' : 'uri'].push(text)
  }
  return names
}

function addressOf(content: Buffer): string | undefined {
  if (content.length === 4) return content.join('.')
  if (content.length !== 16) return undefined
  return shortAddress(content.toString('hex').match(/..../g)!.join(':'))
}
