import { exitStatuses } from '../errors.ts'
import { asking, tellError } from './admin-client.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** `memseal kill ID`: closes one client's connection at once. */
export function kill(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const id = flags['operand'] as string
  if (!/^c\d{1,15}$/.test(id)) throw new UsageError(`"${id}" is not a connection.\nmemseal connections lists them: c17, say.`)
  return asking('kill', flags, terminal, async client => {
    const { body, value } = await client.askFor<{ error?: string }>('POST', `/kill/${id}`, [200, 404])
    if (value.error !== undefined) {
      tellError('kill', `there is no connection ${id}; it may have left.`, flags, terminal)
      return exitStatuses.failed.status
    }
    terminal.out(flags['json'] === true ? body : `${id} is closed.\n`)
    return exitStatuses.fine.status
  })
}
