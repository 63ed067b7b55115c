import type { Snapshot, ServiceSnapshot } from '../admin/snapshot.ts'
import { exitStatuses } from '../errors.ts'
import type { Loaded } from '../tls/material.ts'
import { counted } from '../lib/counted.ts'
import { asking } from './admin-client.ts'
import { age, bytes, facts, number } from './table.ts'
import type { Terminal } from './terminal.ts'

/** As it comes over HTTP: dates are texts. */
type Sent<T> = T extends Date ? string : T extends object ? { [K in keyof T]: Sent<T[K]> } : T

/** `memseal status`: exit status 0 when the daemon is ready, 1 when it is not or cannot be asked. With `--alive`: 0 when it
 *  answers, ready or not, for whoever restarts what does not. */
export function status(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  return asking('status', flags, terminal, async client => {
    const { body, value: snapshot } = await client.askFor<Sent<Snapshot>>('GET', '/status')
    terminal.out(flags['json'] === true ? body : statusText(snapshot, Date.now()))
    return (snapshot.notReady.length === 0 || flags['alive'] === true ? exitStatuses.fine : exitStatuses.failed).status
  })
}

export function statusText(snapshot: Sent<Snapshot>, now: number): string {
  const { version, node, pid, startedAt, configuration, notReady, lastReload, refusal } = snapshot
  const state = notReady.length === 0 ? 'ready' : 'NOT READY'
  return [
    `memseal ${version} on Node ${node}, process ${pid}, up ${age((now - startedAt) / 1000)}: ${state}\n`,
    ...notReady.map(reason => `  ${reason}\n`),
    facts([
      ['configuration', configuration],
      ['last reload', lastReload === undefined ? 'none' : reloadText(lastReload, now)],
      ...(lastReload?.outcome.reasons ?? []).map(reason => ['', reason] as const),
      ...(refusal === undefined || refusal.at === lastReload?.at ? [] : standing(refusal, now)),
      ...(snapshot.tlsLeftOut.length === 0 ? [] : [['OpenSSL', `${snapshot.openssl} does not know ${snapshot.tlsLeftOut.join(', ')}: TLS does without`] as const]),
      ...(snapshot.bans.now === 0 ? [] : [['banned', `${counted(snapshot.bans.now, 'client or range', 'clients and ranges')}; memseal ban list says who`] as const]),
      ...auditRow(snapshot.audit),
      ['memory', `${bytes(snapshot.process.memory.rss)}, ${number(snapshot.process.openFds)} files and sockets open`],
    ]),
    ...snapshot.services.map(service => serviceText(service, now)),
  ].join('')
}

function auditRow({ file, fault, lines, lost, waitingBytes }: Sent<Snapshot>['audit']): (readonly [string, string])[] {
  if (file === undefined) return []
  const waiting = waitingBytes === 0 ? '' : `; ${bytes(waitingBytes)} wait`
  const state = fault === undefined ? file : `NOT WRITTEN: ${fault}`
  return [['audit', `${state} (${counted(lines, 'line')}${waiting}${lost === 0 ? '' : `; ${number(lost)} LOST`})`]]
}

/** An earlier reload was refused, and what it was asked for is not in force yet. */
function standing(refusal: NonNullable<Sent<Snapshot>['refusal']>, now: number): (readonly [string, string])[] {
  return [['before that', reloadText(refusal, now)], ...refusal.outcome.reasons.map(reason => ['', reason] as const)]
}

function reloadText({ at, cause, outcome }: NonNullable<Sent<Snapshot>['lastReload']>, now: number): string {
  const what = { applied: outcome.changes.join('; '), unchanged: 'nothing had changed', refused: 'REFUSED, and nothing was changed:' }[outcome.result]
  const who = { signal: 'by SIGHUP', admin: 'by order', files: 'by itself, since files changed' }[cause]
  return `${age((now - at) / 1000)} ago ${who}: ${what}`
}

