import { X509Certificate } from 'node:crypto'

// What stands in PEM, whatever stands around it: `openssl x509 -text` writes words before a block, haproxy wants the key in
// the same file, Windows ends lines in its own way and begins files with a mark.

/** Of a file of certificates, keys or revocation lists. */
export const MOST_BYTES = 16 * 2 ** 20

/** Each certificate as it stands there, BEGIN and END included. */
export function certificateBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^]+?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g) ?? []
}

/** The first private key, as it stands there. */
export function privateKeyBlock(pem: string): string | undefined {
  return /-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----[^]+?-----END \1-----/.exec(pem)?.[0]
}

/** The certificate alone, as every reader takes it. */
export function plainPem(certificate: X509Certificate): string {
  return pemOf('CERTIFICATE', certificate.raw)
}

/** What a file without a certificate in PEM holds, and what to do with it.
 *  @param keyPath the setting that takes a private key */
export function insteadOfCertificates(bytes: Buffer, file: string, keyPath: string): [message: string, fix: string] {
  const text = bytes.toString('latin1')
  const { message, fix } = others.find(({ is }) => is(text, bytes))!
  return [`${file} ${message}`, fix.replace('KEY', keyPath)]
}

/** The first that fits. */
const others: { is(text: string, bytes: Buffer): boolean, message: string, fix: string }[] = [
  { is: text => text === '', message: 'is empty.', fix: 'Copy the certificate into it.' },
  {
    is: text => /^(?:\xff\xfe|\xfe\xff)/.test(text),
    message: 'is written in UTF-16, and PEM is ASCII.', fix: 'Save it as ASCII or UTF-8 (PowerShell: Out-File -Encoding ascii).',
  },
  {
    is: text => text.includes('PRIVATE KEY-----'),
    message: 'holds a private key, not a certificate.', fix: 'Write the file with the certificate here, and the key under KEY.',
  },
  {
    is: text => text.includes('CERTIFICATE REQUEST-----'),
    message: 'holds a certificate request, not a certificate.', fix: 'Write the file with the certificate that the CA made of it.',
  },
  {
    is: text => /-----BEGIN (?:PKCS7|CMS)-----/.test(text),
    message: 'holds certificates in PKCS #7.', fix: 'Convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem',
  },
  {
    is: (_, bytes) => isCertificateInDer(bytes),
    message: 'holds a certificate in DER, not in PEM.', fix: 'Convert it: openssl x509 -inform der -in FILE -out FILE.pem',
  },
  {
    is: (_, bytes) => bytes[0] === 0x30,   // a sequence in DER
    message: 'holds no certificate in PEM; it may be PKCS #12.', fix: 'Convert it: openssl pkcs12 -in FILE -nokeys -out FILE.pem',
  },
  { is: () => true, message: 'holds no certificate in PEM.', fix: 'Write a file that holds "BEGIN CERTIFICATE" here.' },
]

function isCertificateInDer(bytes: Buffer): boolean {
  try {
    return new X509Certificate(bytes).raw.length > 0
  } catch {
    return false
  }
}

/** X509_CERT_AUX with one purpose that the certificate is trusted for: clientAuth, 1.3.6.1.5.5.7.3.2. Source: X509(3ossl). */
const trustedForClients = Buffer.from('300c300a06082b06010505070302', 'hex')

/** An authority of clients in the form in which OpenSSL ends a chain at it, whoever signed it: an intermediate alone, too.
 *  For the client side there is `allowPartialTrustChain`; a `tls.Server` (Node 24 to 26) does not pass that on.
 *  @param pem one certificate   @returns it as BEGIN TRUSTED CERTIFICATE; one that carries trust settings of its own keeps them */
export function asAnchor(pem: string): string {
  return hasTrustSettings(pem) ? pem : pemOf('TRUSTED CERTIFICATE', Buffer.concat([new X509Certificate(pem).raw, trustedForClients]))
}

/** Those of `openssl x509 -addtrust` or `-addreject`. */
export function hasTrustSettings(pem: string): boolean {
  if (!pem.startsWith('-----BEGIN TRUSTED ')) return false
  // An empty sequence, 3000, says nothing.
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64').length > new X509Certificate(pem).raw.length + 2
}

function pemOf(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString('base64').match(/.{1,64}/g)!.join('\n')}\n-----END ${label}-----\n`
}
