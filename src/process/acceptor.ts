import { AsyncLocalStorage } from 'node:async_hooks'
import type { Socket } from 'node:net'
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { matchFor } from '../policy/identity.ts'
import type { EventLog } from '../telemetry/event-log.ts'
import type { HandshakeFailureReason } from '../telemetry/reasons.ts'
import type { FirstRoom, Guest } from '../admission/first-room.ts'
import type { Handshakes } from '../admission/handshakes.ts'
import type { Place } from '../admission/place.ts'
import type { Handshake } from '../admission/waiting.ts'
import type { Counters } from '../telemetry/counters.ts'
import { HelloReader } from '../tls/client-hello.ts'
import type { ListenerTls } from '../tls/context.ts'
import { handshakeFailure } from '../tls/handshake-failure.ts'
import { certificateNames, type CertificateNames } from '../tls/certificate-names.ts'
import { alternativeNames, oneLine, peerTls, spkiOf, type PeerTls } from '../tls/peer.ts'
import { RecordFlood, RecordWatch } from '../tls/record-watch.ts'
import { peerFault, type PeerFault } from '../tls/verdict.ts'

// The TLS half of a listener: a TCP socket that has been admitted goes in, a TLS socket comes out, or a reason is told.
//
//   accept ── FirstRoom ── Handshakes ── begin ── tls.Server ──┬─ secureConnection ── certificate fine? ── ready
//          (a ClientHello, (its turn)                          ├─ tlsClientError ─────── failed
//           when not calm)
//      in each of the three: close, timeout ── failed, or a probe

type Who = Record<string, unknown> & { service: string, listener: string, address: string, via?: string }
type OnFail = (reason: HandshakeFailureReason, address: string, client: string) => void
type Ready = (socket: TLSSocket, tls: PeerTls, names: CertificateNames | undefined) => void
/** By the rules of `access`; undefined: it may come in. */
export type RuleRefusal = 'no-rule' | 'rule-full'
type Refuses = (names: CertificateNames | undefined) => RuleRefusal | undefined

export class TlsAcceptor {
  #secure: ListenerTls
  #firstRoom: FirstRoom
  #halfway: FirstRoom
  #handshakes: Handshakes
  #timeoutMs: number
  #counters: Counters
  #log: EventLog
  #onFail: OnFail
  #pending = new Set<Accepting>()
  #records = new RecordWatch()
  // tls.Server makes the TLSSocket itself and does not say for which TCP socket; by the time of an error the socket's
  // address may be unreadable. The context of the call that started a handshake is the one dependable link.
  #current = new AsyncLocalStorage<Accepting | undefined>()

  constructor(options: {
    secure: ListenerTls, firstRoom: FirstRoom, halfway: FirstRoom, handshakes: Handshakes, timeoutMs: number, counters: Counters,
    log: EventLog, onFail: OnFail,
  }) {
    this.#secure = options.secure
    this.#firstRoom = options.firstRoom
    this.#halfway = options.halfway
    this.#handshakes = options.handshakes
    this.#timeoutMs = options.timeoutMs
    this.#counters = options.counters
    this.#log = options.log
    this.#onFail = options.onFail
    this.#listenTo(options.secure)
  }

  /** What handshakes get now. */
  get secure(): ListenerTls {
    return this.#secure
  }