function serviceText({ name, listeners, tls, clientCa, backendTls, backendUser, certificates, edge, traffic, rules, now: state, lanes }: Sent<ServiceSnapshot>, now: number): string {
  const rows: (readonly [string, string])[] = [
    ['listens on', listeners.map(({ address, tls, isShut }) => `${address} (${tls ? 'TLS' : 'plain'}${isShut ? '; closed until a backend answers' : ''})`).join(', ') || 'nothing'],
  ]
  if (tls !== undefined) {
    rows.push(['certificate', `${tls.subject}; ${tls.names}`], ['', `SHA-256 ${tls.fingerprint}`])
  }
  for (const { key, file, notAfter } of certificates) {
    if (key !== 'backend_cert') rows.push([key === 'crl' ? 'revocations' : '', `${file}, ${untilText(notAfter, now)}`])
  }
  rows.push(...clientCa.map(authority => ['client CA', loadedText(authority, now)] as const))
  rows.push(...Object.entries(state.backendStates).map(([backend, now]) => ['backend', `${backend}: ${backendWords[now]}`] as const))
  const versions = [...new Set(lanes.map(lane => lane.version).filter(version => version !== ''))]
  const inFlight = `${counted(state.inFlight, 'request')} in flight`
  rows.push(['', `${counted(lanes.length, 'shared connection')}, ${number(state.privateConnections)} private${state.privateWaiting > 0 ? ` (${number(state.privateWaiting)} wait for one)` : ''}, ${inFlight}${versions.length > 0 ? `, memcached ${versions.join(', ')}` : ''}`])
  if (backendUser !== undefined) rows.push(['', `memseal logs in as ${backendUser}`])
  if (backendTls?.shown !== undefined) rows.push(['shown to backend', loadedText(backendTls.shown, now)])
  for (const { key, file, notAfter } of certificates) if (key === 'backend_cert') rows.push(['', `${file}, ${untilText(notAfter, now)}`])
  rows.push(...(backendTls?.ca ?? []).map(authority => ['backend CA', loadedText(authority, now)] as const))
  rows.push(['clients', `${counted(state.connections, 'connection')} from ${counted(state.clients, 'address', 'addresses')}; ${number(edge.accepted)} so far`])
  if (tls !== undefined) rows.push(['handshakes', handshakesText(edge)])
  rows.push(['refused', listText(edge.refused)], ['requests', listText(traffic.requests)])
  if (Object.values(traffic.refused).some(count => count > 0)) rows.push(['forbidden', listText(traffic.refused)])
  for (const [name, { open, connections, refused, observed }] of Object.entries(rules)) rows.push([name === '' ? 'no rule' : `rule ${name}`, ruleText(open, connections, refused, observed)])
  const reads = traffic.hits + traffic.misses
  if (reads > 0) rows.push(['keys read', `${number(reads)}, ${(100 * traffic.hits / reads).toFixed(1)} % of them hits`])
  rows.push(['traffic', `${bytes(traffic.bytesIn)} from clients, ${bytes(traffic.bytesOut)} to them; ${bytes(state.replyBacklogBytes)} not taken yet`])
  return `\nservice ${name}\n${facts(rows)}`
}

function ruleText(open: number, connections: number, refused: Readonly<Record<string, number>>, observed: Readonly<Record<string, number>>): string {
  const would = Object.values(observed).some(count => count > 0) ? `; would refuse: ${listText(observed)}` : ''
  return `${counted(open, 'connection')}, ${number(connections)} so far; refused: ${listText(refused)}${would}`
}

const backendWords: Record<Sent<ServiceSnapshot>['now']['backendStates'][string], string> = {
  'up': 'up', 'down': 'DOWN',
  'up-login-refused': 'up, and REFUSES THE LOGIN of memseal (backend.auth): connections that have logged in serve on, and there are no new ones',
  'wants-login': 'up, and wants a login: each client has a connection of its own, and logs in there',
  'login-refused': 'up, and REFUSES THE LOGIN of memseal (backend.auth)',
  'binary-only': 'up, and speaks the binary protocol alone',
}

function handshakesText({ handshakes, resumed, handshakesFailed }: Sent<ServiceSnapshot>['edge']): string {
  const share = handshakes === 0 ? '' : ` (${Math.round(100 * resumed / handshakes)} % resumed)`
  return `${number(handshakes)}${share}; failed: ${listText(handshakesFailed)}`
}

function loadedText({ subject, fingerprint, notAfter }: Sent<Loaded>, now: number): string {
  return `${subject}, ${untilText(notAfter, now)}, SHA-256 ${fingerprint}`
}

function untilText(notAfter: string, now: number): string {
  const left = (Date.parse(notAfter) - now) / 1000
  return left <= 0 ? `EXPIRED on ${notAfter.slice(0, 10)}` : `good until ${notAfter.slice(0, 10)} (${age(left)})`
}

/** `read 10, write 5`, or `none`. */
function listText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).filter(([, count]) => count > 0).map(([name, count]) => `${name} ${number(count)}`).join(', ') || 'none'
}
