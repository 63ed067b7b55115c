import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isHostName } from '../config/endpoint.ts'
import { schema } from '../config/schema.ts'
import { durationText } from '../config/units.ts'
import { acceptAddress, connectAddress, fillIn, isLoopback, type Address } from './stunnel-address.ts'
import { shown, type StunnelLine, type StunnelSection } from './stunnel-conf.ts'
import { stunnelOption } from './stunnel-options.ts'
import { YamlSection } from './yaml-writer.ts'

// One section of stunnel.conf becomes one service. Each method takes the options that it understands; what nobody took is
// remarked upon at the end, so no line is lost without a word.

const everyName = 'Here memseal lets in every certificate that client_ca has signed, whatever its names. Write an authority that signs these ' +
  `clients only${knownKey('access') ? ', or give their names under \`access\`' : ''}.`

/** A section for which memseal is no replacement. */
export class LeftOut extends Error {}

const otherProtocols = /^(cifs|capwin|capwinctrl|imap|ldap|nntp|pgsql|pop3|smtp)$/i

export class StunnelService {
  readonly yaml = new YamlSection()
  readonly taken = new Set<StunnelLine>()
  #section: StunnelSection
  #lines: readonly StunnelLine[]      // the defaults first, so that the last one counts
  #isClient: boolean
  #chroot: string