  /** From now on handshakes begin with this certificate, CA and CRL. Those under way end as they began, but for a client
   *  that the new rules would have to judge: see `#certificateFault`. Sessions stay up.
   *
   *  A new server has new ticket keys, so that nobody resumes a session that the old CA or CRL admitted: the client does a
   *  whole handshake instead. */
  replace(secure: ListenerTls, timeoutMs: number): void {
    this.#timeoutMs = timeoutMs
    if (secure.fingerprint === this.#secure.fingerprint) return
    this.#secure = secure
    this.#listenTo(secure)
  }

  #listenTo({ server }: ListenerTls): void {
    server.on('secureConnection', socket => this.#secured(socket))
    server.on('tlsClientError', (error, socket) => this.#errored(error, socket))
  }

  /** Handshakes that wait or run. */
  get pending(): number {
    return this.#pending.size
  }

  /** @param socket paused, nothing read   @param who fields for the log   @param place that it holds
   *  @param refuses asked when its certificate is known and good   @param ready called once if all is well
   *  @param bytesBefore of a PROXY header that was read */
  accept(socket: Socket, who: Who, place: Place, refuses: Refuses, ready: Ready, bytesBefore = 0): void {
    const accepting: Accepting = new Accepting(socket, who, place, refuses, ready, bytesBefore, {
      begin: () => this.#begin(accepting),
      fail: code => this.#fail(accepting, code),
    })
    this.#pending.add(accepting)
    socket.on('error', ignore)     // told by the close that follows
    socket.once('close', () => this.#closed(accepting))
    if (this.#handshakes.mayBeginUnread(accepting.client)) {
      this.#queue(accepting)
      return
    }
    this.#firstRoom.enter(accepting)
    accepting.timer = setTimeout(() => this.#fail(accepting, 'ERR_TLS_HANDSHAKE_TIMEOUT'), this.#timeoutMs)
    accepting.hello = new HelloReader(socket, {
      whole: () => this.#queue(accepting),
      notTls: code => this.#fail(accepting, code),
      gone: () => this.#closed(accepting),
    })
  }

  #queue(accepting: Accepting): void {
    clearTimeout(accepting.timer)
    accepting.stage = 'queue'
    this.#firstRoom.leave(accepting)
    this.#handshakes.add(accepting)
  }

  /** Ends what has not finished its handshake, where it began by rules that have gone, or is banned now. */
  endPending(isOver: (address: string, client: string, via?: string) => boolean, code: 'RULES_CHANGED' | 'BANNED' = 'RULES_CHANGED'): void {
    for (const accepting of [...this.#pending]) {
      if (isOver(accepting.who.address, accepting.client, accepting.who.via)) this.#fail(accepting, code)
    }
  }

  /** Drops what has not finished its handshake. */
  close(): void {
    for (const accepting of this.#pending) {
      this.#settle(accepting)
      accepting.socket.destroy()
    }
  }

  #begin(accepting: Accepting): void {
    // Until the handshake is done, a client that ends its side is gone; only after it does half-close mean anything.
    accepting.socket.allowHalfOpen = false
    accepting.stage = 'handshake'
    this.#halfway.enter(accepting)
    accepting.hello?.handOver()
    accepting.secure = this.#secure
    accepting.begunAt = performance.now()
    accepting.timer = setTimeout(() => this.#fail(accepting, 'ERR_TLS_HANDSHAKE_TIMEOUT'), this.#timeoutMs)
    this.#current.run(accepting, () => this.#secure.server.emit('connection', accepting.socket))
  }

  #secured(socket: TLSSocket): void {
    const accepting = this.#current.getStore()
    socket.on('error', ignore)
    if (accepting === undefined || accepting.isGone) {
      socket.destroy()
      return
    }
    const certificate = socket.getPeerX509Certificate()
    const fault = this.#certificateFault(socket, certificate, accepting.secure)
    if (fault !== undefined) {
      this.#fail(accepting, fault.code, { ...shownBy(certificate, fault.code === 'CERT_REVOKED'), ...fault.detail === '' ? {} : { detail: fault.detail } })
      return
    }
    const names = certificate && certificateNames(certificate)
    const refusal = accepting.refuses(names)
    if (refusal !== undefined) {
      this.#fail(accepting, refusal === 'no-rule' ? 'NO_RULE' : 'RULE_FULL', { ...shownBy(certificate, true), match: matchFor(names, accepting.who.address) })
      return
    }
    this.#settle(accepting, 'in')
    const tls = peerTls(socket, certificate)
    this.#counters.handshakes += 1
    this.#counters.handshakeSeconds.observe((performance.now() - accepting.begunAt) / 1000)
    if (tls.version in this.#counters.versions) this.#counters.versions[tls.version as 'TLSv1.3'] += 1
    if (tls.resumed) this.#counters.resumed += 1
    socket.allowHalfOpen = true
    const { who, client } = accepting
    socket.once('close', this.#records.add(accepting.socket, socket, () => this.#flooded(socket, { ...who, countedAs: client })))
    // What the session makes from here on is to keep nothing of the handshake alive.
    this.#current.run(undefined, () => accepting.ready(socket, tls, names))
  }

  /** The one place that decides over a certificate. `optional` admits a client without one; a certificate that does not
   *  verify is refused all the same. */
  #certificateFault(socket: TLSSocket, certificate: X509Certificate | undefined, begunWith: ListenerTls): PeerFault | undefined {
    const secure = this.#secure
    // CA, CRL or least version may have changed while the handshake ran, and OpenSSL judged by the old. The client comes again.
    if (begunWith.options.sessionIdContext !== secure.options.sessionIdContext) return { code: 'RULES_CHANGED', detail: '' }
    const { client_auth: auth } = secure.settings
    if (auth === 'none') return undefined
    if (certificate === undefined) return auth === 'optional' ? undefined : { code: 'NO_CERTIFICATE', detail: '' }
    // Typed as Error; it is the code as a string (seen on Node 24 and 26).
    const chainCode = socket.authorized ? '' : String(socket.authorizationError || 'CERT_UNTRUSTED')
    const fault = peerFault(certificate, chainCode, secure.rules, undefined)
    if (fault !== undefined || secure.rules.authorities === undefined) return fault
    const code = judged(begunWith, certificate, socket.isSessionReused())
    return code === undefined ? undefined : peerFault(certificate, code, secure.rules, undefined)
  }

  #flooded(socket: TLSSocket, who: Who & { countedAs: string }): void {
    this.#log.tell('tls-flood', who,
      'closed a client that sends TLS records without data (KeyUpdates and the like), which cost memseal far more than the client')
    socket.destroy(new RecordFlood())
  }

  #errored(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const accepting = this.#current.getStore()
    socket.on('error', ignore)
    socket.destroy()
    // That the connection broke is told by the TCP socket's close, which knows whether a byte had come.
    if (accepting === undefined || error.code === 'ECONNRESET') return
    this.#fail(accepting, error.code ?? error.message)
  }

  /** The peer is gone, by its end or by a reset. */
  #closed(accepting: Accepting): void {
    if (accepting.isGone) return
    if (accepting.hasSpoken) {
      this.#fail(accepting, accepting.stage === 'queue' ? 'GAVE_UP' : 'ECONNRESET')
      return
    }
    this.#settle(accepting)
    this.#counters.probes += 1
    accepting.socket.destroy()
  }

