import { durationText } from '../config/units.ts'
import { groupNames } from '../proto/commands.ts'
import { acceptAddress, connectAddress, fillIn, isLoopback, type Address } from './stunnel-address.ts'
import { shown, type StunnelLine, type StunnelSection } from './stunnel-conf.ts'
import { origin, SectionLines } from './stunnel-lines.ts'
import { stunnelOption } from './stunnel-options.ts'
import { StunnelPeer } from './stunnel-peer.ts'
import { YamlSection } from './yaml-writer.ts'

// One section of stunnel.conf becomes one service. Each method takes the options that it understands; what nobody took is
// remarked upon at the end, so no line is lost without a word.

/** A section for which memseal is no replacement. */
export class LeftOut extends Error {}

/** What stands around the sections. `jail`: stunnel's chroot, or ''; `folder`: where the file lies, or where it was read. */
export interface Surroundings { inherited: readonly StunnelLine[], jail: string, folder: string }

const otherProtocols = /^(cifs|capwin|capwinctrl|connect|imap|ldap|nntp|pgsql|pop3|smtp|socks)$/i

export class StunnelService {
  readonly yaml = new YamlSection()
  readonly lines: SectionLines
  readonly section: StunnelSection
  readonly listens: readonly Address[]
  #isClient: boolean
  #jail: string

  /** @throws LeftOut with the reason and what to do */
  constructor(section: StunnelSection, { inherited, jail, folder }: Surroundings) {
    this.section = section
    this.lines = new SectionLines(inherited, section.lines)
    this.#jail = jail
    this.#isClient = this.lines.isYes('client')
    if (this.#isClient) this.lines.last('client')
    this.#mustFit()
    this.listens = this.lines.all('accept').map(({ value }) => acceptAddress(value))
    const peer = new StunnelPeer(this.lines, this.yaml, jail, folder)
    this.#listen()
    if (this.#isClient) this.#plainListener()
    else this.#listenerTls(peer)
    this.#limits()
    this.#backend()
    if (this.#isClient) this.#backendTls(peer)
    this.#commands()
  }

  #mustFit(): void {
    const [exec, protocol] = [this.lines.find('exec'), this.lines.find('protocol')]
    if (exec !== undefined) throw new LeftOut(`it starts a program (exec = ${shown(exec.value)}), and memseal stands in front of a ` +
      'memcached that listens.')
    if (protocol !== undefined && otherProtocols.test(protocol.value)) {
      throw new LeftOut(`it speaks ${shown(protocol.value)}, and memseal speaks memcached only. Leave it to stunnel.`)
    }
    if (!this.lines.has('connect')) throw new LeftOut('it has no `connect`, so there is no memcached to stand in front of.')
    if (!this.lines.has('accept')) {
      throw new LeftOut(this.lines.has('sni')
        ? `it is a second certificate of another section (sni). ${stunnelOption('sni')!.words}`
        : 'it has no `accept`; memseal is not started by inetd. Write a port to listen on.')
    }
  }

  #listen(): void {
    this.#setAddresses('listen', this.listens)
    const libwrap = this.lines.isYes('libwrap') ? this.lines.last('libwrap') : undefined
    const ident = this.lines.last('ident')
    const devices = this.lines.named('socket').filter(({ value }) => /^a:SO_BINDTODEVICE=/i.test(value))
    this.lines.take(...devices)
    const isReachable = this.listens.some(address => !isLoopback(address))
    if (isReachable || libwrap !== undefined || ident !== undefined) {
      const allow = this.yaml.at('allow')
      if (isReachable) {
        allow.remark('stunnel takes connections from everywhere. memseal takes them from the addresses that stand here, and does not ' +
          'start without. Write those of your clients, such as [10.0.0.0/8, "fd00::/8"].')
      }
      if (libwrap !== undefined) allow.remark(`${origin(libwrap)}: see what /etc/hosts.allow and /etc/hosts.deny say of this service; ` +
        `\`deny\` is the list of those kept out.`)
      if (ident !== undefined) allow.remark(`${origin(ident)}: ${stunnelOption('ident')!.words}`)
      this.yaml.set('allow', [fillIn])
    }
    for (const line of devices) this.yaml.at('listen').remark(`${origin(line)}: memseal binds to addresses. Write the address of that ` +
      `interface, and in \`allow\` who is behind it.`)
    this.#socketOwner()
  }

  #socketOwner(): void {
    if (!this.listens.some(({ text }) => text.startsWith('unix:'))) return
    for (const [option, key] of [['setuid', 'owner'], ['setgid', 'group']]) {
      const line = this.lines.find(option)
      if (line === undefined || !this.lines.isOwn(line)) continue
      this.lines.take(line)
      this.yaml.set(`socket.${key}`, line.value)
      if (key === 'owner') this.yaml.at('socket.owner').remark('Giving a socket to another user takes root. Better remove owner, and ' +
        'write a group that the user of memseal is in.')
    }
  }