  /** @param defaults what stands before the first section, without options that are global only
   *  @throws LeftOut with the reason and what to do */
  constructor(section: StunnelSection, defaults: readonly StunnelLine[], chroot: string) {
    this.#section = section
    this.#lines = [...defaults, ...section.lines]
    this.#chroot = chroot
    this.#isClient = this.#isYes('client')
    this.#mustFit()
    this.#listen()
    if (this.#isClient) this.#plainListener()
    else this.#listenerTls()
    this.#limits()
    this.#backend()
    if (this.#isClient) this.#backendTls()
    this.#remarkOnTheRest()
  }

  #mustFit(): void {
    const [exec, protocol] = [this.#last('exec'), this.#last('protocol')]
    if (exec !== undefined) throw new LeftOut(`it starts a program (exec = ${shown(exec.value)}), and memseal stands in front of a memcached that listens.`)
    if (protocol !== undefined && otherProtocols.test(protocol.value)) {
      throw new LeftOut(`it speaks ${shown(protocol.value)}, and memseal speaks memcached only. Leave it to stunnel.`)
    }
    if (protocol !== undefined) this.taken.delete(protocol)
    if (!this.#has('connect')) throw new LeftOut('it has no `connect`, so there is no memcached to stand in front of.')
    if (!this.#has('accept')) {
      throw new LeftOut(this.#has('sni')
        ? `it is a second certificate of another section (sni). ${stunnelOption('sni')!.words}`
        : 'it has no `accept`; memseal is not started by inetd. Write a port to listen on.')
    }
  }

  #listen(): void {
    const addresses = this.#all('accept').map(({ value }) => acceptAddress(value))
    this.#setAddresses('listen', addresses)
    const libwrap = this.#find('libwrap')
    const hasLibwrap = libwrap?.value.toLowerCase() === 'yes'
    if (addresses.some(address => !isLoopback(address))) {
      const allow = this.yaml.at('allow')
      allow.remark('stunnel takes connections from everywhere. memseal takes them from the addresses that stand here, and does not ' +
        'start without. Write those of your clients, such as [10.0.0.0/8, "fd00::/8"].')
      if (hasLibwrap) allow.remark('libwrap = yes: see what /etc/hosts.allow and /etc/hosts.deny say of this service; `deny` is the list of those kept out.')
      this.yaml.set('allow', [fillIn])
    }
    if (libwrap !== undefined && (!hasLibwrap || this.yaml.has('allow'))) this.taken.add(libwrap)
    const owners = this.#section.lines.filter(({ option }) => /^set[ug]id$/i.test(option))
    if (owners.length === 0 || !addresses.some(({ text }) => text.startsWith('unix:'))) return
    for (const [option, key] of [['setuid', 'owner'], ['setgid', 'group']]) {
      const line = this.#last(option)
      if (line !== undefined) this.yaml.set(`socket.${key}`, line.value)
    }
  }

  #plainListener(): void {
    if (!this.yaml.has('allow')) return
    this.yaml.at('listen').remark('Clients reach this listener without TLS, from other hosts too, so everyone on the way reads and changes all data. ' +
      'Write 127.0.0.1 and the port, and remove allow; or, where the network itself is sealed, write plaintext: allowed beside it.')
  }

  #listenerTls(): void {
    this.#certificate('tls', true)
    this.#clientCa()
    this.#minVersion('tls')
    const [resume, noTicket] = [this.#last('sessionResume'), this.#option('NO_TICKET')]
    if (resume?.value.toLowerCase() === 'no' || noTicket) this.yaml.set('tls.session_tickets', 'off')
  }

  /** verify 0: ask and ignore, 1: verify if there is one, 2: verify, 3: chain and the certificate itself, 4: the latter only. */
  #verification(): { chain: boolean, peer: boolean, isOptional: boolean } {
    const level = Number(this.#last('verify')?.value ?? 0)
    const [chain, peer] = [this.#isYes('verifyChain'), this.#isYes('verifyPeer')]
    return { chain: chain || level === 1 || level === 2 || level === 3, peer: peer || level === 3 || level === 4, isOptional: level === 1 && !chain && !peer }
  }

  #clientCa(): void {
    const { chain, peer, isOptional } = this.#verification()
    if (!chain && !peer) {
      this.#remarkUnverified()
      return
    }
    this.#authorities('tls.client_ca')
    this.#last('requireCert')     // said by the verification
    if (isOptional) this.yaml.set('tls.client_auth', 'optional')
    if (peer) {
      this.yaml.at('tls.client_ca').remark('stunnel let in none but the very certificates in this file (verifyPeer). memseal lets in all that the authorities ' +
        'in it have signed. Write an authority that signs these clients only' + (knownKey('access') ? ', or give fingerprints under `access`.' : '.'))
    }
    for (const line of [...this.#all('checkHost'), ...this.#all('checkIP')]) {
      this.yaml.at('tls.client_ca').remark(`${origin(line)}: ${everyName}`)
    }
    const crl = knownKey('tls.crl') ? this.#last('CRLfile') : undefined
    if (crl !== undefined) this.yaml.set('tls.crl', crl.value)
  }

  #remarkUnverified(): void {
    const file = this.#last('CAfile') ?? this.#last('CApath')
    if (file === undefined) return
    this.yaml.at('tls').remark(`${origin(file)}: without verifyChain stunnel let in clients with any certificate or none, and so does this. ` +
      'For mutual TLS write below: client_ca: and a file of authorities.')
  }

  #backend(): void {
    const addresses = this.#all('connect').map(({ value }) => connectAddress(value))
    this.#setAddresses('backend.connect', addresses)
    const at = this.yaml.at('backend.connect')
    if (!this.#isClient && addresses.some(address => !isLoopback(address))) {
      at.remark('Behind stunnel this connection was plain, over the network, and memseal refuses that. Run memseal on the host of memcached ' +
        'and write 127.0.0.1; or put TLS there as well, and tls: with ca below backend; or, where the network between is sealed itself, ' +
        'write plaintext: allowed beside it.')
    }
    if (addresses.some(({ port }) => port > 0 && port < 1024)) {
      at.remark('Is this a memcached? memseal speaks memcached and closes on all else; leave other services to stunnel.')
    }
    const policy = this.#last('failover')?.value.toLowerCase()
    if (addresses.length > 1) {
      if (policy === undefined) this.yaml.at('backend.policy').remark('stunnel took them in this order, and old versions in turn: that is `rotate`.')
      this.yaml.set('backend.policy', policy === 'rr' ? 'rotate' : 'failover')
    }
    this.#seconds('TIMEOUTconnect', 'backend.connect_timeout', 300)
  }