  /** @param more fields for the log */
  #fail(accepting: Accepting, code: string, more: { subject?: string, detail?: string, match?: string } = {}): void {
    if (accepting.isGone) return
    this.#settle(accepting, accepting.hasSpoken ? 'in vain' : 'none')
    const { reason, words, advice } = handshakeFailure(code)
    this.#counters.handshakesFailed[reason] += 1
    this.#log.tell('handshake-failed', { ...accepting.who, countedAs: accepting.client, reason, ...more, words, advice, code },
      `TLS handshake failed: ${words}${more.detail === undefined ? '' : ` (${more.detail})`}`)
    accepting.socket.destroy()
    this.#onFail(reason, accepting.who.address, accepting.client)
  }

  #settle(accepting: Accepting, outcome: 'in' | 'in vain' | 'none' = 'none'): void {
    accepting.isGone = true
    clearTimeout(accepting.timer)
    this.#pending.delete(accepting)
    this.#firstRoom.leave(accepting)
    this.#halfway.leave(accepting)
    this.#handshakes.finished(accepting, outcome)
  }
}

/** One connection from admission to the end of its handshake. */
class Accepting implements Guest, Handshake {
  readonly socket: Socket
  readonly who: Who
  readonly place: Place
  readonly refuses: Refuses
  readonly ready: Ready
  readonly begin: () => void
  readonly #fail: (code: string) => void
  readonly #bytesBefore: number
  /** Undefined: its turn came without a queue, and nothing was read before. */
  hello: HelloReader | undefined = undefined
  /** Where it waits: for its ClientHello, for its turn, for the end of its handshake. */
  stage: 'hello' | 'queue' | 'handshake' = 'hello'
  timer: NodeJS.Timeout | undefined = undefined
  secure!: ListenerTls
  begunAt = 0
  isGone = false

  constructor(
    socket: Socket, who: Who, place: Place, refuses: Refuses, ready: Ready, bytesBefore: number,
    on: { begin: () => void, fail: (code: string) => void },
  ) {
    this.socket = socket
    this.who = who
    this.place = place
    this.refuses = refuses
    this.ready = ready
    this.begin = on.begin
    this.#fail = on.fail
    this.#bytesBefore = bytesBefore
  }

  /** A byte has come from the client. */
  get hasSpoken(): boolean {
    return this.socket.bytesRead > this.#bytesBefore
  }

  get client(): string {
    return this.place.countedAs
  }

  get group(): string | undefined {
    return this.place.group
  }

  displace(): void {
    this.#fail(this.stage === 'queue' ? 'QUEUE_FULL' : 'DISPLACED')
  }
}

/** What a client sent along may be anything that OpenSSL parses; when it cannot be judged, the client is refused. */
function judged({ judge }: ListenerTls, certificate: X509Certificate, isResumed: boolean): string | undefined {
  try {
    return judge.fault(certificate, isResumed)
  } catch {
    return 'CERT_UNTRUSTED'
  }
}

/** A certificate may carry thousands. */
const MOST_NAMES = 16

/** What an operator compares, and pastes as a pin.   @param isVerified a CA that the listener trusts has signed it: then its names are true */
function shownBy(certificate: X509Certificate | undefined, isVerified: boolean): { subject?: string, names?: string[], serial?: string, fingerprint?: string, spki?: string } {
  if (certificate === undefined) return {}
  const { serialNumber: serial, fingerprint256: fingerprint } = certificate
  const names = isVerified ? alternativeNames(certificate).slice(0, MOST_NAMES) : []
  return { subject: oneLine(certificate.subject), ...names.length === 0 ? {} : { names }, serial, fingerprint, spki: spkiOf(certificate) }
}

function ignore(): void {}
