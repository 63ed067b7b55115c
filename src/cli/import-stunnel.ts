import { writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parseEndpoint } from '../config/endpoint.ts'
import { Problem } from '../config/problem.ts'
import { collide } from '../config/rules.ts'
import { exitStatuses } from '../errors.ts'
import type { Endpoint } from '../lib/endpoint.ts'
import { fillIn } from './stunnel-address.ts'
import { readStunnelConf, shown, type StunnelConf, type StunnelLine } from './stunnel-conf.ts'
import { origin, wordsOf } from './stunnel-lines.ts'
import { stunnelOption } from './stunnel-options.ts'
import { LeftOut, StunnelService } from './stunnel-service.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { comment, YamlSection } from './yaml-writer.ts'

/** `memseal import stunnel FILE`: stunnel.conf in (`-`: from standard input), memseal.yaml out. */
export async function importStunnel(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const file = flags['operand'] as string
  const out = flags['out'] as string | undefined
  let conf: StunnelConf
  try {
    conf = readStunnelConf(file)
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).\nName the stunnel.conf, on a host where it ` +
      'is.')
  }
  const isPiped = file === '-'
  if (conf.sections.length === 0) {
    terminal.err(`${isPiped ? 'Standard input' : file} ${whyWithoutSections(conf)}\n`)
    return exitStatuses.failed.status
  }
  const { text, services, gaps } = convertStunnel(conf, isPiped ? 'standard input' : basename(file), isPiped ? '.' : dirname(file))
  if (services === 0) {
    terminal.err(`${file} has no section that memseal could take over.\n`)
    for (const line of text.split('\n').filter(each => each.startsWith('#'))) terminal.err(`${line.slice(2)}\n`)
    return exitStatuses.failed.status
  }
  if (out === undefined) terminal.out(text)
  else write(out, text)
  if (gaps > 0) terminal.err(`${gaps === 1 ? 'One value is' : `${gaps} values are`} yours to write: look for ${fillIn}, then run ` +
    `memseal check.\n`)
  return exitStatuses.fine.status
}

/** One sentence, and nothing of what stands there. */
function whyWithoutSections(conf: StunnelConf): string {
  if (conf.hasPem) return 'is PEM: a certificate or a key, not a stunnel.conf. Name the file that names it.'
  if (conf.hasBinary) return 'is not a text file, so it is not a stunnel.conf.'
  if (!conf.globals.some(({ option }) => stunnelOption(option) !== undefined)) {
    return 'is not a stunnel.conf: it has no [section], and no option of stunnel either.'
  }
  return 'has no [section], so it is for a stunnel that inetd starts, and memseal listens itself. Write two lines at its end, ' +
    '[memcached] and accept = PORT, and import it again.'
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode: 0o640 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(code === 'EEXIST' ? `--out ${file} is there already, and is kept.\nName a new file, or remove it.`
      : `--out ${file} cannot be written (${code}).\nName a file in a folder that is there and that this user may write to.`)
  }
}

/** @param name of the file, for the first line   @param folder where relative paths are looked for
 *  @returns gaps: values that only the operator knows */
export function convertStunnel(conf: StunnelConf, name: string, folder: string): { text: string, services: number, gaps: number } {
  const root = new YamlSection()
  const head: string[] = []
  const inherited = conf.globals.filter(({ option }) => stunnelOption(option)?.level === 'service' && !/^(set[ug]id|debug)$/i.test(option))
  const jail = conf.globals.findLast(({ option }) => option.toLowerCase() === 'chroot')?.value ?? ''
  const taken = new Set<StunnelLine>(logKeys(conf.globals, root, jail))
  root.set('admin.listen', 'unix:/run/memseal/admin.sock')
  const services: StunnelService[] = []
  for (const section of conf.sections) {
    try {
      services.push(new StunnelService(section, { inherited, jail, folder }))
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      head.push(`${section.where} [${shown(section.name)}] is left out: ${error.message}`)
    }
  }
  for (const service of services) for (const line of service.lines.taken) taken.add(line)
  // What no section has a use for is said once, above all of them.
  for (const line of conf.globals) if (!taken.has(line)) head.push(`${origin(line)}: ${wordsOf(line)}`)
  for (const { where, message } of conf.faults) head.push(`${where} ${message}`)
  remarkOnClashes(services)
  const names = new Map<string, StunnelService>()
  for (const service of services) {
    for (const { line, text } of service.lines.remarks()) if (taken.has(line) || service.lines.isOwn(line)) service.yaml.remark(text)
    root.adopt(`services.${nameOf(service, names)}`, service.yaml)
  }
  const body = root.text()
  const gaps = body.split('\n').filter(line => !/^ *#/.test(line)).join('\n').match(/FILL-IN/gi)?.length ?? 0
  const isRelative = /^ +(cert|key|ca|client_ca|crl): (?!FILL-IN)(?!"?\/)\S/m.test(body)
  const top = [
    `Made by memseal import stunnel from ${shown(name)}; comments say what could not be carried over.`,
    ...gaps === 0 ? [] : [`Write a value for each ${fillIn}; memseal refuses to start before.`],
    ...isRelative ? ['Paths without a / in front start at the folder of this file. Better write them from the root.'] : [],
  ]
  const text = `${top.map(line => comment(line)).join('')}${head.map(line => comment(line)).join('')}\n${body}`
  return { text, services: services.length, gaps }
}

/** Two that want the same address: stunnel could not have both either, and one of them goes. */
function remarkOnClashes(services: readonly StunnelService[]): void {
  const taken: { endpoint: Endpoint, text: string, section: string }[] = []
  for (const { section, yaml, listens } of services) {
    for (const { text } of listens) {
      const endpoint = text === fillIn ? undefined : parseEndpoint(text, 'listen')
      if (endpoint === undefined || endpoint instanceof Problem) continue
      const first = taken.find(other => collide(other.endpoint, endpoint))
      if (first !== undefined) yaml.at('listen').remark(`${text} is taken by ${first.text} of [${shown(first.section)}]; memseal ` +
        'refuses to listen twice. Write another here, or remove one of the two.')
      taken.push({ endpoint, text, section: section.name })
    }
  }
}

const levels = ['fatal', 'fatal', 'fatal', 'error', 'warn', 'info', 'info', 'debug']
const levelNames = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']

/** stunnel opens its log inside the chroot.   @returns the lines that became keys of `log` */
function logKeys(globals: readonly StunnelLine[], root: YamlSection, jail: string): StunnelLine[] {
  const last = (name: string) => globals.findLast(({ option }) => option.toLowerCase() === name)
  const [debug, output] = [last('debug'), last('output')]
  const word = debug?.value.split('.').at(-1)!.toLowerCase() ?? ''     // daemon.info: the facility is syslog's
  const at = /^[0-7]$/.test(word) ? Number(word) : levelNames.indexOf(word)
  const isLevel = debug !== undefined && at !== -1
  if (isLevel) root.set('log.level', levels[at])
  if (output !== undefined) {
    const isStandard = /^\/dev\/std(out|err)$/.test(output.value)
    root.set('log.file', isStandard ? '-' : jail + output.value)
    if (!isStandard) root.at('log.file').remark('The unit of memseal may write below /var/log/memseal only. Better remove this line: ' +
      'systemd then keeps the log in the journal.')
  }
  return [...isLevel ? [debug] : [], ...output === undefined ? [] : [output]]
}

/** Small letters, digits, _ and -, a letter first, 63 at the most, and no two alike. */
function nameOf(service: StunnelService, names: Map<string, StunnelService>): string {
  const { section: { name }, yaml } = service
  const plain = name.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[^a-z]+/, '').slice(0, 60).replace(/-+$/, '') || 'service'
  let own = plain
  for (let more = 2; names.has(own); more++) own = `${plain.slice(0, 56)}-${more}`
  const first = names.get(plain)
  if (first !== undefined) yaml.remark(`[${shown(name)}] in stunnel's file. The name ${plain} is taken by ` +
    `[${shown(first.section.name)}] at ${first.section.where}.`)
  else if (own !== name) yaml.remark(`[${shown(name)}] in stunnel's file.`)
  names.set(own, service)
  return own
}
