import { X509Certificate } from 'node:crypto'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'
import { durationText } from '../config/units.ts'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { answering, LookupError, names } from '../lib/names.ts'
import { systemErrorText } from '../lib/system-error.ts'
import type { Login } from '../proto/login.ts'
import { backendFailure, type BackendFailureReason } from '../tls/backend-failure.ts'
import { alternativeNames, oneLine } from '../tls/peer.ts'
import { certificateBlocks } from '../tls/pem.ts'
import { peerFault, peerRules, type PeerRules } from '../tls/verdict.ts'
import { probeFailures, type ProbeFacts, type ProbeFailureCode, type Standing } from './probe-failures.ts'
import { askInBinary, loginInText, unavailable, type Outcome } from './probe-login.ts'
import { codeOf, firstLine, firstReply, quoted, type Reply } from './probe-reply.ts'
import { TappedStream } from './tapped-stream.ts'

// One connection, from the first packet to memcached's answer:
//
//   tcp ── tls ── certificate ── mutual tls ── login, where there is one ── version
//
// Under TLS 1.3 a server judges our certificate only after the handshake looks finished from here, so `mutual tls` is
// known by what becomes of `version`.

export interface ProbeTarget {
  endpoint: Endpoint
  tls: ProbeTls | undefined      // undefined: plain
  timeoutMs: number              // for each step
  /** False: goes on past a certificate that does not verify, as whoever wants in would. */
  verifies: boolean
  /** What to log in with, where a login is wanted. */
  login?: Login
  /** Asks in the binary protocol. */
  isBinary?: boolean
  /** Asked while another walk looks for the reason of its failure; looks for none itself. */
  isAside?: boolean
}

/** PEM texts. */
export interface ProbeTls {
  ca: string | undefined
  cert: string | undefined
  key: string | undefined
  serverName: string             // to ask for
  expected: string | undefined   // name or address that the certificate has to be for; undefined: any
  rules: PeerRules
}

/** For whoever only looks whether there is TLS. */
export const anyCertificate: ProbeTls = {
  ca: undefined, cert: undefined, key: undefined, serverName: '', expected: undefined, rules: peerRules({}, undefined),
}

export interface Step { step: 'tcp' | 'tls' | 'certificate' | 'mutual tls' | 'login' | 'version', ok: boolean, ms: number, words: string }
export interface ProbeFailure { code: ProbeFailureCode, standing: Standing, means: string, fix: string }
export interface Walk { steps: Step[], failure: ProbeFailure | undefined }

/** Walks until the first step that fails. Never throws for what the other side does. */
export async function walk(target: ProbeTarget): Promise<Walk> {
  const walker = new Walker(target)
  try {
    await walker.go()
  } catch (error) {
    if (!(error instanceof Stop)) throw error
  } finally {
    walker.close()
  }
  return { steps: walker.steps, failure: walker.failure }
}

class Stop extends Error {}

const UNAUTHENTICATED = 'CLIENT_ERROR unauthenticated'
const BINARY_ALONE = 'SERVER_ERROR memseal: memcached speaks the binary protocol alone'

class Walker {
  readonly steps: Step[] = []
  failure: ProbeFailure | undefined
  #target: ProbeTarget
  #facts: ProbeFacts
  #socket: Socket | undefined
  #secure: TLSSocket | undefined
  #stepStart = 0

