import { parseArgs } from 'node:util'
import { setupOptions } from '../config/setup.ts'
import { closest } from '../config/suggest.ts'
import { exitStatuses } from '../errors.ts'
import { banAdd, banList, banRemove } from './ban.ts'
import { check } from './check.ts'
import { configEvents, configMetrics, configReference, configSchema, configShow } from './config.ts'
import { defaultFile } from './configuration.ts'
import { connections } from './connections.ts'
import { drain } from './drain.ts'
import { explain } from './explain.ts'
import { importStunnel } from './import-stunnel.ts'
import { kill } from './kill.ts'
import { probe } from './probe.ts'
import { reload } from './reload.ts'
import { run } from './run.ts'
import { status } from './status.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { version } from '../version.ts'

/** `value: ''` makes it a switch: `--json`, with nothing after it. */
interface Flag { name: string, value: string, doc: string, isList?: boolean }

/** A word that belongs to the command and no flag: `HOST:PORT`, `FILE`. The command gets it as `flags.operand`, or as the flag
 *  that it stands for. */
interface Operand { name: string, isOptional?: boolean, flag?: string }

export interface Command {
  name: string
  help: string             // one line
  example: string          // its arguments, as an operator would write them
  operand?: Operand
  flags: readonly Flag[]
  run(flags: Record<string, unknown>, terminal: Terminal): Promise<number>
}

const configFlag: Flag = {
  name: 'config', value: 'FILE', doc: `configuration file; default MEMSEAL_CONFIG, then ${defaultFile}`,
}

/** `memseal check memseal.yaml`, as most programs take it. */
const configOperand: Operand = { name: 'FILE', isOptional: true, flag: 'config' }
const jsonFlag: Flag = { name: 'json', value: '', doc: 'for machines' }

const setupFlags: readonly Flag[] = [
  configFlag,
  ...setupOptions.map(({ flag, value, doc, isList, variable }) => (
    { name: flag, value, isList, doc: `${doc}${isList ? '; repeatable' : ''} [${variable}]` })),
]

const explainFlags: readonly Flag[] = [
  configFlag,
  { name: 'address', value: 'ADDRESS', doc: 'where the client comes from; unix: over a unix socket' },
  { name: 'cert', value: 'FILE', doc: 'certificate that the client shows (PEM), with what it sends along behind it; left out: none' },
  { name: 'listener', value: 'LISTENER', doc: 'where it connects, as `listen` has it, or the name of the service; may be left out where there is one listener' },
  { name: 'command', value: 'LINE', doc: 'what it asks, as it sends it: "get a", "set a 0 0 5"; left out: the connection alone' },
  jsonFlag,
]

const probeFlags: readonly Flag[] = [
  { name: 'ca', value: 'FILE', doc: 'authorities that may have signed the certificate there (PEM); default: the public ones' },
  { name: 'cert', value: 'FILE', doc: 'client certificate to show (PEM)' },
  { name: 'key', value: 'FILE', doc: 'its private key (PEM)' },
  { name: 'server-name', value: 'NAME', doc: 'name that the certificate there must have; default: HOST' },
  { name: 'config', value: 'FILE', doc: 'takes address, names and files from a service of this configuration' },
  { name: 'service', value: 'NAME', doc: 'which one; may be left out when there is but one' },
  { name: 'plain', value: '', doc: 'without TLS' },
  { name: 'user', value: 'NAME', doc: 'logs in to a memcached that wants it (-Y, -S)' },
  { name: 'password-file', value: 'FILE', doc: 'holds the password of --user, and nothing else' },
  { name: 'expect', value: 'refused|unreachable', doc: 'exit 0 only if a listener is there and refuses this host; or only if nobody is reached' },
  { name: 'timeout', value: 'DURATION', doc: 'longest that each step may take; default 3s' },
  jsonFlag,
]

const adminFlags: readonly Flag[] = [
  { name: 'admin', value: 'unix:/PATH', doc: 'where to ask; default: admin.listen of --config, then MEMSEAL_ADMIN, then admin.listen of the configuration that is found' },
  configFlag,
  jsonFlag,
]