  #backendTls(): void {
    const { chain, peer } = this.#verification()
    this.#authorities('backend.tls.ca')
    const ca = this.yaml.at('backend.tls.ca')
    if (!chain && !peer) {
      ca.remark('Without verifyChain stunnel did not verify the server, so anybody on the way could have answered. memseal always does, by this file.' +
        (this.#has('CAfile') ? '' : ' Write the authority that signed the certificate of the server.'))
    }
    this.#certificate('backend.tls', false)
    this.#serverName()
    this.#minVersion('backend.tls')
    if (!peer) return
    ca.remark('verifyPeer: the pins below hold the very certificates. memseal checks their chain too, so the authority that signed them has to be in `ca`.')
    this.#pins()
  }

  #serverName(): void {
    const [hosts, ips, sni] = [this.#all('checkHost'), this.#all('checkIP'), this.#last('sni')]
    const checked = [...hosts, ...ips].map(({ value }) => value)
    const targets = this.#all('connect').map(({ value }) => connectAddress(value).host)
    const tls = this.yaml.at('backend.tls')
    if (checked.length === 0) {
      if (sni !== undefined && isHostName(sni.value)) this.yaml.set('backend.tls.server_name', sni.value)
      tls.remark(`stunnel checked no name in the certificate, so any that the authority signed would do. memseal looks for ${sni?.value ? 'server_name' : 'the host in `connect`'}; ` +
        'where the certificate has another name, write that as server_name.')
      return
    }
    const suffixes = checked.filter(name => name.startsWith('.'))
    const plain = checked.filter(name => !name.startsWith('.'))
    if (suffixes.length > 0) {
      tls.remark('checkHost with a leading dot stands for any name below it: `names` does that, and server_name, or else the host in `connect`, has to fit as well.')
      this.yaml.set('backend.tls.names', suffixes.map(name => `dns:*${name}`))
    }
    // Each target by its own name is what memseal does without a word.
    if (plain.length > 1 && targets.every(host => plain.includes(host))) return
    if (plain.length > 1) tls.remark(`stunnel took any of the names ${plain.map(shown).join(', ')}. memseal takes one for all of \`connect\`, or each by its own host when server_name is left out.`)
    if (plain.length > 0) this.yaml.set('backend.tls.server_name', plain[0])
    if (sni !== undefined && sni.value !== plain[0]) {
      tls.remark(`${origin(sni)}: memseal asks for the name that it checks (server_name). Where the server chooses by another, let both be one.`)
    }
  }

  /** The certificates that stunnel knew by sight; read where that is possible. */
  #pins(): void {
    const line = this.#last('CAfile')
    try {
      const blocks = readFileSync(line?.value ?? '', 'utf8').match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? []
      const certificates = blocks.map(block => new X509Certificate(block))
      const own = certificates.filter(({ ca }) => !ca)
      const pins = (own.length === 0 ? certificates : own).map(({ fingerprint256 }) => fingerprint256)
      if (pins.length > 0) {
        this.yaml.set('backend.tls.fingerprints', pins)
        return
      }
    } catch {
      // Not on this host, or no certificate: said below.
    }
    this.yaml.at('backend.tls.fingerprints').remark('The file could not be read here. Write what `openssl x509 -in CERTIFICATE -noout -fingerprint -sha256` prints, in quotes.')
    this.yaml.set('backend.tls.fingerprints', [fillIn])
  }

  /** `key` is the same file as `cert` when it is left out. */
  #certificate(path: string, isNeeded: boolean): void {
    const [cert, key] = [this.#last('cert'), this.#last('key')]
    if (cert === undefined && !isNeeded) return
    for (const [name, line] of [['cert', cert], ['key', key ?? cert]] as const) {
      const isPem = line !== undefined && !/^pkcs11:|\.(p12|pfx)$/i.test(line.value)
      // Of one file for both it is enough to speak once.
      if (!isPem && (name === 'cert' || key !== undefined)) {
        this.yaml.at(`${path}.${name}`).remark(line === undefined ? 'stunnel had no certificate here. Write one with its key.'
          : line.value.startsWith('pkcs11:') ? `${origin(line)}: ${stunnelOption('engine')!.words}`
            : `${origin(line)}: memseal reads PEM. Convert it: openssl pkcs12 -in ${shown(line.value)} -nodes -out FILE.pem`)
      }
      this.yaml.set(`${path}.${name}`, isPem ? line.value : fillIn)
    }
  }

  #authorities(path: string): void {
    const [file, folder] = [this.#last('CAfile'), this.#last('CApath')]
    if (file !== undefined) {
      this.yaml.set(path, file.value)
      if (folder !== undefined) this.yaml.at(path).remark(`${origin(folder)}: memseal takes the authorities from one file. Append those of this folder.`)
    } else if (folder?.value === '/etc/ssl/certs' && this.#chroot === '') {
      this.yaml.at(path).remark(`${origin(folder)}: memseal takes the authorities from one file; this one has all of the folder. Better name the one that signs your certificates.`)
      this.yaml.set(path, '/etc/ssl/certs/ca-certificates.crt')
    } else {
      if (folder !== undefined) this.yaml.at(path).remark(`${origin(folder)}: memseal takes the authorities from one file. Make it: cat ${shown(this.#chroot + folder.value)}/*.0 > FILE.pem`)
      this.yaml.set(path, fillIn)
    }
  }

