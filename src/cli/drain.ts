import { setTimeout as sleep } from 'node:timers/promises'
import type { Snapshot } from '../admin/snapshot.ts'
import { exitStatuses } from '../errors.ts'
import { AdminError, asking, type AdminClient } from './admin-client.ts'
import { counted } from '../lib/counted.ts'
import { age } from './table.ts'
import type { Terminal } from './terminal.ts'

const LOOK_EVERY_MS = 200

/** `memseal drain`: as SIGTERM, and waits until the daemon has ended. */
export function drain(flags: Record<string, unknown>, terminal: Terminal): Promise<number> {
  const isJson = flags['json'] === true
  return asking('drain', flags, terminal, async client => {
    const { value: { clients, timeoutMs, configuration } } = await client.askFor<{ clients: number, timeoutMs: number, configuration: string }>('POST', '/drain', [202])
    if (!isJson) terminal.out(`Draining ${counted(clients, 'connection')}, ${age(timeoutMs / 1000)} at the most.\n`)
    await untilGone(client)
    terminal.out(isJson ? `${JSON.stringify({ clients, drained: true, configuration })}\n` : 'memseal has ended.\n')
    return exitStatuses.fine.status
  })
}

async function untilGone(client: AdminClient): Promise<void> {
  const pid = async (): Promise<number> => (await client.askFor<Snapshot>('GET', '/status')).value.pid
  let first: number | undefined
  for (;;) {
    try {
      const now = await pid()
      if (now !== (first ??= now)) return   // its successor answers already
    } catch (error) {
      if (error instanceof AdminError && error.code !== 'ETIMEDOUT') return
      throw error
    }
    await sleep(LOOK_EVERY_MS)
  }
}
