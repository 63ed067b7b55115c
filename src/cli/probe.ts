import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { parseEndpoint } from '../config/endpoint.ts'
import { loadFile } from '../config/load.ts'
import { userNameFault } from '../config/kinds.ts'
import { Problem } from '../config/problem.ts'
import type { ServiceConfig } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import { exitStatuses } from '../errors.ts'
import { endpointText, type Endpoint } from '../lib/endpoint.ts'
import { readWhole } from '../lib/whole-file.ts'
import { readPassword } from '../process/backend-login.ts'
import { Login } from '../proto/login.ts'
import { systemErrorText } from '../lib/system-error.ts'
import { constraintsOf, expectedName } from '../tls/backend.ts'
import { loadedOf } from '../tls/material.ts'
import { certificateBlocks } from '../tls/pem.ts'
import { peerRules, type PeerRules, type RuleSettings } from '../tls/verdict.ts'
import { printIssues } from './configuration.ts'
import { anyCertificate, walk, type ProbeTarget, type ProbeTls, type Walk } from './probe-walk.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

interface ProbeFlags {
  operand?: string
  ca?: string
  cert?: string
  key?: string
  'server-name'?: string
  config?: string
  service?: string
  plain?: boolean
  expect?: string
  user?: string
  'password-file'?: string
  timeout?: string
  json?: boolean
}

const expectations = ['refused', 'unreachable'] as const
type Expected = typeof expectations[number]

/** `memseal probe`: one connection, told step by step. Without `--expect refused` it stops at a certificate that does not
 *  verify, so nothing is ever asked of a stranger. */
export async function probe(given: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const flags = given as ProbeFlags
  if (flags.expect !== undefined && !expectations.some(each => each === flags.expect)) {
    throw new UsageError(`"${flags.expect}" cannot be expected.\nWrite --expect refused, or unreachable, or leave it out.`)
  }
  const preset = presetOf(flags, terminal)
  if (typeof preset === 'number') return preset
  const target = targetOf(flags, preset)
  if (flags.expect === 'refused') return await expectRefused(target, flags, terminal)
  if (flags.expect === 'unreachable') return await expectUnreachable(target, flags, terminal)
  const walked = await walk(target)
  if (flags.json) printJson(target, walked, { ok: walked.failure === undefined }, terminal)
  else {
    printSteps(target, walked, terminal)
    if (walked.failure !== undefined) terminal.out(`\n${walked.failure.means}\n${walked.failure.fix}\n`)
  }
  return walked.failure === undefined ? exitStatuses.fine.status : exitStatuses.failed.status
}

/** Is this host kept out by somebody who is there? A connection that nobody took proves nothing: what keeps hosts out may have
 *  died. Whoever wants in asks both with TLS and without, and cares for no certificate of ours. */
async function expectRefused(target: ProbeTarget, flags: ProbeFlags, terminal: Terminal): Promise<number> {
  const asked = await walk({ ...target, verifies: false })
  const other = await otherWay(target, asked)
  // The right way in is the one that counts.
  const walked = asked.failure?.code === 'tls-there' && other !== undefined ? other : asked
  const isIn = other !== undefined && other.failure === undefined
  const ok = walked.failure?.standing === 'kept-out' && !isIn
  const words = isIn ? `THIS HOST IS LET IN: memcached answered it ${target.tls === undefined ? 'over TLS' : 'without any TLS'}.`
    : refusedVerdict(walked)
  return tellExpected('refused', target, isIn ? other : walked, ok, words, flags, terminal)
}

/** Is there no way there from this host? That is for firewalls: whoever is there is not asked anything. */
async function expectUnreachable(target: ProbeTarget, flags: ProbeFlags, terminal: Terminal): Promise<number> {
  const walked = await walk({ ...target, verifies: false })
  const standing = walked.failure?.standing
  const words = standing === 'unreachable' ? 'From this host nobody is reached there.'
    : standing === 'untold' ? 'NOTHING IS PROVED: the probe did not get as far as a connection.'
      : 'THIS HOST REACHES IT: somebody took the connection.'
  return tellExpected('unreachable', target, walked, standing === 'unreachable', words, flags, terminal)
}

function tellExpected(
  expect: Expected, target: ProbeTarget, walked: Walk, ok: boolean, verdict: string, flags: ProbeFlags, terminal: Terminal,
): number {
  const { failure } = walked
  if (flags.json) printJson(target, walked, { ok, expect, verdict }, terminal)
  else {
    printSteps(target, walked, terminal)
    terminal.out(`\n${verdict}\n`)
    if (failure !== undefined) terminal.out(`${failure.means}\n`)
    if (!ok) terminal.out(`${failure !== undefined && expect === 'refused' ? failure.fix : keepOut[expect]}\n`)
  }
  return ok ? exitStatuses.fine.status : exitStatuses.failed.status
}

