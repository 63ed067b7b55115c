import type { ClientSnapshot } from '../proxy/client-record.ts'
import { exitStatuses } from '../errors.ts'
import { asking } from './admin-client.ts'
import { age, bytes, columns, number } from './table.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** `memseal connections`: who is in, and what they have done. */
export function connections(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const limit = flags['limit'] as string | undefined ?? '1000'
  if (!/^[1-9]\d{0,4}$/.test(limit)) throw new UsageError(`"${limit}" is not a number of connections.\nWrite 1 to 10000.`)
  return asking('connections', flags, terminal, async client => {
    const { body, value } = await client.askFor<{ total: number, connections: ClientSnapshot[] }>('GET', `/connections?limit=${limit}`)
    terminal.out(flags['json'] === true ? body : connectionsText(value))
    return exitStatuses.fine.status
  })
}

export function connectionsText({ total, connections }: { total: number, connections: ClientSnapshot[] }): string {
  if (total === 0) return 'No client is connected.\n'
  const hasRules = connections.some(({ rule }) => rule !== undefined)
  const head = ['id', 'service', 'client', 'certificate', ...hasRules ? ['rule'] : [], 'tls', 'age', 'idle', 'requests', 'in flight', 'in', 'out', 'unread', 'backend']
  const rows = connections.map(each => [
    each.id, each.service, `${each.address === 'unix' ? 'unix' : `${each.address}:${each.port}`}${each.via === undefined ? '' : ` via ${each.via}`}`,
    each.tls?.subject || '-', ...hasRules ? [each.rule ?? '-'] : [], each.tls === undefined ? 'plain' : `${each.tls.version}${each.tls.resumed ? ' resumed' : ''}`,
    age(each.seconds), age(each.idleSeconds), number(each.requests), number(each.inFlight), bytes(each.bytesIn), bytes(each.bytesOut),
    bytes(each.backlogBytes), each.isPrivate === undefined ? 'shared' : `private (${each.isPrivate})`,
  ])
  const more = total > connections.length ? `${number(total - connections.length)} more; --limit ${Math.min(total, 10_000)} shows them.\n` : ''
  return columns(head, rows) + more
}
