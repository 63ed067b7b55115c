import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { isHostName } from '../config/endpoint.ts'
import { readWholeFile } from '../lib/whole-file.ts'
import { oneLine, spkiOf } from '../tls/peer.ts'
import { certificateBlocks, MOST_BYTES } from '../tls/pem.ts'
import { connectAddress, fillIn } from './stunnel-address.ts'
import { shown, type StunnelLine } from './stunnel-conf.ts'
import { origin, type SectionLines } from './stunnel-lines.ts'
import { stunnelOption } from './stunnel-options.ts'
import type { YamlSection } from './yaml-writer.ts'

// Whom the other side is taken for: chain, pins, names and revocation lists, of clients (`tls`) and of servers (`backend.tls`).
// Where stunnel admitted fewer than our keys can say, a FILL-IN stands, so that nothing starts before somebody has looked.

export class StunnelPeer {
  #lines: SectionLines
  #yaml: YamlSection
  #jail: string
  #folder: string
  #asked: Verification

  /** @param jail stunnel's chroot, or ''   @param folder where relative paths are looked for */
  constructor(lines: SectionLines, yaml: YamlSection, jail: string, folder: string) {
    this.#lines = lines
    this.#yaml = yaml
    this.#jail = jail
    this.#folder = folder
    this.#asked = verification(lines)
  }

  /** Which certificates of clients are accepted. */
  clients(): void {
    const { chain, peer, isRequired } = this.#asked
    if (!chain && !peer) {
      this.#unverifiedClients()
      return
    }
    this.#takeVerification()
    const hasList = this.#lines.has('CRLfile') || this.#lines.has('CRLpath')
    // A list is checked by its issuer, so stunnel needed the authority in CAfile even for `verify = 4`.
    if (chain || hasList) this.#authorities('tls.client_ca')
    if (!isRequired) {
      this.#yaml.set('tls.client_auth', 'optional')
      this.#lines.last('requireCert')
    }
    this.#revocation('tls.crl')
    if (peer) this.#pins('tls')
    this.#clientNames()
  }

  /** Which certificates of servers are accepted. */
  servers(): void {
    const { chain, peer } = this.#asked
    if (chain || peer) this.#takeVerification()
    if (chain || !peer) this.#authorities('backend.tls.ca')
    if (!chain && !peer) {
      this.#yaml.at('backend.tls.ca').remark('Without verifyChain stunnel did not verify the server, so anybody on the way could have ' +
        'answered. memseal always does, by this file.' +
        (this.#lines.has('CAfile') ? '' : ' Write the authority that signed the certificate of the server.'))
    }
    if (peer) this.#pins('backend.tls')
    this.#serverNames()
    if (chain || peer) this.#serverRevocation()
  }

  /** The lines that ask for it; those that do not are remarked upon. */
  #takeVerification(): void {
    for (const option of verifying.filter(each => each !== 'requireCert')) {
      const line = this.#lines.find(option)
      if (line !== undefined && /^(yes|[1-4])$/i.test(line.value)) this.#lines.take(line)
    }
  }