const keepOut: Record<Expected, string> = {
  refused: 'Take its address out of `allow` there, or put it into `deny`; ask for client certificates (tls.client_ca).',
  unreachable: 'Let a firewall drop what this host sends there; for a listener that refuses it by itself, --expect refused.',
}

/** Only where something took the connection can the other way lead further. */
async function otherWay(target: ProbeTarget, walked: Walk): Promise<Walk | undefined> {
  if (walked.failure === undefined || !walked.steps[0].ok) return undefined
  const serverName = target.endpoint.kind === 'tcp' ? target.endpoint.host : 'localhost'
  const tls = target.tls === undefined ? { ...anyCertificate, serverName } : undefined
  return await walk({ ...target, tls, verifies: false })
}

function refusedVerdict({ failure }: Walk): string {
  if (failure === undefined) return 'THIS HOST IS LET IN: memcached answered it.'
  switch (failure.standing) {
    case 'kept-out': return 'This host is kept out.'
    case 'unreachable': return 'NOTHING IS PROVED: nobody took the connection, so nobody refused it. ' +
      'For a firewall that lets nothing through, --expect unreachable.'
    case 'let-in': return 'THIS HOST IS NOT KEPT OUT: what listens there took the connection and did not refuse this host.'
    case 'untold': return 'NOTHING IS PROVED: the probe did not get as far as being refused.'
    default: return failure.standing satisfies never
  }
}

function printSteps(target: ProbeTarget, { steps }: Walk, terminal: Terminal): void {
  terminal.out(`${endpointText(target.endpoint)}\n`)
  for (const { step, ok, ms, words } of steps) {
    terminal.out(`  ${step.padEnd(11)}  ${ok ? 'ok    ' : 'FAILED'}  ${ms.toFixed(1).padStart(7)} ms  ${words}\n`)
  }
}

function printJson(target: ProbeTarget, walked: Walk, more: Record<string, unknown>, terminal: Terminal): void {
  const { steps, failure } = walked
  const serverName = target.tls?.serverName
  terminal.out(`${JSON.stringify({ target: endpointText(target.endpoint), serverName, ...more, steps, failure }, null, 2)}\n`)
}

/** What a configuration says of a target: a sidecar's service knows the cache host, another its own listener. */
interface Preset {
  endpoint: Endpoint
  isTls: boolean
  ca?: string
  cert?: string
  key?: string
  serverName?: string
  pins?: RuleSettings
  auth?: ServiceConfig['backend']['auth']
}

function presetOf(flags: ProbeFlags, terminal: Terminal): Preset | undefined | number {
  if (flags.config === undefined) {
    if (flags.service !== undefined) throw new UsageError('--service names a service of a file.\nGive the file with --config FILE.')
    return undefined
  }
  const loaded = loadFile(flags.config, { environment: terminal.environment })
  if (loaded.config === undefined) {
    printIssues(loaded, terminal)
    return exitStatuses.configuration.status
  }
  const names = Object.keys(loaded.config.services)
  const name = flags.service ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined || !names.includes(name)) {
    throw new UsageError(`${name === undefined ? `${flags.config} has several services` : `${flags.config} has no service "${name}"`}.\n` +
      `Give --service with one of ${names.join(', ')}.`)
  }
  return presetOfService(loaded.config.services[name])
}

function presetOfService(service: ServiceConfig): Preset {
  const { tls, auth } = service.backend
  if (tls !== undefined) {
    const { ca, cert, key, server_name: serverName } = tls
    return { endpoint: service.backend.connect[0], isTls: true, ca, cert, key, serverName, pins: tls, auth }
  }
  return { endpoint: reachable(service.listen[0]), isTls: service.tls !== undefined }
}

/** A listener on all addresses is reached on loopback. */
function reachable(endpoint: Endpoint): Endpoint {
  if (endpoint.kind === 'systemd') throw new UsageError('the listener is a socket of systemd, whose address memseal does not know.\nGive HOST:PORT.')
  if (endpoint.kind === 'tcp' && endpoint.host === '0.0.0.0') return { ...endpoint, host: '127.0.0.1' }
  if (endpoint.kind === 'tcp' && endpoint.host === '::') return { ...endpoint, host: '::1' }
  return endpoint
}

