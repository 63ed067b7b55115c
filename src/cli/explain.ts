import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { parseEndpoint } from '../config/endpoint.ts'
import { resolveGroups } from '../config/groups.ts'
import { hasFault } from '../config/issue.ts'
import type { ServiceConfig } from '../config/schema.ts'
import { exitStatuses } from '../errors.ts'
import { normalAddress } from '../lib/address.ts'
import { endpointText } from '../lib/endpoint.ts'
import { systemErrorText } from '../lib/system-error.ts'
import { explainClient, type Step } from '../process/explanation.ts'
import { certificateBlocks } from '../tls/pem.ts'
import { chooseConfiguration, noConfiguration, printIssues } from './configuration.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** `memseal explain`: what would become of a client and of a command of it, step by step, from the configuration alone. Exit status 0:
 *  allowed, 1: refused. */
export async function explain(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const address = addressOf(flags['address'] as string | undefined)
  const command = flags['command'] as string | undefined
  const file = flags['cert'] as string | undefined
  const certificates = file === undefined ? [] : certificatesOf(file)
  const chosen = chooseConfiguration({ config: flags['config'] }, terminal.environment)
  if (chosen === undefined) {
    terminal.err(noConfiguration)
    return exitStatuses.configuration.status
  }
  const { loaded } = chosen
  if (loaded.config === undefined) {
    printIssues(loaded, terminal)
    return exitStatuses.configuration.status
  }
  const config = resolveGroups(loaded.config)
  const { name, service, listener } = listenerOf(config.services, flags['listener'] as string | undefined)
  if (address === 'unix' && service.listen.some(endpoint => endpoint.kind === 'tcp' && endpointText(endpoint) === listener)) {
    throw new UsageError(`${listener} is not a unix socket.\nGive the address that the client comes from, or a listener such as --listener unix:/path.`)
  }
  const steps = await explainClient({ config, name, service, listener, address, certificates, command }, loaded.report)
  if (hasFault(loaded.issues)) {
    printIssues(loaded, terminal)
    return exitStatuses.configuration.status
  }
  const isAllowed = steps.every(({ outcome }) => outcome !== 'refused')
  if (flags['json'] === true) terminal.out(`${JSON.stringify({ allowed: isAllowed, service: name, listener, address, rule: ruleOf(steps), steps })}\n`)
  else terminal.out(textOf(steps, isAllowed))
  return (isAllowed ? exitStatuses.fine : exitStatuses.failed).status
}

function addressOf(text: string | undefined): string {
  if (text === undefined) throw new UsageError('--address is missing.\nGive the address that the client comes from, such as --address 10.1.2.3; or --address unix.')
  if (text !== 'unix' && isIP(text) === 0) throw new UsageError(`"${text}" is not an address.\nGive one such as 10.1.2.3, or unix.`)
  return text === 'unix' ? text : normalAddress(text)
}

/** The client's own first, then what it sends along. */
function certificatesOf(file: string): X509Certificate[] {
  let text: string
  try {
    text = readFileSync(file, 'latin1')
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${systemErrorText((error as NodeJS.ErrnoException).code ?? '')}.\nGive the file of the client's certificate (PEM).`)
  }
  const blocks = certificateBlocks(text)
  if (blocks.length === 0) throw new UsageError(`${file} holds no certificate in PEM.\nGive the file of the client's certificate.`)
  try {
    return blocks.map(block => new X509Certificate(block))
  } catch {
    throw new UsageError(`${file}: a certificate in it is damaged.\nCopy the file again, whole.`)
  }
}

function listenerOf(services: Readonly<Record<string, ServiceConfig>>, wanted: string | undefined): { name: string, service: ServiceConfig, listener: string } {
  const all = Object.entries(services).flatMap(([name, service]) => service.listen.map(endpoint => ({ name, service, listener: endpointText(endpoint) })))
  if (wanted === undefined) {
    if (all.length === 1) return all[0]
    throw new UsageError(`there are ${all.length} listeners.\nGive one of them: ${all.map(({ listener }) => `--listener ${listener}`).join(', ')}.`)
  }
  const parsed = parseEndpoint(wanted, 'listen')
  const text = 'kind' in parsed ? endpointText(parsed) : wanted
  const found = all.find(({ listener, name }) => listener === text || name === wanted)
  if (found !== undefined) return found
  throw new UsageError(`there is no listener ${wanted}.\nGive one of ${all.map(({ listener }) => listener).join(', ')}.`)
}

function ruleOf(steps: readonly Step[]): string | null {
  return steps.find(({ rule }) => rule !== undefined)?.rule ?? null
}

const marks: Record<Step['outcome'], string> = { passed: 'yes', refused: 'NO ', told: ' - ' }

function textOf(steps: readonly Step[], isAllowed: boolean): string {
  const width = Math.max(...steps.map(({ step }) => step.length))
  const lines = steps.flatMap(({ step, outcome, words, fix }) => [
    `${marks[outcome]}  ${step.padEnd(width)}  ${words}\n`, ...fix === undefined ? [] : [`${' '.repeat(width + 7)}${fix}\n`],
  ])
  return `${lines.join('')}\n${isAllowed ? 'Allowed.' : 'Refused.'}\n`
}
