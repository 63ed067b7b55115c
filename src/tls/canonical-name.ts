import { DerReader, Tag } from './der.ts'

/** A distinguished name as it is compared: two of them are the same where OpenSSL's X509_NAME_cmp says so (RFC 5280, 7.1).
 *  The kind of a string is of no matter, nor are the case of ASCII letters, blanks at both ends, and how many blanks stand
 *  between words. Not for showing.
 *  @param reader at the name   @throws Error when it is none */
export function canonicalName(reader: DerReader): string {
  const parts: string[] = []
  for (const name = reader.inside(); !name.isDone;) {
    const attributes: string[] = []
    for (const set = name.inside(); !set.isDone;) {
      const attribute = set.inside()
      attributes.push(`${attribute.content().toString('hex')}=${canonicalValue(attribute)}`)
    }
    parts.push(attributes.sort().join('+'))
  }
  return parts.join(',')
}

function canonicalValue(attribute: DerReader): string {
  const { tag } = attribute
  const decode = decoders[tag]
  if (decode === undefined) return attribute.raw().toString('hex')
  // Byte by byte: what is not ASCII stays as it is.
  const text = decode(attribute.content()).toString('latin1').replace(/[\t-\r ]+/g, ' ').replace(/^ | $/g, '')
  return `"${Buffer.from(text.replace(/[A-Z]/g, letter => letter.toLowerCase()), 'latin1').toString('hex')}"`
}

/** To UTF-8, by tag. OpenSSL takes T61String for Latin-1. */
const decoders: Record<number, ((content: Buffer) => Buffer) | undefined> = {
  [Tag.utf8String]: content => content,
  [Tag.printableString]: fromLatin1, [Tag.t61String]: fromLatin1, [Tag.ia5String]: fromLatin1, [Tag.visibleString]: fromLatin1,
  [Tag.bmpString]: content => fromCodes(content, 2), [Tag.universalString]: content => fromCodes(content, 4),
}

function fromLatin1(content: Buffer): Buffer {
  return Buffer.from(content.toString('latin1'))
}

function fromCodes(content: Buffer, width: 2 | 4): Buffer {
  let text = ''
  for (let at = 0; at < content.length; at += width) {
    const code = content.readUIntBE(at, width)
    // Encoded, all halves of a pair would be the same replacement character.
    if (code >= 0xd800 && code <= 0xdfff) throw new Error('a name that cannot be read')
    text += String.fromCodePoint(code)
  }
  return Buffer.from(text)
}