function targetOf(flags: ProbeFlags, preset: Preset | undefined): ProbeTarget {
  const timeoutMs = parseDuration(flags.timeout ?? '3s')
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > 3_600_000) {
    throw new UsageError(`"${flags.timeout}" is not a time to wait.\nWrite a number and a unit (ms, s, m), 1ms to 1h.`)
  }
  const endpoint = flags.operand === undefined ? preset?.endpoint : endpointOf(flags.operand)
  if (endpoint === undefined) throw new UsageError('HOST:PORT is missing.\nWrite memseal probe HOST:PORT, or --config FILE.')
  const isPlain = flags.plain ?? (preset !== undefined && !preset.isTls)
  const login = loginOf(flags, preset)
  if (!isPlain) return { endpoint, tls: tlsOf(flags, preset, endpoint), timeoutMs, login, verifies: true }
  const extra = (['ca', 'cert', 'key', 'server-name'] as const).find(name => flags[name] !== undefined)
  if (extra !== undefined) throw new UsageError(`--${extra} is about TLS, and this probe is plain.\nLeave out one of the two.`)
  return { endpoint, tls: undefined, timeoutMs, login, verifies: true }
}

/** The pair of the flags, or that of the configuration, whole. */
function loginOf(flags: ProbeFlags, preset: Preset | undefined): Login | undefined {
  const { user, 'password-file': file } = flags.user === undefined && flags['password-file'] === undefined
    ? { user: preset?.auth?.username, 'password-file': preset?.auth?.password_file } : flags
  if (user === undefined && file === undefined) return undefined
  if (user === undefined || file === undefined) {
    throw new UsageError(`--${user === undefined ? 'password-file' : 'user'} alone is no use.\nGive --user and --password-file together.`)
  }
  const fault = userNameFault(user)
  if (fault !== undefined) throw new UsageError(`--user ${fault.message}\n${fault.fix}`)
  const { password, faults } = readPassword(file, readWhole)
  if (password === undefined) throw new UsageError(`--password-file: ${faults[0].message}\n${faults[0].fix}`)
  return new Login(user, password)
}

function endpointOf(text: string): Endpoint {
  const endpoint = parseEndpoint(text, 'connect')
  if (endpoint instanceof Problem) throw new UsageError(`${endpoint.message}\n${endpoint.fix}`)
  return endpoint
}

function tlsOf(flags: ProbeFlags, preset: Preset | undefined, endpoint: Endpoint): ProbeTls {
  // A pair of the flags replaces the pair of the file, whole.
  const pair = flags.cert === undefined && flags.key === undefined ? preset ?? {} : flags
  if ((pair.cert === undefined) !== (pair.key === undefined)) {
    throw new UsageError(`--${pair.cert === undefined ? 'key' : 'cert'} alone is no use.\nGive --cert and --key together.`)
  }
  const files = { ca: readPem('ca', flags.ca ?? preset?.ca), cert: readPem('cert', pair.cert), key: readPem('key', pair.key) }
  const { ca, cert, key } = files
  tryPem('ca', flags.ca ?? preset?.ca, () => ca !== undefined && new X509Certificate(certificateBlocks(ca)[0] ?? ''))
  tryPem('cert', pair.cert, () => cert !== undefined && new X509Certificate(cert))
  tryPem('key', pair.key, () => createSecureContext({ cert, key }))
  const host = endpoint.kind === 'tcp' ? endpoint.host : 'localhost'
  const serverName = flags['server-name'] ?? preset?.serverName
  // Without --ca it is the public authorities that are asked, but where the configuration has pins alone.
  const isPinnedAlone = ca === undefined && preset?.pins !== undefined
  const place = flags.ca === undefined ? 'backend.tls.ca' : '--ca'
  const rules = peerRules(preset?.pins ?? {}, isPinnedAlone ? undefined : authoritiesIn(ca, place))
  return { ...files, serverName: serverName ?? host, expected: expectedName({ serverName, rules }, host), rules }
}

function authoritiesIn(pem: string | undefined, place: string): PeerRules['authorities'] {
  if (pem === undefined) return { place: 'the list of public authorities', known: [] }
  const blocks = certificateBlocks(pem)
  return { place, known: blocks.map(block => loadedOf(new X509Certificate(block))), isConstrained: constraintsOf(blocks) }
}

function readPem(flag: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--${flag} ${file} cannot be read: ${systemErrorText((error as NodeJS.ErrnoException).code ?? (error as Error).message)}.\nName a file that is there and that this user may read.`)
  }
}

function tryPem(flag: string, file: string | undefined, use: () => unknown): void {
  try {
    use()
  } catch (error) {
    const isMismatch = /key values mismatch/i.test((error as Error).message)
    throw new UsageError(isMismatch ? `--key ${file} does not belong to the certificate of --cert.\nGive the key that it was requested with.`
      : `--${flag} ${file} holds no usable ${flag === 'key' ? 'private key' : 'certificate'} in PEM.\nName another file; a key with a passphrase has to be decrypted first.`)
  }
}
