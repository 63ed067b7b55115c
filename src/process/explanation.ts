/** What would become of a client, and of a command of it: every step from its address to its command, in the order in which the running
 *  daemon asks, by the same code. From the configuration alone, so limits are named and not counted. */
import type { X509Certificate } from 'node:crypto'
import type { Config, RuleConfig, ServiceConfig } from '../config/schema.ts'
import { sizeText } from '../config/units.ts'
import { printable, printableText } from '../lib/printable.ts'
import { Authority } from '../policy/authority.ts'
import { identityOf, matchFor, type Identity } from '../policy/identity.ts'
import { Verdict, type Permit } from '../policy/permit.ts'
import { commands, showsKeysOfRow, UNKNOWN } from '../proto/commands.ts'
import { Found, type RequestFrame } from '../proto/frame.ts'
import { TextRequestFramer } from '../proto/text-request.ts'
import { certificateNames, type CertificateNames } from '../tls/certificate-names.ts'
import type { ListenerTls } from '../tls/context.ts'
import { handshakeFailure } from '../tls/handshake-failure.ts'
import { oneLine } from '../tls/peer.ts'
import { peerFault } from '../tls/verdict.ts'
import { buildAddresses } from './service-addresses.ts'
import { buildListeners, type Report } from './service-tls.ts'

export interface Step {
  step: string
  /** `told`: nothing is decided there. */
  outcome: 'passed' | 'refused' | 'told'
  words: string
  fix?: string
  /** The rule that decides. */
  rule?: string
}

export interface Asked {
  /** The names of groups of addresses replaced (see `resolveGroups`). */
  config: Config
  name: string
  service: ServiceConfig
  listener: string
  /** As `normalAddress` gives it. */
  address: string
  /** The client's own first; none: it shows none. */
  certificates: readonly X509Certificate[]
  /** A line of the text protocol; undefined: the connection alone. */
  command: string | undefined
}

/** @returns the steps up to the one that refuses, or all   @param report told of what is wrong with files; then the steps are not to be used */
export async function explainClient(asked: Asked, report: Report): Promise<Step[]> {
  const steps: Step[] = []
  const isRefused = (): boolean => steps.at(-1)?.outcome === 'refused'
  if (asked.address !== 'unix') steps.push({ step: 'bans', outcome: 'told', words: 'whether it is banned now is not asked here: see memseal ban list' })
  const group = await explainAddress(asked, report, steps)
  if (isRefused()) return steps
  explainLimits(asked, group, steps)
  const names = await explainCertificate(asked, report, steps)
  if (isRefused()) return steps
  const permit = explainRules(asked, names, steps)
  if (permit !== undefined && asked.command !== undefined) explainCommand(asked, permit, asked.command, steps)
  return steps
}

/** @returns the group with limits of its own that the address belongs to */
async function explainAddress({ config, name, service, address }: Asked, report: Report, steps: Step[]): Promise<string | undefined> {
  const { rules } = (await buildAddresses({ ...config, services: { [name]: service } }, report)).get(name)!
  const { allow, allow_file: file } = service
  if (address === 'unix') {
    steps.push({ step: 'address', outcome: 'passed', words: 'who may open a unix socket is said by its permissions' })
    return undefined
  }
  if (rules.isDenied(address)) {
    steps.push({ step: 'deny', outcome: 'refused', words: `${address} is on the deny list`, fix: 'Take it off deny (or deny_file).' })
    return undefined
  }
  steps.push({ step: 'deny', outcome: 'passed', words: `${address} is not denied` })
  const isOpen = allow.length === 0 && file === undefined
  if (rules.against(address) === undefined) {
    steps.push({ step: 'allow', outcome: 'passed', words: isOpen ? 'without a list, this host itself may connect' : `${address} is on the allow list` })
  } else {
    steps.push({ step: 'allow', outcome: 'refused', words: isOpen ? 'without a list, only this host itself may connect' : `${address} is not on the allow list`, fix: 'Write it, or its network, below allow.' })
  }
  return rules.groupOf(address)
}

