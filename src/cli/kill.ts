import { exitStatuses } from '../errors.ts'
import { asking } from './admin-client.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** `memseal kill ID`: closes one client's connection at once. */
export function kill(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const id = flags['operand'] as string
  if (!/^c\d{1,15}$/.test(id)) throw new UsageError(`"${id}" is no connection.\nmemseal connections lists them: c17, say.`)
  return asking('kill', flags, terminal, async client => {
    const { status, body } = await client.ask('POST', `/kill/${id}`)
    if (status === 200) terminal.out(flags['json'] === true ? body : `${id} is closed.\n`)
    else if (status === 404) terminal.err(`memseal kill: there is no connection ${id}; it may have left.\n`)
    else terminal.err(`memseal kill: ${body}`)
    return (status === 200 ? exitStatuses.fine : exitStatuses.failed).status
  })
}