  #unverifiedClients(): void {
    const lines = this.#lines
    const required = this.#asked.isRequired ? lines.named('verify', 'requireCert').at(-1) : undefined
    if (required !== undefined) {
      this.#gap('tls.client_ca', `${origin(required)}: stunnel let in clients with any certificate, and nobody without one. Write the ` +
        'authorities that sign the certificates of your clients; or remove this line, and clients need none.')
      lines.take(required)
    }
    const secrets = lines.find('PSKsecrets')
    if (secrets !== undefined) {
      this.#gap('tls.client_ca', `${origin(secrets)}: stunnel let in whoever had one of these keys. ${stunnelOption('PSKsecrets')!.words}`)
      lines.take(secrets)
    }
    const file = lines.find('CAfile') ?? lines.find('CApath')
    if (file === undefined || this.#yaml.has('tls.client_ca')) return
    lines.take(file)
    this.#yaml.at('tls').remark(`${origin(file)}: without verifyChain stunnel let in clients with any certificate or none, and so does ` +
      'this. For mutual TLS write below: client_ca: and a file of authorities.')
  }

  #authorities(path: string): void {
    const [file, folder] = [this.#lines.last('CAfile'), this.#lines.last('CApath')]
    if (file !== undefined) {
      const strays = this.#asked.chain ? strayNames(readCertificates(resolve(this.#folder, file.value)) ?? []) : []
      if (strays.length === 0) this.#yaml.set(path, file.value)
      else {
        this.#gap(path, `${origin(file)}: the authority of ${strays.join('; ')} is not in it, so stunnel accepted nothing that this ` +
          `signed. memseal ` +
          'accepts what any certificate in the file signed. Write a file without it; or this file, if that is what you want.')
      }
      if (folder !== undefined) {
        this.#yaml.at(path).remark(`${origin(folder)}: memseal takes the authorities from one file. Append those of this folder.`)
      }
    } else if (folder?.value === '/etc/ssl/certs' && this.#jail === '') {
      this.#yaml.at(path).remark(`${origin(folder)}: memseal takes the authorities from one file; this one has all of the folder. ` +
        'Better name the one that signs your certificates.')
      this.#yaml.set(path, '/etc/ssl/certs/ca-certificates.crt')
    } else if (folder !== undefined) {
      this.#gap(path, `${origin(folder)}: memseal takes the authorities from one file. Make it:`,
        `cat ${shown(this.#jail + folder.value)}/*.0 > FILE.pem`)
    } else {
      this.#gap(path)
    }
  }

  /** verifyPeer compared the public key (and the subject) with those of the certificates in CAfile: a renewed certificate with
   *  the same key was good. */
  #pins(path: string): void {
    const [file, folder] = [this.#lines.last('CAfile'), this.#lines.last('CApath')]
    const at = `${path}.spki`
    const certificates = file === undefined ? undefined : readCertificates(resolve(this.#folder, file.value))
    const found = certificates && pinsOf(certificates)
    const from = file ?? folder
    if (from !== undefined) {
      this.#yaml.at(at).remark(`${origin(from)}: verifyPeer took the keys of its certificates and no ` +
        `others.${found === undefined ? '' : ` These are they: ${found.subjects}.`}`)
    }
    if (found !== undefined) this.#yaml.set(at, found.pins)
    else {
      const why = certificates === undefined ? 'It could not be read here.' : 'It holds authorities alone, so whose keys are meant is not known.'
      this.#gap(at, `${why} For each of the certificates write sha256/ and what this prints, in quotes:`,
        spkiCommand(certificates === undefined && file !== undefined ? file.value : 'CERTIFICATE'))
    }
    if (found !== undefined && folder !== undefined) {
      this.#gap(at, `${origin(folder)}: for each certificate of this folder write sha256/ and what this prints, in quotes; or remove ` +
        `this ${fillIn}:`, spkiCommand('CERTIFICATE'))
    }
  }

  /** checkHost, checkEmail and checkIP: one of them has to fit. */
  #clientNames(): void {
    const [hosts, ips, emails] = ['checkHost', 'checkIP', 'checkEmail'].map(option => this.#lines.all(option))
    if (hosts.length + ips.length + emails.length === 0) return
    const at = this.#yaml.at('tls.names')
    if (hosts.some(({ value }) => value.startsWith('.'))) at.remark(belowDot)
    for (const line of [...ips, ...emails]) at.remark(`${origin(line)}: ${otherNames}`)
    if (hosts.length === 0) this.#gap('tls.names', 'Write a name that the certificates of these clients have, and no others.')
    else this.#yaml.set('tls.names', hosts.map(({ value }) => dnsName(value)))
    if (hosts.length > 0) this.#commonName('tls')
  }

  #serverNames(): void {
    const lines = this.#lines
    const [hosts, ips, emails, sni] = [lines.all('checkHost'), lines.all('checkIP'), lines.all('checkEmail'), lines.last('sni')]
    const checked = [...hosts, ...ips].map(({ value }) => value)
    const targets = lines.named('connect').map(({ value }) => connectAddress(value).host)
    const tls = this.#yaml.at('backend.tls')
    for (const line of emails) tls.remark(`${origin(line)}: ${otherNames}`)
    if (checked.length === 0) {
      if (emails.length > 0) this.#gap('backend.tls.names', 'Write a name that the certificates of these servers have, and no others.')
      const isName = sni !== undefined && isHostName(sni.value)
      if (isName) this.#yaml.set('backend.tls.server_name', sni.value)
      else if (sni !== undefined) tls.remark(`${origin(sni)}: ` +
        `${sni.value === '' ? 'stunnel named no server (SNI)' : 'this is not a name of a host'}; memseal names the one that it looks ` +
        'for in the certificate.')
      if (this.#asked.chain || !this.#asked.peer) {
        tls.remark(`stunnel checked no name in the certificate, so any that the authority signed would do. memseal looks for ` +
          `${isName ? 'server_name' : 'the host in `connect`'}; where the certificate has another name, write that as server_name.`)
      } else if (isName) {
        tls.remark(`${origin(sni)}: memseal looks for this name in the certificate too. Remove server_name where the certificate has ` +
          'another.')
      }
      return
    }
    const suffixes = hosts.map(({ value }) => value).filter(name => name.startsWith('.'))
    const plain = checked.filter(name => !name.startsWith('.'))
    if (suffixes.length > 0) {
      tls.remark(`${belowDot} server_name, or else the host in \`connect\`, has to fit as well.`)
      this.#yaml.set('backend.tls.names', suffixes.map(dnsName))
    }
    if (hosts.length > 0) this.#commonName('backend.tls')
    if (sni !== undefined && sni.value !== plain[0]) {
      tls.remark(`${origin(sni)}: memseal asks for the name that it checks (server_name). Where the server chooses by another, let both ` +
        'be one.')
    }
    // Each target by its own name is what memseal does without a word.
    if (plain.length > 1 && targets.every(host => plain.includes(host))) return
    if (plain.length > 1) tls.remark(`stunnel took any of the names ${plain.map(shown).join(', ')}. memseal takes one for all of ` +
      `\`connect\`, or each by its own host when server_name is left out.`)
    if (plain.length > 0) this.#yaml.set('backend.tls.server_name', plain[0])
  }

  #commonName(path: string): void {
    this.#yaml.at(`${path}.cn_as_name`).remark('stunnel takes the common name (CN) of a certificate that has no other names. Remove ' +
      'this once yours all have a subjectAltName.')
    this.#yaml.set(`${path}.cn_as_name`, 'allowed')
  }

  #revocation(path: string): void {
    const [file, folder, ...responders] = [this.#lines.last('CRLfile'), this.#lines.find('CRLpath'), ...this.#responders()]
    if (file !== undefined && folder === undefined && responders.length === 0) {
      this.#yaml.set(path, file.value)
      return
    }
    if (folder !== undefined) {
      const sources = [...file === undefined ? [] : [shown(file.value)], `${shown(this.#jail + folder.value)}/*.r0`]
      this.#gap(path, `${origin(folder)}: memseal takes the lists from one file. Make it:`, `cat ${sources.join(' ')} > FILE.pem`)
    }
    for (const line of responders) {
      this.#gap(path, `${origin(line)}: memseal asks no OCSP responder, and revoked clients would get in. Write a file of revocation ` +
        `lists (CRL)${file === undefined ? '' : `, such as ${shown(file.value)}`}; or remove this line where certificates are short-lived.`)
    }
    this.#lines.take(folder, ...responders)
  }

  /** memseal reads no lists for servers. */
  #serverRevocation(): void {
    for (const line of [this.#lines.find('CRLfile'), this.#lines.find('CRLpath'), ...this.#responders()]) {
      if (line === undefined) continue
      const lost = `${origin(line)}: REVOKED CERTIFICATES WOULD BE TAKEN: memseal reads no revocation lists for servers.`
      if (this.#asked.peer) this.#gap('backend.tls.spki', `${lost} Remove the pins of those that are revoked, and this ${fillIn}.`)
      else {
        this.#gap('backend.tls.fingerprints', `${lost} Write the certificates of your servers, in quotes; or remove this line where ` +
          'they are short-lived. This prints one:', 'openssl x509 -in CERTIFICATE -noout -fingerprint -sha256')
      }
      this.#lines.take(line)
    }
  }

  #responders(): StunnelLine[] {
    const aia = this.#lines.isYes('OCSPaia') ? this.#lines.find('OCSPaia') : undefined
    return [this.#lines.find('OCSP'), aia].filter(line => line !== undefined)
  }

  /** A value that only the operator knows. */
  #gap(path: string, words?: string, command?: string): void {
    if (words !== undefined) this.#yaml.at(path).remark(words, command)
    if (/\.(names|spki|fingerprints)$/.test(path)) this.#yaml.append(path, fillIn)
    else this.#yaml.set(path, fillIn)
  }
}