  #plainListener(): void {
    if (!this.listens.some(address => !isLoopback(address))) return
    this.yaml.at('listen').remark('Clients reach this listener without TLS, from other hosts too, so everyone on the way reads and ' +
      'changes all data. ' +
      'Write 127.0.0.1 and the port, and remove allow; or, where the network itself is sealed, write plaintext: allowed beside it.')
  }

  #listenerTls(peer: StunnelPeer): void {
    this.#certificate('tls', true)
    peer.clients()
    this.#versions('tls')
    const resume = this.lines.find('sessionResume')
    const isOff = resume?.value.toLowerCase() === 'no'
    if (isOff) this.lines.take(resume)
    if (this.lines.hasOpenSslOption('NO_TICKET') || isOff) this.yaml.set('tls.session_tickets', 'off')
  }

  #backend(): void {
    const addresses = this.lines.all('connect').map(({ value }) => connectAddress(value.startsWith('/') ? this.#jail + value : value))
    this.#setAddresses('backend.connect', addresses)
    const at = this.yaml.at('backend.connect')
    if (!this.#isClient && addresses.some(address => !isLoopback(address))) {
      at.remark('Behind stunnel this connection was plain, over the network, and memseal refuses that. Run memseal on the host of ' +
        'memcached ' +
        'and write 127.0.0.1; or put TLS there as well, and tls: with ca below backend; or, where the network between is sealed itself, ' +
        'write plaintext: allowed beside it.')
    }
    if (addresses.some(({ port }) => port > 0 && port < 1024)) {
      at.remark('Is this a memcached? memseal speaks memcached and closes on all else; leave other services to stunnel.')
    }
    if (addresses.length > 1) {
      const policy = this.lines.last('failover')?.value.toLowerCase()
      if (policy === undefined) this.yaml.at('backend.policy').remark('stunnel took them in this order, and old versions in turn: that ' +
        'is `rotate`.')
      this.yaml.set('backend.policy', policy === 'rr' ? 'rotate' : 'failover')
    }
    this.#seconds('TIMEOUTconnect', 'backend.connect_timeout', 300)
  }

  #backendTls(peer: StunnelPeer): void {
    peer.servers()
    this.#certificate('backend.tls', false)
    this.#versions('backend.tls')
  }

  #commands(): void {
    this.yaml.at('commands').remark('stunnel passed every command. memseal passes these, and refuses the group `admin`: shutdown, dumps, ' +
      'watch and the like. Clients that log in (SASL, or a memcached with -Y) go on as they did, each on a connection of its own; with auth ' +
      'below backend memseal logs in, and they need no password. Tools that dump need [all].')
    this.yaml.set('commands', defaultCommands)
  }

  /** `key` is the same file as `cert` when it is left out. */
  #certificate(path: string, isNeeded: boolean): void {
    const [cert, key] = [this.lines.last('cert'), this.lines.last('key')]
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

  /** sslVersion sets both ends, so the order of the lines counts. */
  #versions(path: string): void {
    let [min, max]: [StunnelLine | undefined, StunnelLine | undefined] = [undefined, undefined]
    for (const line of this.lines.named('sslVersion', 'sslVersionMin', 'sslVersionMax')) {
      const name = line.option.toLowerCase()
      if (name !== 'sslversionmax') min = line
      if (name !== 'sslversionmin') max = line
    }
    this.lines.take(min, max)
    const oldest = min?.value.toLowerCase()
    const isNewest = oldest === 'tlsv1.3' || ['NO_TLSv1_2', 'NO_TLSv1.2'].some(name => this.lines.hasOpenSslOption(name))
    if (isNewest) this.yaml.set(`${path}.min_version`, 'TLSv1.3')
    else if (oldest === 'tlsv1.2') this.yaml.set(`${path}.min_version`, 'TLSv1.2')
    if (min !== undefined && oldest !== 'tlsv1.3' && oldest !== 'tlsv1.2') {
      this.yaml.at(path).remark(`${origin(min)}: memseal speaks TLSv1.2 and TLSv1.3 only. Whoever cannot has to be updated first.`)
    }
    if (max === undefined || (max === min && !/^tlsv1\.2$/i.test(max.value))) return
    const isHere = /^(all|tlsv1\.3)$/i.test(max.value)
    const words = isHere ? 'Nothing to do: memseal speaks up to TLSv1.3.' : stunnelOption('sslVersionMax')!.words
    this.yaml.at(path).remark(`${origin(max)}: ${words}`)
  }

  #limits(): void {
    if (this.listens.some(address => !isLoopback(address))) {
      this.yaml.at('limits.connections_per_client').remark('stunnel had no such limit. memseal takes 200 connections from each address ' +
        '(auto); this host itself has no limit. ' +
        'Write a number for hosts that open more, and where many hosts come from one address (NAT, load balancer).')
      this.yaml.set('limits.connections_per_client', 'auto')
    }
    if (!this.#isClient) this.#seconds('TIMEOUTbusy', 'limits.handshake_timeout', 300)
    this.#seconds('TIMEOUTidle', 'limits.idle_timeout', 24 * 86_400)
  }

  #seconds(option: string, key: string, most: number): void {
    const line = this.lines.last(option)
    if (line === undefined) return
    const seconds = Number(line.value)
    if (/^\d+$/.test(line.value) && seconds > 0 && seconds <= most) {
      this.yaml.set(key, durationText(seconds * 1000))
      return
    }
    this.yaml.remark(`${origin(line)}: ${key} takes 1s to ${durationText(most * 1000)}. Write what you need there; left out it has its ` +
      'default.')
  }

  #setAddresses(path: string, addresses: readonly Address[]): void {
    for (const { problem } of addresses) if (problem !== undefined) this.yaml.at(path).remark(problem)
    this.yaml.set(path, addresses.length === 1 ? addresses[0].text : addresses.map(({ text }) => text))
  }
}

/** What `commands` is when it is left out. */
const defaultCommands = groupNames.filter(name => name !== 'admin' && name !== 'all')