/** @param group with limits of its own that the address belongs to */
function explainLimits({ service: { limits } }: Asked, group: string | undefined, steps: Step[]): void {
  const own = group === undefined ? undefined : limits.groups?.[group]
  const most = own?.connections_per_client ?? limits.connections_per_client
  const rate = own?.new_connections_per_second ?? limits.new_connections_per_second
  const words = [
    `${limits.connections} connections of the service`, ...group === undefined ? [] : [`${own?.connections ?? 'any number'} of its group ${group}`],
    `${most === 'auto' ? '200 of one client (of this host itself any number)' : `${most} of one client`}`, ...rate === 0 ? [] : [`${rate} new ones a second`],
  ]
  steps.push({ step: 'limits', outcome: 'told', words: `${words.join(', ')}; how many there are is not asked here` })
}

/** @returns undefined: there is none, or it does not count */
async function explainCertificate({ name, service, listener, certificates }: Asked, report: Report, steps: Step[]): Promise<CertificateNames | undefined> {
  const [own, ...sent] = certificates
  if (service.tls === undefined) {
    steps.push({ step: 'TLS', outcome: 'told', words: `the listener is plain: ${own === undefined ? 'nobody is asked for a certificate' : 'the certificate does not count'}` })
    return undefined
  }
  const secure = (await buildListeners(name, service, report)).get(listener)
  if (secure === undefined) return undefined   // as has been reported
  const { settings: { client_auth: auth }, judge } = secure
  if (auth === 'none') {
    steps.push({ step: 'TLS', outcome: 'told', words: `no client is asked for a certificate${own === undefined ? '' : ': this one does not count'}` })
    return undefined
  }
  if (own === undefined) {
    if (auth === 'optional') steps.push({ step: 'certificate', outcome: 'passed', words: 'it shows none, and may (client_auth: optional)' })
    else steps.push({ step: 'certificate', outcome: 'refused', ...failure('NO_CERTIFICATE') })
    return undefined
  }
  judge.know(sent)
  steps.push({ step: 'certificate', outcome: 'told', words: `${oneLine(own.subject)}; serial ${own.serialNumber}` })
  for (const step of certificateSteps(own, secure)) {
    steps.push(step)
    if (step.outcome === 'refused') return undefined
  }
  return certificateNames(own)
}