const belowDot = 'checkHost with a leading dot stands for any name below it, at any depth. Here `*` stands for one label.'
const otherNames = 'memseal knows the names dns: and uri: of certificates. Write one that these have, or pin them (spki).'

const verifying = ['verify', 'verifyChain', 'verifyPeer', 'requireCert']

interface Verification { chain: boolean, peer: boolean, isRequired: boolean }

/** Each of these lines sets what it says and leaves the rest, so their order counts. `verify` 0: ask and ignore, 1: verify if there
 *  is one, 2: verify, 3: chain and the certificate itself, 4: the latter only. */
function verification(lines: SectionLines): Verification {
  let [chain, peer, isRequired] = [false, false, false]
  for (const { option, value } of lines.named(...verifying)) {
    const isYes = value.toLowerCase() === 'yes'
    switch (stunnelOption(option)!.name) {
      case 'verifyChain': [chain, isRequired] = [isYes, isRequired || isYes]; break
      case 'verifyPeer': [peer, isRequired] = [isYes, isRequired || isYes]; break
      case 'requireCert': isRequired = isYes; break
      default: [chain, peer, isRequired] = [/^[123]$/.test(value), /^[34]$/.test(value), /^[234]$/.test(value)]
    }
  }
  return { chain, peer, isRequired }
}

