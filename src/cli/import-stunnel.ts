import type { Terminal } from './terminal.ts'

export async function importStunnel(_flags: Record<string, unknown>, _terminal: Terminal): Promise<number> {
  return 1
}