function* certificateSteps(own: X509Certificate, { rules, judge, material }: ListenerTls): Generator<Step> {
  const { authorities } = rules
  const isSigned = authorities === undefined || judge.isTrusted(own)
  const fault = peerFault(own, isSigned ? '' : 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', rules, undefined)
  if (rules.denied.size > 0) {
    if (fault?.code === 'CERT_DENIED') return yield { step: 'deny_certificates', outcome: 'refused', ...failure(fault.code) }
    yield { step: 'deny_certificates', outcome: 'passed', words: 'it is not among the denied ones' }
  }
  if (!isSigned) return yield { step: 'CA', outcome: 'refused', ...failure('UNABLE_TO_GET_ISSUER_CERT_LOCALLY', fault?.detail) }
  if (authorities !== undefined) yield { step: 'CA', outcome: 'passed', words: `it is signed by a CA of ${authorities.place}` }
  const written = own.keyUsage as string[] | undefined
  if (written !== undefined && !written.includes(CLIENT_AUTH) && !written.includes(ANY_PURPOSE)) return yield { step: 'purpose', outcome: 'refused', ...failure('INVALID_PURPOSE') }
  const late = authorities === undefined ? undefined : judge.fault(own, true)
  if (late === 'CERT_HAS_EXPIRED' || late === 'CERT_NOT_YET_VALID') return yield { step: 'dates', outcome: 'refused', ...failure(late) }
  if (authorities !== undefined) yield { step: 'dates', outcome: 'passed', words: `it is good until ${own.validToDate.toISOString().slice(0, 10)}` }
  if (material.revocation !== undefined) {
    if (late !== undefined) return yield { step: 'CRL', outcome: 'refused', ...failure(late) }
    yield { step: 'CRL', outcome: 'passed', words: 'it is not revoked' }
  }
  if (fault !== undefined) return yield { step: 'pins, names', outcome: 'refused', ...failure(fault.code, fault.detail) }
  if (rules.names.length + rules.fingerprints.length + rules.spki.length > 0) yield { step: 'pins, names', outcome: 'passed', words: 'it is one of those that tls.names, fingerprints and spki ask for' }
}

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ANY_PURPOSE = '2.5.29.37.0'

function failure(code: string, detail = ''): { words: string, fix: string } {
  const { words, advice } = handshakeFailure(code)
  return { words: detail === '' ? words : `${words} (${detail})`, fix: `${advice[0].toUpperCase()}${advice.slice(1)}.` }
}

/** @returns undefined when no rule is for it */
function explainRules({ service, listener, address }: Asked, names: CertificateNames | undefined, steps: Step[]): Permit | undefined {
  const authority = new Authority(service)
  const identity = identityOf({ id: '', service: '', listener, address, countedAs: address, port: 0, names })
  const permit = authority.permitFor(identity)
  if (service.access === undefined) {
    steps.push({ step: 'rules', outcome: 'told', words: 'there are none: `commands` of the service holds for all' })
    return permit
  }
  for (const { rule, fault } of authority.explain(identity)) {
    if (fault === undefined) steps.push({ step: `rule ${rule}`, outcome: 'passed', words: 'fits, and decides', rule })
    else steps.push({ step: `rule ${rule}`, outcome: 'told', words: `does not fit by ${fault}: ${shownAs(fault, identity)}` })
  }
  if (permit === undefined) steps.push({ step: 'rules', outcome: 'refused', words: 'none is for it', fix: `Write one whose match fits it, such as match: ${matchFor(names, address)}.` })
  else if (permit.isStranger) steps.push({ step: 'rules', outcome: 'told', words: 'none is for it: it would be refused, and is let in since rules are only observed (access_mode)' })
  const limits = Object.entries(ruleOf(service, permit)?.limits ?? {}).flatMap(([key, most]) => most === undefined ? [] : [[key, most] as const])
  const isSize = (key: string): boolean => key === 'value_size' || key === 'bytes_per_second'
  if (limits.length > 0) steps.push({ step: 'limits of rule', outcome: 'told', words: limits.map(([key, most]) => `${key}: ${isSize(key) ? sizeText(most) : most}`).join(', ') })
  return permit
}

function ruleOf({ access }: ServiceConfig, permit: Permit | undefined): RuleConfig | undefined {
  return access?.find(({ name }) => name === permit?.rule)
}

const MOST_SHOWN = 5

/** What the client has where a rule asks for something else.   @param key of the match */
function shownAs(key: keyof Exclude<RuleConfig['match'], 'everyone'>, { certificate, source, listener }: Identity): string {
  if (key === 'listener') return `the listener is ${listener}`
  if (key === 'source') return `it comes from ${source.kind === 'unix' ? 'a unix socket' : source.address}`
  if (certificate === undefined) return 'it shows no certificate'
  if (key === 'cn' && certificate.cn === undefined) return 'the certificate has no common name, or several, and nobody can say which one is meant'
  if (key === 'issuer') return `the certificate was signed by ${printableText(certificate.issuer.map(({ type, value }) => `${type}=${value}`).join(', '))}`
  const values = [certificate[key] ?? []].flat()
  const more = values.length > MOST_SHOWN ? ` and ${values.length - MOST_SHOWN} more` : ''
  return `the certificate has ${values.length === 0 ? 'none' : printableText(values.slice(0, MOST_SHOWN).join(', '))}${more}`
}

function explainCommand({ service }: Asked, permit: Permit, command: string, steps: Step[]): void {
  const { frame, found } = frameOf(command, service.limits.request_size)
  const isFramed = found === Found.request || found === Found.head
  const { name } = commands[frame.row]
  if (!isFramed && !permit.passesUnread) {
    steps.push({
      step: 'command', outcome: 'refused', words: `memseal cannot read it${frame.words === '' ? '' : `, and answers as memcached does: ${frame.words}`}`,
      fix: 'Give a whole line, as the client sends it: "get a", "set a 0 0 5", "incr a 1".',
    })
    return
  }
  if (permit.observed !== undefined && isFramed && permit.verdict(frame) !== Verdict.allowed) {
    steps.push({ step: 'command', outcome: 'refused', words: `${name} is not among \`commands\` of the service, which hold while rules are observed` })
    return
  }
  const looks = permit.observed ?? permit
  const verdict = isFramed ? looks.verdict(frame) : Verdict.allowed
  const whose = looks.rule === '' ? '`commands` of the service' : `the rule ${looks.rule}`
  const told = (step: string, words: string): void => {
    if (permit.observed === undefined) steps.push({ step, outcome: 'refused', words })
    else steps.push({ step, outcome: 'told', words: `${words}; it passes, since rules are only observed (access_mode)` })
  }
  const list = commandsOf(service, looks)
  if (verdict === Verdict.command) return told('command', whyNoCommand(service, looks, frame.row, list))
  if (verdict === Verdict.also) return told('command', `as it is written, ${name} needs ${commands[frame.alsoRow].name} as well, which is not among ${list}`)
  steps.push({ step: 'command', outcome: 'passed', words: `${name} is among ${list}` })
  if (verdict === Verdict.key) return told('keys', whyNoKey(looks, frame))
  if (frame.keys > 0) steps.push({ step: 'keys', outcome: 'passed', words: frame.keys === 1 ? 'its key may be' : 'all its keys may be' })
  if (verdict === Verdict.value) told('value', `its value is larger than ${whose} lets it be`)
  else if (verdict === Verdict.keys) told('keys of one get', `it asks for more than ${whose} lets it`)
}

/** Whose commands hold, in words. */
function commandsOf(service: ServiceConfig, permit: Permit): string {
  if (permit.rule === '') return '`commands` of the service'
  if (ruleOf(service, permit)?.commands !== undefined) return `the commands of the rule ${permit.rule}`
  return `\`commands\` of the service, which hold for the rule ${permit.rule}, since it has none of its own`
}

function whyNoCommand(service: ServiceConfig, permit: Permit, row: number, list: string): string {
  const { name, group } = commands[row]
  const written = ruleOf(service, permit)?.commands ?? service.commands
  if (row === UNKNOWN) return `memseal does not know the command, and only \`commands: [all]\` without keys, rates and sizes lets it pass`
  if (showsKeysOfRow[row] === 1 && (written.includes('all') || written.includes(group))) {
    return `${name} shows the keys of all, and the rule ${permit.rule} has \`keys\` or \`deny_keys\`: it is let pass where \`commands\` names it`
  }
  return `${name} is not among ${list}`
}

const MOST_KEY = 250

function whyNoKey(permit: Permit, frame: RequestFrame): string {
  const key = permit.forbiddenKey(frame)
  if (key === undefined) return `its key is not among those of the rule ${permit.rule}`
  const shown = printable(key, 0, key.length, MOST_KEY)
  const pattern = permit.denyingPattern(key)
  return pattern === undefined ? `${shown} is not among the keys of the rule ${permit.rule}` : `${shown} is forbidden by ${JSON.stringify(pattern)} in deny_keys of the rule ${permit.rule}`
}

function frameOf(command: string, mostLine: number): { frame: RequestFrame, found: Found } {
  const framer = new TextRequestFramer(mostLine)
  framer.push(Buffer.from(`${command.replace(/\r?\n$/, '')}\r\n`))
  const found = framer.next()
  return { frame: framer.frame, found }
}