/** @returns undefined: the file cannot be read here, or holds none */
function readCertificates(file: string): X509Certificate[] | undefined {
  try {
    const certificates = certificateBlocks(readWholeFile(file, MOST_BYTES).toString()).map(block => new X509Certificate(block))
    return certificates.length === 0 ? undefined : certificates
  } catch {
    return undefined
  }
}

/** Those that have no issuer in the file. */
function strayNames(certificates: readonly X509Certificate[]): string[] {
  const strays = certificates.filter(each => each.issuer !== each.subject && !certificates.some(other => each.checkIssued(other)))
  return strays.map(({ subject }) => shown(oneLine(subject)))
}

/** Of peers: authorities stand there for the chain of others. One that signed itself and nobody else may be a peer's own. */
function pinsOf(certificates: readonly X509Certificate[]): { pins: string[], subjects: string } | undefined {
  const isAuthority = (each: X509Certificate) => each.ca && each.issuer !== each.subject ||
    certificates.some(other => other.subject !== each.subject && other.checkIssued(each))
  const peers = certificates.filter(each => !isAuthority(each))
  if (peers.length === 0) return undefined
  return { pins: [...new Set(peers.map(spkiOf))], subjects: peers.map(({ subject }) => shown(oneLine(subject))).join('; ') }
}

/** checkHost = .example.com stands for all names below it. */
function dnsName(host: string): string {
  return `dns:${host.startsWith('.') ? `*${host}` : host}`
}

function spkiCommand(file: string): string {
  return `openssl x509 -in ${shown(file)} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64`
}