export const commands: readonly Command[] = [
  {
    name: 'run', help: 'runs the proxy (also with no command)', operand: configOperand, flags: setupFlags, run,
    example: '--listen 0.0.0.0:11212 --cert server.crt --key server.key --client-ca clients.pem --allow 10.0.0.0/8',
  },
  {
    name: 'check', help: 'prints every fault of the configuration and of its certificates', operand: configOperand,
    flags: [...setupFlags, jsonFlag], run: check, example: '/etc/memseal/memseal.yaml',
  },
  {
    name: 'status', help: 'says how the running memseal is; exit status 1 when it is not ready',
    flags: [...adminFlags, { name: 'alive', value: '', doc: 'exit status 0 when it answers, ready or not: for health checks that restart' }],
    run: status, example: '--config /etc/memseal/memseal.yaml',
  },
  {
    name: 'connections', help: 'lists the clients that are connected',
    flags: [...adminFlags, { name: 'limit', value: 'COUNT', doc: 'how many at the most; default 1000' }],
    run: connections, example: '--limit 20',
  },
  {
    name: 'reload', help: 'takes new configuration and certificates without a restart, and waits for the outcome',
    flags: adminFlags, run: reload, example: '--config /etc/memseal/memseal.yaml',
  },
  {
    name: 'drain', help: 'ends memseal as soon as its clients have what they are owed, and waits for that',
    flags: adminFlags, run: drain, example: '--admin unix:/run/memseal/admin.sock',
  },
  { name: 'kill', help: 'closes one client connection at once', operand: { name: 'ID' }, flags: adminFlags, run: kill, example: 'c17' },
  { name: 'ban list', help: 'lists who is shut out, why and for how long', flags: adminFlags, run: banList, example: '--config /etc/memseal/memseal.yaml' },
  {
    name: 'ban add', help: 'shuts out an address or a range at once: ends its connections, and resets new ones', operand: { name: 'ADDRESS' },
    flags: [...adminFlags, { name: 'for', value: 'TIME', doc: 'for how long, 1s to 365d; default: ban.for of the configuration, else 10m' }],
    run: banAdd, example: '203.0.113.0/24 --for 1h',
  },
  { name: 'ban remove', help: 'lets in again who was shut out', operand: { name: 'ADDRESS' }, flags: adminFlags, run: banRemove, example: '203.0.113.7' },
  {
    name: 'probe', help: 'walks TCP, TLS, certificate and `version`, and says which step fails and what to do',
    operand: { name: 'HOST:PORT', isOptional: true }, flags: probeFlags, run: probe,
    example: 'cache-1.example.com:11212 --ca cache-ca.pem --cert client.crt --key client.key',
  },
  {
    name: 'explain', help: 'says step by step what would become of a client and its command; exit status 1 when it is refused', flags: explainFlags, run: explain,
    example: '--address 10.1.2.3 --cert client.crt --command "get web:1"',
  },
  {
    name: 'import stunnel', help: 'makes a memseal.yaml of a stunnel.conf', operand: { name: 'FILE' },
    flags: [{ name: 'out', value: 'FILE', doc: 'where to write it; default: standard output. A file that exists is kept' }],
    run: importStunnel, example: '/etc/stunnel/memcached.conf --out memseal.yaml',
  },
  { name: 'config reference', help: 'prints the reference of all keys', flags: [], run: configReference, example: '> REFERENCE.md' },
  { name: 'config schema', help: 'prints the JSON schema, for editors', flags: [], run: configSchema, example: '> memseal.schema.json' },
  { name: 'config events', help: 'prints the table of all events', flags: [], run: configEvents, example: '> EVENTS.md' },
  { name: 'config metrics', help: 'prints the table of all metrics', flags: [], run: configMetrics, example: '> METRICS.md' },
  {
    name: 'config show', help: 'prints the effective configuration and where each value comes from', operand: configOperand,
    flags: setupFlags, run: configShow, example: '/etc/memseal/memseal.yaml',
  },
  { name: 'version', help: 'says which memseal this is', flags: [], example: '', run: sayVersion },
]

/** @param args without the program's own name   @returns the exit status */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  const firstFlag = args.findIndex(arg => arg.startsWith('-'))
  const words = firstFlag === -1 ? args : args.slice(0, firstFlag)
  const wantsHelp = args.includes('--help') || args.includes('-h') || words[0] === 'help'
  if (args.includes('--version') || args[0] === '-v' || args[0] === '-V') return sayVersion({}, terminal)
  const name = (words[0] === 'help' ? words.slice(1) : words).join(' ')
  const command = commands.find(each => each.name === (name === '' ? 'run' : name)) ??
    commands.find(each => name.startsWith(`${each.name} `))   // the words after it are for parseFlags to take or refuse
  if (wantsHelp) return help(name === '' || command?.operand === undefined ? name : command.name, terminal)
  if (command === undefined) return unknown(name, terminal)
  try {
    const rest = name === '' ? args : args.slice(command.name.split(' ').length)
    return await command.run(parseFlags(command, rest), terminal)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    terminal.err(`memseal ${command.name}: ${error.message}\n`)
    return exitStatuses.usage.status
  }
}