  constructor(target: ProbeTarget) {
    this.#target = target
    const { endpoint, tls } = target
    this.#facts = {
      target: endpointText(endpoint), host: endpoint.kind === 'tcp' ? endpoint.host : endpointText(endpoint),
      own: '', ownFault: '', detail: '', user: target.login?.username ?? '',
      hasCa: tls?.ca !== undefined, timeout: durationText(target.timeoutMs),
      ...ownCertificate(tls?.cert),
    }
  }

  async go(): Promise<void> {
    const socket = await this.#connect()
    if (this.#target.tls === undefined) return await this.#ask(socket, false)
    const { secure, wasAsked } = await this.#handshake(socket, this.#target.tls)
    this.#checkCertificate(secure, this.#target.tls)
    this.#stepStart = performance.now()
    await this.#ask(secure, wasAsked)
  }

  close(): void {
    names.cancel()
    this.#secure?.destroy()
    this.#socket?.destroy()
  }

  async #connect(): Promise<Socket> {
    this.#stepStart = performance.now()
    const { endpoint, timeoutMs } = this.#target
    const socket = endpoint.kind === 'tcp'
      ? connectTcp({ host: endpoint.host, port: endpoint.port, noDelay: true, lookup: answering(await this.#lookUp(endpoint.host)) })
      : connectTcp({ path: endpoint.kind === 'unix' ? endpoint.path : '' })
    this.#socket = socket
    const code = await outcome(socket, 'connect', timeoutMs)
    // Whoever is reset has been connected, though Node may learn of both at once.
    if (code !== '' && code !== 'ECONNRESET') this.#fail('tcp', connectFailure(code, endpoint.kind), systemErrorText(code))
    const address = socket.remoteAddress === undefined ? this.#facts.target
      : endpointText({ kind: 'tcp', host: socket.remoteAddress, port: socket.remotePort ?? 0 })
    this.#pass('tcp', `connected to ${address}`)
    if (code !== '') this.#fail(this.#target.tls === undefined ? 'version' : 'tls', 'not-admitted', systemErrorText(code))
    return socket
  }

  /** As the daemon does it, so that both see the same. */
  async #lookUp(host: string): Promise<string[]> {
    if (isIP(host) !== 0) return [host]
    const late = new AbortController()
    const silence = sleep(this.#target.timeoutMs, undefined, { signal: late.signal }).then(() => this.#fail('tcp', 'name-silent', 'no name server answers'))
    try {
      return await Promise.race([names.lookUp(host), silence])
    } catch (error) {
      if (!(error instanceof LookupError)) throw error
      return this.#fail('tcp', error.code === 'ENOTFOUND' || error.code === 'ENODATA' ? 'name-unknown' : 'name-silent', error.message)
    } finally {
      late.abort()
      silence.catch(() => {})
    }
  }

  async #handshake(socket: Socket, tls: ProbeTls): Promise<{ secure: TLSSocket, wasAsked: boolean }> {
    const tap = new TappedStream(socket)
    const { cert, key } = tls
    // With pins alone there is no authority to ask, and without either the public ones are.
    const ca = tls.ca !== undefined ? certificateBlocks(tls.ca) : tls.rules.authorities === undefined ? [] : undefined
    const secure = connectTls({
      socket: tap.stream,
      secureContext: createSecureContext({ ca, cert, key, minVersion: 'TLSv1.2', allowPartialTrustChain: true }),
      servername: isIP(tls.serverName) === 0 && !tls.serverName.includes('/') ? tls.serverName : '',
      // Judged step by step below, in our own words, before anything is asked.
      rejectUnauthorized: false, checkServerIdentity: () => undefined,
    })
    this.#secure = secure
    const code = await outcome(secure, 'secureConnect', this.#target.timeoutMs)
    // What was written last may still be on its way through the tap.
    await new Promise(resolve => setImmediate(resolve))
    const wasAsked = tap.wasAskedForCertificate()
    if (code !== '') await this.#handshakeFailed(code, tap.received, wasAsked)
    this.#pass('tls', `${secure.getProtocol()}, ${secure.getCipher().standardName}`)
    return { secure, wasAsked }
  }

  async #handshakeFailed(code: string, received: Buffer, wasAsked: boolean): Promise<never> {
    const isTls = received.length > 0 && (received[0] === 0x15 || received[0] === 0x16)
    if (!isTls) {
      // memcached waits for the end of a line that a handshake need not have, so it is asked in its own words.
      const plain = this.#target.isAside ? undefined : await walk({ ...this.#target, tls: undefined, isAside: true })
      if (plain !== undefined && plain.failure === undefined) this.#fail('tls', 'plain-memcached', plain.steps.at(-1)!.words)
      if (received.length > 0) this.#fail('tls', 'not-tls', quoted(firstLine(received)))
      this.#fail('tls', code === 'timeout' ? 'tls-silent' : 'not-admitted', code)
    }
    if (code === 'timeout') this.#fail('tls', 'tls-silent', code)
    if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|WRONG_SSL_VERSION/.test(code)) this.#fail('tls', 'tls-version', code)
    if (wasAsked || /ALERT_(BAD_CERTIFICATE|CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(code)) this.#refused(code)
    this.#fail('tls', 'tls-failed', code)
  }

  #checkCertificate(secure: TLSSocket, tls: ProbeTls): void {
    this.#stepStart = performance.now()
    const certificate = secure.getPeerX509Certificate()
    if (certificate === undefined) this.#untrusted('bad-certificate', 'no certificate')
    else {
      const chainCode = secure.authorized ? '' : String(secure.authorizationError)
      const fault = peerFault(certificate, chainCode, tls.rules, tls.expected)
      if (fault !== undefined) {
        const { reason } = backendFailure(fault.code, true, '')
        this.#untrusted(certificateFailures[reason] ?? 'bad-certificate', fault.detail || fault.code)
      } else this.#pass('certificate', `${oneLine(certificate.subject)} (${alternativeNames(certificate).join(', ') || 'no names'}), ` +
        `signed by ${oneLine(certificate.issuer)}, until ${day(certificate.validToDate)}`)
    }
  }

  async #ask(socket: Socket, wasAsked: boolean): Promise<void> {
    const { isBinary, login, timeoutMs } = this.#target
    if (isBinary) return this.#tell(await askInBinary(socket, login, timeoutMs))
    const reply = firstReply(socket, timeoutMs)
    socket.write('version\r\n')
    await this.#judge(await reply, wasAsked, socket)
  }

  async #judge(reply: Reply, wasAsked: boolean, socket: Socket): Promise<void> {
    const { login, timeoutMs } = this.#target
    const isTls = this.#target.tls !== undefined
    if (reply.kind === 'closed') {
      if (wasAsked) this.#refused(reply.code)
      if (!isTls && await this.#hasTls()) this.#fail('version', 'tls-there', reply.code)
      this.#fail('version', isTls ? 'closed-without-answer' : 'not-admitted', systemErrorText(reply.code))
    }
    if (isTls) this.#pass('mutual tls', this.#mutualWords(wasAsked, reply.kind === 'line'))
    // So is a memcached with -S to a question in text.
    if (reply.kind === 'timeout' && login !== undefined) return await this.#askInBinary()
    if (reply.kind === 'timeout') this.#fail('version', 'no-answer', '')
    const line = (reply as { text: string }).text
    if (line === UNAUTHENTICATED) return this.#tell(await loginInText(socket, login, timeoutMs))
    if (line.startsWith(BINARY_ALONE)) return await this.#askInBinary()
    if (line.startsWith('VERSION ')) {
      if (login !== undefined) this.#pass('login', 'no login is wanted there, so none was shown')
      this.#pass('version', `memcached ${line.slice('VERSION '.length)}`)
    } else if (line.charCodeAt(0) === 0x15 && !isTls) this.#fail('version', 'tls-there', '')
    else if (line.startsWith('SERVER_ERROR memseal')) this.#fail('version', unavailable(line), quoted(line))
    else if (line.startsWith('CLIENT_ERROR memseal')) this.#fail('version', 'not-permitted', quoted(line))
    else if (/^(SERVER_)?ERROR Too many open connections/.test(line)) this.#fail('version', 'too-many-connections', quoted(line))
    else this.#fail('version', 'not-memcached', quoted(line))
  }

  /** What a connection speaks is decided by its first byte, so it takes another. */
  async #askInBinary(): Promise<void> {
    const { steps, failure } = await walk({ ...this.#target, isBinary: true, isAside: true })
    this.steps.push(...steps.filter(({ step, ok }) => step === 'login' || step === 'version' || !ok))
    this.failure = failure
    if (failure !== undefined) throw new Stop()
  }

  #tell(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      if ('code' in outcome) this.#fail(outcome.step, outcome.code, outcome.detail)
      this.#pass(outcome.step, outcome.words)
    }
  }

  /** Most TLS servers close on plain text without a word, which looks like a refusal of this host. */
  async #hasTls(): Promise<boolean> {
    if (this.#target.isAside) return false
    const tls = { ...anyCertificate, serverName: this.#facts.host }
    const { steps } = await walk({ ...this.#target, tls, isAside: true })
    return steps.some(({ step, ok }) => step === 'tls' && ok)
  }

  #mutualWords(wasAsked: boolean, hasAnswered: boolean): string {
    if (!wasAsked) return 'no client certificate was asked for: whoever may connect is let in'
    if (!hasAnswered) return 'a client certificate was asked for, and not refused so far'
    return this.#facts.own === '' ? 'a client certificate was asked for, and none is needed'
      : `asked for a client certificate, and accepted ${this.#facts.own}`
  }

  /** The reason why OpenSSL or a reset says so is of use with a certificate only: without one there is but one. */
  #refused(code: string): never {
    const hasOwn = this.#facts.own !== ''
    const alert = /ALERT_(.+)$/.exec(code)?.[1].toLowerCase().replaceAll('_', ' ')
    return this.#fail('mutual tls', hasOwn ? 'client-certificate-refused' : 'client-certificate-missing',
      alert === undefined ? '' : `alert ${alert}`)
  }

  #untrusted(code: ProbeFailureCode, detail: string): void {
    if (this.#target.verifies) this.#fail('certificate', code, detail)
    this.#facts.detail = detail
    const words = probeFailures[code].means(this.#facts)
    this.#pass('certificate', `not what it should be, and passed over here: ${words}`)
  }

  #pass(step: Step['step'], words: string): void {
    this.#add(step, true, words)
  }

  #fail(step: Step['step'], code: ProbeFailureCode, detail: string): never {
    this.#facts.detail = detail
    const { standing, means, fix } = probeFailures[code]
    this.failure = { code, standing, means: means(this.#facts), fix: fix(this.#facts) }
    this.#add(step, false, code.replaceAll('-', ' '))
    throw new Stop()
  }

  #add(step: Step['step'], ok: boolean, words: string): void {
    const now = performance.now()
    this.steps.push({ step, ok, ms: Math.round((now - this.#stepStart) * 10) / 10, words })
    this.#stepStart = now
  }
}

/** @returns '' when `event` came, 'timeout', or the code of the error that came first */
function outcome(socket: Socket, event: 'connect' | 'secureConnect', timeoutMs: number): Promise<string> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve('timeout'), timeoutMs)
    const settle = (code: string): void => {
      clearTimeout(timer)
      resolve(code)
    }
    socket.once(event, () => settle(''))
    // Stays for good: an error after the outcome is told by whoever waits then, or is of no interest any more.
    socket.on('error', error => settle(codeOf(error)))
    socket.once('close', () => settle('ECONNRESET'))
  })
}