  #minVersion(path: string): void {
    const [only, min, max] = [this.#last('sslVersion'), this.#last('sslVersionMin'), this.#last('sslVersionMax')]
    const line = min ?? only
    const version = line?.value.toLowerCase()
    if (version === 'tlsv1.3' || this.#option('NO_TLSv1_2') || this.#option('NO_TLSv1.2')) this.yaml.set(`${path}.min_version`, 'TLSv1.3')
    else if (line !== undefined && version !== 'tlsv1.2' && version !== 'all') {
      this.yaml.at(path).remark(`${origin(line)}: memseal speaks TLSv1.2 and TLSv1.3 only. Whoever cannot has to be updated first.`)
    }
    if (only?.value.toLowerCase() === 'tlsv1.2') this.yaml.at(path).remark(`${origin(only)}: ${stunnelOption('sslVersionMax')!.words}`)
    if (max !== undefined && !/^(all|tlsv1\.3)$/i.test(max.value)) this.taken.delete(max)
  }

  #limits(): void {
    if (!this.#isClient) this.#seconds('TIMEOUTbusy', 'limits.handshake_timeout', 300)
    this.#seconds('TIMEOUTidle', 'limits.idle_timeout', 24 * 86_400)
  }

  #seconds(option: string, key: string, most: number): void {
    const line = this.#last(option)
    if (line === undefined) return
    const seconds = Number(line.value)
    if (/^\d+$/.test(line.value) && seconds > 0 && seconds <= most) {
      this.yaml.set(key, durationText(seconds * 1000))
      return
    }
    this.yaml.remark(`${origin(line)}: ${key} takes 1s to ${durationText(most * 1000)}. Write what you need there; left out it has its default.`)
  }

  #setAddresses(path: string, addresses: readonly Address[]): void {
    for (const { problem } of addresses) if (problem !== undefined) this.yaml.at(path).remark(problem)
    this.yaml.set(path, addresses.length === 1 ? addresses[0].text : addresses.map(({ text }) => text))
  }

  #remarkOnTheRest(): void {
    for (const line of this.#section.lines) {
      if (!this.taken.has(line)) this.yaml.remark(`${origin(line)}: ${wordsOf(line)}`)
    }
  }

  /** Is the option of OpenSSL set? Takes it, `-NAME` (not set) too. */
  #option(name: string): boolean {
    const lines = this.#named('options').filter(({ value }) => value.replace(/^-/, '').toUpperCase() === name.toUpperCase())
    for (const line of lines) this.taken.add(line)
    return lines.length > 0 && !lines.at(-1)!.value.startsWith('-')
  }

  #isYes(option: string): boolean {
    return this.#last(option)?.value.toLowerCase() === 'yes'
  }

  #has(option: string): boolean {
    return this.#find(option) !== undefined
  }

  /** The one that counts; those before it say nothing. */
  #last(option: string): StunnelLine | undefined {
    return this.#all(option).at(-1)
  }

  #all(option: string): StunnelLine[] {
    const lines = this.#named(option)
    for (const line of lines) this.taken.add(line)
    return lines
  }

  #find(option: string): StunnelLine | undefined {
    return this.#named(option).at(-1)
  }

  #named(option: string): StunnelLine[] {
    return this.#lines.filter(line => line.option.toLowerCase() === option.toLowerCase())
  }
}

/** `stunnel.conf:12 TIMEOUTclose = 0`; secrets stay where they are. */
export function origin({ where, option, value }: StunnelLine): string {
  return `${where} ${shown(option)} = ${stunnelOption(option)?.isSecret ? '…' : shown(value)}`
}

/** Why the line has no key of ours. */
export function wordsOf({ option }: StunnelLine): string {
  const known = stunnelOption(option)
  return known === undefined ? 'stunnel 5 has no such option. Look up what it did where it was written, or remove it.'
    : known.words ?? 'This has no meaning for such a service. Remove it.'
}

/** Does a service have this key? */
function knownKey(path: string): boolean {
  const services = fieldsOf(schema)?.['services']?.shape
  let kind = services?.kind === 'map' ? services.of : undefined
  for (const key of path.split('.')) kind = kind === undefined ? undefined : fieldsOf(kind)?.[key]
  return kind !== undefined
}

function fieldsOf(kind: { shape?: typeof schema.shape }) {
  return kind.shape?.kind === 'section' ? kind.shape.fields : undefined
}