function parseFlags(command: Command, args: readonly string[]): Record<string, unknown> {
  const options = Object.fromEntries(command.flags.map(flag => (
    [flag.name, { type: flag.value === '' ? 'boolean' as const : 'string' as const, multiple: flag.isList ?? false }])))
  const { operand } = command
  try {
    const { tokens, values, positionals } = parseArgs({
      args: [...args], options, tokens: true, allowPositionals: operand !== undefined,
    })
    // parseArgs would take the last one and drop the first without a word.
    const names = tokens.flatMap(token => token.kind === 'option' ? [token.name] : [])
    const twice = names.find((name, at) => names.indexOf(name) < at && !options[name].multiple)
    if (twice !== undefined) throw new UsageError(`--${twice} stands here twice.\nGive it once.`)
    if (positionals.length > 1) throw new UsageError(`"${positionals[1]}" is one word too many.\nSee memseal ${command.name} --help.`)
    if (operand !== undefined && !operand.isOptional && positionals.length === 0) {
      throw new UsageError(`${operand.name} is missing.\nWrite memseal ${command.name} ${operand.name}.`)
    }
    return withOperand(command, values, positionals[0])
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(flagFault(command, error as Error & { code?: string }))
  }
}

async function sayVersion(_flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  terminal.out(`memseal ${version}\n`)
  return exitStatuses.fine.status
}

function withOperand({ operand }: Command, values: Record<string, unknown>, word: string | undefined): Record<string, unknown> {
  if (operand === undefined) return values
  if (operand.flag === undefined) return { ...values, operand: word }
  if (word === undefined) return values
  if (values[operand.flag] !== undefined) throw new UsageError(`${word} and --${operand.flag} are two files, and one is all it takes.\nGive one of them.`)
  return { ...values, [operand.flag]: word }
}

function flagFault(command: Command, error: Error & { code?: string }): string {
  const unknown = /'(-[^']*)'/.exec(error.message)?.[1]
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' && unknown !== undefined) {
    const near = closest(unknown.replace(/^-+/, ''), command.flags.map(flag => flag.name))
    return `there is no flag ${unknown}.\n${near === undefined ? `See memseal ${command.name} --help.` : `Did you mean --${near}?`}`
  }
  if (error.code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
    return `"${/'([^']*)'/.exec(error.message)?.[1]}" is one word too many.\nSee memseal ${command.name} --help.`
  }
  const flag = command.flags.find(({ name }) => new RegExp(`'--${name}\\b`).test(error.message))
  if (flag !== undefined) return flag.value === '' ? `--${flag.name} takes no value.\nGive it alone.` : `--${flag.name} has no value.\nGive --${flag.name} ${flag.value}.`
  return `${error.message.split('\n')[0]}\nSee memseal ${command.name} --help.`
}

function unknown(name: string, terminal: Terminal): number {
  const family = commands.filter(command => command.name.startsWith(`${name} `)).map(command => command.name)
  const near = /\.ya?ml$/.test(name) ? `memseal run ${name}` : closest(name, commands.map(command => command.name))
  if (family.length > 0) terminal.err(`memseal ${name}: a word is missing.\n${family.length === 1 ? 'Write' : 'Write one of'} ${family.map(each => family.length === 1 ? `memseal ${each}` : each).join(', ')}.\n`)
  else terminal.err(`memseal: there is no command "${name}".\n${near === undefined ? 'See memseal --help.' : `Did you mean ${near}?`}\n`)
  return exitStatuses.usage.status
}

function help(name: string, terminal: Terminal): number {
  const exact = commands.find(command => command.name === name)
  const shown = name === '' ? commands : commands.filter(command => command.name.startsWith(`${name} `))
  if (exact !== undefined) {
    const operand = exact.operand === undefined ? '' : exact.operand.isOptional ? ` [${exact.operand.name}]` : ` ${exact.operand.name}`
    const usage = `${operand}${exact.flags.length === 0 ? '' : ' [flags]'}`
    terminal.out(`memseal ${exact.name}${usage}: ${exact.help}\n${exact.flags.length === 0 ? '' : '\n'}`)
    terminal.out(table(exact.flags.map(flag => [`--${flag.name} ${flag.value}`, flag.doc])))
    terminal.out(`\nFor example:\n  memseal ${exact.name} ${exact.example}`.trimEnd())
    terminal.out(`\n\nExit status:\n${table(Object.values(exitStatuses).map(({ status, doc }) => [String(status).padStart(2), doc]))}`)
  } else if (shown.length > 0) {
    terminal.out('memseal: TLS and mutual TLS in front of memcached\n\n')
    terminal.out(table(shown.map(command => [`memseal ${command.name}`, command.help])))
    terminal.out('\nmemseal <command> --help says more; memseal --version says which this is.\n')
  } else {
    return unknown(name, terminal)
  }
  return exitStatuses.fine.status
}

function table(rows: readonly [string, string][]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}
