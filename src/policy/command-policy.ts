/** The configuration's `commands`, compiled to one byte per row of the command table. */
import { commands, UNKNOWN } from '../proto/commands.ts'

export class CommandPolicy {
  /** 1 where the row is allowed. */
  readonly allowed: Uint8Array
  /** Everything is allowed: what memseal does not recognise is passed to memcached as it is. */
  readonly isOpen: boolean

  /** @param names groups and single commands, as `commands` of the configuration lists them */
  constructor(names: readonly string[]) {
    this.isOpen = names.includes('all')
    this.allowed = Uint8Array.from(commands, (row) =>
      this.isOpen || row.group === 'basic' || names.includes(row.group) || names.includes(row.name) ? 1 : 0)
    // Nobody can say what an unknown command does, so only a proxy that passes everything passes it.
    if (!this.isOpen) this.allowed[UNKNOWN] = 0
  }

  /** @param alsoRow a second row that the request needs, -1 for none */
  allows(row: number, alsoRow: number): boolean {
    return this.allowed[row] === 1 && (alsoRow < 0 || this.allowed[alsoRow] === 1)
  }
}
