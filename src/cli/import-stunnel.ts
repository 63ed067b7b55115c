import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { exitStatuses } from '../errors.ts'
import { fillIn } from './stunnel-address.ts'
import { readStunnelConf, shown, type StunnelConf, type StunnelLine, type StunnelSection } from './stunnel-conf.ts'
import { stunnelOption } from './stunnel-options.ts'
import { LeftOut, origin, StunnelService, wordsOf } from './stunnel-service.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { comment, YamlSection } from './yaml-writer.ts'

/** `memseal import stunnel FILE`: stunnel.conf in, memseal.yaml out. */
export async function importStunnel(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const file = flags['operand'] as string
  const out = flags['out'] as string | undefined
  let conf: StunnelConf
  try {
    conf = readStunnelConf(file)
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).\nName the stunnel.conf, on a host where it is.`)
  }
  const { text, services, gaps } = convertStunnel(conf, basename(file))
  if (services === 0) {
    terminal.err(`${file} has no section that memseal could take over.\n`)
    for (const line of text.split('\n').filter(each => each.startsWith('#'))) terminal.err(`${line.slice(2)}\n`)
    return exitStatuses.failed.status
  }
  if (out === undefined) terminal.out(text)
  else write(out, text)
  if (gaps > 0) terminal.err(`${gaps === 1 ? 'One value is' : `${gaps} values are`} yours to write: look for ${fillIn}, then run memseal check.\n`)
  return exitStatuses.fine.status
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

/** @param name of the file, for the first line   @returns gaps: values that only the operator knows */
export function convertStunnel(conf: StunnelConf, name: string): { text: string, services: number, gaps: number } {
  const root = new YamlSection()
  const head: string[] = []
  const defaults = conf.globals.filter(({ option }) => stunnelOption(option)?.level === 'service' && !/^set[ug]id$/i.test(option))
  const taken = new Set<StunnelLine>(logKeys(conf.globals, root))
  const chroot = conf.globals.findLast(({ option }) => option.toLowerCase() === 'chroot')?.value ?? ''
  const names = new Set<string>()
  const leftOut: string[] = []
  for (const section of conf.sections) {
    try {
      const service = new StunnelService(section, defaults, chroot)
      for (const line of service.taken) taken.add(line)
      const own = nameOf(section, names)
      if (own !== section.name) service.yaml.remark(`[${shown(section.name)}] in stunnel's file.`)
      root.adopt(`services.${own}`, service.yaml)
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      leftOut.push(`${section.where} [${shown(section.name)}] is left out: ${error.message}`)
    }
  }
  for (const { where, message } of conf.faults) head.push(`${where} ${message}`)
  for (const line of conf.globals) if (!taken.has(line)) head.push(`${origin(line)}: ${wordsOf(line)}`)
  if (conf.sections.length === 0) head.push('There is no [section]: this is a file for inetd, and memseal is not started by inetd. Write a service with listen and backend.')
  const body = root.text()
  const gaps = body.split('\n').filter(line => !/^ *#/.test(line)).join('\n').match(/FILL-IN/gi)?.length ?? 0
  const isRelative = /^ +(cert|key|ca|client_ca|crl): (?!FILL-IN)(?!"?\/)\S/m.test(body)
  const top = [
    `Made by memseal import stunnel from ${shown(name)}; comments say what could not be carried over.`,
    ...gaps === 0 ? [] : [`Write a value for each ${fillIn}; memseal refuses to start before.`],
    ...isRelative ? ['Paths without a / in front start at the folder of this file. Better write them from the root.'] : [],
  ]
  const text = `${top.map(line => comment(line)).join('')}${[...head, ...leftOut].map(line => comment(line)).join('')}\n${body}`
  return { text, services: names.size, gaps }
}

const levels = ['fatal', 'fatal', 'fatal', 'error', 'warn', 'info', 'info', 'debug']
const levelNames = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']

/** @returns the lines that became keys of `log` */
function logKeys(globals: readonly StunnelLine[], root: YamlSection): StunnelLine[] {
  const last = (name: string) => globals.findLast(({ option }) => option.toLowerCase() === name)
  const [debug, output] = [last('debug'), last('output')]
  const word = debug?.value.split('.').at(-1)!.toLowerCase() ?? ''     // daemon.info: the facility is syslog's
  const at = /^[0-7]$/.test(word) ? Number(word) : levelNames.indexOf(word)
  const isLevel = debug !== undefined && at !== -1
  if (isLevel) root.set('log.level', levels[at])
  if (output !== undefined) root.set('log.file', output.value === '/dev/stdout' ? '-' : output.value)
  return [...isLevel ? [debug] : [], ...output === undefined ? [] : [output]]
}

/** Small letters, digits, _ and -, a letter first, 63 at the most, and no two alike. */
function nameOf({ name }: StunnelSection, names: Set<string>): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[^a-z]+/, '').slice(0, 60).replace(/-+$/, '') || 'service'
  let own = plain
  for (let more = 2; names.has(own); more++) own = `${plain.slice(0, 56)}-${more}`
  names.add(own)
  return own
}