function connectFailure(code: string, kind: Endpoint['kind']): ProbeFailureCode {
  if (kind === 'unix') return code === 'timeout' ? 'connect-timeout' : 'connect-failed'
  switch (code) {
    case 'ENOTFOUND': case 'EAI_AGAIN': case 'EAI_FAIL': case 'EAI_NODATA': return 'name-unknown'
    case 'ECONNREFUSED': return 'connection-refused'
    case 'timeout': case 'ETIMEDOUT': return 'connect-timeout'
    case 'EHOSTUNREACH': case 'ENETUNREACH': case 'EHOSTDOWN': case 'ENETDOWN': return 'unreachable'
    // So says the own system: no address of that family, a route that prohibits it, a firewall on the way out.
    case 'EADDRNOTAVAIL': case 'EAFNOSUPPORT': case 'EACCES': case 'EPERM': return 'unreachable'
    default: return 'connect-failed'
  }
}

/** What a verdict over the certificate there is called here. */
const certificateFailures: Partial<Record<BackendFailureReason, ProbeFailureCode>> = {
  'wrong-ca': 'unknown-ca', 'wrong-name': 'wrong-name', 'cn-only': 'cn-only', 'wrong-pin': 'wrong-fingerprint',
  'name-not-accepted': 'name-not-accepted',
  'expired': 'expired', 'not-yet-valid': 'not-yet-valid', 'revoked': 'bad-certificate', 'weak-certificate': 'weak-certificate',
}

function ownCertificate(cert: string | undefined): Partial<ProbeFacts> {
  if (cert === undefined) return {}
  const own = new X509Certificate(cert)
  const purposes = own.keyUsage as string[] | undefined   // the extended key usage, as object identifiers
  const ownFault = own.validToDate.getTime() <= Date.now() ? `expired on ${day(own.validToDate)}`
    : own.validFromDate.getTime() > Date.now() ? `is valid only from ${day(own.validFromDate)} on`
      : purposes !== undefined && !purposes.includes(clientAuth) ? 'may not be used by clients (extendedKeyUsage lacks clientAuth)' : ''
  return { own: oneLine(own.subject), ownFault }
}

const clientAuth = '1.3.6.1.5.5.7.3.2'

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
